//! Deliberate bugs: each must be caught within a stated number of seeds, or the
//! simulator has lost its teeth.
//!
//! Most are made here, between the cores and the world: a message is changed, made
//! up or swallowed, or sent too early, a record forgotten. The rest are hooks in
//! the cores behind their feature `mutants`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use synod_common::deadlock::Scheme;
use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, ShardId, TxnId};
use synod_common::message::client::Outcome;
use synod_common::message::commit::{Decision, Vote};
use synod_common::message::{ClientReply, ClientRequest, CommitMessage, Message};
use synod_common::node::{Event, Lsn, Recovered, Send};
use synod_common::time::Timestamp;

use super::ledger::{Fact, parse};
use super::network::Node;
use super::server::peer;
use super::world::World;
use crate::invariants::Check;

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// Shards are told the contrary of what was decided: at once, or the simulator is blind.
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
    /// Clients name no stay when they read, and the last one that they heard of when they
    /// commit.
    LastStayCounts,
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
    /// A member that lost its disk begins as a new one.
    RejoinsAsNew,
    /// A hook in the coordinator.
    #[cfg(feature = "mutants")]
    Coordinator(synod_coordinator::Mutant),
    /// A hook in the shard.
    #[cfg(feature = "mutants")]
    Shard(synod_shard::Mutant),
}

impl Mutation {
    /// All of them, each with the number of seeds within which it must be caught.
    pub fn all() -> Vec<(Mutation, u64)> {
        use Mutation as M;
        let list = vec![
            (M::Canary, 5),
            (M::VoteBeforeDurable, 50),
            (M::AnswerBeforeDurable, 50),
            (M::AckBeforeDurable, 50),
            (M::ForgetPrepared, 50),
            (M::ForgetCommitted, 50),
            (M::ForgetAfterFirstAck, 50),
            (M::AbortOnInquiry, 200),
            (M::CommitOnFewerVotes, 50),
            (M::AbortPrepared, 50),
            (M::YesAfterLoss, 500),
            (M::LastStayCounts, 500),
            (M::NoFence, 800),
            (M::OnePhaseForgotten, 500),
            (M::OnePhasePresumed, 200),
            (M::ReleaseWithoutTimestamp, 500),
            (M::ReadReleasesAtVote, 500),
            (M::NoWindowCheck, 500),
            (M::OracleRestartsLow, 500),
            (M::LowWaterAhead, 500),
            (M::RejoinsAsNew, 200),
        ];
        #[cfg(feature = "mutants")]
        let list = {
            let mut list = list;
            list.extend(synod_coordinator::Mutant::ALL.map(|m| (M::Coordinator(m), 2_000)));
            list.extend(synod_shard::Mutant::ALL.map(|m| (M::Shard(m), 2_000)));
            list
        };
        list
    }

