//! What may be wrong on purpose.

use crate::explore;

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The first member loses the last durable entry, too, in a crash. Whoever does not
    /// notice this notices nothing.
    Canary,
    /// What is to leave when it is durable leaves at once.
    Unforced,
    /// One in the machine.
    #[cfg(feature = "mutants")]
    Replica(synod_coordinator::group::Mutant),
}

impl explore::Bug for Bug {
    fn all() -> Vec<(Bug, u64)> {
        let list = vec![(Bug::Canary, 1_000), (Bug::Unforced, 1_000)];
        #[cfg(feature = "mutants")]
        let list = {
            let mut list = list;
            let mutants = synod_coordinator::group::Mutant::ALL;
            list.extend(mutants.map(|mutant| (Bug::Replica(mutant), 3_000_000)));
            list
        };
        list
    }
}
