//! How far a transaction is, as each server sees it: for people.
//!
//! A shard tells of every transaction that it knows, from the first access to the
//! end; a coordinator only of those between COMMIT and the last acknowledgement.
//! Each says what it knows itself, and nothing of what others may know by now.

use serde::{Deserialize, Serialize};

use crate::commit::{Protocol, Stable, Verdict};
use crate::deadlock::Target;
use crate::id::{CoordinatorId, ShardId, TxnId};
use crate::time::{Timestamp, Wall};

/// A transaction, as a shard sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardTxn {
    /// Its name.
    pub txn: TxnId,
    /// How far it is.
    pub stage: ShardStage,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// It was so before the shard's restart: it may have been so for longer.
    pub at_least: bool,
    /// When its work began; zero if nobody said.
    pub age: Timestamp,
    /// Locks that it holds.
    pub locks: u64,
    /// Requests of it that wait for locks.
    pub waiting: u32,
}

/// How far a transaction is on a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShardStage {
    /// It reads and locks.
    Active,
    /// It is to vote, and waits for locks.
    Preparing {
        /// When its commit began.
        h: Timestamp,
        /// Who takes part; nobody else if empty.
        participants: Vec<ShardId>,
        /// Who decides.
        coordinator: CoordinatorId,
    },
    /// It voted YES, and knows no decision.
    Prepared {
        /// When its commit began.
        h: Timestamp,
        /// The timestamp that was voted.
        m: Timestamp,
        /// Who takes part.
        participants: Vec<ShardId>,
        /// Who decides.
        coordinator: CoordinatorId,
        /// How often that one was asked.
        asked: u32,
        /// How it is committed.
        protocol: Protocol,
        /// How far it is in three-phase commit, if it is committed so.
        site: Option<Stable>,
    },
    /// It voted READ, and knows no decision.
    ReadVoted {
        /// When its commit began.
        h: Timestamp,
        /// The timestamp that was voted.
        m: Timestamp,
        /// Who decides.
        coordinator: CoordinatorId,
        /// How often that one was asked.
        asked: u32,
        /// How it is committed.
        protocol: Protocol,
    },
    /// It committed by itself; it is not durable yet, or the oracle not past it.
    OnePhase {
        /// When its commit began.
        h: Timestamp,
        /// Its timestamp.
        m: Timestamp,
        /// Who is told.
        coordinator: CoordinatorId,
        /// How often that one was told again.
        asked: u32,
    },
    /// It voted YES, an operator has decided, and the outcome is not known.
    Resolved {
        /// What the operator has decided.
        verdict: Verdict,
        /// Who takes part.
        participants: Vec<ShardId>,
        /// Who decides.
        coordinator: CoordinatorId,
        /// How often that one was asked.
        asked: u32,
        /// How it is committed.
        protocol: Protocol,
    },
}

/// A decision that an operator made on one shard about a transaction in doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// The transaction.
    pub txn: TxnId,
    /// What was decided.
    pub verdict: Verdict,
    /// By whom, as his certificate says.
    pub by: String,
    /// For which reason, in his words.
    pub why: String,
    /// When, by the shard's clock.
    pub when: Wall,
    /// What became of the transaction elsewhere, if that is known.
    pub outcome: Option<Verdict>,
    /// It had only read there: its locks went, and nothing else, so it can not be wrong.
    pub read: bool,
}

impl Resolution {
    /// Whether it turned out to be wrong: shards differ for ever.
    pub fn is_mixed(&self) -> bool {
        !self.read && self.outcome.is_some_and(|outcome| outcome != self.verdict)
    }

    /// Whether no outcome is waited for.
    pub fn is_over(&self) -> bool {
        self.read || self.outcome.is_some()
    }
}

impl ShardStage {
    /// Whether it has voted, and its outcome is not known.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            ShardStage::Prepared { .. } | ShardStage::ReadVoted { .. } => true,
            ShardStage::Active
            | ShardStage::Preparing { .. }
            | ShardStage::OnePhase { .. }
            | ShardStage::Resolved { .. } => false,
        }
    }
}

/// What a transaction holds on a shard, and who waits for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// Its locks: on what, cut short, and in which mode.
    pub locks: Vec<(Target, String)>,
    /// Transactions that wait because of them, and for how many milliseconds.
    pub waiters: Vec<(TxnId, u32)>,
    /// Waiters beyond those listed.
    pub more_waiters: u32,
}

/// A transaction that is being committed, as its coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its name.
    pub txn: TxnId,
    /// When the commit began; zero if it was before a restart.
    pub h: Timestamp,
    /// How it is committed, if several shards take part.
    pub protocol: Protocol,
    /// How far it is.
    pub stage: CommitStage,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// It was so before the coordinator's restart: it may have been so for longer.
    pub at_least: bool,
}

/// How far a commit is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommitStage {
    /// Its only participant decides, or the only one that writes.
    OnePhase {
        /// The participant.
        shard: ShardId,
        /// The others, which have voted READ.
        read: Vec<ShardId>,
    },
    /// Votes are being collected.
    Preparing {
        /// Who voted YES.
        yes: Vec<ShardId>,
        /// Who voted READ.
        read: Vec<ShardId>,
        /// Who has not voted.
        missing: Vec<ShardId>,
    },
    /// Decided to commit, but not durably yet.
    Deciding {
        /// The commit timestamp.
        at: Timestamp,
        /// Who voted YES.
        yes: Vec<ShardId>,
        /// Who voted READ. If nobody voted at all, its only participant read.
        read: Vec<ShardId>,
    },
    /// Committed.
    Committing {
        /// The commit timestamp.
        at: Timestamp,
        /// Who has not acknowledged.
        unacknowledged: Vec<ShardId>,
    },
    /// All have voted for it, and it is to be made sure that they can end it without the
    /// coordinator: three-phase commit.
    PreCommitting {
        /// Who voted YES.
        yes: Vec<ShardId>,
        /// How far the coordinator itself is.
        site: Stable,
    },
    /// All have voted for it, and a majority of the coordinators is to accept that: Paxos
    /// Commit.
    Accepting {
        /// The commit timestamp.
        at: Timestamp,
        /// Who voted YES.
        yes: Vec<ShardId>,
        /// Who voted READ.
        read: Vec<ShardId>,
        /// Which coordinators have accepted it.
        accepted: Vec<CoordinatorId>,
    },
    /// Not all have voted for it, and it is to be made sure that no coordinator commits it.
    GivingUp {
        /// Who takes part.
        on: Vec<ShardId>,
    },
}
