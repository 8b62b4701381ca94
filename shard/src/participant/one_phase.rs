//! One-phase commit: this shard is the only participant, or the last agent, and decides by
//! itself.
//!
//! The record is forced; from then on the transaction is committed. It is
//! installed only when the oracle is known to be at or past its timestamp `m`:
//! at once if `m` is the `h` that the oracle drew, else with RELEASE. Until then
//! it counts as prepared, and the answer is repeated. This shard remembers the outcome until the low-water
//! mark passes it, because the coordinator may have to ask.

use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, TxnId};
use synod_common::message::CommitMessage;
use synod_common::message::commit::Vote;
use synod_common::node::{Lsn, Output};
use synod_common::time::{Now, Timestamp};

use super::Stage;
use crate::mutant::mutated;
use crate::over::End;
use crate::record::{OnePhase, Record};
use crate::shard::{Shard, Timer};

const NO_REPLY: RequestId = RequestId(0);

impl Shard {
    pub(super) fn log_one_phase(&mut self, now: Now, record: OnePhase, out: &mut Output) {
        let OnePhase { txn, m, coordinator, .. } = record;
        self.mark_intents(txn, m, &record.writes);
        let lsn = out.force(&Record::OnePhase(record.clone()));
        let done = CommitMessage::OnePhaseDone { txn, vote: Vote::Yes(m) };
        out.send_after(lsn, Peer::Coordinator(coordinator), NO_REPLY, done);
        self.one_phase_logged.push_back((lsn, txn));
        self.set_stage(now, txn, Stage::OnePhase { lsn, record, asked: 0 });
    }

    /// The log is durable up to `lsn`: what it holds of one-phase commits counts.
    pub(crate) fn one_phase_durable(&mut self, now: Now, lsn: Lsn) {
        while let Some(&(at, txn)) = self.one_phase_logged.front() {
            if at > lsn {
                break;
            }
            self.one_phase_logged.pop_front();
            let Some(Stage::OnePhase { record, .. }) = self.txns.get(&txn).map(|t| &t.stage) else {
                continue;
            };
            let (h, m, writes) = (record.h, record.m, record.writes.clone());
            self.over.insert(txn, h, End::OnePhase(m));
            if m == h {
                self.install(txn, m, &writes);
            } else {
                self.timers.set(Timer::Inquire(txn), now.mono + self.settings.inquire_after);
            }
        }
    }

    /// The oracle is past the commit timestamp of a one-phase transaction.
    pub(crate) fn release_one_phase(&mut self, txn: TxnId, at: Timestamp) {
        let Some(Stage::OnePhase { lsn, record, .. }) = self.txns.get(&txn).map(|t| &t.stage)
        else {
            return;
        };
        assert!(record.m == at, "{txn} committed at {} and at {at}", record.m);
        if *lsn <= self.durable {
            let writes = record.writes.clone();
            self.timers.stop(Timer::Inquire(txn));
            self.install(txn, at, &writes);
        }
    }

    /// The coordinator wants it no longer; if it is committed, that stays so.
    pub(crate) fn abort_one_phase(
        &mut self,
        txn: TxnId,
        h: Timestamp,
        reason: &Reason,
        out: &mut Output,
    ) {
        match self.txns.get(&txn).map(|participant| &participant.stage) {
            Some(Stage::Preparing(preparing)) if preparing.is_one_phase() => {
                if let Reason::Deadlock(deadlock) = reason {
                    self.broken(deadlock);
                }
                self.abort(txn, reason, out);
            }
            _ => self.inquire_one_phase(txn, h, reason, out),
        }
    }

    /// The coordinator never heard, and asks. What is not known here will never be done, for
    /// this reason.
    pub(crate) fn inquire_one_phase(
        &mut self,
        txn: TxnId,
        h: Timestamp,
        reason: &Reason,
        out: &mut Output,
    ) {
        match self.txns.get(&txn).map(|participant| &participant.stage) {
            Some(Stage::Active) => self.abort(txn, reason, out),
            Some(Stage::OnePhase { lsn, record, .. }) if *lsn <= self.durable => {
                let done = CommitMessage::OnePhaseDone { txn, vote: Vote::Yes(record.m) };
                let to = self.coordinator();
                return out.send(to, NO_REPLY, done);
            }
            // The answer is still to come.
            Some(
                Stage::Preparing(_)
                | Stage::OnePhase { .. }
                | Stage::Prepared { .. }
                | Stage::ReadVoted { .. },
            ) => return,
            None => {}
        }
        if self.over.get(txn).is_none() && !mutated!(self, InquiryUnmarked) {
            self.over.insert(txn, h, End::OnePhaseNo(reason.clone()));
        }
        let vote = match self.over.get(txn) {
            Some(End::OnePhase(m)) => Vote::Yes(*m),
            Some(End::OnePhaseRead(m)) => Vote::Read(*m),
            Some(End::OnePhaseNo(reason)) => Vote::No(reason.clone()),
            None if mutated!(self, InquiryUnmarked) => Vote::No(reason.clone()),
            Some(End::VotedNo(_) | End::Voted(..) | End::Decided) | None => return,
        };
        let to = self.coordinator();
        out.send(to, NO_REPLY, CommitMessage::OnePhaseDone { txn, vote });
    }
}
