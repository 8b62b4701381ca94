//! The words of the lock table.

use std::fmt;

use serde::{Deserialize, Serialize};
use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};

/// How strongly something is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// To read: others may read too.
    Shared,
    /// To write: nobody else may do either.
    Exclusive,
}

impl Mode {
    /// Whether two transactions can not hold these on one key.
    pub fn conflicts(self, other: Mode) -> bool {
        match (self, other) {
            (Mode::Shared, Mode::Shared) => false,
            (Mode::Exclusive, _) | (_, Mode::Exclusive) => true,
        }
    }

    /// Whether who holds this needs not ask for `other`.
    pub fn covers(self, other: Mode) -> bool {
        self >= other
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Shared => "S",
            Mode::Exclusive => "X",
        })
    }
}

/// What is locked. Keys need not exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LockTarget {
    /// One key.
    Key(Key),
    /// Every key that lies inside, existing or not.
    Range(KeyRange),
}

impl LockTarget {
    /// Whether some key could be meant by both.
    pub fn overlaps(&self, other: &LockTarget) -> bool {
        match (self, other) {
            (LockTarget::Key(a), LockTarget::Key(b)) => a == b,
            (LockTarget::Key(key), LockTarget::Range(range))
            | (LockTarget::Range(range), LockTarget::Key(key)) => range.contains(key),
            (LockTarget::Range(a), LockTarget::Range(b)) => a.overlaps(b),
        }
    }
}

impl fmt::Display for LockTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockTarget::Key(key) => write!(f, "key {key}"),
            LockTarget::Range(range) => write!(f, "range {range}"),
        }
    }
}

/// Names a request that waits. Never used twice by one table; ascends in the
/// order in which the requests came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It holds.
    Granted,
    /// It waits; a [`Grant`] with this ticket will come, unless it is cancelled.
    Waiting(Ticket),
}

/// A request that waited and now holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What it waited under.
    pub ticket: Ticket,
    /// Whose it is.
    pub txn: TxnId,
}

/// How much the table takes. Requests that wait count like locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// For one transaction.
    pub per_txn: usize,
    /// In all.
    pub total: usize,
}

/// Why a request was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The transaction is at its limit: it is too large.
    TxnFull(usize),
    /// The table is at its limit: try again when others have finished.
    TableFull(usize),
    /// The transaction is prepared: its set of locks is final.
    Pinned,
    /// Ranges can be locked to read only.
    ExclusiveRange,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::TxnFull(limit) => write!(f, "a transaction holds at most {limit} locks"),
            Refused::TableFull(limit) => write!(f, "a shard holds at most {limit} locks"),
            Refused::Pinned => f.write_str("a prepared transaction acquires no locks"),
            Refused::ExclusiveRange => f.write_str("a range can be locked to read only"),
        }
    }
}

impl std::error::Error for Refused {}
