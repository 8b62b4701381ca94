//! Deliberate bugs, for the simulator to catch. Without the feature `mutants`
//! every hook is a constant `false`.

/// A deliberate bug in a client.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// It names no stay of its locks when it reads, and the last one that it heard of when it
    /// commits.
    LastStayCounts,
}

/// Whether a deliberate bug is switched on.
macro_rules! mutated {
    ($shared:expr, $mutant:ident) => {{
        #[cfg(feature = "mutants")]
        {
            $shared.mutant == Some($crate::mutant::Mutant::$mutant)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}

pub(crate) use mutated;
