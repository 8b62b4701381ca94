//! Voting: when all locks are held, and what the vote says.
//!
//! `m = max(h, floor + 1)` is the smallest timestamp at which this shard can
//! commit without changing a past that somebody has seen. It must lie below
//! `hi`, the end of the oracle's durable window, so that the oracle can move past
//! it before anybody is told. The only writer, which votes last, counts what the others have
//! voted, too. What did not lock what it read is validated first.

use bytes::Bytes;
use synod_common::error::Reason;
use synod_common::id::{CoordinatorId, Incarnation, Peer, RequestId, TxnId};
use synod_common::key::Key;
use synod_common::message::CommitMessage;
use synod_common::message::commit::{Terms, Vote};
use synod_common::node::{Lsn, Output};
use synod_common::time::{Now, Timestamp};

use super::validate::reads;
use super::{Participant, Preparing, Stage};
use crate::lock::LockTarget;
use crate::mutant::mutated;
use crate::over::End;
use crate::record::{self, HeldLock, Record};
use crate::shard::{Shard, Timer};
use crate::turn::Who;
use crate::wait::Purpose;
use crate::writes;

const NO_REPLY: RequestId = RequestId(0);

impl Shard {
    /// PREPARE, or COMMIT in one phase.
    pub(crate) fn prepare(
        &mut self,
        now: Now,
        txn: TxnId,
        incarnation: Option<Incarnation>,
        preparing: Preparing,
        out: &mut Output,
    ) {
        if self.over.is_past(preparing.h) || self.over.is_full() {
            return;
        }
        if self.may_have_proposed(txn, &preparing) {
            return;
        }
        if let Some(end) = self.over.get(txn).cloned() {
            return self.repeat_end(txn, &end, preparing.coordinator, out);
        }
        self.window = self.window.max(preparing.hi);
        match (self.txns.get(&txn).map(|known| (&known.stage, known.incarnation)), incarnation) {
            (None, None) => {}
            (Some((Stage::Active, given)), Some(carried)) if given == carried => {}
            (Some((Stage::Active, _)) | None, _) => {
                // Locks that the client relies on are gone, or it does not know
                // of locks that are held: nothing of this may commit.
                let why = self.why_lost(txn);
                if self.txns.contains_key(&txn) {
                    self.abort(txn, &why, out);
                }
                return self.vote_no(txn, &preparing, why, out);
            }
            (Some(_), _) => return self.repeat_vote(txn, &preparing, out),
        }
        if txn.session.epoch != self.epoch {
            if self.txns.contains_key(&txn) {
                self.abort(txn, &Reason::StaleEpoch, out);
            }
            return self.vote_no(txn, &preparing, Reason::StaleEpoch, out);
        }
        self.lock_writes(now, txn, preparing, out);
    }

    fn lock_writes(&mut self, now: Now, txn: TxnId, preparing: Preparing, out: &mut Output) {
        let Ok(locks) = writes::locks(&preparing.writes) else {
            return self.refuse(txn, &preparing, Reason::Malformed, out);
        };
        let Ok(reads) = reads(&preparing.reads) else {
            return self.refuse(txn, &preparing, Reason::Malformed, out);
        };
        if locks.iter().any(|(key, _)| !self.owns(key)) {
            return self.refuse(txn, &preparing, Reason::StaleMap, out);
        }
        if !self.txns.contains_key(&txn) && self.txns.len() >= self.settings.max_txns {
            return self.refuse(txn, &preparing, Reason::Overloaded, out);
        }
        // A client that commits does not wait for its reads any more.
        self.drop_waits(txn, &Reason::Malformed, out);
        let standing = preparing.terms.standing;
        let holds_elsewhere = preparing.is_elsewhere();
        let who = Who { txn, age: standing.age, holds_elsewhere };
        let next = self.next_incarnation();
        let participant = self.txns.entry(txn).or_insert_with(|| {
            Box::new(Participant {
                incarnation: next,
                client: None,
                stage: Stage::Active,
                since: None,
                standing,
                waits: Default::default(),
                returns: 0,
            })
        });
        participant.stage = Stage::Preparing(preparing);
        participant.since = Some(now.mono);
        if let Err(reason) = self.lock_reads(now, who, reads) {
            return self.abort(txn, &reason, out);
        }
        let targets = locks.into_iter().map(|(key, mode)| (LockTarget::Key(key), mode));
        let timeout = self.settings.lock_timeout;
        if self.lock(now, who, targets, timeout, Purpose::Prepare, out) {
            self.vote(now, txn, out);
        }
    }

