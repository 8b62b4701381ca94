//! Deliberate bugs, for the simulator to catch. Without the feature `mutants`
//! every hook is a constant `false`.

#[cfg(feature = "mutants")]
use synod_common::mutants::{first, named};

/// A deliberate bug in a shard.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
pub enum Mutant {
    /// A snapshot read does not raise the floor.
    SnapshotLeavesFloor,
    /// A snapshot read does not wait for prepared writers.
    ReaderIgnoresPrepared,
    /// A writer whose record is not durable yet does not count as prepared.
    OnlyDurableCounts,
    /// Votes ignore the floor: `m = h`.
    VoteIgnoresFloor,
    /// Installing does not raise the floor.
    ApplyLeavesFloor,
    /// Locks go at the YES vote.
    EarlyRelease,
    /// Locks beyond the writes are not taken back after a restart.
    ForgetReadLocks,
    /// Whatever has changed since a snapshot, the vote is YES.
    SkipValidation,
    /// An optimistic transaction does not lock what it read.
    OptimisticWithoutLocks,
    /// Validation below the safe point, where tombstones are gone. Rare in the
    /// simulator; a test of the shard shows that it would be noticed.
    ValidateBelowSafePoint,
    /// A locking read returns what was changed after the transaction's snapshot.
    ReadBeyondSnapshot,
    /// CONFIRM is answered yes, whatever it asks.
    ConfirmsUnseen,
    /// CONFIRM is answered yes if the waiter waits for anything.
    ConfirmIgnoresNumber,
    /// Who waits is told when a wait begins, and never again.
    ReportsOnce,
    /// BREAK aborts the victim although its wait is over.
    BreaksWhoHasVoted,
    /// Operations are done in the order in which they are installed.
    FoldByArrival,
    /// A snapshot read that has waited for one prepared writer waits for no other.
    ReaderWaitsOnce,
    /// What a replay finds installed already is done once more.
    ReplayTwice,
    /// Locks are given back also when the client has read again since.
    LateReturns,
    /// The safe point passes prepared writers.
    PruneAbovePrepared,
    /// A scan locks its rows, and not what lies between them.
    GapsUnlocked,
    /// Those in front of whom a request goes are not looked at, where deadlocks are
    /// prevented.
    OvertakesUnseen,
    /// Those who have voted are not wounded.
    VotersUnwounded,
    /// Probes are not passed on.
    ProbesStop,
    /// What a probe has found is taken for a deadlock.
    ProbesUnconfirmed,
    /// Asked by another participant, one that is in doubt itself says: aborted.
    PeerInDoubtAborts,
    /// What sites say leaves before it is durable.
    SiteSpeaksEarly,
    /// How transactions in three phases ended is forgotten in a restart.
    SiteEndForgotten,
    /// What sites have promised and accepted is forgotten in a restart.
    SitePromiseForgotten,
    /// In the faster form of Paxos Commit, one acceptor is enough.
    AcceptedByOne,
    /// Who has voted READ and hears that the transaction is forgotten leaves its floor.
    ForgottenLeavesFloor,
    /// A coordinator that leads no more is obeyed. What the simulator's say is not wrong by then,
    /// for other reasons; a test of the shard shows that it would be noticed.
    ObeysDeposed,
    /// What an operator has decided is in force before it is durable.
    ResolvedUnforced,
    /// What operators have decided is not in checkpoints.
    ResolvedForgotten,
    /// That the outcome differs from what an operator has decided is not noticed.
    MixedUnnoticed,
    /// Other participants are told what an operator has decided.
    ResolvedForOutcome,
    /// A commit of two-phase commit is not remembered for the coordinator, which may not have it.
    CommitsForgotten,
    /// Nor one that it hears of in a later epoch.
    OlderForgotten,
    /// A coordinator that begins an epoch is not told what is in doubt of older ones.
    DoubtsUntold,
    /// Nor what an operator has decided meanwhile.
    ResolvedUntold,
    /// A site does not lead the others, however long it misses the coordinator.
    SitesNeverLead,
    /// Asked about what it does not know, it says that it will never commit that in one phase,
    /// and does not remember it.
    InquiryUnmarked,
    /// A vote that is repeated after a restart says `h` in place of the `m` in its record. Who
    /// restarts loses its link, and so the transaction is given up, or has the vote; a test of
    /// the shard shows that it would be noticed, and the explorer of Paxos Commit what comes of it.
    RepeatsWithoutM,
    /// Others are told that it will never vote, and then it votes. The simulator's PREPAREs
    /// are never that late; a test of the shard shows that it would be noticed.
    NeverVotesForgotten,
    /// In its sites of three-phase commit.
    #[serde(skip)]
    Site(synod_common::commit::mutant::Mutant),
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Those that the simulator is to catch. Others show in the explorers, or in a test.
    pub const ALL: [Mutant; 34] = [
        Mutant::SnapshotLeavesFloor,
        Mutant::ReaderIgnoresPrepared,
        Mutant::OnlyDurableCounts,
        Mutant::VoteIgnoresFloor,
        Mutant::ApplyLeavesFloor,
        Mutant::EarlyRelease,
        Mutant::ForgetReadLocks,
        Mutant::SkipValidation,
        Mutant::OptimisticWithoutLocks,
        Mutant::ReadBeyondSnapshot,
        Mutant::ConfirmsUnseen,
        Mutant::ConfirmIgnoresNumber,
        Mutant::ReportsOnce,
        Mutant::BreaksWhoHasVoted,
        Mutant::FoldByArrival,
        Mutant::ReaderWaitsOnce,
        Mutant::ReplayTwice,
        Mutant::LateReturns,
        Mutant::PruneAbovePrepared,
        Mutant::GapsUnlocked,
        Mutant::OvertakesUnseen,
        Mutant::VotersUnwounded,
        Mutant::ProbesStop,
        Mutant::ProbesUnconfirmed,
        Mutant::PeerInDoubtAborts,
        Mutant::SiteSpeaksEarly,
        Mutant::SiteEndForgotten,
        Mutant::SitePromiseForgotten,
        Mutant::AcceptedByOne,
        Mutant::SitesNeverLead,
        Mutant::ResolvedUnforced,
        Mutant::ResolvedForgotten,
        Mutant::MixedUnnoticed,
        Mutant::ResolvedForOutcome,
    ];

    /// The one of this name in the code, be it of the shard or of its sites.
    ///
    /// # Errors
    /// If there is none; the names that there are.
    pub fn named(name: &str) -> Result<Mutant, Vec<&'static str>> {
        first([named(name), named(name).map(Mutant::Site)])
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