    /// The way of dealing with deadlocks that it belongs to, if it is one's own.
    pub fn scheme(self) -> Option<Scheme> {
        match self {
            #[cfg(feature = "mutants")]
            Mutation::Coordinator(synod_coordinator::Mutant::NoConfirmation) => Some(Scheme::Graph),
            #[cfg(feature = "mutants")]
            Mutation::Shard(mutant) => match mutant {
                synod_shard::Mutant::ConfirmsUnseen
                | synod_shard::Mutant::ConfirmIgnoresNumber
                | synod_shard::Mutant::ReportsOnce
                | synod_shard::Mutant::BreaksWhoHasVoted => Some(Scheme::Graph),
                synod_shard::Mutant::OvertakesUnseen | synod_shard::Mutant::VotersUnwounded => {
                    Some(Scheme::WoundWait)
                }
                synod_shard::Mutant::ProbesStop | synod_shard::Mutant::ProbesUnconfirmed => {
                    Some(Scheme::Probes)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// With how many coordinators it is looked for.
    pub fn coordinators(self) -> usize {
        match self {
            #[cfg(feature = "mutants")]
            Mutation::Coordinator(
                synod_coordinator::Mutant::OwnLogOnly
                | synod_coordinator::Mutant::AcceptedByOne
                | synod_coordinator::Mutant::AcceptedUnforced
                | synod_coordinator::Mutant::AcceptedNotSaved
                | synod_coordinator::Mutant::TakesOverNothing
                | synod_coordinator::Mutant::GivesUpUnlogged
                | synod_coordinator::Mutant::DecidedAhead
                | synod_coordinator::Mutant::LeadsUndecided
                | synod_coordinator::Mutant::StateOnceDecided
                | synod_coordinator::Mutant::SavesUndecided
                | synod_coordinator::Mutant::AcceptedByAll
                | synod_coordinator::Mutant::FoundNotTold,
            )
            | Mutation::Shard(
                synod_shard::Mutant::AcceptedByOne | synod_shard::Mutant::RepeatsWithoutM,
            ) => 3,
            Mutation::RejoinsAsNew => 3,
            _ => 1,
        }
    }

    /// Whether it shows where operators decide, and there alone.
    pub fn is_of_operators(self) -> bool {
        match self {
            #[cfg(feature = "mutants")]
            Mutation::Shard(
                synod_shard::Mutant::ResolvedUnforced
                | synod_shard::Mutant::ResolvedForgotten
                | synod_shard::Mutant::MixedUnnoticed
                | synod_shard::Mutant::ResolvedForOutcome,
            ) => true,
            _ => false,
        }
    }

    /// Those that whole clusters show too rarely, and what catches them.
    #[cfg(feature = "mutants")]
    pub fn elsewhere() -> Vec<(Mutation, &'static str)> {
        use synod_coordinator::Mutant as C;
        use synod_shard::Mutant as S;
        let two_phase = "synod-sim core --protocol 2pc --mutants";
        vec![
            (Mutation::Coordinator(C::NoFloor), two_phase),
            (Mutation::Coordinator(C::FreshFloor), two_phase),
            (Mutation::Coordinator(C::RememberedLeavesOracle), two_phase),
            (Mutation::Coordinator(C::BeginsInOldWindow), two_phase),
            (Mutation::Shard(S::InquiryUnmarked), two_phase),
            (Mutation::Shard(S::ForgottenLeavesFloor), two_phase),
            (Mutation::Coordinator(C::ReadersImplicit), two_phase),
            (Mutation::Coordinator(C::DoubtsIgnored), two_phase),
            (Mutation::Coordinator(C::PresumesUnheard), two_phase),
            (Mutation::Coordinator(C::AnswersUnheard), two_phase),
            (Mutation::Coordinator(C::TellerIsLast), two_phase),
            (Mutation::Coordinator(C::ForgottenUnrecorded), two_phase),
            (Mutation::Shard(S::CommitsForgotten), two_phase),
            (Mutation::Shard(S::DoubtsUntold), two_phase),
            (Mutation::Shard(S::ResolvedUntold), two_phase),
            (Mutation::Coordinator(C::AbortedNotSaved), "a test of the coordinator"),
            (Mutation::Coordinator(C::DecidesUnheard), "a test of the coordinator"),
            (Mutation::Coordinator(C::LeadsUnconfirmed), "a test of the coordinator"),
            (Mutation::Coordinator(C::SettledBeforeEnd), "a test of the coordinator"),
            (Mutation::Shard(S::ValidateBelowSafePoint), "a test of the shard"),
            (Mutation::Shard(S::NeverVotesForgotten), "a test of the shard"),
            (Mutation::Shard(S::OlderForgotten), "a test of the shard"),
            (Mutation::Shard(S::RepeatsWithoutM), "a test of the shard"),
            (Mutation::Shard(S::ObeysDeposed), "a test of the shard"),
        ]
    }

    /// The hook in the client library, if it has one.
    #[cfg(feature = "mutants")]
    pub fn of_client(self) -> Option<synod_client::Mutant> {
        (self == Mutation::LastStayCounts).then_some(synod_client::Mutant::LastStayCounts)
    }

    /// The hook in the coordinator, if it is one.
    #[cfg(feature = "mutants")]
    pub fn of_coordinator(self) -> Option<synod_coordinator::Mutant> {
        if let Mutation::Coordinator(mutant) = self { Some(mutant) } else { None }
    }

    /// The hook in the shard, if it is one.
    #[cfg(feature = "mutants")]
    pub fn of_shard(self) -> Option<synod_shard::Mutant> {
        if let Mutation::Shard(mutant) = self { Some(mutant) } else { None }
    }
}

/// What mutations remember.
#[derive(Debug, Default)]
pub struct Notes {
    /// READ voters.
    readers: BTreeSet<(TxnId, usize)>,
    /// Votes that are needed, and those that are in.
    votes: BTreeMap<TxnId, (Vec<ShardId>, BTreeSet<usize>, Timestamp)>,
    /// Transactions whose COMMIT has arrived.
    begun: BTreeSet<TxnId>,
}

impl World {
    pub(super) fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Whether messages are checked against what is durable. A mutant that lies
    /// about just that is to be caught by its consequences.
    pub(super) fn checks_messages(&self) -> bool {
        self.mutation.is_none()
    }

    /// When a message may leave.
    pub(super) fn mutate_lsn(&self, lsn: Lsn, send: &Send) -> Lsn {
        use CommitMessage as C;
        let early = match &send.message {
            Message::Commit(C::Vote { .. } | C::OnePhaseDone { .. }) => {
                self.is(Mutation::VoteBeforeDurable)
            }
            Message::Commit(C::Ack { .. }) => self.is(Mutation::AckBeforeDurable),
            _ => false,
        };
        if early { Lsn(0) } else { lsn }
    }

    /// Lies about how far the log is durable, right after it was written.
    pub(super) fn mutate_appended(&mut self, index: usize, last: Lsn) -> Check {
        if index == 0 && self.is(Mutation::AnswerBeforeDurable) {
            return self.feed(0, Event::Durable(last));
        }
        Ok(())
    }

    /// Which records a restart does not see.
    pub(super) fn forgets_records(&self) -> impl Fn(usize, &Recovered<'_>) -> bool + use<> {
        let mutation = self.mutation;
        move |index, recovered| {
            let Recovered::Record(_, bytes) = recovered else { return false };
            let fact = parse(index, bytes);
            match mutation {
                Some(Mutation::ForgetPrepared) => {
                    matches!(fact, Ok(Fact::Shard(synod_shard::Record::Prepared(_))))
                }
                Some(Mutation::ForgetCommitted) => {
                    use synod_coordinator::Record;
                    matches!(fact, Ok(Fact::Coordinator(Record::Committed { .. })))
                }
                Some(Mutation::OracleRestartsLow) => {
                    use synod_coordinator::Record;
                    matches!(fact, Ok(Fact::Coordinator(Record::Window { .. })))
                }
                _ => false,
            }
        }
    }

    /// Changes a message before it leaves.
    pub(super) fn mutate_send(&mut self, from: usize, mut send: Send) -> Result<Send, String> {
        let Some(mutation) = self.mutation else { return Ok(send) };
        if let Message::Commit(message) = &mut send.message {
            self.mutate_commit(mutation, from, send.to, message)?;
        }
        Ok(send)
    }

    fn mutate_commit(
        &mut self,
        mutation: Mutation,
        from: usize,
        to: Peer,
        message: &mut CommitMessage,
    ) -> Check {
        use CommitMessage as C;
        let target = super::server::index(to).unwrap_or_default();
        match (mutation, message) {
            (Mutation::Canary, C::Decide { decision: decision @ Decision::Commit(_), .. }) => {
                *decision = Decision::Abort;
            }
            (Mutation::OnePhaseForgotten, C::OnePhaseOutcomes { outcomes, .. }) => {
                *outcomes = Bytes::new();
            }
            (Mutation::OnePhaseForgotten, C::Join { remembered, .. }) => *remembered = 0,
            (Mutation::ReadReleasesAtVote, C::Vote { txn, vote: Vote::Read(_) }) => {
                let decide = C::Decide { txn: *txn, decision: Decision::Abort };
                self.inject(from, peer(0), decide)?;
            }
            (Mutation::ReleaseWithoutTimestamp, C::Vote { txn, vote: Vote::Read(_) }) => {
                self.notes.readers.insert((*txn, from));
            }
            (Mutation::ReleaseWithoutTimestamp, C::Release { txn, at })
                if self.notes.readers.contains(&(*txn, target)) =>
            {
                *at = Timestamp::ZERO;
            }
            (Mutation::NoWindowCheck, C::Prepare { hi, .. } | C::CommitOnePhase { hi, .. }) => {
                *hi = Timestamp::MAX;
            }
            (
                Mutation::LowWaterAhead,
                C::Prepare { h, low_water, .. } | C::CommitOnePhase { h, low_water, .. },
            ) => *low_water = *h,
            (
                Mutation::YesAfterLoss,
                C::Prepare { txn, incarnation, .. } | C::CommitOnePhase { txn, incarnation, .. },
            ) => {
                let Some(shard) = self.servers[target].core.as_ref().and_then(|core| core.shard())
                else {
                    return Ok(());
                };
                if !shard.known().any(|known| known == *txn) {
                    *incarnation = None;
                }
            }
            (Mutation::CommitOnFewerVotes, C::Prepare { txn, participants, h, .. }) => {
                let entry = (participants.clone(), BTreeSet::new(), *h);
                self.notes.votes.insert(*txn, entry);
            }
            (Mutation::AbortPrepared, C::Vote { txn, vote: Vote::Yes(_) })
                if self.rng.chance(1_000) =>
            {
                let decide = C::Decide { txn: *txn, decision: Decision::Abort };
                self.inject(from, peer(0), decide)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Changes a message, or what happens, when it arrives. None if it is gone.
    pub(super) fn mutate_arrival(
        &mut self,
        to: usize,
        from: Peer,
        sender: Node,
        request: RequestId,
        message: Message,
    ) -> Result<Option<Message>, String> {
        use CommitMessage as C;
        let Some(mutation) = self.mutation else { return Ok(Some(message)) };
        match (mutation, &message) {
            (_, Message::ClientRequest(ClientRequest::Commit { txn, .. })) => {
                self.notes.begun.insert(*txn);
            }
            (Mutation::NoFence, Message::ClientRequest(ClientRequest::Outcome { txn }))
                if !self.notes.begun.contains(txn) =>
            {
                let outcome = ClientReply::Outcome(Outcome::Aborted(Reason::Presumed));
                let message = outcome.into();
                self.send(to, Send { to: from, request, message })?;
                return Ok(None);
            }
            (Mutation::AbortOnInquiry, Message::Commit(C::Inquire { txn }))
                if !self.ledger.committed.contains_key(txn) =>
            {
                let decide = C::Decide { txn: *txn, decision: Decision::Abort };
                let request = RequestId::default();
                self.send(to, Send { to: from, request, message: decide.into() })?;
                return Ok(None);
            }
            (Mutation::OnePhasePresumed, Message::Commit(C::InquireOnePhase { txn, .. })) => {
                let vote = Vote::No(Reason::Presumed);
                self.inject(0, peer(to), C::OnePhaseDone { txn: *txn, vote })?;
                return Ok(None);
            }
            (Mutation::ForgetAfterFirstAck, Message::Commit(C::Ack { txns })) => {
                for shard in 1..self.servers.len() {
                    self.inject(0, peer(shard), C::Ack { txns: txns.clone() })?;
                }
            }
            (Mutation::CommitOnFewerVotes, Message::Commit(C::Vote { txn, vote }))
                if !matches!(vote, Vote::No(_)) =>
            {
                let Node::Server(voter) = sender else { return Ok(Some(message)) };
                if let Some((needed, voted, h)) = self.notes.votes.get_mut(txn) {
                    voted.insert(voter);
                    let missing: Vec<usize> = needed
                        .iter()
                        .map(|shard| usize::from(shard.0))
                        .filter(|shard| !voted.contains(shard))
                        .collect();
                    if let [last] = missing[..] {
                        let vote = Vote::Yes(*h);
                        self.inject(0, peer(last), C::Vote { txn: *txn, vote })?;
                    }
                }
            }
            _ => {}
        }
        Ok(Some(message))
    }

    /// Hands a message to a core that nobody sent.
    fn inject(&mut self, to: usize, from: Peer, message: CommitMessage) -> Check {
        let request = RequestId::default();
        let server = &mut self.servers[to];
        let Some(core) = &mut server.core else { return Ok(()) };
        let event = Event::Message { from, request, message: message.into() };
        core.handle(server.clock.now(self.time), event, &mut server.out);
        if !server.flush_due {
            server.flush_due = true;
            let life = server.life;
            self.after(0, super::world::Happening::Flush(to, life));
        }
        Ok(())
    }
}
