//! **I6** No message that implies durability leaves before the log is durable that
//! far. **I19** Timestamps leave in increasing order, below a durable window.
//!
//! Source: the force rules of Mohan, Lindsay, Obermarck (1986), §2 and §3.1. What is
//! durable is read off the log records themselves.

use synod_common::message::bulk::{List, OnePhaseOutcome};
use synod_common::message::client::Outcome;
use synod_common::message::commit::{Decision, Knows, Vote, Voted};
use synod_common::message::{ClientReply, CommitMessage, Message};
use synod_common::time::Timestamp;

use super::{Check, decision, sites};
use crate::sim::ledger::Ledger;

/// The newest timestamp that was handed out.
#[derive(Debug, Default)]
pub struct HandedOut(Timestamp, bool);

impl HandedOut {
    /// By several coordinators. Of two that were handed out at the same time the larger may
    /// leave first; what was answered before another was asked for is checked with I20.
    pub fn by_group() -> HandedOut {
        HandedOut(Timestamp::ZERO, true)
    }

    /// Called with every message that leaves a server.
    pub fn check(&mut self, message: &Message) -> Check {
        let (Message::ClientReply(ClientReply::Timestamp(at))
        | Message::ClientReply(ClientReply::SessionOpened { now: at, .. })) = message
        else {
            return Ok(());
        };
        match std::mem::replace(&mut self.0, *at) {
            before if before < *at || self.1 => Ok(()),
            before => Err(format!("I19: {at} is handed out after {before}")),
        }
    }
}

/// Called with every message that leaves a server, unless something about that is broken on
/// purpose.
pub fn check(ledger: &mut Ledger, server: usize, message: &Message) -> Check {
    let facts = &ledger.servers[server];
    let fine = match message {
        Message::ClientReply(ClientReply::SessionOpened { session, now, .. }) => {
            session.epoch <= ledger.epoch && *now < ledger.hi
        }
        Message::ClientReply(ClientReply::Timestamp(at)) => *at < ledger.hi,
        Message::ClientReply(ClientReply::Outcome(Outcome::Committed(at))) => *at < ledger.hi,
        Message::Commit(message) => match message {
            CommitMessage::Vote { txn, vote: Vote::Yes(m) } => facts.prepared.get(txn) == Some(m),
            CommitMessage::OnePhaseDone { txn, vote: Vote::Yes(m) } => {
                let fine = facts.one_phase.get(txn) == Some(m);
                let (txn, m) = (*txn, *m);
                decision::check(ledger, txn, m)?;
                fine
            }
            CommitMessage::OnePhaseOutcomes { outcomes, .. } => {
                List::<OnePhaseOutcome>::read(outcomes)
                    .map_while(Result::ok)
                    .all(|outcome| facts.one_phase.get(&outcome.txn).copied() == outcome.committed)
            }
            CommitMessage::Voted { txns, .. } => {
                List::<Voted>::read(txns).map_while(Result::ok).all(|voted| match voted.knows {
                    Knows::InDoubt(m) => facts.prepared.get(&voted.txn) == Some(&m),
                    Knows::Committed(at) => facts.committed.get(&voted.txn) == Some(&at),
                })
            }
            CommitMessage::Ack { txns } => txns.iter().all(|txn| facts.committed.contains_key(txn)),
            CommitMessage::Decide { txn, decision: Decision::Commit(at) } => {
                let fine = ledger.committed.get(txn) == Some(at);
                let (txn, at) = (*txn, *at);
                decision::check(ledger, txn, at)?;
                fine
            }
            CommitMessage::Release { txn, at } => {
                let (txn, at) = (*txn, *at);
                decision::check(ledger, txn, at)?;
                at < ledger.hi
            }
            CommitMessage::Prepare { h, hi, .. } | CommitMessage::CommitOnePhase { h, hi, .. } => {
                h < hi && *hi <= ledger.hi
            }
            CommitMessage::SafePoint { at } => *at <= ledger.safe_point,
            CommitMessage::Welcome { epoch, floor, .. } => {
                *epoch <= ledger.epoch && *floor <= ledger.hi
            }
            _ => true,
        },
        Message::Site(message) => sites::is_durable(ledger, server, message),
        _ => true,
    };
    if fine { Ok(()) } else { Err(format!("I6: sent before it was durable: {message:?}")) }
}
