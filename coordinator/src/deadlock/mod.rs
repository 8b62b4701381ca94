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
//! How it makes sure of a cycle, and why a cycle that it has made sure of is a deadlock,
//! is told in `common/src/deadlock/confirm.rs`. What dissolves in the meantime is
//! forgotten; then the next reports count: whatever still waits is told again, so
//! nothing that gets lost on any arrow is lost for good, and a deadlock that is the
//! last thing that happens is found like any other.
//!
//! *Deliberately absent*: deltas instead of full reports; see `shard/src/deadlock.rs`.
//! Where the cluster's scheme is another one, nothing is reported and nothing found.
//! Time-outs of lock waits remain as the last resort.
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

use synod_common::deadlock::{Deadlock, Happened};
use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, ShardId, TxnId};
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
                let (at, local) = (now.wall, deadlock.only_shard());
                self.detector.remember(Happened { at, local, deadlock: *deadlock });
            }
            DeadlockMessage::Wound { txn, deadlock } => {
                self.wound(now, txn, deadlock, out);
            }
            // Between shards.
            DeadlockMessage::Confirm { .. }
            | DeadlockMessage::Break { .. }
            | DeadlockMessage::LetGo { .. }
            | DeadlockMessage::Probes { .. } => {}
        }
    }

    /// A younger transaction has voted and is in the way of an older one. While votes
    /// are missing, or while its only writer has not decided, it may wait for that very one;
    /// once decided, it ends by itself.
    fn wound(&mut self, now: Now, txn: TxnId, deadlock: Box<Deadlock>, out: &mut Output) {
        if !self.is_preparing(txn) {
            return self.withdraw(txn, Reason::Deadlock(deadlock), out);
        }
        let (at, local) = (now.wall, deadlock.only_shard());
        self.detector.remember(Happened { at, local, deadlock: (*deadlock).clone() });
        self.abort_preparing(txn, None, Reason::Deadlock(deadlock), out);
    }

    fn answered(
        &mut self,
        now: Now,
        shard: ShardId,
        candidate: u64,
        stands: bool,
        out: &mut Output,
    ) {
        for (shard, message) in self.detector.answered(now, shard, candidate, stands) {
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
