//! The transactions of a shard, page by page or one of them, for people.
//!
//! Whoever looks into a transaction that is in doubt has often lost the coordinator,
//! so all of this is answered without a session, and before the shard has joined.
//! Since when a transaction is as it is is counted in memory: what a restart has
//! prepared again is so since the restart *at least*.

use std::ops::{Bound, ControlFlow};

use synod_common::id::TxnId;
use synod_common::limits;
use synod_common::message::DataReply;
use synod_common::message::bulk::List;
use synod_common::message::txns::{Holds, ShardStage, ShardTxn};
use synod_common::time::{Mono, Timestamp};

use crate::participant::{Participant, Stage};
use crate::shard::Shard;

/// Transactions of one page.
const PAGE_ROWS: usize = 1_000;
/// Locks, and waiters, that are shown of one transaction.
const PER_TXN: usize = 256;

impl Shard {
    /// A page of the transactions behind `after`.
    pub(crate) fn list_txns(
        &self,
        now: Mono,
        after: Option<TxnId>,
        in_doubt: bool,
        limit: u32,
    ) -> DataReply {
        let limit = match limit as usize {
            0 => PAGE_ROWS,
            limit => limit.min(PAGE_ROWS),
        };
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut known =
            self.txns.range(behind).filter(|(_, known)| !in_doubt || is_in_doubt(&known.stage));
        let mut list = List::default();
        let mut last = None;
        let full = known.by_ref().take(limit).try_for_each(|(txn, participant)| {
            list.push(&self.txn_row(now, *txn, participant));
            last = Some(*txn);
            let full = list.len() >= limits::SCAN_PAGE_BYTES;
            if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let more = full.is_break() || known.next().is_some();
        DataReply::Txns { resume: last.filter(|_| more), txns: list.finish() }
    }

    /// All about one transaction, with up to `locks` of its locks.
    pub(crate) fn show_txn(&self, now: Mono, txn: TxnId, locks: u32) -> DataReply {
        let Some(participant) = self.txns.get(&txn) else { return DataReply::Txn(None) };
        let row = self.txn_row(now, txn, participant);
        DataReply::Txn(Some(Box::new((row, self.holds(now, txn, locks as usize)))))
    }

    fn txn_row(&self, now: Mono, txn: TxnId, participant: &Participant) -> ShardTxn {
        let since = participant.since.unwrap_or(self.started);
        let waiting = participant.waits.len();
        ShardTxn {
            txn,
            stage: self.stage_of(participant),
            for_ms: u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX),
            at_least: participant.since.is_none(),
            age: participant.standing.age,
            locks: self.locks.held_by(txn) as u64,
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
        }
    }

    /// How far every transaction is that is known here, for checks from outside.
    pub fn stages(&self) -> impl Iterator<Item = (TxnId, ShardStage)> {
        self.txns.iter().map(|(txn, participant)| (*txn, self.stage_of(participant)))
    }

    fn stage_of(&self, participant: &Participant) -> ShardStage {
        match &participant.stage {
            Stage::Active => ShardStage::Active,
            Stage::Preparing(preparing) => ShardStage::Preparing {
                h: preparing.h,
                participants: preparing.participants.clone(),
                coordinator: preparing.coordinator,
            },
            Stage::Prepared { record, asked, resolved: Some(resolved), .. } => {
                ShardStage::Resolved {
                    verdict: resolved.verdict,
                    participants: record.participants.clone(),
                    coordinator: record.coordinator,
                    asked: *asked,
                    protocol: record.protocol,
                }
            }
            Stage::Prepared { record, asked, site, .. } => ShardStage::Prepared {
                h: record.h,
                m: record.m,
                participants: record.participants.clone(),
                coordinator: record.coordinator,
                asked: *asked,
                protocol: record.protocol,
                site: site.as_ref().map(|site| site.stable()),
            },
            Stage::ReadVoted { h, m, asked, protocol, .. } => ShardStage::ReadVoted {
                h: *h,
                m: *m,
                coordinator: self.joining.leader,
                asked: *asked,
                protocol: *protocol,
            },
            Stage::OnePhase { record, asked, .. } => ShardStage::OnePhase {
                h: record.h,
                m: record.m,
                coordinator: record.coordinator,
                asked: *asked,
            },
        }
    }

    fn holds(&self, now: Mono, txn: TxnId, limit: usize) -> Holds {
        let locks = self.locks.locks_of(txn).take(limit.min(PER_TXN));
        let locks = locks.map(|(target, mode)| (target.shown(), mode.to_string())).collect();
        let mut holds = Holds { locks, ..Holds::default() };
        for ticket in self.locks.waiting_for(txn) {
            let wait = self.tickets.get(&ticket).and_then(|id| self.waits.get(id));
            let Some(wait) = wait else { continue };
            if holds.waiters.len() < PER_TXN {
                let waited = now.since(wait.since).as_millis();
                holds.waiters.push((wait.txn, u32::try_from(waited).unwrap_or(u32::MAX)));
            } else {
                holds.more_waiters = holds.more_waiters.saturating_add(1);
            }
        }
        holds
    }

    /// The smallest timestamp that was voted by one that is in doubt; zero if there are none.
    pub(crate) fn oldest_in_doubt(&self) -> Timestamp {
        let reader = self.readers.first().map(|(m, _)| *m);
        let oldest = reader.into_iter().chain(self.oldest_prepared()).min();
        oldest.unwrap_or(Timestamp::ZERO)
    }

    fn oldest_prepared(&self) -> Option<Timestamp> {
        if self.stats.in_doubt == 0 {
            return None;
        }
        let is_prepared = |txn| {
            let stage = self.txns.get(txn).map(|known| &known.stage);
            matches!(stage, Some(Stage::Prepared { .. }))
        };
        self.writers.iter().find(|(_, txn)| is_prepared(txn)).map(|(m, _)| *m)
    }
}

fn is_in_doubt(stage: &Stage) -> bool {
    match stage {
        Stage::Prepared { resolved: Some(_), .. } => false,
        Stage::Prepared { .. } | Stage::ReadVoted { .. } => true,
        Stage::Active | Stage::Preparing(_) | Stage::OnePhase { .. } => false,
    }
}
