//! **I25** Whoever has voted learns the outcome within a bounded time, or lets its locks go if it
//! has only read, whoever is gone for good, as long as those who are left, and connected, are
//! enough for the protocol:
//!
//! | it voted  | in                      | enough are                          |
//! |-----------|-------------------------|-------------------------------------|
//! | YES       | Paxos Commit            | most of the coordinators            |
//! | YES       | two-phase               | the same; and all its participants, if all write |
//! | YES       | three-phase             | a quorum of the transaction's sites |
//! | READ      | three-phase             | the same; or too few coordinators   |
//! | READ      | any other               | any                                 |
//! | for all   | one-phase               | most of the coordinators            |
//!
//! And who leads the coordinators has decided within the same time, and been acknowledged by
//! those who are left; unless the transaction needs a site, or the shard that alone decides,
//! that is gone.
//!
//! All coordinators together are one site; it is left if most of them are. Where all
//! write in two-phase commit, a decision that does not stand in their common log may stand in the
//! votes, so a new leader asks all who may have given one. And a coordinator alone is all of
//! them: whoever voted in two phases waits for it.
//!
//! Source: Gray, Lamport, *Consensus on Transaction Commit* (2006), §4, for any F of 2F + 1;
//! Keidar, Dolev, *Increasing the Resilience of Distributed and Replicated Database Systems*
//! (1998), for connected quorums.

use std::collections::BTreeMap;

use synod_common::commit::{Rule, SiteId};
use synod_common::id::{CoordinatorId, Peer, ShardId, TxnId};
use synod_common::message::txns::{CommitStage, ShardStage};

use super::{Check, implicit, sites};
use crate::sim::ledger::Ledger;
use crate::sim::server::peer;

/// It learns it within so many microseconds. Inquiries are up to 5 s apart, and several who
/// lead may be in each other's way.
pub const BOUND: u64 = 20_000_000;

/// Those who are left.
#[derive(Debug, Default)]
pub struct Left {
    /// The shards among them.
    pub shards: Vec<ShardId>,
    /// Whether most of the coordinators are.
    pub coordinators: bool,
}

impl Left {
    /// Whether they are enough for a transaction that is so far on one of the shards.
    pub fn are_enough(&self, ledger: &Ledger, txn: TxnId, stage: &ShardStage) -> bool {
        match stage {
            ShardStage::Prepared { protocol, participants, .. } => match protocol.rule() {
                Some(Rule::Quorum) => self.have_quorum(participants),
                Some(Rule::TimeOut) => false,
                None if implicit::decides(ledger, txn) => {
                    self.coordinators && self.have_all(participants)
                }
                None => self.coordinators,
            },
            ShardStage::ReadVoted { .. } => {
                let sites = ledger.sites.get(&txn).map(|sites| &sites.participants);
                !self.coordinators || sites.is_none_or(|sites| self.have_quorum(sites))
            }
            ShardStage::OnePhase { .. } => self.coordinators,
            ShardStage::Active | ShardStage::Preparing { .. } | ShardStage::Resolved { .. } => {
                false
            }
        }
    }

    /// Whether they are enough for a commit that is so far at the coordinator that leads.
    pub fn are_enough_to_commit(&self, stage: &CommitStage) -> bool {
        match stage {
            // One of an older epoch waits for who has not voted.
            CommitStage::Preparing { missing, .. } => self.have_all(missing),
            CommitStage::Deciding { .. }
            | CommitStage::Accepting { .. }
            | CommitStage::GivingUp { .. } => true,
            CommitStage::PreCommitting { yes, .. } => self.have_quorum(yes),
            CommitStage::OnePhase { shard, .. } => self.shards.contains(shard),
            CommitStage::Committing { unacknowledged, .. } => {
                unacknowledged.iter().any(|shard| self.shards.contains(shard))
            }
        }
    }

    fn have_all(&self, shards: &[ShardId]) -> bool {
        shards.iter().all(|shard| self.shards.contains(shard))
    }

    fn have_quorum(&self, participants: &[ShardId]) -> bool {
        let shards = self.shards.iter().map(|shard| Peer::Shard(*shard));
        let coordinator = self.coordinators.then_some(Peer::Coordinator(CoordinatorId(1)));
        let peers = shards.chain(coordinator);
        let left = peers.filter_map(|peer| SiteId::of(peer, participants)).collect();
        sites::is_quorum(participants, &left)
    }
}

/// Votes and commits without an outcome for which enough are left, by server, and since when.
#[derive(Debug, Default)]
pub struct InDoubt(BTreeMap<(usize, TxnId), u64>);

impl InDoubt {
    /// Called now and then, with all of them.
    pub fn check(&mut self, time: u64, now: impl Iterator<Item = (usize, TxnId)>) -> Check {
        let since = |at| (at, self.0.get(&at).copied().unwrap_or(time));
        self.0 = now.map(since).collect();
        match self.0.iter().find(|(_, since)| time - **since > BOUND) {
            Some(((server, txn), _)) => {
                Err(format!("I25: {} stays in doubt about {txn}", peer(*server)))
            }
            None => Ok(()),
        }
    }

    /// Whether some of them are from then.
    pub fn any_since(&self, time: u64) -> bool {
        self.0.values().any(|since| *since <= time)
    }
}
