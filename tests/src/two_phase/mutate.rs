//! Deliberate bugs in what servers say to each other.

use bytes::Bytes;
use synod_common::error::Reason;
use synod_common::id::{RequestId, ShardId};
use synod_common::message::client::Outcome;
use synod_common::message::commit::{Decision, Vote};
use synod_common::message::{ClientReply, ClientRequest, CommitMessage, Message};
use synod_common::node::Event;
use synod_common::time::Timestamp;

use super::bug::Bug;
use super::net::{CLIENT, COORDINATOR, Letter, MOST_SHARDS, peer};
use super::world::World;

/// What bugs remember.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Of each transaction the shards that have voted READ.
    readers: [u8; super::client::MOST],
    /// And those that have voted.
    voted: [u8; super::client::MOST],
    /// And those that were asked.
    asked: [Vec<ShardId>; super::client::MOST],
    h: [Timestamp; super::client::MOST],
    /// Whether its COMMIT has arrived.
    begun: [bool; super::client::MOST],
}

impl World {
    /// Changes a message before it leaves.
    pub(super) fn mutate_sent(&mut self, bug: Bug, letter: &mut Letter) -> Result<(), String> {
        use CommitMessage as C;
        let Letter { from, to, message: Message::Commit(message), .. } = letter else {
            return Ok(());
        };
        let (from, to) = (*from, *to);
        let number = message.txn().and_then(|txn| self.client.number(txn));
        match (bug, message) {
            (Bug::OnePhaseForgotten, C::OnePhaseOutcomes { outcomes, .. }) => {
                *outcomes = Bytes::new();
            }
            (Bug::OnePhaseForgotten, C::Join { remembered, .. }) => *remembered = 0,
            (Bug::ReadReleasesAtVote, C::Vote { txn, vote: Vote::Read(_) }) => {
                let decide = C::Decide { txn: *txn, decision: Decision::Abort };
                return self.inject(from, COORDINATOR, decide);
            }
            (Bug::ReleaseWithoutTimestamp, C::Vote { vote: Vote::Read(_), .. }) => {
                let Some(number) = number else { return Ok(()) };
                self.notes.readers[number] |= 1 << from;
            }
            (Bug::ReleaseWithoutTimestamp, C::Release { at, .. }) => {
                let Some(number) = number else { return Ok(()) };
                if self.notes.readers[number] >> to & 1 == 1 {
                    *at = Timestamp::ZERO;
                }
            }
            (Bug::NoWindowCheck, C::Prepare { hi, .. } | C::CommitOnePhase { hi, .. }) => {
                *hi = Timestamp::MAX;
            }
            (
                Bug::LowWaterAhead,
                C::Prepare { h, low_water, .. } | C::CommitOnePhase { h, low_water, .. },
            ) => *low_water = *h,
            (
                Bug::YesAfterLoss,
                C::Prepare { txn, incarnation, .. } | C::CommitOnePhase { txn, incarnation, .. },
            ) => {
                let shard = self.servers[to].shard();
                if shard.is_some_and(|shard| !shard.known().any(|known| known == *txn)) {
                    *incarnation = None;
                }
            }
            (Bug::CommitOnFewerVotes, C::Prepare { participants, h, .. }) => {
                let Some(number) = number else { return Ok(()) };
                self.notes.asked[number].clone_from(participants);
                self.notes.h[number] = *h;
            }
            (Bug::AbortPrepared, C::Vote { txn, vote: Vote::Yes(_) }) if self.rng.chance(1_000) => {
                let decide = C::Decide { txn: *txn, decision: Decision::Abort };
                return self.inject(from, COORDINATOR, decide);
            }
            _ => {}
        }
        Ok(())
    }

    /// Changes a message, or what happens, when it arrives. False if it is gone.
    pub(super) fn mutate_arrival(&mut self, bug: Bug, letter: &mut Letter) -> Result<bool, String> {
        use CommitMessage as C;
        let (from, to) = (letter.from, letter.to);
        if let Message::ClientRequest(request) = &letter.message {
            return self.mutate_request(bug, letter.request, &request.clone());
        }
        let Message::Commit(message) = &mut letter.message else { return Ok(true) };
        let number = message.txn().and_then(|txn| self.client.number(txn));
        match (bug, message) {
            (Bug::Canary, C::Decide { decision: decision @ Decision::Commit(_), .. })
                if to == 1 =>
            {
                *decision = Decision::Abort;
            }
            (Bug::AbortOnInquiry, C::Inquire { txn }) => {
                let txn = *txn;
                if number.is_some_and(|number| !self.check.is_committed(number)) {
                    let message = C::Decide { txn, decision: Decision::Abort }.into();
                    let request = RequestId::default();
                    self.net.post(Letter { from: to, to: from, request, message });
                    return Ok(false);
                }
            }
            (Bug::OnePhasePresumed, C::InquireOnePhase { txn, .. }) => {
                let done = C::OnePhaseDone { txn: *txn, vote: Vote::No(Reason::Presumed) };
                self.inject(COORDINATOR, to, done)?;
                return Ok(false);
            }
            (Bug::ForgetAfterFirstAck, C::Ack { txns }) => {
                for shard in 1..=MOST_SHARDS {
                    self.inject(COORDINATOR, shard, C::Ack { txns: txns.clone() })?;
                }
            }
            (Bug::CommitOnFewerVotes, C::Vote { txn, vote: Vote::Yes(_) | Vote::Read(_) }) => {
                let Some(number) = number else { return Ok(true) };
                self.notes.voted[number] |= 1 << from;
                let voted = self.notes.voted[number];
                let asked = self.notes.asked[number].iter();
                let missing: Vec<ShardId> =
                    asked.filter(|shard| voted >> shard.0 & 1 == 0).copied().collect();
                if let [last] = missing[..] {
                    let vote = C::Vote { txn: *txn, vote: Vote::Yes(self.notes.h[number]) };
                    self.inject(COORDINATOR, usize::from(last.0), vote)?;
                }
            }
            _ => {}
        }
        Ok(true)
    }

    fn mutate_request(
        &mut self,
        bug: Bug,
        request: RequestId,
        asked: &ClientRequest,
    ) -> Result<bool, String> {
        match asked {
            ClientRequest::Commit { txn, .. } => {
                if let Some(number) = self.client.number(*txn) {
                    self.notes.begun[number] = true;
                }
            }
            ClientRequest::Outcome { txn } if bug == Bug::NoFence => {
                let begun = self.client.number(*txn).is_some_and(|it| self.notes.begun[it]);
                if !begun {
                    let outcome = ClientReply::Outcome(Outcome::Aborted(Reason::Presumed));
                    let (from, to, message) = (COORDINATOR, CLIENT, outcome.into());
                    let letter = Letter { from, to, request, message };
                    self.check.told(&letter)?;
                    self.net.post(letter);
                    return Ok(false);
                }
            }
            _ => {}
        }
        Ok(true)
    }

    /// A server hears what nobody has said.
    fn inject(&mut self, to: usize, from: usize, message: CommitMessage) -> Result<(), String> {
        let (request, message) = (RequestId::default(), message.into());
        self.happens(to, Event::Message { from: peer(from), request, message })
    }
}
