//! What may be wrong on purpose.
//!
//! What is wrong between a core and its log, or between two cores, is done here, to messages
//! and records on their way; it needs no switch in the cores. The others have one.

use synod_common::message::{CommitMessage, Message};
use synod_coordinator::Record as CoordinatorRecord;
use synod_shard::Record as ShardRecord;

use super::net::COORDINATOR;
use crate::explore;
use crate::sim::ledger::{Fact, parse};

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The first shard does the opposite when it is told to commit. Whoever does not notice
    /// this notices nothing.
    Canary,
    /// P2: a YES vote, or the answer in one phase, leaves before it is durable.
    VoteBeforeDurable,
    /// P1: the decision counts before it is durable.
    AnswerBeforeDurable,
    /// P4: an acknowledgement leaves before the commit is durable.
    AckBeforeDurable,
    /// A restarted shard does not see prepared records.
    ForgetPrepared,
    /// A restarted coordinator does not see commit records.
    ForgetCommitted,
    /// P3: the coordinator takes the first acknowledgement for all.
    ForgetAfterFirstAck,
    /// P5: asked about a transaction that is being decided, it says abort.
    AbortOnInquiry,
    /// P10: one vote is not waited for.
    CommitOnFewerVotes,
    /// P8: a shard aborts after its YES vote.
    AbortPrepared,
    /// P9: a shard that has lost the locks of a transaction votes YES on it.
    YesAfterLoss,
    /// Asking for an outcome says aborted and does not fence.
    NoFence,
    /// One-phase commits are not told when joining.
    OnePhaseForgotten,
    /// A one-phase commit without an answer is presumed aborted.
    OnePhasePresumed,
    /// READ voters are released without the commit timestamp.
    ReleaseWithoutTimestamp,
    /// READ voters drop their locks at their vote.
    ReadReleasesAtVote,
    /// Votes at or above the window are not refused.
    NoWindowCheck,
    /// A restarted coordinator begins its timestamps below its old window.
    OracleRestartsLow,
    /// The low-water mark runs ahead.
    LowWaterAhead,
    /// A hook in the coordinator.
    #[cfg(feature = "mutants")]
    Coordinator(synod_coordinator::Mutant),
    /// A hook in the shard.
    #[cfg(feature = "mutants")]
    Shard(synod_shard::Mutant),
}

/// Those of the coordinator's that show in two-phase commit, with one coordinator.
#[cfg(feature = "mutants")]
const OF_COORDINATOR: [synod_coordinator::Mutant; 16] = [
    synod_coordinator::Mutant::NoAdvance,
    synod_coordinator::Mutant::NoFloor,
    synod_coordinator::Mutant::FreshFloor,
    synod_coordinator::Mutant::AdvancesLate,
    synod_coordinator::Mutant::RememberedLeavesOracle,
    synod_coordinator::Mutant::BeginsInOldWindow,
    synod_coordinator::Mutant::RedrawsCommits,
    synod_coordinator::Mutant::YesLeftOut,
    synod_coordinator::Mutant::ReadLeftOut,
    synod_coordinator::Mutant::ReadersImplicit,
    synod_coordinator::Mutant::DoubtsIgnored,
    synod_coordinator::Mutant::PresumesUnheard,
    synod_coordinator::Mutant::AnswersUnheard,
    synod_coordinator::Mutant::TellerIsLast,
    synod_coordinator::Mutant::ForgottenUnrecorded,
    synod_coordinator::Mutant::GivesUpUnlogged,
];

