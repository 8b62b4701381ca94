//! Deadlines of one fixed length, cheaper than a timer each.
//!
//! All deadlines of a queue lie equally far ahead when they are set, so they
//! fall due in the order in which they were set. What became pointless in the
//! meantime is skipped when it falls due.

use std::collections::VecDeque;
use std::time::Duration;

use synod_common::time::Mono;

/// A queue of deadlines of equal length.
#[derive(Clone, Debug)]
pub struct Expiry<T> {
    after: Duration,
    queue: VecDeque<(Mono, T)>,
}

impl<T> Expiry<T> {
    /// Deadlines `after` the time they are set.
    pub fn new(after: Duration) -> Expiry<T> {
        Expiry { after, queue: VecDeque::new() }
    }

    /// Sets a deadline for `item`.
    pub fn push(&mut self, now: Mono, item: T) {
        self.queue.push_back((now + self.after, item));
    }

    /// When the next one falls due.
    pub fn next(&self) -> Option<Mono> {
        self.queue.front().map(|(at, _)| *at)
    }

    /// Takes one that is due at `now`.
    pub fn pop(&mut self, now: Mono) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop_front().map(|(_, item)| item)
    }
}