    /// Votes NO on something that did not get as far as `Preparing`.
    fn refuse(&mut self, txn: TxnId, preparing: &Preparing, reason: Reason, out: &mut Output) {
        if self.txns.contains_key(&txn) {
            self.abort(txn, &reason, out);
        }
        self.vote_no(txn, preparing, reason, out);
    }

    /// All locks are held: vote.
    pub(crate) fn vote(&mut self, now: Now, txn: TxnId, out: &mut Output) {
        let Some(Stage::Preparing(preparing)) = self.txns.get(&txn).map(|known| &known.stage)
        else {
            return;
        };
        let m = match self.may_vote(preparing) {
            Ok(m) => m,
            Err(reason) => return self.abort(txn, &reason, out),
        };
        assert!(m > self.safe_point, "{txn} votes {m}, below which nobody looks any more");
        self.locks.pin(txn);
        let Some(preparing) = self.take_preparing(txn) else { return };
        let Preparing { h, hi, coordinator, .. } = preparing;
        let to = Peer::Coordinator(coordinator);
        match (preparing.writes.is_empty(), preparing.is_one_phase()) {
            (true, true) => {
                self.floor = self.floor.max(m);
                self.over.insert(txn, h, End::OnePhaseRead(m));
                self.forget(txn);
                let message = CommitMessage::OnePhaseDone { txn, vote: Vote::Read(m) };
                out.send(to, NO_REPLY, message);
            }
            (true, false) => {
                for (to, vote) in preparing.votes(txn, &Vote::Read(m)) {
                    out.send(to, NO_REPLY, vote);
                }
                let awaited = preparing.awaited();
                let Preparing { participants, terms: Terms { protocol, .. }, .. } = preparing;
                let asked = 0;
                let stage = Stage::ReadVoted { h, m, hi, participants, asked, protocol, awaited };
                self.readers.insert((m, txn));
                self.set_stage(now, txn, stage);
                self.timers.set(Timer::Inquire(txn), now.mono + self.settings.inquire_after);
            }
            (false, true) => {
                let Preparing { writes, .. } = preparing;
                let record = record::OnePhase { txn, h, m, coordinator, writes };
                self.log_one_phase(now, record, out);
            }
            (false, false) => self.log_prepared(now, txn, m, preparing, out),
        }
    }

    /// Which timestamp it votes.
    fn may_vote(&self, preparing: &Preparing) -> Result<Timestamp, Reason> {
        self.validate(preparing)?;
        let Preparing { h, hi, after, writes, .. } = preparing;
        let floor = if mutated!(self, VoteIgnoresFloor) { *h } else { self.floor.next() };
        let m = floor.max(*h).max(*after);
        if m >= *hi {
            return Err(Reason::WindowPassed);
        }
        let length = |key: &[u8]| self.versions.newest_len(key);
        let appended = |key: &[u8]| self.intents.appended(key);
        writes::check(writes, length, appended)?;
        Ok(m)
    }

