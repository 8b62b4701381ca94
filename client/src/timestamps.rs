//! Fresh timestamps, one request for many callers.
//!
//! A caller needs a timestamp that was drawn after it asked. While one request
//! is on its way, callers gather for the next one.

use std::sync::Arc;

use parking_lot::Mutex;
use synod_common::id::Peer;
use synod_common::message::{ClientReply, ClientRequest, Message};
use synod_common::time::Timestamp;
use tokio::sync::oneshot;

use crate::Error;
use crate::net::Net;

type Waiter = oneshot::Sender<Result<Timestamp, Error>>;

/// Gathers callers.
pub(crate) struct Timestamps {
    net: Arc<dyn Net>,
    coordinator: Peer,
    gathering: Mutex<Gathering>,
}

#[derive(Default)]
struct Gathering {
    asking: bool,
    waiting: Vec<Waiter>,
}

impl Timestamps {
    pub(crate) fn new(net: Arc<dyn Net>, coordinator: Peer) -> Arc<Timestamps> {
        Arc::new(Timestamps { net, coordinator, gathering: Mutex::default() })
    }

    /// A timestamp that is drawn after this call.
    pub(crate) async fn fresh(self: &Arc<Self>) -> Result<Timestamp, Error> {
        let (sender, receiver) = oneshot::channel();
        let begin = {
            let mut gathering = self.gathering.lock();
            gathering.waiting.push(sender);
            !std::mem::replace(&mut gathering.asking, true)
        };
        if begin {
            self.net.spawn(Box::pin(Arc::clone(self).ask()));
        }
        receiver.await.unwrap_or_else(|_| Err(Error::Unavailable("shutting down".to_owned())))
    }

    /// Asks until nobody waits.
    async fn ask(self: Arc<Self>) {
        loop {
            let waiting = {
                let mut gathering = self.gathering.lock();
                if gathering.waiting.is_empty() {
                    gathering.asking = false;
                    return;
                }
                std::mem::take(&mut gathering.waiting)
            };
            let reply = self.net.request(self.coordinator, ClientRequest::Timestamp.into()).await;
            let drawn = match reply {
                Ok(Message::ClientReply(ClientReply::Timestamp(at))) => Ok(at),
                Ok(Message::ClientReply(ClientReply::Refused(reason))) => {
                    Err(Error::from_reason(reason, None))
                }
                Ok(_) => Err(Error::protocol()),
                Err(unreachable) => {
                    let trouble = self.net.trouble(self.coordinator);
                    Err(trouble.unwrap_or_else(|| Error::Unavailable(unreachable.to_string())))
                }
            };
            for waiter in waiting {
                let _ = waiter.send(drawn.clone());
            }
        }
    }
}
