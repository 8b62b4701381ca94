//! Deadlocks across shards: found, made sure of, broken.
//!
//! Each shard sees only its own waits. It tells all that have lasted for a while,
//! again and again; the newest report of each shard makes up the graph.
//!
//! ```text
//!   s1 ──Waits──▶ ┐                       ┌──Confirm──▶ s1 ──yes──▶ ┐
//!   s2 ──Waits──▶ ├▶ graph ─▶ a cycle? ─▶ ┤                         ├▶ Break ──▶ where the victim waits
//!   s3 ──Waits──▶ ┘                       └──Confirm──▶ s2 ──yes──▶ ┘
//! ```
//!
//! | in state  | on                        | do                                    | next  |
//! |-----------|---------------------------|---------------------------------------|-------|
//! | –         | a cycle among the reports | ask its shards whether all of it stands | asked |
//! | asked     | yes, not the last         |                                       | asked |
//! | asked     | yes, the last             | BREAK the victim; remember            | –     |
//! | asked     | no                        | forget what that shard said of it     | –     |
//! | asked     | a shard asked leaves      |                                       | –     |
//! | asked     | silence                   |                                       | –     |
//! | –         | any answer                | nothing                               | –     |
//!
//! From "–" it goes on with the next reports: whatever still waits is told again, so
//! nothing that gets lost on any arrow is lost for good, and a deadlock that is the
//! last thing that happens is found like any other.
//!
//! # Why a confirmed cycle is a deadlock
//!
//! The reports are of different moments, so a cycle among them may never have been:
//! by the time `s2` looked, the wait that `s1` told of may have been over. Let `T0` be
//! the moment at which the questions leave. Each edge existed when it was reported,
//! before `T0`. If its shard says that the *same wait*, by its number, still waits for
//! the same holder, it exists after `T0`. A wait that ends does not come back: its
//! number is never used again, not even after a restart of the shard. So the edge
//! existed at `T0`, and if all do, then the whole cycle existed at `T0`. And under
//! strict two-phase locking an edge ends only when its holder ends or stops asking,
//! for which the holder itself would have to go on: a cycle ends only by an abort.
//!
//! A prepared transaction waits for nothing at the shard where it is prepared. One
//! that is prepared here may still wait there for its write locks, and be a victim
//! there: then that shard votes NO.
//!
//! *Deliberately absent*: deltas instead of full reports; see `shard/src/deadlock.rs`.
//! Probes from shard to shard (Chandy, Misra, Haas), which need links that there are
//! not. Time-outs of lock waits remain as the last resort.
//!
//! Papers: Chandy, Misra, Haas, *Distributed deadlock detection* (ACM TOCS 1983), for
//! the models and for why phantoms are the hard part; Bernstein, Hadzilacos, Goodman,
//! *Concurrency Control and Recovery in Database Systems* (1987), §3.11: the global
//! graph, and that under two-phase locking only aborts make phantoms.

mod detector;
mod graph;
#[cfg(test)]
mod model;

pub use detector::Detector;

use synod_common::deadlock::Happened;
use synod_common::id::{Peer, RequestId, ShardId};
use synod_common::message::bulk::List;
use synod_common::message::{ClientReply, DeadlockMessage};
use synod_common::node::Output;
use synod_common::time::Now;

use crate::coordinator::Coordinator;
use crate::mutant::mutated;

const NO_REPLY: RequestId = RequestId(0);

impl Coordinator {
    /// A shard says something about waits.
    pub(crate) fn deadlock_message(
        &mut self,
        now: Now,
        shard: ShardId,
        message: DeadlockMessage,
        out: &mut Output,
    ) {
        // What a link that went down still brings is of the past.
        if !self.members.is_joined(shard) {
            return;
        }
        match message {
            DeadlockMessage::Waits { life, number, waits } => {
                let waits = List::read(&waits).map_while(Result::ok).collect();
                self.detector.report(now.mono, shard, (life, number), waits);
            }
            DeadlockMessage::Confirmed { candidate, stands } => {
                self.answered(now, shard, candidate, stands, out);
            }
            DeadlockMessage::Broken { deadlock } => {
                let (at, local) = (now.wall, Some(shard));
                self.detector.remember(Happened { at, local, deadlock: *deadlock });
            }
            DeadlockMessage::Confirm { .. } | DeadlockMessage::Break { .. } => {}
        }
    }

    fn answered(
        &mut self,
        now: Now,
        shard: ShardId,
        candidate: u64,
        stands: bool,
        out: &mut Output,
    ) {
        if let Some((shard, message)) = self.detector.answered(now, shard, candidate, stands) {
            out.send(Peer::Shard(shard), NO_REPLY, message);
        }
    }

    /// Looks for cycles, if it is time to.
    pub(crate) fn search_deadlocks(&mut self, now: Now, out: &mut Output) {
        for (shard, question) in self.detector.search(now.mono) {
            match question {
                DeadlockMessage::Confirm { candidate, .. } if mutated!(self, NoConfirmation) => {
                    self.answered(now, shard, candidate, true, out);
                }
                question => out.send(Peer::Shard(shard), NO_REPLY, question),
            }
        }
    }

    /// The last deadlocks, for people.
    pub(crate) fn deadlocks(&self) -> ClientReply {
        ClientReply::Deadlocks { list: List::of(self.detector.history()) }
    }
}
