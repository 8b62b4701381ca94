//! From many tasks to the one that writes to a link.
//!
//! ```text
//!   push ──┐
//!   push ──┼──▶ [frame|frame|frame|…] ──poll_take──▶ the writer, one chunk
//!   push ──┘       one shared buffer      all of it
//! ```
//!
//! Frames are encoded straight into the shared buffer, and the writer takes the
//! whole buffer, so under load many frames share one write. The queue does not
//! look into frames: what is pushed is one frame with its length in front.
//!
//! A full queue refuses: the peer does not read fast enough. The caller drops
//! the frame or the link; protocols resend.

use std::task::{Context, Poll, Waker};

use bytes::BytesMut;

use super::{Mutex, mutated};

/// A bounded queue of encoded frames with many producers and one consumer.
#[derive(Debug)]
pub struct SendQueue {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Debug)]
struct State {
    buffer: BytesMut,
    waker: Option<Waker>,
    closed: bool,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the queue.
    Queued {
        /// Whether it is the only one there.
        first: bool,
    },
    /// It was dropped: the queue holds as many bytes as it may.
    Full,
    /// It was dropped: the queue is closed.
    Closed,
}

impl SendQueue {
    /// An empty queue that refuses frames once it holds `limit` bytes.
    pub fn new(limit: usize) -> SendQueue {
        let state = State { buffer: BytesMut::new(), waker: None, closed: false };
        SendQueue { state: Mutex::new(state), limit }
    }

    /// Lets `encode` append one whole frame to the buffer, unless the queue is
    /// full or closed. `encode` runs under the lock: it must only append.
    pub fn push(&self, encode: impl FnOnce(&mut BytesMut)) -> Pushed {
        let mut state = self.state.lock();
        if state.closed {
            return Pushed::Closed;
        }
        if state.buffer.len() >= self.limit {
            return Pushed::Full;
        }
        let first = state.buffer.is_empty();
        encode(&mut state.buffer);
        let waker = state.waker.take();
        drop(state);
        if !mutated("send_queue_no_wake")
            && let Some(waker) = waker
        {
            waker.wake();
        }
        Pushed::Queued { first }
    }

    /// Takes all frames; `None` when the queue is closed and empty.
    pub fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<BytesMut>> {
        let mut state = self.state.lock();
        if !state.buffer.is_empty() {
            return Poll::Ready(Some(state.buffer.split()));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes all frames if there are any.
    pub fn try_take(&self) -> Option<BytesMut> {
        let mut state = self.state.lock();
        (!state.buffer.is_empty()).then(|| state.buffer.split())
    }

    /// Bytes in the queue.
    pub fn len(&self) -> usize {
        self.state.lock().buffer.len()
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses frames from now on. Those in the queue can still be taken.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(all(test, not(synod_loom)))]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_together_and_the_bound_holds() {
        let queue = SendQueue::new(4);
        let mut context = Context::from_waker(Waker::noop());
        assert!(queue.poll_take(&mut context).is_pending());
        assert_eq!(queue.push(|b| b.extend_from_slice(b"ab")), Pushed::Queued { first: true });
        assert_eq!(queue.push(|b| b.extend_from_slice(b"cde")), Pushed::Queued { first: false });
        assert_eq!(queue.push(|b| b.extend_from_slice(b"f")), Pushed::Full);
        assert_eq!(queue.poll_take(&mut context), Poll::Ready(Some(BytesMut::from("abcde"))));
        assert_eq!(queue.push(|b| b.extend_from_slice(b"g")), Pushed::Queued { first: true });
        queue.close();
        assert_eq!(queue.push(|b| b.extend_from_slice(b"h")), Pushed::Closed);
        assert_eq!(queue.try_take(), Some(BytesMut::from("g")));
        assert_eq!(queue.poll_take(&mut context), Poll::Ready(None));
    }
}
