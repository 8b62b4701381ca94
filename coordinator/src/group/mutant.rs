//! Deliberate bugs in a member of a group, for the explorer to catch. Without the feature
//! `mutants` every hook is a constant `false`.

use serde::Deserialize;

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum Mutant {
    /// Half of the members, rounded down, count as a majority.
    MinorityDecides,
    /// A member promises an epoch to a second one.
    PromisesTwice,
    /// A member promises to one whose log lacks what it has.
    ElectsAnybody,
    /// A member follows the leader of an epoch that is over.
    FollowsStale,
    /// A member takes entries without those before them.
    GapsIgnored,
    /// A member says that it has entries before they are durable.
    AcknowledgesEarly,
    /// The leader counts itself before its entries are durable.
    OwnUnforced,
    /// The leader takes what an earlier one wrote for decided as soon as a majority has it.
    CountsOldEntries,
    /// The leader believes that it still leads without asking.
    NeverConfirms,
    /// A member that lost its disk relies on what one other member has promised.
    ToldByOne,
    /// It comes back in an epoch in which it may have done something.
    RejoinsSameEpoch,
    /// It comes back before it has what the leader has.
    RejoinsAtOnce,
}

impl Mutant {
    /// Those that the explorer is to catch.
    pub const ALL: [Mutant; 12] = [
        Mutant::MinorityDecides,
        Mutant::PromisesTwice,
        Mutant::ElectsAnybody,
        Mutant::FollowsStale,
        Mutant::GapsIgnored,
        Mutant::AcknowledgesEarly,
        Mutant::OwnUnforced,
        Mutant::CountsOldEntries,
        Mutant::NeverConfirms,
        Mutant::ToldByOne,
        Mutant::RejoinsSameEpoch,
        Mutant::RejoinsAtOnce,
    ];
}
