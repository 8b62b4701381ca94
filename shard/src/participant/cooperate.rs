//! Cooperative termination: whoever is in doubt asks the other participants, too, while
//! there is no coordinator to ask.
//!
//! ```text
//!   coordinator ─COMMIT─▶ s1          s1: committed
//!        ✕ gone before    s2          s2: has voted YES, and hears nothing
//!
//!   s2 ──Inquire──▶ s1                s1 ──Decided: commit──▶ s2
//! ```
//!
//! | asked about one that      | and the coordinator is | do                              |
//! |---------------------------|------------------------|---------------------------------|
//! | is decided, and known     | –                      | tell                            |
//! | has voted YES or READ here| –                      | nothing: it is in doubt, too    |
//! | may be forgotten here     | –                      | nothing: that is no abort       |
//! | has been voted NO on here | –                      | tell: aborted                   |
//! | has not voted here        | reachable              | nothing: it will be decided     |
//! | has not voted here        | gone                   | make sure that it never will, then tell: aborted |
//!
//! If all participants have voted, and none has heard the decision, they stay blocked
//! until the coordinator is back: that is what two-phase commit can not do better.
//!
//! *Not voted, or forgotten?* What is over is remembered until the low-water mark has
//! passed it, or until a restart; and after a restart the floor begins above every `h`
//! from before, once it is welcomed. So one whose `h` is above both marks, and of which
//! no vote is known, has never voted here. Below them nothing that is found counts: a
//! late message may have begun a transaction again that had committed here before, and
//! a late PREPARE of it is voted NO on. (The same holds for "it never will" as for a
//! vote of NO: it is remembered, and after a restart the floor refuses it.)
//!
//! The coordinator that told the decision had the oracle past it before, and every
//! later one begins above the window that it lies in: so it may be told on.
//!
//! A shard that restarts while there is no coordinator serves nobody, but it asks and
//! tells: where the others are it knows from its log.
//!
//! Source: Bernstein, Hadzilacos, Goodman, *Concurrency Control and Recovery in Database
//! Systems* (1987), §7.4, the cooperative termination protocol. Departure: who has not
//! voted goes by itself only if it, too, misses the coordinator.

use std::collections::VecDeque;

use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, ShardId, TxnId};
use synod_common::message::PeerMessage;
use synod_common::message::commit::Decision;
use synod_common::node::Output;
use synod_common::time::Timestamp;

use super::Stage;
use crate::mutant::mutated;
use crate::over::End;
use crate::shard::Shard;

/// So many decisions are remembered for others, of about 50 bytes each.
const REMEMBERED: usize = 10_000;

/// The newest decisions that were carried out here. [`Over`](crate::over::Over) forgets
/// as soon as no message can begin a transaction again, and that is too soon for others.
#[derive(Clone, Debug, Default)]
pub struct Decided(VecDeque<(TxnId, Decision)>);

impl Decided {
    /// A decision was carried out.
    pub fn insert(&mut self, txn: TxnId, decision: Decision) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((txn, decision));
    }

    fn get(&self, txn: TxnId) -> Option<Decision> {
        self.0.iter().rev().find(|(known, _)| *known == txn).map(|(_, decision)| *decision)
    }
}

impl Shard {
    /// Asks the other participants about a transaction that has voted here, as there is no
    /// coordinator.
    pub(super) fn ask_peers(&self, txn: TxnId, out: &mut Output) {
        let (h, participants) = match self.txns.get(&txn).map(|known| &known.stage) {
            Some(Stage::Prepared { record, site: None, .. }) => (record.h, &record.participants),
            // It does more than ask.
            Some(Stage::Prepared { site: Some(_), .. }) => return,
            Some(Stage::ReadVoted { h, participants, .. }) => (*h, participants),
            Some(Stage::Active | Stage::Preparing(_) | Stage::OnePhase { .. }) | None => return,
        };
        for shard in participants.iter().filter(|shard| **shard != self.settings.id) {
            let message = PeerMessage::Inquire { txn, h };
            out.send(Peer::Shard(*shard), RequestId::default(), message);
        }
    }

