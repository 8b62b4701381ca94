//! A transaction's life on one shard.
//!
//! ```text
//!   first access ──▶ Active ──PREPARE──▶ Preparing ──all locks──▶ vote
//!                      │                    │                       │
//!                      │ abort, lapse,      │ deadlock, time-out    ├─ nothing to write ─▶ ReadVoted ──RELEASE──▶ over
//!                      │ deadlock           │                       ├─ two-phase ────────▶ Prepared ──decision──▶ over
//!                      ▼                    ▼                       └─ one-phase ────────▶ OnePhase ──durable,──▶ over
//!                     over              NO, over                                                     oracle past m
//! ```
//!
//! An Active or Preparing transaction may be aborted here at any time, alone. A
//! Prepared one never: it waits for the decision, and asks for it for ever
//! (`in_doubt`), or learns it from another participant (`cooperate`), or decides it with
//! them (`three_phase`). A READ voter writes nothing, but keeps its locks until it knows
//! the commit timestamp, and raises the floor to it before they go.

pub mod cooperate;
pub mod heuristic;
pub mod in_doubt;
pub mod one_phase;
pub mod paxos_commit;
pub mod three_phase;
pub mod two_phase;
pub mod validate;
pub mod vote;

use std::collections::BTreeSet;

use bytes::Bytes;
use synod_common::commit::{Protocol, Site};
use synod_common::deadlock::Standing;
use synod_common::error::Reason;
use synod_common::id::{CoordinatorId, Incarnation, Peer, ShardId, TxnId};
use synod_common::message::bulk::{Write, WriteSet};
use synod_common::message::commit::Terms;
use synod_common::node::{Lsn, Output};
use synod_common::time::{Mono, Now, Timestamp};

use self::heuristic::Resolved;
use crate::mutant::mutated;
use crate::mvcc::By;
use crate::record::{self, Record};
use crate::shard::Shard;
use crate::wait::WaitId;

/// A transaction that this shard knows.
#[derive(Clone, Debug)]
pub struct Participant {
    /// Names this stay of its locks.
    pub incarnation: Incarnation,
    /// The connection that its requests come over.
    pub client: Option<Peer>,
    /// How far it is.
    pub stage: Stage,
    /// Since when; none if it was so before a restart. For people.
    pub since: Option<Mono>,
    /// For the choice of a victim.
    pub standing: Standing,
    /// Requests of it that wait for locks.
    pub waits: BTreeSet<WaitId>,
    /// How often it has given back locks.
    pub returns: u32,
}

/// How far a transaction is here.
#[derive(Clone, Debug)]
pub enum Stage {
    /// It reads and locks.
    Active,
    /// PREPARE came, and waits for write locks.
    Preparing(Preparing),
    /// It voted YES, or will once the record is durable.
    Prepared {
        /// LSN of the record; the vote leaves when the log is durable up to it.
        lsn: Lsn,
        /// What was recorded.
        record: record::Prepared,
        /// How often the coordinator was asked.
        asked: u32,
        /// What it knows as a site of three-phase commit, if it is committed so.
        site: Option<Box<Site>>,
        /// LSN of what the site knows; what it says leaves when that is durable.
        said: Lsn,
        /// What an operator has decided about it, if he could not wait.
        resolved: Option<Resolved>,
        /// Acceptors that are to tell it that they have accepted the votes, in the faster
        /// form of Paxos Commit; nobody otherwise, and after a restart.
        awaited: Vec<CoordinatorId>,
    },
    /// It voted READ.
    ReadVoted {
        /// When its commit began.
        h: Timestamp,
        /// The timestamp that was voted.
        m: Timestamp,
        /// Above any commit timestamp that it can get.
        hi: Timestamp,
        /// All shards that take part; without the last agent, if there is one.
        participants: Vec<ShardId>,
        /// How often the coordinator was asked.
        asked: u32,
        /// How it is committed. For people.
        protocol: Protocol,
        /// As for one that voted YES.
        awaited: Vec<CoordinatorId>,
    },
    /// It committed in one phase, and is not installed yet.
    OnePhase {
        /// LSN of the record; the answer leaves when the log is durable up to it.
        lsn: Lsn,
        /// What was recorded.
        record: record::OnePhase,
        /// How often the answer was repeated.
        asked: u32,
    },
}

/// What PREPARE or COMMIT in one phase asked for.
#[derive(Clone, Debug)]
pub struct Preparing {
    /// When the commit began.
    pub h: Timestamp,
    /// End of the oracle's window.
    pub hi: Timestamp,
    /// The largest timestamp that others have voted, if it writes alone.
    pub after: Timestamp,
    /// Who asked.
    pub coordinator: CoordinatorId,
    /// Who takes part; empty for one-phase.
    pub participants: Vec<ShardId>,
    /// Who accepts the votes, in Paxos Commit; nobody in other protocols.
    pub acceptors: Vec<CoordinatorId>,
    /// Whether all votes are the decision.
    pub implicit: bool,
    /// What its client says of it.
    pub terms: Terms,
    /// What was read without locks.
    pub reads: Bytes,
    /// What is to be written.
    pub writes: Bytes,
}

impl Preparing {
    /// Takes the bulk of the request apart. If it is shorter than it says, nothing
    /// is left of the writes, and the reads will be found malformed.
    pub fn split(mut bulk: Bytes, read_bytes: u32) -> (Bytes, Bytes) {
        let reads = bulk.split_to(bulk.len().min(read_bytes as usize));
        (reads, bulk)
    }

