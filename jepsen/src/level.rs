//! What a database may promise, and which promise contains which.
//!
//! ```text
//!   read-uncommitted ─▶ read-committed ─▶ read-atomic ─▶ … ─▶ serializable ─▶ strict-serializable
//!                        who breaks this  ─────────────────▶  breaks all of these, too
//! ```
//!
//! After Adya, "Weak consistency: a generalized theory and optimistic implementations for
//! distributed transactions" (1999), with the session levels of Daudjee and Salem and
//! those of Cerone, Bernardi and Gotsman, "A framework for transactional consistency
//! models with atomic visibility" (2015). `causal` and `prefix` contain the order of
//! sessions, as those have them who check them; the others do so where they are called
//! `strong-session`.

use std::fmt;

macro_rules! levels {
    ($($(#[$doc:meta])* $level:ident = $name:literal,)*) => {
        /// A level of consistency.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Level { $($(#[$doc])* $level,)* }

        impl Level {
            /// All, weaker ones before what contains them.
            pub const ALL: &[Level] = &[$(Level::$level,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Level::$level => $name,)* }
            }
        }
    };
}

levels! {
    /// Adya's PL-1: writes are in one order.
    ReadUncommitted = "read-uncommitted",
    /// PL-2: and what is read was committed.
    ReadCommitted = "read-committed",
    /// A transaction's writes are seen together, by others and by itself.
    ReadAtomic = "read-atomic",
    /// No update of one object is lost.
    CursorStability = "cursor-stability",
    /// Read atomic, and no update is lost.
    UpdateAtomic = "update-atomic",
    /// PL-2+: a transaction sees nothing of what it does not see all of.
    ConsistentView = "consistent-view",
    /// PL-2.99: serializable but for predicates.
    RepeatableRead = "repeatable-read",
    /// Reads are of one moment, and no update is lost.
    SnapshotIsolation = "snapshot-isolation",
    /// PL-3: as if one after the other.
    Serializable = "serializable",
    /// Read committed, and sessions see their own past.
    StrongSessionReadCommitted = "strong-session-read-committed",
    /// What is seen contains what it depends on, the session's past included.
    Causal = "causal",
    /// Causal, and all see one order.
    Prefix = "prefix",
    /// Snapshot isolation, and sessions see their own past.
    StrongSessionSnapshotIsolation = "strong-session-snapshot-isolation",
    /// Serializable in an order that has that of each session.
    StrongSessionSerializable = "strong-session-serializable",
    /// Snapshot isolation, and what was finished before is seen.
    StrongSnapshotIsolation = "strong-snapshot-isolation",
    /// Serializable in an order that has that of real time.
    StrictSerializable = "strict-serializable",
    /// Each operation happens at one moment between its invocation and its completion.
    Linearizable = "linearizable",
    /// What the model itself says, where no level is named.
    Model = "model",
}

impl Level {
    /// The level of that name.
    pub fn of_name(name: &str) -> Option<Level> {
        Level::ALL.iter().copied().find(|level| level.name() == name)
    }

    /// The next stronger ones.
    fn contained_in(self) -> &'static [Level] {
        use Level as L;
        match self {
            L::ReadUncommitted => &[L::ReadCommitted],
            L::ReadCommitted => &[L::ReadAtomic, L::CursorStability, L::StrongSessionReadCommitted],
            L::ReadAtomic => &[L::UpdateAtomic, L::Causal],
            L::CursorStability => &[L::ConsistentView, L::RepeatableRead],
            L::UpdateAtomic | L::ConsistentView => &[L::SnapshotIsolation],
            L::SnapshotIsolation => &[L::Serializable, L::StrongSessionSnapshotIsolation],
            L::RepeatableRead => &[L::Serializable],
            L::Serializable => &[L::StrongSessionSerializable],
            L::StrongSessionReadCommitted => &[L::Causal],
            L::Causal => &[L::Prefix],
            L::Prefix => &[L::StrongSessionSnapshotIsolation],
            L::StrongSessionSnapshotIsolation => {
                &[L::StrongSessionSerializable, L::StrongSnapshotIsolation]
            }
            L::StrongSessionSerializable | L::StrongSnapshotIsolation => &[L::StrictSerializable],
            L::StrictSerializable | L::Linearizable | L::Model => &[],
        }
    }

    /// Whether who breaks `weaker` breaks this one, too.
    pub fn contains(self, weaker: Level) -> bool {
        self == weaker || weaker.contained_in().iter().any(|level| self.contains(*level))
    }

    /// All levels that are broken when `broken` are.
    pub fn violated(broken: &[Level]) -> Vec<Level> {
        let violated = |level: &Level| broken.iter().any(|weaker| level.contains(*weaker));
        Level::ALL.iter().copied().filter(violated).collect()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_breaks_a_level_breaks_all_that_contain_it() {
        let names = |levels: &[Level]| {
            Level::violated(levels).iter().map(|level| level.name()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            names(&[Level::ConsistentView, Level::RepeatableRead]),
            "consistent-view repeatable-read snapshot-isolation serializable \
             strong-session-snapshot-isolation strong-session-serializable \
             strong-snapshot-isolation strict-serializable"
        );
        assert_eq!(names(&[Level::Linearizable]), "linearizable");
        assert_eq!(Level::violated(&[Level::ReadUncommitted]).len(), 16);
    }

    #[test]
    fn weaker_levels_come_first() {
        for (place, level) in Level::ALL.iter().enumerate() {
            assert!(Level::ALL[..place].iter().all(|weaker| !weaker.contains(*level)));
        }
    }
}
