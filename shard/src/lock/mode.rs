//! The words of the lock table.

use std::fmt;

use serde::{Deserialize, Serialize};
use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};
use synod_common::time::Timestamp;

/// How strongly something is locked. Stored: only append variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// To read: others may read too.
    Shared,
    /// To write: nobody else may do anything.
    Exclusive,
    /// To read and then, perhaps, write: others may read, until the write is
    /// asked for, but only one holds this.
    Update,
    /// To add, or to take the least or the greatest: others may do the same, as
    /// the order does not matter and nobody learns a result.
    Increment,
    /// To append: others may do the same.
    Append,
}

/// Every mode, weaker ones before those that cover them.
const MODES: [Mode; 5] =
    [Mode::Shared, Mode::Update, Mode::Increment, Mode::Append, Mode::Exclusive];

impl Mode {
    /// Whether two transactions can not hold these on one key.
    pub fn conflicts(self, other: Mode) -> bool {
        match (self, other) {
            (Mode::Shared, Mode::Shared | Mode::Update)
            | (Mode::Update, Mode::Shared)
            | (Mode::Increment, Mode::Increment)
            | (Mode::Append, Mode::Append) => false,
            (Mode::Shared | Mode::Exclusive | Mode::Update | Mode::Increment | Mode::Append, _) => {
                true
            }
        }
    }

    /// Whether who holds this needs not ask for `other`: it keeps away all that
    /// the other would.
    pub fn covers(self, other: Mode) -> bool {
        self.conflicting().contains_all(other.conflicting())
    }

    /// What a transaction holds that has this and is given `other`: the weakest
    /// mode that covers both.
    pub fn join(self, other: Mode) -> Mode {
        let covers = |mode: &Mode| mode.covers(self) && mode.covers(other);
        MODES.into_iter().find(covers).unwrap_or(Mode::Exclusive)
    }

    /// The mode as it is held on a target. Ranges are held to read or to write,
    /// and nothing in between: `Update` and the commutative modes become
    /// `Exclusive` there.
    pub fn on(self, target: &LockTarget) -> Mode {
        match (self, target) {
            (mode, LockTarget::Key(_)) => mode,
            (Mode::Shared, LockTarget::Range(_)) => Mode::Shared,
            (
                Mode::Exclusive | Mode::Update | Mode::Increment | Mode::Append,
                LockTarget::Range(_),
            ) => Mode::Exclusive,
        }
    }

    /// Whether readers are kept away.
    pub fn is_write(self) -> bool {
        self.conflicts(Mode::Shared)
    }

    /// The modes that others can not hold beside it.
    pub(super) fn conflicting(self) -> Modes {
        MODES.into_iter().filter(|mode| self.conflicts(*mode)).collect()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Shared => "S",
            Mode::Exclusive => "X",
            Mode::Update => "U",
            Mode::Increment => "I",
            Mode::Append => "A",
        })
    }
}

/// A set of modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Modes(u8);

impl Modes {
    /// Each mode.
    pub(super) fn all() -> Modes {
        MODES.into_iter().collect()
    }

    pub(super) fn contains(self, mode: Mode) -> bool {
        self.0 & (1 << mode as u8) != 0
    }

    pub(super) fn contains_all(self, other: Modes) -> bool {
        other.0 & !self.0 == 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn with(self, other: Modes) -> Modes {
        Modes(self.0 | other.0)
    }

    pub(super) fn without(self, other: Modes) -> Modes {
        Modes(self.0 & !other.0)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Mode> {
        MODES.into_iter().filter(move |mode| self.contains(*mode))
    }
}

impl FromIterator<Mode> for Modes {
    fn from_iter<I: IntoIterator<Item = Mode>>(modes: I) -> Modes {
        Modes(modes.into_iter().fold(0, |bits, mode| bits | 1 << mode as u8))
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

/// The place of a request among those that wait: the smaller is served first. Of equal
/// ones that which came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn(pub u64);

/// Who asks for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The transaction.
    pub txn: TxnId,
    /// When it began. What it said first counts.
    pub age: Timestamp,
    /// Its place if it has to wait.
    pub turn: Turn,
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

/// The answer to a request that does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It holds.
    Granted,
    /// One of those who hold it, or wait for it and came before. The table is as
    /// it was.
    Blocked(TxnId),
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
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::TxnFull(limit) => write!(f, "a transaction holds at most {limit} locks"),
            Refused::TableFull(limit) => write!(f, "a shard holds at most {limit} locks"),
            Refused::Pinned => f.write_str("a prepared transaction acquires no locks"),
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hold_a_key_only_to_read_or_for_the_same_commutative_writes() {
        let text = MODES.map(|a| MODES.map(|b| if a.conflicts(b) { '-' } else { 'b' }));
        let rows: Vec<String> = text.iter().map(|row| row.iter().collect()).collect();
        // S U I A X in both directions.
        assert_eq!(rows, ["bb---", "b----", "--b--", "---b-", "-----"]);
    }

    #[test]
    fn a_join_is_the_weakest_that_covers_both() {
        let text = MODES.map(|a| MODES.map(|b| a.join(b).to_string()).join(""));
        assert_eq!(text, ["SUXXX", "UUXXX", "XXIXX", "XXXAX", "XXXXX"]);
        for (a, b) in MODES.iter().flat_map(|a| MODES.iter().map(move |b| (*a, *b))) {
            assert!(a.join(b).covers(a) && a.join(b).covers(b));
            // Nothing is kept away that neither keeps away: both together are
            // exactly their join.
            assert_eq!(a.join(b).conflicting(), a.conflicting().with(b.conflicting()));
            assert_eq!(a.conflicts(b), b.conflicts(a));
        }
    }

    #[test]
    fn stored_positions_do_not_move() {
        let modes = [Mode::Shared, Mode::Exclusive, Mode::Update, Mode::Increment, Mode::Append];
        for (position, mode) in (0..).zip(modes) {
            assert_eq!(postcard::to_allocvec(&mode).unwrap(), [position]);
        }
    }
}
