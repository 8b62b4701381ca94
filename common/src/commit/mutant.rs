//! Deliberate bugs in a site, for the explorer to catch. Without the feature `mutants`
//! every hook is a constant `false`.

use serde::Deserialize;

/// A deliberate bug. The names are those of the protocol's literature tests: E1, the
/// classical form, is a [`Rule`](super::Rule); E8, a YES that is not forced, is whoever keeps
/// the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum Mutant {
    /// E2: the first acceptance is taken for a quorum.
    FirstAcceptanceDecides,
    /// E3: stale ballots are accepted.
    StaleBallotAccepted,
    /// E4: anybody who has pre-committed leads to pre-commit, whatever came after.
    AnyPreCommitCounts,
    /// E5: what was accepted is not forced.
    AcceptedUnforced,
    /// E6: a quorum of one.
    QuorumOfOne,
    /// E7: a promise is not forced.
    PromiseUnforced,
    /// E9: a new leader always pre-aborts.
    AlwaysPreAborts,
    /// E10: a leader's own ballot is not forced, and may be used again after a crash.
    BallotReused,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 8] = [
        Mutant::FirstAcceptanceDecides,
        Mutant::StaleBallotAccepted,
        Mutant::AnyPreCommitCounts,
        Mutant::AcceptedUnforced,
        Mutant::QuorumOfOne,
        Mutant::PromiseUnforced,
        Mutant::AlwaysPreAborts,
        Mutant::BallotReused,
    ];
}
