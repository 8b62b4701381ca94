//! Paxos Commit: the participant's side. It votes as in two-phase commit, and waits for the
//! decision as there; but its YES or READ is a proposal to several acceptors, of which the
//! coordinator is one, and no coordinator that dies takes it along.
//!
//! ```text
//!   s1 ──Propose: YES(m)──▶ c1, the leader
//!      ──Propose: YES(m)──▶ c2
//!      ◀──────COMMIT(ts)── whoever leads then
//! ```
//!
//! In the faster form the acceptors tell it, too: when all that it was told of have accepted, the
//! transaction is committed. The leader is one of them, and tells nobody before it has all
//! votes; from then on it does not give the transaction up. What a leader that is gone has not
//! told is asked of the next one.
//!
//! ```text
//!   s1 ◀──Accepted(ts)── c1, the leader
//!      ◀──Accepted(ts)── c2                both: committed at ts
//! ```
//!
//! It proposes one value only, whatever is resent: the one of its record, or none after a
//! crash that has left no record. A NO goes to the coordinator alone: who misses one vote can
//! accept nothing. So a NO must be true: a READ leaves no record, and who may have lost one in a
//! crash says nothing when it is asked again. The coordinator gives up through its log.

use synod_common::commit::Protocol;
use synod_common::id::{CoordinatorId, Peer, TxnId};
use synod_common::message::commit::{Decision, Vote};
use synod_common::message::{CommitMessage, Message, PaxosMessage};
use synod_common::node::Output;
use synod_common::time::Timestamp;

use super::{Preparing, Stage};
use crate::mutant::mutated;
use crate::shard::Shard;

impl Preparing {
    /// A vote of YES or READ, for everybody who must have it.
    pub(super) fn votes(&self, txn: TxnId, vote: &Vote) -> Vec<(Peer, Message)> {
        let (h, leader) = (self.h, self.coordinator);
        if self.acceptors.is_empty() {
            let vote = CommitMessage::Vote { txn, vote: vote.clone() };
            return vec![(Peer::Coordinator(leader), vote.into())];
        }
        let proposal = |acceptor: &_| {
            let (participants, vote) = (self.participants.clone(), vote.clone());
            let tell = self.is_faster();
            let propose = PaxosMessage::Propose { txn, h, leader, participants, vote, tell };
            (Peer::Coordinator(*acceptor), propose.into())
        };
        self.acceptors.iter().map(proposal).collect()
    }

    /// Who is to tell that the votes are accepted.
    pub(super) fn awaited(&self) -> Vec<CoordinatorId> {
        if self.is_faster() { self.acceptors.clone() } else { Vec::new() }
    }

    fn is_faster(&self) -> bool {
        self.terms.protocol == Protocol::FasterPaxosCommit
    }
}

impl Shard {
    /// An acceptor has accepted the votes of all participants.
    pub(crate) fn votes_accepted(
        &mut self,
        acceptor: CoordinatorId,
        (txn, at): (TxnId, Timestamp),
        out: &mut Output,
    ) {
        let by_one = mutated!(self, AcceptedByOne);
        let (m, awaited) = match self.txns.get_mut(&txn).map(|known| &mut known.stage) {
            Some(Stage::Prepared { record, awaited, .. }) => (record.m, awaited),
            Some(Stage::ReadVoted { m, awaited, .. }) => (*m, awaited),
            Some(Stage::Active | Stage::Preparing(_) | Stage::OnePhase { .. }) | None => return,
        };
        // Nothing commits below a vote.
        if at < m {
            return;
        }
        let before = awaited.len();
        awaited.retain(|awaited| *awaited != acceptor);
        if before > awaited.len() && (awaited.is_empty() || by_one) {
            self.decide(txn, Decision::Commit(at), out);
        }
    }

    /// Whether it may have proposed a vote that it knows nothing of any more: all votes may be
    /// accepted somewhere.
    pub(super) fn may_have_proposed(&self, txn: TxnId, preparing: &Preparing) -> bool {
        let voted = match self.txns.get(&txn).map(|known| &known.stage) {
            Some(Stage::Prepared { .. } | Stage::ReadVoted { .. }) => true,
            Some(Stage::Active | Stage::Preparing(_) | Stage::OnePhase { .. }) | None => false,
        };
        !preparing.acceptors.is_empty() && !voted && self.may_be_forgotten(preparing.h)
    }
}
