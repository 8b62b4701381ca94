//! Heuristic decisions: an operator decides a transaction that is in doubt, because its
//! locks can not wait for the outcome any longer. That may be wrong, so it is never taken
//! for the outcome.
//!
//! ```text
//!   in doubt ──resolve──▶ written, who and why ──durable──▶ in force: installed, or dropped;
//!                                                            locks are free
//!                                                               │ still asks, elects, hears
//!                                                               ▼
//!                         the outcome ──▶ the same: over;  another one: *mixed*, for people
//! ```
//!
//! It stays a voter: asked again it repeats its vote, it goes on asking for the outcome,
//! and as a site of three-phase commit it goes on with the others, who hear nothing of
//! the operator. When the outcome comes it is acknowledged, so that whoever decided may
//! forget it; and it is kept beside the operator's for the audit. Nothing is mended: what
//! was read in the meantime can not be unread.
//!
//! To commit is to commit at the timestamp that this shard has voted, which may be too
//! early: the others may have voted a later one. That is mixed, too.
//!
//! Who voted READ only drops its locks, with the floor above whatever the transaction may
//! commit at. That is never wrong, so it is over at once; but it is written down as well.
//!
//! While the link to a coordinator is up an operator is not needed, and hardly ever right: it
//! takes an extra word from him.
//!
//! What he has decided is kept for the audit: without an outcome for as long as it takes, and
//! if it turned out mixed, for 30 days. When no more can be kept he is refused; nobody may
//! leave traces that push out those of others.
//!
//! A decision that comes while the operator's is on its way to the disk is not heard. It
//! comes again.
//!
//! Source: Gray, Reuter, *Transaction Processing* (1993), §10.5; X/Open XA's
//! `XA_HEURMIX`. *Deliberately absent*: anything that resolves by itself.

use std::collections::VecDeque;
use std::time::Duration;

use synod_common::commit::Verdict;
use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, TxnId};
use synod_common::message::DataReply;
use synod_common::message::bulk::List;
use synod_common::message::commit::Decision;
use synod_common::message::txns::Resolution;
use synod_common::node::{Lsn, Output};
use synod_common::time::{Now, Wall};

use super::Stage;
use crate::mutant::mutated;
use crate::over::End;
use crate::record::{Prepared, Record};
use crate::shard::{Shard, Timer};

/// So many are kept for the audit; of more the oldest that may be forgotten go.
const KEPT: usize = 1_000;
/// Those that turned out mixed are not forgotten before.
const MIXED_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Bytes of an operator's name, and of his reasons.
const TEXT_BYTES: usize = 1_000;

/// What an operator has decided about a transaction that is prepared.
#[derive(Clone, Copy, Debug)]
pub struct Resolved {
    /// The decision.
    pub verdict: Verdict,
    /// Whether it is durable and carried out.
    pub in_force: bool,
}

/// Who waits until a decision of an operator is durable.
pub(crate) type Resolving = (Lsn, TxnId, Peer, RequestId);

/// All decisions of operators that are remembered, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Resolutions(VecDeque<Resolution>);

impl Resolutions {
    /// The oldest one that may be forgotten at some time.
    fn forgettable(&self, now: Wall) -> Option<usize> {
        self.0.iter().position(|known| {
            let age = Duration::from_millis(now.0.saturating_sub(known.when.0));
            known.is_over() && (!known.is_mixed() || age >= MIXED_KEPT)
        })
    }

    /// Whether there is room for one more.
    fn has_room(&self, now: Wall) -> bool {
        self.0.len() < KEPT || self.forgettable(now).is_some()
    }

    /// It was made sure that there is room.
    fn insert(&mut self, resolution: Resolution) {
        if self.0.iter().any(|known| known.txn == resolution.txn) {
            return;
        }
        if self.0.len() >= KEPT
            && let Some(old) = self.forgettable(resolution.when)
        {
            self.0.remove(old);
        }
        self.0.push_back(resolution);
    }

    /// The outcome of one is known.
    pub fn ended(&mut self, txn: TxnId, outcome: Verdict) {
        if let Some(known) = self.0.iter_mut().find(|known| known.txn == txn) {
            known.outcome = Some(outcome);
        }
    }

    /// How many turned out to be wrong.
    pub fn mixed(&self) -> u64 {
        self.0.iter().filter(|known| known.is_mixed()).count() as u64
    }
}

/// What an operator, whom the transport has named, wants to decide.
pub(crate) struct Wish {
    pub(crate) txn: TxnId,
    pub(crate) commit: bool,
    pub(crate) by: Option<String>,
    pub(crate) why: String,
    pub(crate) force: bool,
}

