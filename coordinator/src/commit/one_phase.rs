//! One-phase commit: the only participant decides, or the only one that writes (`last_agent`).
//!
//! ```text
//!   coordinator ──CommitOnePhase(h, hi)──▶ shard     takes its locks, forces the record
//!               ◀──OnePhaseDone(m)────────           reply lost or late: InquireOnePhase,
//!   oracle ≥ m, client told                          which the shard answers from its memory,
//!               ──Release(m)─────────────▶           or by never doing it
//! ```
//!
//! The coordinator writes the outcome into its own log, without forcing it unless
//! the transaction only read and left nothing at the shard. Until
//! that is durable the transaction counts as unfinished, so the low-water mark
//! keeps the shard from forgetting it.

use synod_common::id::{Peer, RequestId, ShardId, TxnId};
use synod_common::message::bulk::OnePhaseOutcome;
use synod_common::message::client::Outcome;
use synod_common::message::commit::{Terms, Vote};
use synod_common::message::{ClientReply, CommitMessage};
use synod_common::node::Output;
use synod_common::time::{Now, Timestamp};

use super::{Commit, PartWrites, Stage, Then};
use crate::coordinator::{Coordinator, Deadline};
use crate::mutant::mutated;
use crate::outcomes::Known;
use crate::record::Record;

impl Coordinator {
    pub(super) fn begin_one_phase(
        &mut self,
        now: Now,
        (txn, terms): (TxnId, Terms),
        (h, hi, after): (Timestamp, Timestamp, Timestamp),
        part: &PartWrites,
        out: &mut Output,
    ) {
        self.resend.push(now.mono, Deadline::OnePhase(txn));
        let message = CommitMessage::CommitOnePhase {
            txn,
            h,
            hi,
            after,
            incarnation: part.incarnation,
            low_water: self.low_water(),
            terms,
            read_bytes: part.read_bytes,
            writes: part.writes.clone(),
        };
        out.send(Peer::Shard(part.shard), RequestId::default(), message);
    }

    /// The shard says what became of a one-phase transaction.
    pub(crate) fn one_phase_done(
        &mut self,
        now: Now,
        shard: ShardId,
        txn: TxnId,
        vote: Vote,
        out: &mut Output,
    ) {
        let Some(Commit { h, stage: Stage::OnePhase { shard: asked, .. }, .. }) =
            self.commits.get(&txn)
        else {
            return self.release_known(shard, txn, &vote, out);
        };
        // What can not be is not heard; it is asked about again.
        if *asked != shard || !self.may_have_committed(*h, &vote) {
            return;
        }
        let h = *h;
        match vote {
            Vote::No(reason) => {
                self.abort_readers(txn, out);
                self.aborted(txn, reason, out);
            }
            // Nobody else has it: it is told when it is durable here.
            Vote::Read(at) => {
                self.advance(at);
                let lsn = out.force(&Record::Outcome { txn, at });
                if let Some(commit) = self.commits.get_mut(&txn) {
                    commit.stage = Stage::Deciding { at, yes: vec![], read: vec![] };
                    commit.since = Some(now.mono);
                }
                self.then.push_back((lsn, Then::Tell(txn)));
            }
            Vote::Yes(at) => {
                self.advance(at);
                self.one_phase_committed(txn, h, at, out);
                if at > h {
                    let message = CommitMessage::Release { txn, at };
                    out.send(Peer::Shard(shard), RequestId::default(), message);
                }
            }
        }
    }

    /// Whether a shard may have committed so what began at `h`, by what windows there were.
    pub(super) fn may_have_committed(&self, h: Timestamp, vote: &Vote) -> bool {
        match vote {
            Vote::Yes(at) | Vote::Read(at) => (h..self.oracle.hi()).contains(at),
            Vote::No(_) => true,
        }
    }

    /// Remembers a one-phase commit and tells who waits for it.
    pub(crate) fn one_phase_committed(
        &mut self,
        txn: TxnId,
        h: Timestamp,
        at: Timestamp,
        out: &mut Output,
    ) {
        let lsn = out.append(&Record::Outcome { txn, at });
        self.unfinished.insert((h, txn));
        self.then.push_back((lsn, Then::Over(h, txn)));
        self.outcomes.insert(txn, at);
        self.release(txn, at, self.readers(txn), out);
        let Some(commit) = self.commits.remove(&txn) else { return };
        self.stats.committed.add(&commit);
        for (peer, request) in commit.waiting {
            out.send(peer, request, ClientReply::Outcome(Outcome::Committed(at)));
        }
    }

    /// A shard that joins remembers a one-phase transaction.
    pub(crate) fn one_phase_remembered(
        &mut self,
        shard: ShardId,
        outcome: &OnePhaseOutcome,
        out: &mut Output,
    ) {
        let OnePhaseOutcome { txn, h, committed: Some(at) } = *outcome else { return };
        if !self.may_have_committed(h, &Vote::Yes(at)) {
            return;
        }
        match self.outcomes.get(txn) {
            Known::Committed(_) => {}
            // Also if its neighbours are forgotten: this one may never have been
            // recorded, and the note about them does not survive a restart.
            Known::NotCommitted | Known::Forgotten => {
                if !mutated!(self, RememberedLeavesOracle) {
                    self.advance(at);
                }
                self.one_phase_committed(txn, h, at, out);
            }
        }
        if at > h {
            let message = CommitMessage::Release { txn, at };
            out.send(Peer::Shard(shard), RequestId::default(), message);
        }
    }

    /// A shard still holds a one-phase transaction that is long known here.
    fn release_known(&mut self, shard: ShardId, txn: TxnId, vote: &Vote, out: &mut Output) {
        let Vote::Yes(at) = *vote else { return };
        // What this shard told when it joined is known; what is not is too old.
        if self.outcomes.get(txn) != Known::NotCommitted {
            let message = CommitMessage::Release { txn, at };
            out.send(Peer::Shard(shard), RequestId::default(), message);
        }
    }

    /// No answer yet: ask the only one who knows.
    pub(crate) fn ask_one_phase(&self, txn: TxnId, out: &mut Output) {
        let Some(Commit { h, stage: Stage::OnePhase { shard, .. }, .. }) = self.commits.get(&txn)
        else {
            return;
        };
        let message = CommitMessage::InquireOnePhase { txn, h: *h };
        out.send(Peer::Shard(*shard), RequestId::default(), message);
    }
}
