//! How a leader that is deposed learns of it from those who follow a later one.
//!
//! | as      | on                                     | do                              |
//! |---------|----------------------------------------|---------------------------------|
//! | Leading | a shard speaks of a later epoch: STALE, JOIN, or about a transaction of it | stop, and start anew |
//! | Leading | of one that no epoch can have reached  | nothing                         |
//! | alone   | of a later one                         | nothing: nobody can have led it |
//!
//! A shard follows only who has led, so its word is as good as that of a member. Nothing is
//! answered, and what the shard wanted it will say to the other leader.

use synod_common::id::{Epoch, Peer};
use synod_common::message::{CommitMessage, Message};
use synod_common::node::Output;
use synod_common::refusal::Refusal;
use synod_common::time::Now;

use super::Member;
use crate::group::replica::Step;

impl Member {
    /// Writes down why a message was not obeyed.
    pub(super) fn refuse(&self, from: Peer, step: &Step, out: &mut Output) {
        if let Some(why) = step.refused {
            out.refuse(from, why);
        }
    }

    /// Whether a shard follows a leader of a later epoch than the one that this member leads.
    pub(super) fn follows_later(&self, message: &Message) -> bool {
        let led = self.replica.promise().epoch;
        self.replica.leads() && epoch_of(message).is_some_and(|epoch| epoch > led)
    }

    /// It does.
    pub(super) fn deposed(&mut self, now: Now, from: Peer, message: &Message, out: &mut Output) {
        let Some(epoch) = epoch_of(message).filter(|_| !self.core.is_alone()) else {
            return out.refuse(from, Refusal::EpochOutOfBounds);
        };
        let step = self.replica.hear_of_leader(epoch);
        self.refuse(from, &step, out);
        self.carry_out(now, step, out);
    }
}

/// The epoch of the leader of whom a shard speaks.
fn epoch_of(message: &Message) -> Option<Epoch> {
    match message {
        Message::Commit(CommitMessage::Join { epoch, .. } | CommitMessage::Stale { epoch }) => {
            Some(*epoch)
        }
        Message::Commit(message) => message.txn().map(|txn| txn.session.epoch),
        Message::Site(message) => Some(message.txn.session.epoch),
        _ => None,
    }
}