impl Shard {
    /// An operator decides a transaction.
    pub(crate) fn resolve(
        &mut self,
        now: Now,
        from: (Peer, RequestId),
        wish: Wish,
        out: &mut Output,
    ) {
        if let Err(reason) = self.may_resolve(now.wall, &wish) {
            return out.send(from.0, from.1, DataReply::Refused(reason));
        }
        let Wish { txn, commit, by, why, .. } = wish;
        let verdict = |m| if commit { Verdict::Commit(m) } else { Verdict::Abort };
        let (verdict, read) = match self.txns.get_mut(&txn).map(|known| &mut known.stage) {
            Some(Stage::Prepared { record, resolved, .. }) => {
                let verdict = verdict(record.m);
                *resolved = Some(Resolved { verdict, in_force: false });
                (verdict, false)
            }
            Some(Stage::ReadVoted { m, .. }) => (verdict(*m), true),
            Some(Stage::Active | Stage::Preparing(_) | Stage::OnePhase { .. }) | None => {
                unreachable!("{txn} was found in doubt")
            }
        };
        let (by, when) = (by.unwrap_or_default(), now.wall);
        let resolution = Resolution { txn, verdict, by, why, when, outcome: None, read };
        let lsn = out.force(&Record::Resolved(resolution.clone()));
        self.resolutions.insert(resolution);
        if mutated!(self, ResolvedUnforced) {
            self.put_in_force(txn);
            return out.send(from.0, from.1, DataReply::Done);
        }
        self.resolving.push_back((lsn, txn, from.0, from.1));
    }

    fn may_resolve(&self, now: Wall, wish: &Wish) -> Result<(), Reason> {
        let by = wish.by.as_deref().ok_or(Reason::Denied)?;
        if by.len() > TEXT_BYTES || wish.why.len() > TEXT_BYTES {
            return Err(Reason::Malformed);
        }
        match self.txns.get(&wish.txn).map(|participant| &participant.stage) {
            Some(Stage::Prepared { lsn, resolved: None, .. }) if *lsn <= self.durable => {}
            Some(Stage::ReadVoted { .. }) if !self.is_resolving(wish.txn) => {}
            _ => return Err(Reason::NotInDoubt),
        }
        if self.has_coordinator() && !wish.force {
            return Err(Reason::CoordinatorDecides);
        }
        if !self.resolutions.has_room(now) {
            return Err(Reason::AuditFull);
        }
        Ok(())
    }

    /// Whether what an operator has decided of it is on its way to the disk.
    fn is_resolving(&self, txn: TxnId) -> bool {
        self.resolving.iter().any(|(_, resolving, ..)| *resolving == txn)
    }

    /// The log is durable up to `lsn`: what operators have decided there is carried out.
    pub(crate) fn resolutions_durable(&mut self, lsn: Lsn, out: &mut Output) {
        while self.resolving.front().is_some_and(|(at, ..)| *at <= lsn) {
            let Some((_, txn, peer, request)) = self.resolving.pop_front() else { return };
            match self.is_read_voter(txn) {
                true => self.decide(txn, Decision::Forgotten, out),
                false => self.put_in_force(txn),
            }
            out.send(peer, request, DataReply::Done);
        }
    }

    fn put_in_force(&mut self, txn: TxnId) {
        let Some(Stage::Prepared { record, resolved: Some(resolved), .. }) =
            self.txns.get(&txn).map(|participant| &participant.stage)
        else {
            return;
        };
        let writes = record.writes.clone();
        if let Verdict::Commit(at) = resolved.verdict {
            self.make_visible(txn, at, &writes);
        }
        self.unlock(txn);
        self.stats.in_doubt -= 1;
        if let Some(Stage::Prepared { resolved: Some(resolved), .. }) =
            self.txns.get_mut(&txn).map(|participant| &mut participant.stage)
        {
            resolved.in_force = true;
        }
    }

    /// A decision of an operator, of the past.
    pub(crate) fn resolved_again(&mut self, resolution: Resolution) {
        if let Some(Stage::Prepared { resolved, .. }) =
            self.txns.get_mut(&resolution.txn).map(|participant| &mut participant.stage)
            && resolved.is_none()
        {
            *resolved = Some(Resolved { verdict: resolution.verdict, in_force: false });
            self.put_in_force(resolution.txn);
        }
        self.resolutions.insert(resolution);
    }

    /// Whether an operator has decided it.
    pub(super) fn is_resolved(&self, txn: TxnId) -> bool {
        let stage = self.txns.get(&txn).map(|participant| &participant.stage);
        matches!(stage, Some(Stage::Prepared { resolved: Some(_), .. }))
    }

    /// The outcome of one that an operator has decided.
    pub(super) fn resolved_ends(&mut self, txn: TxnId, decision: Decision, out: &mut Output) {
        let Some(Stage::Prepared {
            record, resolved: Some(Resolved { in_force: true, .. }), ..
        }) = self.txns.get(&txn).map(|participant| &participant.stage)
        else {
            return;
        };
        let record = record.clone();
        let (outcome, decision) = match decision {
            Decision::Commit(at) => (Verdict::Commit(at), decision),
            Decision::Abort | Decision::Forgotten => (Verdict::Abort, Decision::Abort),
        };
        let lsn = out.append(&Record::Outcome { txn, verdict: outcome });
        if let Verdict::Commit(at) = outcome {
            self.floor = self.floor.max(at);
            self.owe_ack(txn, lsn, out);
        }
        self.timers.stop(Timer::Inquire(txn));
        self.decided.insert(txn, decision);
        self.resolved_is_over(&record, outcome);
    }

