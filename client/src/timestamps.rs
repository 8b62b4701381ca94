//! Fresh timestamps, one request for many callers.
//!
//! A caller needs a timestamp that was drawn after it asked. While one request
//! is on its way, callers gather for the next one.

use std::sync::Arc;

use parking_lot::Mutex;
use synod_common::message::{ClientReply, ClientRequest};
use synod_common::time::Timestamp;
use tokio::sync::oneshot;

use crate::Error;
use crate::coordinators::Coordinators;
use crate::net::Net;

type Waiter = oneshot::Sender<Result<Timestamp, Error>>;

/// Gathers callers.
pub(crate) struct Timestamps {
    net: Arc<dyn Net>,
    coordinators: Arc<Coordinators>,
    gathering: Mutex<Gathering>,
}

#[derive(Default)]
struct Gathering {
    asking: bool,
    waiting: Vec<Waiter>,
}

impl Timestamps {
    pub(crate) fn new(net: Arc<dyn Net>, coordinators: Arc<Coordinators>) -> Arc<Timestamps> {
        Arc::new(Timestamps { net, coordinators, gathering: Mutex::default() })
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
            let drawn = match self.coordinators.ask(ClientRequest::Timestamp).await {
                Ok((_, ClientReply::Timestamp(at))) => Ok(at),
                Ok(_) => Err(Error::protocol()),
                Err(error) => Err(error),
            };
            for waiter in waiting {
                let _ = waiter.send(drawn.clone());
            }
        }
    }
}
