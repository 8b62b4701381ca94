//! How others reach a host, and how a host reaches others.
//!
//! A host does not know whether a peer is across a network or in the same
//! process: it holds a [`LinkHandle`]. The second kind makes the embedded store
//! and the one-process cluster: a message goes straight into the other host's
//! inbox, unencoded, or into a client's callback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

use super::chaos::Chaos;
use super::close::CloseCode;
use super::inbox::{Inbound, Inbox, LinkId};
use super::link::{Link, SendError};
use super::log::LogCounters;
use super::stats::Stats;
use crate::id::{ClientId, Peer, RequestId};
use crate::message::Message;
use crate::node::Neighbour;

/// Bounds of a host.
#[derive(Clone, Copy, Debug)]
pub struct HostLimits {
    /// Bytes of messages that may wait to be handled.
    pub inbox_bytes: usize,
    /// Bytes of records that may wait to be durable before no more messages are
    /// handled.
    pub log_bytes: usize,
    /// Bytes that may wait for one client before no more of its messages are
    /// handled.
    pub reply_bytes: usize,
}

impl Default for HostLimits {
    fn default() -> HostLimits {
        HostLimits { inbox_bytes: 64 << 20, log_bytes: 64 << 20, reply_bytes: 8 << 20 }
    }
}

/// A host, as seen from other tasks and threads. Clones are the same host.
///
/// It is made before the host, because the log must be able to wake it.
#[derive(Clone)]
pub struct HostHandle(pub(super) Arc<Shared>);

impl std::fmt::Debug for HostHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostHandle").finish_non_exhaustive()
    }
}

pub(super) struct Shared {
    pub inbox: Inbox,
    pub limits: HostLimits,
    pub stats: Arc<Stats>,
    pub log: Arc<LogCounters>,
    pub chaos: Chaos,
    /// The newest that the node asked for. Nobody listens where hosts are joined
    /// within the process.
    pub neighbours: watch::Sender<Vec<Neighbour>>,
    next_link: AtomicU64,
    stop: AtomicBool,
}

impl HostHandle {
    /// For a host that is still to be made.
    pub fn new(limits: HostLimits) -> HostHandle {
        HostHandle(Arc::new(Shared {
            inbox: Inbox::new(limits.inbox_bytes),
            limits,
            stats: Arc::default(),
            log: Arc::default(),
            chaos: Chaos::default(),
            neighbours: watch::Sender::default(),
            next_link: AtomicU64::new(1),
            stop: AtomicBool::new(false),
        }))
    }

    /// What the log calls when more is durable or when it has failed.
    pub fn waker(&self) -> Box<dyn Fn() + Send + Sync> {
        let shared = self.0.clone();
        Box::new(move || shared.inbox.notify())
    }

    /// Asks the host to stop: what was acknowledged is kept, links are closed.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Release);
        self.0.inbox.notify();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.0.stop.load(Ordering::Acquire)
    }

    /// What its log has counted.
    pub fn log(&self) -> Arc<LogCounters> {
        self.0.log.clone()
    }

    /// The faults of its disk and its clock.
    pub fn chaos(&self) -> &Chaos {
        &self.0.chaos
    }

    /// What it has counted.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.0.stats
    }

    /// A number for a new link, and the client's id if it is one.
    pub(super) fn next_link(&self) -> LinkId {
        LinkId(self.0.next_link.fetch_add(1, Ordering::Relaxed))
    }

    /// A client in this process. `replies` is called on the host's thread and
    /// must not block.
    pub fn connect_client(
        &self,
        replies: impl Fn(RequestId, Message) + Send + Sync + 'static,
    ) -> LocalClient {
        let link = self.next_link();
        let peer = Peer::Client(ClientId(link.0));
        let handle = LinkHandle::Memory(MemoryLink(Target::Client(Arc::new(replies))));
        self.0.inbox.add(Inbound::Connected { peer, link, handle });
        LocalClient { host: self.clone(), peer, link }
    }

    /// Links this host, whose peers call it `me`, with another one.
    pub fn connect_host(&self, me: Peer, other: &HostHandle, you: Peer) {
        let (here, there) = (self.next_link(), other.next_link());
        let to_other = MemoryLink(Target::Host { host: other.clone(), from: me, link: there });
        let to_me = MemoryLink(Target::Host { host: self.clone(), from: you, link: here });
        let connect = |host: &HostHandle, peer, link, handle| {
            let handle = LinkHandle::Memory(handle);
            host.0.inbox.add(Inbound::Connected { peer, link, handle });
        };
        connect(other, me, there, to_me);
        connect(self, you, here, to_other);
    }
}

/// A client in the same process as its host. Dropping it disconnects.
pub struct LocalClient {
    host: HostHandle,
    peer: Peer,
    link: LinkId,
}

impl LocalClient {
    /// Sends a request.
    ///
    /// # Errors
    /// [`SendError::Full`] if too much is waiting for the host.
    pub fn send(&self, request: RequestId, message: Message) -> Result<(), SendError> {
        let inbox = &self.host.0.inbox;
        inbox.try_put(self.peer, self.link, request, message)
    }
}

impl Drop for LocalClient {
    fn drop(&mut self) {
        let (peer, link) = (self.peer, self.link);
        self.host.0.inbox.add(Inbound::Disconnected { peer, link, slot: None });
    }
}

/// One host's end of a link.
#[derive(Clone)]
pub enum LinkHandle {
    /// Across a network.
    Quic(Link),
    /// Within this process.
    Memory(MemoryLink),
}

/// A link within this process.
#[derive(Clone)]
pub struct MemoryLink(Target);

#[derive(Clone)]
enum Target {
    Host { host: HostHandle, from: Peer, link: LinkId },
    Client(Arc<dyn Fn(RequestId, Message) + Send + Sync>),
}

impl LinkHandle {
    /// Sends a message; it may still be lost.
    ///
    /// # Errors
    /// If it certainly is.
    pub fn send(&self, request: RequestId, message: Message) -> Result<(), SendError> {
        match self {
            LinkHandle::Quic(link) => link.send(request, &message),
            LinkHandle::Memory(MemoryLink(Target::Client(replies))) => {
                replies(request, message);
                Ok(())
            }
            LinkHandle::Memory(MemoryLink(Target::Host { host, from, link })) => {
                host.0.inbox.try_put(*from, *link, request, message)
            }
        }
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        match self {
            LinkHandle::Quic(link) => link.queued(),
            LinkHandle::Memory(_) => 0,
        }
    }

    /// Sends what waits, then closes.
    pub(super) fn close(&self, code: CloseCode) {
        match self {
            LinkHandle::Quic(link) => link.close(code),
            LinkHandle::Memory(link) => link.disconnect(),
        }
    }

    /// Closes at once.
    pub(super) fn abort(&self, code: CloseCode) {
        match self {
            LinkHandle::Quic(link) => link.abort(code),
            LinkHandle::Memory(link) => link.disconnect(),
        }
    }
}

impl MemoryLink {
    /// Tells the other host that this end is gone.
    fn disconnect(&self) {
        match &self.0 {
            Target::Host { host, from, link } => {
                let (peer, link) = (*from, *link);
                host.0.inbox.add(Inbound::Disconnected { peer, link, slot: None });
            }
            Target::Client(_) => {}
        }
    }
}
