//! What the client's logic needs of the world.
//!
//! Everything in this crate that decides is written against [`Net`]: it sends
//! requests, waits for replies and for timers, and nothing else. The QUIC driver,
//! the embedded cluster and the simulator each provide one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use synod_common::id::Peer;
use synod_common::message::Message;
use synod_common::time::Mono;
use tokio::sync::oneshot;

use crate::Error;

/// A future in a box.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The world around a client.
pub trait Net: Send + Sync + 'static {
    /// Sends a request to a server. The reply is [`Unreachable`] if the link goes
    /// down first; the request may have been carried out all the same.
    fn request(&self, to: Peer, message: Message) -> Reply;

    /// Sends a message that has no reply. May be lost with its link.
    fn tell(&self, to: Peer, message: Message);

    /// Where a server can be reached; told before the first message to it.
    fn learn(&self, peer: Peer, address: &str);

    /// Nobody waits for this server any more: the link to it is closed, and every request
    /// without a reply ends as [`Unreachable`]. A later request makes another link. In a
    /// world with one coordinator nobody asks for this.
    fn forget(&self, _peer: Peer) {}

    /// Why a server was last unreachable, if it is known.
    fn trouble(&self, _peer: Peer) -> Option<Error> {
        None
    }

    /// Lets go what is on its way, and ends when the servers know that the client
    /// is gone. Nothing may be sent afterwards.
    fn close(&self) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }

    /// Ends after this long.
    fn sleep(&self, time: Duration) -> BoxFuture<()>;

    /// Monotonic time, for measuring intervals.
    fn now(&self) -> Mono;

    /// Random bits, for jitter.
    fn random(&self) -> u64;

    /// Runs a future on the side.
    fn spawn(&self, future: BoxFuture<()>);
}

/// No reply came, and none will. Whether the request was carried out is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server can not be reached")]
pub struct Unreachable;

/// Why a server did not answer.
pub(crate) fn unreachable(net: &dyn Net, peer: Peer) -> Error {
    let trouble = net.trouble(peer);
    trouble.unwrap_or_else(|| Error::Unavailable(format!("{peer} can not be reached")))
}

/// A reply that is on its way.
#[derive(Debug)]
pub struct Reply(oneshot::Receiver<Message>);

impl Reply {
    /// A reply, and where to put it. Dropping the sender makes it [`Unreachable`].
    pub fn channel() -> (oneshot::Sender<Message>, Reply) {
        let (sender, receiver) = oneshot::channel();
        (sender, Reply(receiver))
    }

    /// The reply, if it has come.
    pub fn try_now(mut self) -> Option<Result<Message, Unreachable>> {
        match self.0.try_recv() {
            Ok(reply) => Some(Ok(reply)),
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(Unreachable)),
            Err(oneshot::error::TryRecvError::Empty) => None,
        }
    }
}

impl Future for Reply {
    type Output = Result<Message, Unreachable>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|reply| reply.map_err(|_| Unreachable))
    }
}
