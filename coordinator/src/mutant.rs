//! Deliberate bugs, for the simulator to catch. Without the feature `mutants`
//! every hook is a constant `false`.

/// A deliberate bug in a coordinator.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// The oracle does not move past commit timestamps.
    NoAdvance,
    /// A shard that restarted gets no floor. Rare in the simulator; a test of the
    /// coordinator shows that it would be noticed.
    NoFloor,
    /// A cycle among the reports is broken without asking.
    NoConfirmation,
    /// The safe point passes snapshots that are needed.
    PinIgnored,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Those that the simulator is to catch.
    pub const ALL: [Mutant; 3] = [Mutant::NoAdvance, Mutant::NoConfirmation, Mutant::PinIgnored];
}

/// Whether a deliberate bug is switched on.
macro_rules! mutated {
    ($core:expr, $mutant:ident) => {{
        #[cfg(feature = "mutants")]
        {
            $core.settings.mutant == Some($crate::mutant::Mutant::$mutant)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}

pub(crate) use mutated;
