//! Paxos Commit: what this member accepts, and who else does (`crate::paxos`).

use bytes::Bytes;
use synod_common::id::{CoordinatorId, Epoch, Peer, RequestId, ShardId, TxnId};
use synod_common::message::bulk::List;
use synod_common::message::paxos::Bundle;
use synod_common::message::{GroupMessage, Message, PaxosMessage};
use synod_common::node::{Event, Lsn, Output, Send};
use synod_common::refusal::Refusal;
use synod_common::time::Now;

use super::Member;
use crate::group::Promise;
use crate::mutant::mutated;
use crate::paxos::Answer;
use crate::paxos::takeover::Found;
use crate::record::Record;

impl Member {
    /// Whether the core counts a proposal, and hands all of them to the acceptor at once.
    pub(super) fn counts(&self, message: &PaxosMessage) -> bool {
        let me = self.core.settings.id;
        self.leading && matches!(message, PaxosMessage::Propose { leader, .. } if *leader == me)
    }

    /// A participant proposes its vote.
    pub(super) fn proposed(&mut self, shard: ShardId, message: &PaxosMessage, out: &mut Output) {
        let PaxosMessage::Propose { txn, h, leader, participants, vote, tell } = message else {
            return;
        };
        if self.replica.is_rejoining() {
            return;
        }
        if !self.replica.may_be(txn.session.epoch) {
            return out.refuse(Peer::Shard(shard), Refusal::EpochOutOfBounds);
        }
        let promised = self.replica.promise().epoch;
        let vote = (shard, vote);
        let answer = self.acceptor.propose(promised, (*txn, *h), participants, vote);
        if answer == Answer::Stale {
            out.refuse(Peer::Shard(shard), Refusal::OldEpoch);
        }
        let told = if *tell { &participants[..] } else { &[] };
        self.accept(*txn, (*leader, told), answer, out);
    }

    /// The leader has all votes.
    pub(super) fn forwarded(&mut self, leader: CoordinatorId, bundle: Bundle, out: &mut Output) {
        if self.replica.is_rejoining() {
            return;
        }
        let (txn, from) = (bundle.txn, Peer::Coordinator(leader));
        if !self.replica.may_be(txn.session.epoch) {
            return out.refuse(from, Refusal::EpochOutOfBounds);
        }
        let answer = self.acceptor.forward(self.replica.promise().epoch, bundle);
        if answer == Answer::Stale {
            out.refuse(from, Refusal::OldEpoch);
        }
        self.accept(txn, (leader, &[]), answer, out);
    }

    /// Tells the leader, and these participants, once it is durable.
    fn accept(
        &mut self,
        txn: TxnId,
        (leader, told): (CoordinatorId, &[ShardId]),
        answer: Answer,
        out: &mut Output,
    ) {
        let (lsn, at) = match answer {
            Answer::Nothing => return,
            Answer::Stale => return self.tell_stale(leader, out),
            Answer::Accept(bundle) if mutated!(self.core, AcceptedUnforced) => {
                let at = bundle.at;
                out.append(&Record::Accepted(bundle));
                (Lsn::default(), at)
            }
            Answer::Accept(bundle) => {
                let at = bundle.at;
                (out.force(&Record::Accepted(bundle)), at)
            }
            Answer::Again(at) => (out.last_lsn(), at),
        };
        if leader == self.core.settings.id {
            return self.accepting.push_back((lsn, txn, at));
        }
        let to = told.iter().map(|shard| Peer::Shard(*shard));
        for to in to.chain([Peer::Coordinator(leader)]) {
            out.send_after(lsn, to, RequestId::default(), PaxosMessage::Accepted { txn, at });
        }
    }

    /// Who counts the votes of an epoch that is over leads no more.
    fn tell_stale(&self, leader: CoordinatorId, out: &mut Output) {
        if leader != self.core.settings.id {
            let stale = GroupMessage::Stale { epoch: self.replica.promise().epoch };
            out.send(Peer::Coordinator(leader), RequestId::default(), stale);
        }
    }

    /// What it has accepted for itself is durable up to here.
    pub(super) fn accepted(&mut self, now: Now, lsn: Lsn) {
        while self.accepting.front().is_some_and(|(until, ..)| *until <= lsn) {
            let Some((_, txn, at)) = self.accepting.pop_front() else { return };
            if self.leading {
                let from = Peer::Coordinator(self.core.settings.id);
                let message = PaxosMessage::Accepted { txn, at }.into();
                let event = Event::Message { from, request: RequestId::default(), message };
                self.core.handle(now, event, &mut self.inner);
            }
        }
    }

    /// A member that has promised the epoch had accepted this before.
    pub(super) fn found(&mut self, from: CoordinatorId, epoch: Epoch, accepted: &Bytes) {
        let promised = Promise { epoch, to: Some(self.core.settings.id) };
        let late = self.leading || self.replica.promise() != promised;
        if late || self.address(from).is_none() {
            return;
        }
        if self.found.0 != epoch {
            self.found = (epoch, Found::default());
        }
        let bundles = List::read(accepted).map_while(Result::ok);
        bundles.for_each(|bundle| self.found.1.add(bundle));
    }

    /// Votes are accepted by the leader, and by as few others as it takes.
    pub(super) fn choose_acceptors(&mut self, now: Now) {
        if self.leading {
            let (heard, has_room) = (self.replica.heard(now.mono), self.acceptor.has_room());
            self.core.choose_acceptors(now, &heard, has_room, &mut self.inner);
        }
    }

    /// What the core says leaves, but for what it says to itself.
    pub(super) fn send_from_core(&mut self, out: &mut Output) {
        let me = self.core.settings.id;
        let is_own = |send: &Send| {
            let forwards = matches!(send.message, Message::Paxos(PaxosMessage::Forward(_)));
            forwards && send.to == Peer::Coordinator(me)
        };
        // Mostly nothing is, and all leaves at once.
        if !self.inner.sends.iter().any(is_own) {
            return out.sends.append(&mut self.inner.sends);
        }
        for send in std::mem::take(&mut self.inner.sends) {
            match send.message {
                Message::Paxos(PaxosMessage::Forward(bundle))
                    if send.to == Peer::Coordinator(me) =>
                {
                    self.forwarded(me, bundle, out);
                }
                _ => out.sends.push(send),
            }
        }
    }
}