    fn log_prepared(
        &mut self,
        now: Now,
        txn: TxnId,
        m: Timestamp,
        preparing: Preparing,
        out: &mut Output,
    ) {
        let votes = preparing.votes(txn, &Vote::Yes(m));
        let awaited = preparing.awaited();
        let Preparing { h, coordinator, participants, implicit, writes, terms, .. } = preparing;
        let Terms { standing, protocol, .. } = terms;
        self.mark_intents(txn, m, &writes);
        let locks = self.held_beyond_writes(txn, &writes);
        let record = record::Prepared {
            txn,
            h,
            m,
            coordinator,
            participants,
            writes,
            locks,
            standing,
            protocol,
            implicit,
        };
        let site = record.site(&self.settings);
        let lsn = out.force(&Record::Prepared(record.clone()));
        for (to, vote) in votes {
            out.send_after(lsn, to, NO_REPLY, vote);
        }
        self.timers.set(Timer::Inquire(txn), now.mono + self.settings.inquire_after);
        self.stats.in_doubt += 1;
        let stage =
            Stage::Prepared { lsn, record, asked: 0, site, said: lsn, resolved: None, awaited };
        self.set_stage(now, txn, stage);
        if mutated!(self, EarlyRelease) {
            self.locks.release_all(txn, &mut self.granted);
        }
    }

    /// Lets snapshot readers find the writer of a key.
    pub(crate) fn mark_intents(&mut self, txn: TxnId, m: Timestamp, writes: &Bytes) {
        self.writers.insert((m, txn));
        self.intents.insert(txn, m, writes);
    }

    /// What the transaction holds beyond the locks that its writes say.
    fn held_beyond_writes(&self, txn: TxnId, writes: &[u8]) -> Vec<HeldLock> {
        let said = writes::locks(writes).unwrap_or_default();
        let say = |key: &Key| said.binary_search_by(|(said, _)| said.cmp(key)).ok();
        let held = self.locks.locks_of(txn).filter(|(target, mode)| match target {
            LockTarget::Key(key) => say(key).is_none_or(|at| said[at].1 != *mode),
            LockTarget::Range(_) => true,
        });
        held.map(|(target, mode)| HeldLock::new(target, mode)).collect()
    }

    /// Votes NO and remembers it, so that the same request can not succeed later.
    pub(crate) fn vote_no(
        &mut self,
        txn: TxnId,
        preparing: &Preparing,
        reason: Reason,
        out: &mut Output,
    ) {
        let vote = Vote::No(reason.clone());
        let (end, message) = if preparing.is_one_phase() {
            (End::OnePhaseNo(reason), CommitMessage::OnePhaseDone { txn, vote })
        } else {
            (End::VotedNo(reason), CommitMessage::Vote { txn, vote })
        };
        self.over.insert(txn, preparing.h, end);
        out.send(Peer::Coordinator(preparing.coordinator), NO_REPLY, message);
    }

    /// The same request again: the same vote again, from the record.
    fn repeat_vote(&mut self, txn: TxnId, preparing: &Preparing, out: &mut Output) {
        let Some(participant) = self.txns.get(&txn) else { return };
        let is_restored = participant.since.is_none();
        let (lsn, vote) = match &participant.stage {
            Stage::Prepared { lsn, record, .. }
                if is_restored && mutated!(self, RepeatsWithoutM) =>
            {
                (*lsn, Vote::Yes(record.h))
            }
            Stage::Prepared { lsn, record, .. } => (*lsn, Vote::Yes(record.m)),
            Stage::ReadVoted { m, .. } => (Lsn::default(), Vote::Read(*m)),
            // The answer to the first one is still to come.
            Stage::Active | Stage::Preparing(_) | Stage::OnePhase { .. } => return,
        };
        for (to, vote) in preparing.votes(txn, &vote) {
            out.send_after(lsn, to, NO_REPLY, vote);
        }
    }

    /// The request came again after the transaction is over here.
    fn repeat_end(&mut self, txn: TxnId, end: &End, to: CoordinatorId, out: &mut Output) {
        let message = match end.clone() {
            End::OnePhase(m) => CommitMessage::OnePhaseDone { txn, vote: Vote::Yes(m) },
            End::OnePhaseRead(m) => CommitMessage::OnePhaseDone { txn, vote: Vote::Read(m) },
            End::OnePhaseNo(why) => CommitMessage::OnePhaseDone { txn, vote: Vote::No(why) },
            End::VotedNo(why) => CommitMessage::Vote { txn, vote: Vote::No(why) },
            // The vote was counted.
            End::Voted(..) | End::Decided => return,
        };
        out.send(Peer::Coordinator(to), NO_REPLY, message);
    }
}
