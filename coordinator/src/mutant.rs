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
    /// YES votes do not count for the commit timestamp.
    YesLeftOut,
    /// READ votes do not count for the commit timestamp.
    ReadLeftOut,
    /// A cycle among the reports is broken without asking.
    NoConfirmation,
    /// The safe point passes snapshots that are needed.
    PinIgnored,
    /// Sites are asked to pre-commit before the coordinator's own record of it is durable.
    PreCommitUnforced,
    /// A restarted coordinator presumes abort of what it had pre-committed.
    SiteRecordIgnored,
    /// A commit in three phases counts as settled as soon as it is told.
    SettledWhenTold,
    /// A commit in three phases counts as settled before its end is durable. The
    /// simulator would have to lose both the commit and its end, with all acknowledgements
    /// in between; a test of the coordinator shows that it would be noticed.
    SettledBeforeEnd,
    /// It hands out timestamps without being sure that it still leads.
    LeadsUnconfirmed,
    /// What only its own log has counts as the group's.
    OwnLogOnly,
    /// One acceptor is enough.
    AcceptedByOne,
    /// It says that it has accepted votes before that is durable.
    AcceptedUnforced,
    /// What it has accepted is not in its checkpoints.
    AcceptedNotSaved,
    /// A new leader does not look at what was accepted before.
    TakesOverNothing,
    /// It aborts a transaction whose votes may all be elsewhere, without a record of that.
    GivesUpUnlogged,
    /// It calls all decided that has begun.
    DecidedAhead,
    /// A new leader takes all that it has for decided.
    LeadsUndecided,
    /// Nobody is sent a state before something of the leader's epoch is decided.
    StateOnceDecided,
    /// A checkpoint is complete before all that is in it is decided.
    SavesUndecided,
    /// It waits for all acceptors that it has asked, also for those that are gone.
    AcceptedByAll,
    /// A new leader commits what it has found accepted, and tells nobody.
    FoundNotTold,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Those that the simulator is to catch.
    pub const ALL: [Mutant; 21] = [
        Mutant::NoAdvance,
        Mutant::YesLeftOut,
        Mutant::ReadLeftOut,
        Mutant::NoConfirmation,
        Mutant::PinIgnored,
        Mutant::PreCommitUnforced,
        Mutant::SiteRecordIgnored,
        Mutant::SettledWhenTold,
        Mutant::LeadsUnconfirmed,
        Mutant::OwnLogOnly,
        Mutant::AcceptedByOne,
        Mutant::AcceptedUnforced,
        Mutant::AcceptedNotSaved,
        Mutant::TakesOverNothing,
        Mutant::GivesUpUnlogged,
        Mutant::DecidedAhead,
        Mutant::LeadsUndecided,
        Mutant::StateOnceDecided,
        Mutant::SavesUndecided,
        Mutant::AcceptedByAll,
        Mutant::FoundNotTold,
    ];
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
