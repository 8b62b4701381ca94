//! Prevention: waits lead from older to younger transactions only, or from younger to
//! older ones only, so they never close a cycle, on however many shards they are.
//!
//! ```text
//!   wound-wait    younger ──waits for──▶ older      an older one that finds a younger
//!                                                   one in its way aborts it
//!   wait-die      older ──waits for──▶ younger      a younger one that finds an older
//!                                                   one in its way is aborted
//! ```
//!
//! In both, of a wait that leads the wrong way the *younger* is aborted, and it is
//! looked for where a wait can come into being (see the essay of `lock/waits.rs`): at
//! what a request waits for, and at those whom it goes in front of.
//!
//! A transaction that has voted here can not be aborted alone. It does not wait here,
//! but it may still wait for its locks at another shard, for the very transaction that
//! waits for it here. So if such a wait lasts, the coordinator is asked to abort it,
//! which it can while votes are missing; if it is decided, it ends by itself. Under
//! `wait-die` this is not needed: those who wait are never prepared.
//!
//! Who is aborted while it waits for nothing here learns it with its next request.
//!
//! Source: Rosenkrantz, Stearns, Lewis, *System level concurrency control for
//! distributed database systems* (ACM TODS 1978), §4; there a transaction that has
//! begun to commit is not wounded. Departure: as above.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use synod_common::deadlock::{Cause, Deadlock, Scheme};
use synod_common::error::Reason;
use synod_common::id::TxnId;
use synod_common::message::DeadlockMessage;
use synod_common::node::Output;
use synod_common::time::Mono;

use super::NO_REPLY;
use crate::lock::LockTarget;
use crate::mutant::mutated;
use crate::participant::Stage;
use crate::shard::Shard;

/// Transactions whose end here is remembered for those who come back, which they do
/// soon. Beyond it, they hear only that their locks are lost. Each takes up to 13 KB.
const REMEMBERED: usize = 1_000;
/// Those about whom the coordinator is asked at a time.
const MAX_WOUNDS: usize = 1_000;

/// Who was aborted while it waited for nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Wounded {
    why: BTreeMap<TxnId, Box<Deadlock>>,
    order: VecDeque<TxnId>,
}

impl Wounded {
    fn remember(&mut self, txn: TxnId, why: Deadlock) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.why.remove(&oldest);
        }
        self.order.push_back(txn);
        self.why.insert(txn, Box::new(why));
    }
}

impl Shard {
    /// Aborts the younger one of every wait that leads the wrong way and is new:
    /// those of `txn`, and for it where it went in front of others.
    pub(super) fn prevent(&mut self, txn: TxnId, overtaken: &[LockTarget], out: &mut Output) {
        let ahead = self.locks.waits_for(txn).into_iter().map(|other| (txn, other));
        let behind = overtaken.iter().flat_map(|target| self.locks.behind(txn, target));
        let behind = behind.filter(|_| !mutated!(self, OvertakesUnseen)).map(|other| (other, txn));
        let lost: BTreeMap<TxnId, (TxnId, TxnId)> =
            ahead.chain(behind).filter_map(|wait| Some((self.loser(wait)?, wait))).collect();
        // If it goes itself, nobody else has to.
        let own = lost.get(&txn).map(|wait| (txn, *wait));
        let losers: Vec<_> = own.map_or_else(|| lost.into_iter().collect(), |own| vec![own]);
        for (loser, (waiter, holder)) in losers {
            self.give_way(loser, waiter, holder, out);
        }
    }

    /// Who may not stay, of two of whom one waits for the other.
    fn loser(&self, (waiter, holder): (TxnId, TxnId)) -> Option<TxnId> {
        let (waiting, holding) = (self.seniority(waiter), self.seniority(holder));
        let stays = self.handling.scheme.lets_wait(waiting, holding);
        (!stays).then_some(if waiting < holding { holder } else { waiter })
    }

    fn give_way(&mut self, loser: TxnId, waiter: TxnId, holder: TxnId, out: &mut Output) {
        let deadlock = self.prevented(loser, waiter, holder);
        if self.make_way(loser, deadlock.clone(), out) {
            self.broken(&deadlock);
        }
    }

    /// Aborts a transaction that is in the way, if it has not voted. Says whether it
    /// did.
    pub(super) fn make_way(&mut self, txn: TxnId, why: Deadlock, out: &mut Output) -> bool {
        let Some(participant) = self.txns.get(&txn) else { return false };
        if !participant.stage.may_abort() {
            return false;
        }
        let hears = !participant.waits.is_empty() || !matches!(participant.stage, Stage::Active);
        if !hears {
            self.deadlocks.wounded.remember(txn, why.clone());
        }
        self.abort(txn, &Reason::Deadlock(Box::new(why)), out);
        true
    }

    fn prevented(&self, loser: TxnId, waiter: TxnId, holder: TxnId) -> Deadlock {
        let cause = match self.handling.scheme {
            Scheme::WoundWait => Cause::WoundWait,
            Scheme::WaitDie => Cause::WaitDie,
            Scheme::Graph | Scheme::Probes => Cause::Cycle(self.handling.victim),
        };
        let steps = self.step(waiter, holder).into_iter().collect();
        Deadlock { steps, length: 1, victim: loser, cause }
    }

    /// Asks the coordinator to abort those who have voted and are in the way of older
    /// ones that have waited for a while. Returns how many.
    pub(super) fn wound_voters(&mut self, now: Mono, out: &mut Output) -> u32 {
        let mut wounds = BTreeMap::new();
        let mut looked = BTreeSet::new();
        for wait in self.waits.values().take_while(|wait| self.is_old(now, wait.since)) {
            if wounds.len() >= MAX_WOUNDS || !looked.insert(wait.txn) {
                continue;
            }
            for other in self.locks.waits_for(wait.txn) {
                if self.has_voted(other) && self.loser((wait.txn, other)).is_some() {
                    wounds.entry(other).or_insert(wait.txn);
                }
            }
        }
        let count = u32::try_from(wounds.len()).unwrap_or(u32::MAX);
        for (txn, waiter) in wounds {
            let deadlock = Box::new(self.prevented(txn, waiter, txn));
            let message = DeadlockMessage::Wound { txn, deadlock };
            out.send(self.coordinator(), NO_REPLY, message);
        }
        count
    }

    fn has_voted(&self, txn: TxnId) -> bool {
        match self.txns.get(&txn).map(|participant| &participant.stage) {
            Some(Stage::Prepared { .. } | Stage::ReadVoted { .. }) => {
                !mutated!(self, VotersUnwounded)
            }
            // In one phase: it has all that it needs.
            Some(Stage::OnePhase { .. } | Stage::Active | Stage::Preparing(_)) | None => false,
        }
    }

    /// Why a transaction that comes back is not known any more.
    pub(crate) fn why_lost(&self, txn: TxnId) -> Reason {
        match self.deadlocks.wounded.why.get(&txn) {
            Some(deadlock) => Reason::Deadlock(deadlock.clone()),
            None => Reason::LocksLost,
        }
    }
}