    fn resolved_is_over(&mut self, record: &Prepared, outcome: Verdict) {
        let (txn, h) = (record.txn, record.h);
        if self.is_site(txn) {
            self.settled.insert(txn, h, outcome);
        }
        let end = match outcome {
            Verdict::Commit(at) => self.end_of(record, at),
            Verdict::Abort => End::Decided,
        };
        self.over.insert(txn, h, end);
        if !mutated!(self, MixedUnnoticed) {
            self.resolutions.ended(txn, outcome);
        }
        self.txns.remove(&txn);
    }

    /// The outcome of one that an operator had decided, of the past.
    pub(crate) fn resolved_ended_again(&mut self, txn: TxnId, outcome: Verdict) {
        match self.txns.get(&txn).map(|participant| &participant.stage) {
            Some(Stage::Prepared { record, .. }) => {
                let record = record.clone();
                self.resolved_is_over(&record, outcome);
            }
            _ => self.resolutions.ended(txn, outcome),
        }
    }

    /// All that are remembered, as records for a checkpoint, each behind the vote that it is
    /// about if that has no outcome: its locks are free, and others may have them by now. What
    /// is not durable stands in the log behind its start.
    pub(crate) fn saved_resolutions(&self) -> impl Iterator<Item = Record> {
        let is_durable = |known: &&Resolution| !self.is_resolving(known.txn);
        let forgets = mutated!(self, ResolvedForgotten);
        self.resolutions.0.iter().filter(is_durable).flat_map(move |known| {
            let stage = self.txns.get(&known.txn).map(|participant| &participant.stage);
            let vote = stage.into_iter().flat_map(Stage::saved);
            let ended = known.outcome.map(|verdict| Record::Outcome { txn: known.txn, verdict });
            let resolved = [Some(Record::Resolved(known.clone())), ended].into_iter().flatten();
            vote.chain(resolved.filter(move |_| !forgets))
        })
    }

    /// All decisions of operators that are remembered.
    pub(crate) fn list_resolutions(&self) -> DataReply {
        let mut list = List::default();
        self.resolutions.0.iter().for_each(|known| list.push(known));
        DataReply::Resolutions { list: list.finish() }
    }
}

#[cfg(test)]
mod tests {
    use synod_common::id::{Epoch, SessionId};
    use synod_common::time::Timestamp;

    use super::*;

    const DAY_MS: u64 = 24 * 3_600 * 1_000;

    fn decided(sequence: u64, when: u64) -> Resolution {
        let txn = TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence };
        let (by, why) = ("ops".to_owned(), String::new());
        let verdict = Verdict::Abort;
        Resolution { txn, verdict, by, why, when: Wall(when), outcome: None, read: false }
    }

    /// As many as there may be, all of which turned out so.
    fn full(outcome: Option<Verdict>) -> Resolutions {
        let mut all = Resolutions::default();
        for sequence in 0..KEPT as u64 {
            assert!(all.has_room(Wall(sequence)));
            all.insert(Resolution { outcome, ..decided(sequence, sequence) });
        }
        all
    }

    #[test]
    fn nobody_pushes_out_what_is_mixed_or_has_no_outcome() {
        let mixed = Some(Verdict::Commit(Timestamp(9)));
        for (outcome, room, later) in
            [(mixed, false, true), (None, false, false), (Some(Verdict::Abort), true, true)]
        {
            let all = full(outcome);
            assert_eq!(all.has_room(Wall(29 * DAY_MS)), room);
            assert_eq!(all.has_room(Wall(30 * DAY_MS)), later);
        }
    }

    #[test]
    fn the_oldest_that_may_be_forgotten_goes() {
        let mut all = full(Some(Verdict::Commit(Timestamp(9))));
        all.0[7] = Resolution { read: true, ..decided(7, 7) };
        all.0[9] = Resolution { outcome: Some(Verdict::Abort), ..decided(9, 9) };
        let is_kept = |all: &Resolutions, n: u64| all.0.iter().any(|one| one.txn.sequence == n);
        for (new, gone) in [(5_000, 7), (5_001, 9)] {
            assert!(all.has_room(Wall(new)));
            all.insert(decided(new, new));
            assert!(is_kept(&all, new) && !is_kept(&all, gone));
            assert_eq!((all.0.len(), all.mixed()), (KEPT, KEPT as u64 - 2));
        }
        assert!(!all.has_room(Wall(DAY_MS)));
    }
}