/// Likewise of the shard's.
#[cfg(feature = "mutants")]
const OF_SHARD: [synod_shard::Mutant; 14] = [
    synod_shard::Mutant::SnapshotLeavesFloor,
    synod_shard::Mutant::ReaderIgnoresPrepared,
    synod_shard::Mutant::OnlyDurableCounts,
    synod_shard::Mutant::ReaderWaitsOnce,
    synod_shard::Mutant::VoteIgnoresFloor,
    synod_shard::Mutant::ApplyLeavesFloor,
    synod_shard::Mutant::EarlyRelease,
    synod_shard::Mutant::ForgetReadLocks,
    synod_shard::Mutant::PeerInDoubtAborts,
    synod_shard::Mutant::ForgottenLeavesFloor,
    synod_shard::Mutant::InquiryUnmarked,
    synod_shard::Mutant::CommitsForgotten,
    synod_shard::Mutant::DoubtsUntold,
    synod_shard::Mutant::ResolvedUntold,
];

impl explore::Bug for Bug {
    fn all() -> Vec<(Bug, u64)> {
        let list = vec![
            (Bug::Canary, 1_000),
            (Bug::VoteBeforeDurable, 100_000),
            (Bug::AnswerBeforeDurable, 100_000),
            (Bug::AckBeforeDurable, 100_000),
            (Bug::ForgetPrepared, 100_000),
            (Bug::ForgetCommitted, 100_000),
            (Bug::ForgetAfterFirstAck, 100_000),
            (Bug::AbortOnInquiry, 100_000),
            (Bug::CommitOnFewerVotes, 100_000),
            (Bug::AbortPrepared, 100_000),
            (Bug::YesAfterLoss, 100_000),
            (Bug::NoFence, 100_000),
            (Bug::OnePhaseForgotten, 100_000),
            (Bug::OnePhasePresumed, 100_000),
            (Bug::ReleaseWithoutTimestamp, 100_000),
            (Bug::ReadReleasesAtVote, 100_000),
            (Bug::NoWindowCheck, 1_000_000),
            (Bug::OracleRestartsLow, 100_000),
            (Bug::LowWaterAhead, 100_000),
        ];
        #[cfg(feature = "mutants")]
        let list = {
            let mut list = list;
            list.extend(OF_COORDINATOR.map(|mutant| (Bug::Coordinator(mutant), 1_000_000)));
            list.extend(OF_SHARD.map(|mutant| (Bug::Shard(mutant), 1_000_000)));
            list
        };
        list
    }
}

impl Bug {
    /// The hook in the coordinator, if it is one.
    #[cfg(feature = "mutants")]
    pub fn of_coordinator(self) -> Option<synod_coordinator::Mutant> {
        if let Bug::Coordinator(mutant) = self { Some(mutant) } else { None }
    }

    /// The hook in the shard, if it is one.
    #[cfg(feature = "mutants")]
    pub fn of_shard(self) -> Option<synod_shard::Mutant> {
        if let Bug::Shard(mutant) = self { Some(mutant) } else { None }
    }

    /// Whether a message leaves before the record that it waits for is durable.
    pub fn hurries(self, message: &Message) -> bool {
        match message {
            Message::Commit(CommitMessage::Vote { .. } | CommitMessage::OnePhaseDone { .. }) => {
                self == Bug::VoteBeforeDurable
            }
            Message::Commit(CommitMessage::Ack { .. }) => self == Bug::AckBeforeDurable,
            _ => false,
        }
    }

    /// Whether a restarted server does not see this record.
    pub fn forgets(self, site: usize, record: &[u8]) -> bool {
        let Ok(fact) = parse(site, record) else { return false };
        match self {
            Bug::ForgetPrepared => matches!(fact, Fact::Shard(ShardRecord::Prepared(_))),
            Bug::ForgetCommitted => {
                matches!(fact, Fact::Coordinator(CoordinatorRecord::Committed { .. }))
            }
            Bug::OracleRestartsLow => {
                matches!(fact, Fact::Coordinator(CoordinatorRecord::Window { .. }))
            }
            _ => false,
        }
    }

    /// Whether it makes the coordinator hear its own log before the disk does.
    pub fn answers_early(self, site: usize) -> bool {
        self == Bug::AnswerBeforeDurable && site == COORDINATOR
    }
}
