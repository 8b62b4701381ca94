//! Everything that wants the host's attention, behind one lock.
//!
//! ```text
//!   reader tasks ──room, then put──▶ ┌───────┐
//!   other hosts ───────try_put─────▶ │ Inbox │ ──take, all at once──▶ host loop
//!   log, stop ─────────notify──────▶ └───────┘
//! ```
//!
//! Bounded by bytes, and every link has at most one batch here, so that one link
//! can not fill it. A reader that finds no room stops reading from its
//! connection, and QUIC's flow control tells the sender. Whoever puts wakes the
//! host only if the inbox was empty, so a burst costs one wake-up.
//!
//! The order of one link's items is kept.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::handle::LinkHandle;
use super::limit::Slot;
use super::link::SendError;
use crate::id::{Peer, RequestId};
use crate::message::Message;

/// What a message costs in the inbox beside its bytes.
const MESSAGE_COST: usize = 128;

/// Which link something came from; never used twice by one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkId(pub u64);

/// Something that happened on a link.
pub(super) enum Inbound {
    /// It is up.
    Connected { peer: Peer, link: LinkId, handle: LinkHandle },
    /// It is down. The slot is given back when the host has seen it.
    Disconnected { peer: Peer, link: LinkId, slot: Option<Slot> },
    /// These came, in order. The gate lets the link's next batch in.
    Messages {
        peer: Peer,
        link: LinkId,
        messages: Vec<(RequestId, Message)>,
        permits: u32,
        gate: Arc<Semaphore>,
    },
    /// This one came from a host in the same process.
    Message { peer: Peer, link: LinkId, request: RequestId, message: Message, permits: u32 },
}

/// The inbox of one host.
pub(super) struct Inbox {
    room: Semaphore,
    limit: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    items: Vec<Inbound>,
    /// Something else than an item wants attention.
    notified: bool,
    waiting: Option<Waker>,
}

impl Inbox {
    /// An inbox for so many bytes, at most 4 GiB.
    pub fn new(limit: usize) -> Inbox {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).max(1);
        Inbox { room: Semaphore::new(limit as usize), limit, state: Mutex::default() }
    }

    /// Waits until the link's batch before was handled and there is room, then
    /// takes a batch that came over a network.
    pub async fn put(
        &self,
        peer: Peer,
        link: LinkId,
        messages: Vec<(RequestId, Message)>,
        bytes: usize,
        gate: &Arc<Semaphore>,
    ) {
        let permits = self.cost(bytes, messages.len());
        // Neither is ever closed, so both are always granted.
        if let Ok(granted) = gate.acquire().await {
            granted.forget();
        }
        if let Ok(granted) = self.room.acquire_many(permits).await {
            granted.forget();
        }
        self.add(Inbound::Messages { peer, link, messages, permits, gate: gate.clone() });
    }

    /// Takes one message from the same process, if there is room.
    pub fn try_put(
        &self,
        peer: Peer,
        link: LinkId,
        request: RequestId,
        message: Message,
    ) -> Result<(), SendError> {
        let bytes = message.bulk().map_or(0, bytes::Bytes::len);
        let permits = self.cost(bytes, 1);
        self.room.try_acquire_many(permits).map_err(|_| SendError::Full)?.forget();
        self.add(Inbound::Message { peer, link, request, message, permits });
        Ok(())
    }

    fn cost(&self, bytes: usize, messages: usize) -> u32 {
        let cost = bytes.saturating_add(messages.saturating_mul(MESSAGE_COST));
        u32::try_from(cost).unwrap_or(u32::MAX).min(self.limit)
    }

    /// Takes what is not a message, and therefore needs no room.
    pub fn add(&self, item: Inbound) {
        let mut state = self.state.lock();
        state.items.push(item);
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Makes the host look at everything that it looks at.
    pub fn notify(&self) {
        let mut state = self.state.lock();
        state.notified = true;
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Whether there are no items now.
    pub fn is_empty(&self) -> bool {
        self.state.lock().items.is_empty()
    }

    /// Ready when there are items, which are then in `into`, or on a
    /// notification. Takes no items unless `take`.
    pub fn poll(&self, cx: &mut Context<'_>, take: bool, into: &mut Vec<Inbound>) -> Poll<()> {
        let mut state = self.state.lock();
        let notified = std::mem::take(&mut state.notified);
        if take && !state.items.is_empty() {
            // The host's buffer is empty, so this hands its capacity back.
            if into.is_empty() {
                std::mem::swap(&mut state.items, into);
            } else {
                into.append(&mut state.items);
            }
            return Poll::Ready(());
        }
        if notified {
            return Poll::Ready(());
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Gives room back once a batch was handled.
    pub fn release(&self, permits: usize) {
        self.room.add_permits(permits);
    }
}
