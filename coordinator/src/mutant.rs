//! Deliberate bugs, for the simulator to catch. Without the feature `mutants`
//! every hook is a constant `false`.

#[cfg(feature = "mutants")]
use synod_common::mutants::{first, named};

/// A deliberate bug in a coordinator.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
pub enum Mutant {
    /// The oracle does not move past commit timestamps.
    NoAdvance,
    /// A shard that restarted gets no floor. Rare in the simulator; a test of the
    /// coordinator shows that it would be noticed.
    NoFloor,
    /// A shard that restarted gets a fresh timestamp for its floor, and the window stays open.
    FreshFloor,
    /// The oracle moves past a commit timestamp when a participant has acknowledged it. (Who
    /// only moves it behind the messages that tell does no harm: a step is one.)
    AdvancesLate,
    /// What a shard remembers and tells when it joins does not move the oracle. (What is read
    /// in the log never has to: it lies below the window that a new leader begins above.)
    RememberedLeavesOracle,
    /// The first timestamp of a new leader is the last one of the window before it.
    BeginsInOldWindow,
    /// What has no end when a leader begins is told at a timestamp that is drawn anew, whatever
    /// its record says.
    RedrawsCommits,
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
    /// A commit that somebody has only read in is decided by its votes, too.
    ReadersImplicit,
    /// What shards have in doubt when they join is not counted.
    DoubtsIgnored,
    /// What is in doubt is aborted although somebody else has not joined, who may have it, too.
    PresumesUnheard,
    /// Whoever is in doubt is answered before it has said so.
    AnswersUnheard,
    /// Who tells a commit when it joins is taken for the last that had to acknowledge it.
    TellerIsLast,
    /// Shards may forget what was committed by votes before that is durable here.
    ForgottenUnrecorded,
    /// What was aborted without a NO is not in checkpoints.
    AbortedNotSaved,
    /// Votes of older epochs count no more, whoever has not joined.
    DecidesUnheard,
    /// In Paxos Commit.
    #[serde(skip)]
    Paxos(crate::paxos::Mutant),
    /// In the machine of the group.
    #[serde(skip)]
    Group(crate::group::Mutant),
    /// In the coordinator's own site of three-phase commit.
    #[serde(skip)]
    Site(synod_common::commit::mutant::Mutant),
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Those that the simulator is to catch. Others show in the explorers, or in a test.
    pub const ALL: [Mutant; 22] = [
        Mutant::NoAdvance,
        Mutant::AdvancesLate,
        Mutant::RedrawsCommits,
        Mutant::YesLeftOut,
        Mutant::ReadLeftOut,
        Mutant::NoConfirmation,
        Mutant::PinIgnored,
        Mutant::PreCommitUnforced,
        Mutant::SiteRecordIgnored,
        Mutant::SettledWhenTold,
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

    /// The one of this name in the code, be it of the coordinator or of a machine in it. Of
    /// two with one name it is the coordinator's.
    ///
    /// # Errors
    /// If there is none; the names that there are.
    pub fn named(name: &str) -> Result<Mutant, Vec<&'static str>> {
        first([
            named(name),
            named(name).map(Mutant::Paxos),
            named(name).map(Mutant::Group),
            named(name).map(Mutant::Site),
        ])
    }
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

/// A machine with the deliberate bug that is switched on, if that is one of its kind.
macro_rules! planted {
    ($settings:expr, $kind:ident, $machine:expr) => {{
        let machine = $machine;
        #[cfg(feature = "mutants")]
        let machine = match $settings.mutant {
            Some($crate::mutant::Mutant::$kind(mutant)) => machine.mutated(Some(mutant)),
            _ => machine,
        };
        machine
    }};
}

pub(crate) use mutated;
pub(crate) use planted;
