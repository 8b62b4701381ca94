//! The safe point: nobody reads at or below it any more, so shards may drop what
//! only such a reader could see.
//!
//! It lies behind the oracle by the retention, below every snapshot that a living
//! session has pinned, and below every commit that is not decided; a shard that has
//! not heard of a decision keeps its own below that. It is one for all
//! shards, so a snapshot is readable on all of them or on none for long; and it is
//! durable before a shard hears of it, so it never moves back.
//!
//! ```text
//!   housekeeping ──▶ min(oracle − retention, pins, open commits) ── force ──▶ SAFEPOINT to all
//!                                                                   a shard that joins ──▶ likewise
//! ```
//!
//! A pin is a lease. One that comes when the safe point has passed it is not
//! counted: what it needs is gone, and its reader is told so.

use synod_common::id::{Peer, RequestId, ShardId};
use synod_common::message::CommitMessage;
use synod_common::node::Output;
use synod_common::time::{Timestamp, Wall};

use crate::commit::Then;
use crate::coordinator::Coordinator;
use crate::mutant::mutated;
use crate::record::Record;

/// Where the safe point is.
#[derive(Clone, Debug, Default)]
pub struct SafePoint {
    /// On its way to the disk, or there.
    written: Timestamp,
    /// Durable.
    published: Timestamp,
}

impl SafePoint {
    /// What shards may know.
    pub fn published(&self) -> Timestamp {
        self.published
    }

    /// What may be published soon.
    pub fn written(&self) -> Timestamp {
        self.written
    }

    /// A safe point found in the log.
    pub fn recovered(&mut self, at: Timestamp) {
        self.published = self.published.max(at);
        self.written = self.published;
    }
}

impl Coordinator {
    /// Moves the safe point as far as it may go.
    pub(crate) fn move_safe_point(&mut self, out: &mut Output) {
        // A shard that was not heard of may have commits that are not known here.
        if !self.members.all_heard() {
            return;
        }
        let at = self.highest_safe_point();
        if at > self.safe_point.written {
            self.safe_point.written = at;
            let lsn = out.force(&Record::SafePoint { at });
            self.then.push_back((lsn, Then::Prune(at)));
        }
    }

    fn highest_safe_point(&self) -> Timestamp {
        let millis = u64::try_from(self.settings.retention.as_millis()).unwrap_or(u64::MAX);
        let newest = self.oracle.last().wall().0;
        let highest = Timestamp::of_wall(Wall(newest.saturating_sub(millis)));
        let passed = self.safe_point.written;
        let ignored = mutated!(self, PinIgnored);
        let pins = self.sessions.pins().map(|(_, pin)| pin).filter(|pin| *pin > passed && !ignored);
        let undecided = self.unfinished.first().map(|(h, _)| *h);
        let needed = pins.chain(undecided).min();
        needed.map_or(highest, |needed| highest.min(Timestamp(needed.0.saturating_sub(1))))
    }

    /// The safe point is durable.
    pub(crate) fn publish_safe_point(&mut self, at: Timestamp, out: &mut Output) {
        self.safe_point.published = at;
        let joined: Vec<ShardId> = self.members.joined().collect();
        for shard in joined {
            self.tell_safe_point(shard, out);
        }
    }

    /// Tells a shard where the safe point is.
    pub(crate) fn tell_safe_point(&self, shard: ShardId, out: &mut Output) {
        let message = CommitMessage::SafePoint { at: self.safe_point.published };
        out.send(Peer::Shard(shard), RequestId::default(), message);
    }
}