    /// A message of another participant.
    pub(crate) fn peer_message(&mut self, from: ShardId, message: &PeerMessage, out: &mut Output) {
        match *message {
            PeerMessage::Inquire { txn, h } => {
                if let Some(decision) = self.known_to_peers(txn, h, out) {
                    let message = PeerMessage::Decided { txn, decision };
                    out.send(Peer::Shard(from), RequestId::default(), message);
                }
            }
            PeerMessage::Decided { txn, decision } => self.peer_knows(txn, decision, out),
        }
    }

    /// What another participant may be told about a transaction.
    fn known_to_peers(&mut self, txn: TxnId, h: Timestamp, out: &mut Output) -> Option<Decision> {
        if let Some(decision) = self.decided.get(txn) {
            return Some(decision);
        }
        if let Some(verdict) = self.settled.get(txn) {
            return Some(verdict.into());
        }
        match self.txns.get(&txn).map(|participant| &participant.stage) {
            Some(Stage::Prepared { .. }) if mutated!(self, PeerInDoubtAborts) => {
                Some(Decision::Abort)
            }
            Some(Stage::Prepared { resolved: Some(resolved), .. })
                if mutated!(self, ResolvedForOutcome) =>
            {
                Some(resolved.verdict.into())
            }
            Some(Stage::Prepared { .. } | Stage::ReadVoted { .. } | Stage::OnePhase { .. }) => None,
            // It may have come again after its end.
            _ if self.may_be_forgotten(h) => None,
            // It will be decided.
            _ if self.has_coordinator() && !self.voted_no(txn) => None,
            Some(Stage::Active | Stage::Preparing(_)) => self.never_vote(txn, h, out),
            None => match self.over.get(txn) {
                Some(End::VotedNo(_)) => Some(Decision::Abort),
                Some(End::OnePhase(_) | End::OnePhaseRead(_) | End::OnePhaseNo(_)) => None,
                Some(End::Voted(..) | End::Decided) => None,
                None => self.never_vote(txn, h, out),
            },
        }
    }

    /// Whether it may have voted here without being remembered.
    pub(super) fn may_be_forgotten(&self, h: Timestamp) -> bool {
        !self.was_welcomed() || self.over.is_past(h) || h <= self.born
    }

    fn voted_no(&self, txn: TxnId) -> bool {
        matches!(self.over.get(txn), Some(End::VotedNo(_)))
    }

    /// Makes sure that a transaction without a vote here gets none but NO.
    pub(super) fn never_vote(
        &mut self,
        txn: TxnId,
        h: Timestamp,
        out: &mut Output,
    ) -> Option<Decision> {
        if self.over.is_full() {
            return None;
        }
        if self.txns.contains_key(&txn) {
            self.abort(txn, &Reason::Presumed, out);
        }
        if !mutated!(self, NeverVotesForgotten) {
            self.over.insert(txn, h, End::VotedNo(Reason::Presumed));
        }
        Some(Decision::Abort)
    }

    /// Another participant knows the outcome. It counts only for who is in doubt.
    fn peer_knows(&mut self, txn: TxnId, decision: Decision, out: &mut Output) {
        let in_doubt = match self.txns.get(&txn).map(|participant| &participant.stage) {
            // The vote was counted only if it was durable, and nothing commits below a vote.
            Some(Stage::Prepared { lsn, record, .. }) => match decision {
                Decision::Commit(at) => *lsn <= self.durable && record.m <= at,
                Decision::Abort | Decision::Forgotten => true,
            },
            Some(Stage::ReadVoted { m, .. }) => match decision {
                Decision::Commit(at) => *m <= at,
                Decision::Abort | Decision::Forgotten => true,
            },
            Some(Stage::Active | Stage::Preparing(_) | Stage::OnePhase { .. }) | None => false,
        };
        match decision {
            Decision::Commit(_) | Decision::Abort if in_doubt => {
                self.stats.learned_from_peers += 1;
                self.decide(txn, decision, out);
            }
            // Others can not presume anything.
            Decision::Commit(_) | Decision::Abort | Decision::Forgotten => {}
        }
    }
}
