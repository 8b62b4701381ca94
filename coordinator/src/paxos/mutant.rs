//! Deliberate bugs in Paxos Commit, for the explorer to catch. Without the feature `mutants`
//! every hook is a constant `false`.

/// A deliberate bug.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
pub enum Mutant {
    /// X1: half of the members, rounded down, count as a majority.
    MinorityAccepts,
    /// X2: a participant that has not voted counts as prepared.
    MissingAccepted,
    /// X4: an acceptor does not mind that it has promised a later epoch.
    PromiseIgnored,
    /// X5: what was accepted first counts, though it was given up later.
    GivenUpIgnored,
    /// X5: likewise, though it lies below the mark.
    MarkIgnored,
    /// A new leader takes nothing for committed that others have accepted.
    FoundIgnored,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 6] = [
        Mutant::MinorityAccepts,
        Mutant::MissingAccepted,
        Mutant::PromiseIgnored,
        Mutant::GivenUpIgnored,
        Mutant::MarkIgnored,
        Mutant::FoundIgnored,
    ];
}

/// Whether a deliberate bug is switched on.
macro_rules! mutated {
    ($machine:expr, $mutant:ident) => {{
        #[cfg(feature = "mutants")]
        {
            $machine.mutant == Some($crate::paxos::Mutant::$mutant)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}

pub(crate) use mutated;
