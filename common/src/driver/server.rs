//! A host on the network: lets peers in, keeps links to others up. The others are
//! those that the configuration names, and the neighbours that the node asks for.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinHandle};

use super::close::{CloseCode, CloseReason};
use super::endpoint::{Endpoint, Expect};
use super::handle::{HostHandle, LinkHandle};
use super::host::{Host, HostError};
use super::inbox::{Inbound, LinkId};
use super::limit::Slot;
use super::link::{Lane, Link, Sink};
use super::neighbours::keep_neighbours;
use super::tls::Role;
use crate::id::{ClientId, Peer, RequestId};
use crate::message::Message;
use crate::node::Node;

/// The first wait before a server that can not be reached is dialed again.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest such wait.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How long a stopping server waits for what it sent to arrive.
const LINGER: Duration = Duration::from_millis(1_500);

/// A server that this one keeps a link to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Where, as `host:port`.
    pub target: String,
    /// Who is there.
    pub peer: Peer,
}

/// Runs a host with its endpoint until it is asked to stop or fails. Then the
/// links are closed; the log's threads are the caller's to stop.
///
/// # Errors
/// If the log or the endpoint fails, or the node panics. A panic in the task of
/// one connection closes that connection only.
pub async fn serve<N>(host: Host<N>, endpoint: Endpoint, dials: Vec<Dial>) -> Result<(), HostError>
where
    N: Node + Send + 'static,
{
    let handle = host.handle().clone();
    let endpoint = endpoint.with_stats(handle.stats().clone());
    let mut tasks = AbortOnDrop::default();
    let mut accept = tokio::spawn(accept(endpoint.clone(), handle.clone()));
    tasks.add(&accept);
    let named = dials.iter().map(|dial| dial.peer).chain(endpoint.identity().node()).collect();
    tasks.add(&tokio::spawn(keep_neighbours(endpoint.clone(), handle.clone(), named)));
    for dial in dials {
        tasks.add(&tokio::spawn(keep_dialing(endpoint.clone(), handle.clone(), dial)));
    }
    let mut running = tokio::spawn(host.run());
    tasks.add(&running);
    let ended = tokio::select! {
        ended = &mut running => ended.unwrap_or_else(|e| Err(HostError::Panicked(e.to_string()))),
        _ = &mut accept => Err(HostError::Endpoint),
    };
    drop(tasks);
    endpoint.stop_accepting();
    let code = match &ended {
        Ok(()) => {
            endpoint.wait_idle(LINGER).await;
            CloseCode::Stopping
        }
        Err(_) => CloseCode::Internal,
    };
    endpoint.close(code).await;
    ended
}

/// Tasks that end with this.
#[derive(Default)]
pub(super) struct AbortOnDrop(Vec<AbortHandle>);

impl AbortOnDrop {
    pub fn add<T>(&mut self, task: &JoinHandle<T>) {
        self.0.push(task.abort_handle());
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Lets peers in until the endpoint is gone. As many handshakes at a time as
/// there may be connections.
async fn accept(endpoint: Endpoint, handle: HostHandle) {
    while let Some((incoming, slot)) = endpoint.incoming().await {
        let (endpoint, handle) = (endpoint.clone(), handle.clone());
        tokio::spawn(async move {
            let Some(accepted) = endpoint.admit(incoming, slot).await else { return };
            connect(&endpoint, &handle, accepted.lane, Some(accepted.slot));
        });
    }
}

/// A link that is closed when nobody keeps it any more.
struct Kept(Link);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.close(CloseCode::Done);
    }
}

/// Makes a link to another server, again and again. The link ends with this.
pub(super) async fn keep_dialing(endpoint: Endpoint, handle: HostHandle, dial: Dial) {
    let Some(expect) = Expect::node(dial.peer) else { return };
    let mut backoff = BACKOFF_MIN;
    let mut last_error = String::new();
    loop {
        match endpoint.dial_lane(&dial.target, &expect).await {
            Ok(lane) => {
                tracing::info!(peer = %dial.peer, target = dial.target, "connected");
                (backoff, last_error) = (BACKOFF_MIN, String::new());
                let link = Kept(connect(&endpoint, &handle, lane, None));
                let reason = link.0.closed().await;
                tracing::info!(peer = %dial.peer, %reason, "disconnected");
            }
            Err(error) => {
                let error = error.to_string();
                if error != last_error {
                    tracing::warn!(peer = %dial.peer, error, "can not connect, trying again");
                    last_error = error;
                }
            }
        }
        tokio::time::sleep(jittered(backoff)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Between half and all of it, so that servers do not dial in step.
fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) as u32;
    wait / 2 + (wait / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// Tells the host of a link and lets it run.
fn connect(endpoint: &Endpoint, handle: &HostHandle, lane: Lane, slot: Option<Slot>) -> Link {
    let link = handle.next_link();
    let peer = lane.peer.node().unwrap_or(Peer::Client(ClientId(link.0)));
    let operator = Some(&lane.peer).filter(|names| names.role == Role::Operator);
    let operator = operator.map(|names| names.name.clone());
    endpoint.start(lane, |up| {
        let connected = Inbound::Connected { peer, link, handle: LinkHandle::Quic(up.clone()) };
        handle.0.inbox.add(connected);
        let (handle, gate) = (handle.clone(), Arc::new(Semaphore::new(1)));
        InboxSink { handle, peer, operator, link, slot, gate }
    })
}

/// Hands what a link receives to the host.
struct InboxSink {
    handle: HostHandle,
    peer: Peer,
    /// The name of who is there, if it is an operator.
    operator: Option<String>,
    link: LinkId,
    slot: Option<Slot>,
    /// Open when the batch before was handled.
    gate: Arc<Semaphore>,
}

impl Sink for InboxSink {
    async fn deliver(
        &mut self,
        messages: &mut Vec<(RequestId, Message)>,
        bytes: usize,
    ) -> Result<(), CloseCode> {
        for (_, message) in messages.iter_mut() {
            if !message.may_come_from(self.peer) {
                return Err(CloseCode::Denied);
            }
            message.sent_by(self.operator.as_deref());
        }
        let messages = std::mem::take(messages);
        let inbox = &self.handle.0.inbox;
        inbox.put(self.peer, self.link, messages, bytes, &self.gate).await;
        Ok(())
    }

    fn closed(&mut self, reason: CloseReason) {
        match reason {
            CloseReason::Here(CloseCode::Done | CloseCode::Stopping)
            | CloseReason::There(_)
            | CloseReason::Lost(_) => tracing::debug!(peer = %self.peer, %reason, "link down"),
            CloseReason::Here(_) => tracing::warn!(peer = %self.peer, %reason, "link down"),
        }
        let (peer, link, slot) = (self.peer, self.link, self.slot.take());
        self.handle.0.inbox.add(Inbound::Disconnected { peer, link, slot });
    }
}