    /// Whether the shard decides by itself.
    pub fn is_one_phase(&self) -> bool {
        self.participants.is_empty()
    }

    /// Whether it has done something on other shards.
    pub fn is_elsewhere(&self) -> bool {
        !self.participants.is_empty() || self.after > Timestamp::ZERO
    }
}

impl Stage {
    /// The timestamp of the vote and the writes behind it, if it is a writer
    /// whose outcome snapshot readers must wait for.
    pub fn prepared(&self) -> Option<(Timestamp, &Bytes)> {
        match self {
            Stage::Prepared { resolved: Some(Resolved { in_force: true, .. }), .. } => None,
            Stage::Prepared { record, .. } => Some((record.m, &record.writes)),
            Stage::OnePhase { record, .. } => Some((record.m, &record.writes)),
            Stage::Active | Stage::Preparing(_) | Stage::ReadVoted { .. } => None,
        }
    }

    /// Whether its record is durable, for a deliberate bug.
    pub fn is_durable(&self, durable: Lsn) -> bool {
        match self {
            Stage::Prepared { lsn, .. } | Stage::OnePhase { lsn, .. } => *lsn <= durable,
            Stage::Active | Stage::Preparing(_) | Stage::ReadVoted { .. } => false,
        }
    }

    /// The records of a vote, for a checkpoint.
    pub fn saved(&self) -> impl Iterator<Item = Record> {
        let records = match self {
            Stage::Prepared { record, site, .. } => {
                let txn = record.txn;
                // What of it is not durable may come to nothing, but is not wrong.
                let site = site.as_ref().map(|site| Record::Site { txn, stable: site.stable() });
                [Some(Record::Prepared(record.clone())), site]
            }
            Stage::OnePhase { record, .. } => [Some(Record::OnePhase(record.clone())), None],
            Stage::Active | Stage::Preparing(_) | Stage::ReadVoted { .. } => [None, None],
        };
        records.into_iter().flatten()
    }

    /// Whether it may be aborted here, alone.
    pub fn may_abort(&self) -> bool {
        match self {
            Stage::Active | Stage::Preparing(_) => true,
            Stage::Prepared { .. } | Stage::ReadVoted { .. } | Stage::OnePhase { .. } => false,
        }
    }
}

impl Shard {
    fn set_stage(&mut self, now: Now, txn: TxnId, stage: Stage) {
        if let Some(participant) = self.txns.get_mut(&txn) {
            participant.stage = stage;
            participant.since = Some(now.mono);
        }
    }

    /// Takes what it is to vote on, if it is; the vote is its next stage.
    fn take_preparing(&mut self, txn: TxnId) -> Option<Preparing> {
        let participant = self.txns.get_mut(&txn)?;
        match std::mem::replace(&mut participant.stage, Stage::Active) {
            Stage::Preparing(preparing) => Some(preparing),
            other => {
                participant.stage = other;
                None
            }
        }
    }

    /// Aborts a transaction that has not voted. Its requests are refused.
    pub(crate) fn abort(&mut self, txn: TxnId, reason: &Reason, out: &mut Output) {
        let Some(participant) = self.txns.get(&txn) else { return };
        assert!(participant.stage.may_abort(), "{txn} has voted and can not be aborted alone");
        let preparing = self.take_preparing(txn);
        self.drop_waits(txn, reason, out);
        if let Some(preparing) = preparing {
            self.vote_no(txn, &preparing, reason.clone(), out);
        }
        self.stats.aborted += 1;
        self.forget(txn);
    }

    /// Drops a transaction and its locks. Others may be granted theirs.
    pub(crate) fn forget(&mut self, txn: TxnId) {
        self.unlock(txn);
        self.txns.remove(&txn);
    }

    /// Drops all locks of a transaction, and what snapshot readers wait for.
    pub(crate) fn unlock(&mut self, txn: TxnId) {
        let Some(participant) = self.txns.get(&txn) else { return };
        if let Some((m, writes)) = participant.stage.prepared() {
            self.writers.remove(&(m, txn));
            self.intents.remove(txn, m, writes);
        }
        self.locks.release_all(txn, &mut self.granted);
        if let Some(readers) = self.snapshot_waits.remove(&txn) {
            self.woken.extend(readers);
        }
    }

    /// Makes the writes of a committed transaction visible and drops its locks.
    pub(crate) fn install(&mut self, txn: TxnId, at: Timestamp, writes: &Bytes) {
        self.make_visible(txn, at, writes);
        self.stats.committed += 1;
        self.forget(txn);
    }

    /// Makes its writes visible.
    pub(crate) fn make_visible(&mut self, txn: TxnId, at: Timestamp, writes: &Bytes) {
        let first = if mutated!(self, ReplayTwice) && !self.is_ready() { 1_000_000 } else { 0 };
        for (step, (key, write)) in (first..).zip(WriteSet::read(writes).map_while(Result::ok)) {
            match write {
                Write::Put(value) => self.versions.install(key, at, Some(value)),
                Write::Delete => self.versions.install(key, at, None),
                Write::Operate(operation) => {
                    let at = if mutated!(self, FoldByArrival) {
                        self.versions.newest(key).map_or(at, |newest| newest.at.max(at))
                    } else {
                        at
                    };
                    self.versions.operate(key, at, By { txn, step }, operation);
                }
            }
        }
        if !mutated!(self, ApplyLeavesFloor) {
            self.floor = self.floor.max(at);
        }
    }
}
