//! The last agent: where one participant alone writes, it decides, and last.
//!
//! ```text
//!   coordinator ──PREPARE──────▶ s2, s3      they only read: READ(m), and nothing is logged
//!               ◀──READ(m)──────
//!               ──CommitOnePhase(h, hi, after)──▶ s1    takes its locks, forces one record:
//!               ◀──OnePhaseDone(ts)─────────────        it is committed at ts ≥ after
//!               ──RELEASE(ts)──▶ s2, s3
//! ```
//!
//! | in state  | on                         | do                                          | next      |
//! |-----------|----------------------------|---------------------------------------------|-----------|
//! | –         | COMMIT, one part writes    | draw `h`; PREPARE(h, hi) to the others      | Preparing |
//! | Preparing | all READ(m), and it leads surely | to the writer: commit after `max m`   | OnePhase  |
//! | Preparing | a NO, silence, a lost link | ABORT once to all others; tell the client   | –         |
//! | OnePhase  | it is done                 | as in one-phase commit; RELEASE to READ     | –         |
//! | OnePhase  | it is not                  | ABORT to READ; tell the client              | –         |
//! | OnePhase  | a wound                    | AbortOnePhase to the writer                 | OnePhase  |
//! | OnePhase  | the votes' deadline        | that, and FORGOTTEN to READ                 | OnePhase  |
//! | OnePhase  | the writer's link is lost  | FORGOTTEN to READ                           | OnePhase  |
//!
//! Of the two forced writes that come one after the other in two-phase commit, one is left,
//! and there is one record in place of three. It costs one round of messages, which takes
//! less than a forced write does. With several writers the others would have to prepare,
//! and only a message would be saved for that round: so there it is not done.
//!
//! Who votes READ never waits for long. It may be told at any time that the transaction is
//! forgotten, decided or not: it raises its floor to `hi` before its locks go, and the writer
//! commits below that, in the window that the readers have voted in, or not at all. So the
//! readers' locks are in nobody's way while the writer is gone. The price is that what else
//! wants to commit in that window on their shards aborts and comes again; therefore one that
//! is wounded is aborted at its writer, and only where that can not be does it come to this.
//! A lock that a client took to keep others out, and not for what it read, ends here while the
//! outcome is still open; every order that anybody sees is still that of the timestamps.
//!
//! The writer waits for no record of a group's log, so its leader makes sure that it leads,
//! while the others vote.
//!
//! Whatever protocol was chosen: the decision is the writer's alone, and so is what waits
//! for it.
//!
//! Source: Gray, Reuter, *Transaction Processing* (1993), §10.5.4.2, where the last agent is
//! the one that is far away. Departure: its outcome needs no acknowledgement of its own; it is
//! remembered as in one-phase commit.

use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, ShardId, TxnId};
use synod_common::message::CommitMessage;
use synod_common::message::commit::{Decision, Terms};
use synod_common::node::Output;
use synod_common::time::{Now, Timestamp};

use super::{Commit, PartWrites, Stage};
use crate::coordinator::Coordinator;

/// Bytes of COMMITs that wait for READ votes. What would be beyond is committed in another
/// way.
const MOST_HELD: usize = 64 << 20;

/// What it is to be sent once the others have voted.
#[derive(Clone, Debug)]
pub struct LastAgent {
    /// Its part.
    pub part: PartWrites,
    /// What holds for the transaction.
    pub terms: Terms,
    /// Bytes of the whole COMMIT, which its part keeps in memory.
    frame_bytes: usize,
}

impl Coordinator {
    /// Takes the part of the only writer out, if there is one among several. Says, too, whether
    /// this coordinator surely leads.
    pub(super) fn last_agent(
        &mut self,
        (txn, terms): (TxnId, Terms),
        parts: &mut Vec<PartWrites>,
        frame_bytes: usize,
    ) -> Option<(Box<LastAgent>, bool)> {
        let mut writers = parts.iter().enumerate().filter(|(_, part)| part.has_writes());
        let (Some((only, _)), None) = (writers.next(), writers.next()) else { return None };
        let held_bytes = self.held_bytes + frame_bytes;
        if parts.len() < 2 || held_bytes > MOST_HELD {
            return None;
        }
        let is_sure = self.confirm_leading(txn)?;
        self.held_bytes = held_bytes;
        let last = LastAgent { part: parts.remove(only), terms, frame_bytes };
        Some((Box::new(last), is_sure))
    }

    /// It is held no longer.
    pub(super) fn take_last_agent(&mut self, txn: TxnId) -> Option<Box<LastAgent>> {
        let last = self.commits.get_mut(&txn)?.last_agent.take()?;
        self.held_bytes -= last.frame_bytes;
        Some(last)
    }

    /// All others have voted READ.
    pub(super) fn hand_over(
        &mut self,
        now: Now,
        txn: TxnId,
        last: &LastAgent,
        (after, read): (Timestamp, Vec<ShardId>),
        out: &mut Output,
    ) {
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        commit.stage = Stage::OnePhase { shard: last.part.shard, read };
        commit.since = Some(now.mono);
        let (h, hi) = (commit.h, commit.hi);
        self.begin_one_phase(now, (txn, last.terms), (h, hi, after), &last.part, out);
    }

    /// It has decided to abort, or never heard of it.
    pub(super) fn abort_readers(&self, txn: TxnId, out: &mut Output) {
        for &shard in self.readers(txn) {
            let message = CommitMessage::Decide { txn, decision: Decision::Abort };
            out.send(Peer::Shard(shard), RequestId::default(), message);
        }
    }

    /// Those that have voted READ and wait for it.
    pub(super) fn readers(&self, txn: TxnId) -> &[ShardId] {
        match self.commits.get(&txn).map(|commit| &commit.stage) {
            Some(Stage::OnePhase { read, .. }) => read,
            _ => &[],
        }
    }

    /// It is not to commit, for this reason; but its writer may have committed it already.
    pub(crate) fn withdraw(&self, txn: TxnId, reason: Reason, out: &mut Output) {
        let Some(Commit { h, stage: Stage::OnePhase { shard, .. }, .. }) = self.commits.get(&txn)
        else {
            return;
        };
        let message = CommitMessage::AbortOnePhase { txn, h: *h, reason };
        out.send(Peer::Shard(*shard), RequestId::default(), message);
    }

    /// Lets those that have voted READ go, whatever becomes of the transaction.
    pub(crate) fn let_readers_go(&mut self, txn: TxnId, out: &mut Output) {
        let Some(Stage::OnePhase { read, .. }) =
            self.commits.get_mut(&txn).map(|commit| &mut commit.stage)
        else {
            return;
        };
        for shard in std::mem::take(read) {
            forget(shard, txn, out);
        }
    }

    /// Those that are left to a writer whose link went down.
    pub(crate) fn left_to(&self, gone: ShardId) -> Vec<TxnId> {
        let left = self.commits.iter().filter(|(_, commit)| match &commit.stage {
            Stage::OnePhase { shard, read } => *shard == gone && !read.is_empty(),
            _ => false,
        });
        left.map(|(txn, _)| *txn).collect()
    }
}

/// Whoever voted READ may conclude that it is over.
fn forget(shard: ShardId, txn: TxnId, out: &mut Output) {
    let message = CommitMessage::Decide { txn, decision: Decision::Forgotten };
    out.send(Peer::Shard(shard), RequestId::default(), message);
}
