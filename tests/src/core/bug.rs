//! What may be wrong on purpose.

use crate::explore;

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// The first participant does the opposite of what it decides. Whoever does not notice
    /// this notices nothing.
    Canary,
    /// E1: the classical form, in which who is silent is taken for dead.
    Classical,
    /// E8: a YES leaves before the vote is durable.
    YesUnforced,
    /// One in the machine.
    #[cfg(feature = "mutants")]
    Site(synod_common::commit::mutant::Mutant),
}

impl explore::Bug for Bug {
    fn all() -> Vec<(Bug, u64)> {
        let list =
            vec![(Bug::Canary, 100), (Bug::Classical, 100_000), (Bug::YesUnforced, 2_000_000)];
        #[cfg(feature = "mutants")]
        let list = {
            let mut list = list;
            let mutants = synod_common::commit::mutant::Mutant::ALL;
            list.extend(mutants.map(|mutant| (Bug::Site(mutant), 30_000_000)));
            list
        };
        list
    }

    fn is_small(self) -> bool {
        true
    }
}
