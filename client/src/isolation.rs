//! What a transaction is kept apart from.

use std::fmt;
use std::str::FromStr;

/// How a transaction is isolated from others. `docs/isolation.md` says which
/// anomalies each level leaves possible.
///
/// The levels of others concern nobody: a serializable transaction is never
/// disturbed by one that runs at a lower level beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Accepted, and run as [`Isolation::ReadCommitted`].
    ReadUncommitted,
    /// Every read sees what was committed when it began. No locks for reads; what
    /// was read may have changed by the time of the commit.
    ReadCommitted,
    /// Accepted, and run as [`Isolation::Serializable`]: snapshots let two
    /// transactions change what the other has read, which this level forbids.
    RepeatableRead,
    /// All reads see the state as of the first one. No locks for reads. Of two
    /// that write the same key the one that commits first wins, and the other
    /// may be tried again.
    Snapshot,
    /// Serializable without locks for reads: they see the state as of the first
    /// one, and the commit fails, and may be tried again, if any of it has changed.
    Optimistic,
    /// Strictly serializable, by locks on all that is read, absent keys included.
    #[default]
    Serializable,
}

/// How reads are made at a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Under locks.
    Locks,
    /// Each at a snapshot of its own.
    Latest,
    /// All at one snapshot; what is written must not have changed since.
    Snapshot,
    /// All at one snapshot; what is read must not have changed since.
    Validated,
}

impl Isolation {
    /// The level that it is run as.
    pub fn strengthened(self) -> Isolation {
        match self {
            Isolation::ReadUncommitted => Isolation::ReadCommitted,
            Isolation::RepeatableRead => Isolation::Serializable,
            Isolation::ReadCommitted
            | Isolation::Snapshot
            | Isolation::Optimistic
            | Isolation::Serializable => self,
        }
    }

    pub(crate) fn reading(self) -> Reading {
        match self.strengthened() {
            Isolation::ReadUncommitted | Isolation::ReadCommitted => Reading::Latest,
            Isolation::Snapshot => Reading::Snapshot,
            Isolation::Optimistic => Reading::Validated,
            Isolation::RepeatableRead | Isolation::Serializable => Reading::Locks,
        }
    }

    /// All levels with their names, weakest first.
    pub const NAMES: [(&'static str, Isolation); 6] = [
        ("read-uncommitted", Isolation::ReadUncommitted),
        ("read-committed", Isolation::ReadCommitted),
        ("repeatable-read", Isolation::RepeatableRead),
        ("snapshot", Isolation::Snapshot),
        ("optimistic", Isolation::Optimistic),
        ("serializable", Isolation::Serializable),
    ];
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Isolation::NAMES.iter().find(|(_, level)| level == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// There is no such level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no isolation level; there are serializable, optimistic, snapshot, read-committed"
)]
pub struct BadIsolation(String);

impl FromStr for Isolation {
    type Err = BadIsolation;

    fn from_str(text: &str) -> Result<Isolation, BadIsolation> {
        let found = Isolation::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, level)| *level).ok_or_else(|| BadIsolation(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_levels_only_grow_stronger() {
        for (name, level) in Isolation::NAMES {
            assert_eq!(level.to_string(), name);
            assert_eq!(name.parse(), Ok(level));
            assert_eq!(level.strengthened().strengthened(), level.strengthened());
        }
        assert!("chaos".parse::<Isolation>().is_err());
        // Snapshots allow write skew, so they are no repeatable reads.
        assert_eq!(Isolation::RepeatableRead.reading(), Reading::Locks);
    }
}
