//! An acceptor: collects what participants propose, and accepts it when all of it is there.
//!
//! | of a transaction     | on                                      | do                     | then     |
//! |----------------------|-----------------------------------------|------------------------|----------|
//! | any                  | a proposal of an epoch before the promised one | tell the leader of that that it is deposed | the same |
//! | any                  | a proposal below the mark               | nothing                | the same |
//! | unknown              | a proposal, and too much is collected or accepted | nothing      | unknown  |
//! | unknown, collecting  | YES(m), READ(m), not the last           | count                  | collecting |
//! | unknown, collecting  | the last one; all of them, forwarded    | *force* Accepted; tell the leader | accepted |
//! | accepted             | any proposal                            | tell the leader again  | accepted |
//! | unknown              | restart, Accepted in the log            |                        | accepted |
//! | any                  | the mark passes it                      |                        | unknown  |
//!
//! In the faster form the participants are told as well as the leader.
//!
//! A vote is not durable here before all are in: there is nothing that anybody could
//! conclude from fewer.

use std::collections::BTreeMap;
use std::fmt::Debug;

use synod_common::id::{Epoch, ShardId, TxnId};
use synod_common::message::commit::Vote;
use synod_common::message::paxos::Bundle;
use synod_common::time::Timestamp;

use super::mutant::mutated;
use crate::commit::tally::Tally;

/// Participants of all transactions that are collected or accepted at one time. Beyond,
/// nothing is, and from half of it on the leader begins nothing.
const MOST_VOTES: usize = 500_000;

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Nothing,
    /// The epoch of the proposal is over: tell the leader who counts it.
    Stale,
    /// Force this, then tell the leader that it is accepted.
    Accept(Bundle),
    /// Tell the leader again, once all that was forced before is durable; it may commit at
    /// this timestamp.
    Again(Timestamp),
}

/// What one member has collected and accepted.
#[derive(Clone, Debug, Default, Hash)]
pub struct Acceptor {
    instances: BTreeMap<(Timestamp, TxnId), Instance>,
    /// Participants of all of them.
    votes: usize,
    /// What began before this is decided.
    below: Timestamp,
    #[cfg(feature = "mutants")]
    mutant: Option<super::Mutant>,
}

#[derive(Clone, Debug, Hash)]
enum Instance {
    Collecting(Tally),
    Accepted(Bundle),
}

impl Acceptor {
    /// With a deliberate bug.
    #[cfg(feature = "mutants")]
    pub fn mutated(self, mutant: Option<super::Mutant>) -> Acceptor {
        Acceptor { mutant, ..self }
    }

    /// A participant proposes its vote, and this member has promised such an epoch.
    pub fn propose(
        &mut self,
        promised: Epoch,
        (txn, h): (TxnId, Timestamp),
        participants: &[ShardId],
        (shard, vote): (ShardId, &Vote),
    ) -> Answer {
        if self.is_stale(promised, txn) {
            return Answer::Stale;
        }
        if !self.is_open(txn, h, participants.len()) {
            return Answer::Nothing;
        }
        let incomplete = mutated!(self, MissingAccepted);
        let votes = &mut self.votes;
        let instance = self.instances.entry((h, txn)).or_insert_with(|| {
            *votes += participants.len();
            Instance::Collecting(Tally::new(participants))
        });
        match instance {
            Instance::Accepted(bundle) => Answer::Again(bundle.at),
            Instance::Collecting(tally) => {
                if incomplete {
                    let others = participants.iter().filter(|other| **other != shard);
                    others.for_each(|other| _ = tally.count(*other, vote));
                }
                if !tally.count(shard, vote) {
                    return Answer::Nothing;
                }
                let (at, yes, read) = std::mem::replace(tally, Tally::new(&[])).result();
                let bundle = Bundle { txn, h, at, yes, read };
                *instance = Instance::Accepted(bundle.clone());
                Answer::Accept(bundle)
            }
        }
    }

    /// The leader forwards what all participants have proposed.
    pub fn forward(&mut self, promised: Epoch, bundle: Bundle) -> Answer {
        let participants = bundle.yes.len() + bundle.read.len();
        if self.is_stale(promised, bundle.txn) {
            return Answer::Stale;
        }
        if !self.is_open(bundle.txn, bundle.h, participants) {
            return Answer::Nothing;
        }
        match self.instances.get(&(bundle.h, bundle.txn)) {
            Some(Instance::Accepted(accepted)) => Answer::Again(accepted.at),
            Some(Instance::Collecting(_)) | None => {
                self.accept(bundle.clone());
                Answer::Accept(bundle)
            }
        }
    }

    /// This was accepted before a restart.
    pub fn restore(&mut self, bundle: Bundle) {
        if bundle.h >= self.below {
            self.accept(bundle);
        }
    }

    /// All that is accepted and not known to be decided.
    pub fn accepted(&self) -> impl Iterator<Item = &Bundle> {
        self.instances.values().filter_map(|instance| match instance {
            Instance::Accepted(bundle) => Some(bundle),
            Instance::Collecting(_) => None,
        })
    }

    /// How far every transaction is that it knows, for checks from outside.
    pub fn stages(&self) -> impl Iterator<Item = (TxnId, &dyn Debug)> {
        self.instances.iter().map(|((_, txn), instance)| (*txn, instance as &dyn Debug))
    }

    /// Whether more should begin: what has begun may need the rest.
    pub fn has_room(&self) -> bool {
        self.votes <= MOST_VOTES / 2
    }

    /// What began before this is decided.
    pub fn raise(&mut self, below: Timestamp) {
        if below <= self.below {
            return;
        }
        self.below = below;
        while let Some(first) = self.instances.first_entry()
            && first.key().0 < self.below
        {
            self.votes -= first.remove().participants();
        }
    }

    /// Whether it has promised to accept no proposal of that epoch any more.
    fn is_stale(&self, promised: Epoch, txn: TxnId) -> bool {
        promised > txn.session.epoch && !mutated!(self, PromiseIgnored)
    }

    fn is_open(&self, txn: TxnId, h: Timestamp, participants: usize) -> bool {
        let known = self.instances.contains_key(&(h, txn));
        let room = known || self.votes + participants <= MOST_VOTES;
        h >= self.below && participants > 0 && room
    }

    fn accept(&mut self, bundle: Bundle) {
        let (key, accepted) = ((bundle.h, bundle.txn), Instance::Accepted(bundle));
        self.votes += accepted.participants();
        let before = self.instances.insert(key, accepted);
        self.votes -= before.map_or(0, |before| before.participants());
    }
}

impl Instance {
    fn participants(&self) -> usize {
        match self {
            Instance::Collecting(tally) => tally.participants().count(),
            Instance::Accepted(bundle) => bundle.yes.len() + bundle.read.len(),
        }
    }
}
