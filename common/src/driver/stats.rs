//! What the driver counts, for whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::refusal::Refusal;

/// Counts since the start. Read them one by one; they are not one snapshot.
#[derive(Debug, Default)]
pub struct Stats {
    /// Batches that the host handled.
    pub batches: AtomicU64,
    /// Messages that were handled.
    pub messages_in: AtomicU64,
    /// Messages that were sent.
    pub messages_out: AtomicU64,
    /// Those of them that are about the commit of one transaction, between servers.
    pub commit_messages_out: AtomicU64,
    /// Records that had to be durable before something was told.
    pub forced: AtomicU64,
    /// Messages that were dropped because no link to their receiver was up.
    pub messages_dropped: AtomicU64,
    /// Messages that the core did not obey, by the reason.
    messages_refused: [AtomicU64; Refusal::ALL.len()],
    /// Bytes of frames that were received.
    pub bytes_in: AtomicU64,
    /// Bytes of frames that were sent.
    pub bytes_out: AtomicU64,
    /// Links that came up.
    pub links_up: AtomicU64,
    /// Links that went down.
    pub links_down: AtomicU64,
    /// Connections that were refused for any reason.
    pub refused: AtomicU64,
    /// Microseconds spent in the core.
    pub core_us: AtomicU64,
}

impl Stats {
    /// Messages that the core did not obey for this reason.
    pub fn messages_refused(&self, why: Refusal) -> &AtomicU64 {
        &self.messages_refused[why as usize]
    }

    pub(super) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}
