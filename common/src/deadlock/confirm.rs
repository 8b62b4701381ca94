//! Making sure of a cycle before anybody is aborted for it.
//!
//! | in state | on                      | do                              | next  |
//! |----------|-------------------------|---------------------------------|-------|
//! | –        | a cycle is suspected    | ask its shards whether all of it stands | asked |
//! | asked    | yes, not the last       |                                 | asked |
//! | asked    | yes, the last           | BREAK the victim where it waits; LETGO where it is waited for | – |
//! | asked    | no                      |                                 | –     |
//! | asked    | a shard asked leaves    |                                 | –     |
//! | asked    | silence                 |                                 | –     |
//! | –        | any answer              | nothing                         | –     |
//!
//! # Why a confirmed cycle is a deadlock
//!
//! What led to the suspicion is of different moments, so the cycle may never have
//! been. Let `T0` be the moment at which the questions leave. Each edge existed when
//! it was told, before `T0`. If its shard says that the *same wait*, by its number,
//! still waits for the same holder, it exists after `T0`. A wait that ends does not
//! come back: its number is never used again, not even after a restart of the shard.
//! Nor does an edge come back within one wait, but if one of the two gives back a lock:
//! the holder, and asks again in front of the one who waits; or the one who waits, if
//! with it he was in the way of the other's request in front of him. So an edge says how
//! often the two had given back locks there, and that must be the same, too. So the edge
//! existed at `T0`, and if all do, then the whole cycle existed at `T0`.
//! And under strict two-phase locking an edge ends only when its holder ends or stops
//! asking, for which the holder itself would have to go on: a cycle ends only by an
//! abort.
//!
//! The victim's client would have it aborted everywhere, but whoever waits for it need
//! not wait for that. LETGO counts only while the one before the victim still waits for
//! it, so that, like BREAK, it comes too late where the cycle is over already.
//!
//! A prepared transaction waits for nothing at the shard where it is prepared. One
//! that is prepared here may still wait there for its write locks, and be a victim
//! there: then that shard votes NO.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Deadlock, Step, VictimPolicy};
use crate::id::{ShardId, TxnId};
use crate::message::DeadlockMessage;
use crate::message::bulk::List;
use crate::message::deadlock::Edge;
use crate::time::Mono;

/// A question that was not answered so soon counts no more. Shards may be far away;
/// what a link that goes down loses is noticed sooner.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// Cycles about which is asked at a time.
const MAX_ASKED: usize = 10_000;

/// A message for a shard.
pub type ToShard = (ShardId, DeadlockMessage);

/// One transaction of a cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// For whom it waits.
    pub step: Step,
    /// The number of its wait.
    pub wait: u64,
    /// As in [`Edge::returns`].
    pub returns: u32,
}

impl Member {
    fn edge(&self) -> Edge {
        let Step { waiter, holder, .. } = self.step;
        Edge { waiter, wait: self.wait, holder, returns: self.returns }
    }
}

/// The cycles about which shards are being asked.
#[derive(Clone, Debug, Default)]
pub struct Confirmations {
    asked: BTreeMap<u64, Suspect>,
    last: u64,
}

/// A cycle that is suspected.
#[derive(Clone, Debug)]
struct Suspect {
    since: Mono,
    victim: TxnId,
    policy: VictimPolicy,
    members: Vec<Member>,
    /// Who has not answered.
    missing: BTreeSet<ShardId>,
}

/// What an answer led to.
#[derive(Debug, PartialEq)]
pub enum Answered {
    /// Nothing yet, or it answers nothing that is asked.
    Nothing,
    /// It is no cycle any more.
    Dissolved(Vec<Member>),
    /// It was one when it was asked about: this breaks it.
    Confirmed {
        /// Where the victim waits.
        shard: ShardId,
        /// Its wait.
        wait: u64,
        /// What it was.
        deadlock: Deadlock,
        /// What breaks it.
        orders: Vec<ToShard>,
    },
}

impl Confirmations {
    /// Questions have names above `last`, which no life before has used.
    pub fn begin(&mut self, last: u64) {
        self.last = last;
    }

    /// The victims of all that is asked about.
    pub fn victims(&self) -> impl Iterator<Item = TxnId> {
        self.asked.values().map(|suspect| suspect.victim)
    }

    /// Whether somebody is asked about a cycle with just these waits.
    pub fn is_asked(&self, members: &[Member]) -> bool {
        let waits = |members: &[Member]| -> BTreeSet<(ShardId, u64)> {
            members.iter().map(|member| (member.step.shard, member.wait)).collect()
        };
        let wanted = waits(members);
        self.asked.values().any(|suspect| waits(&suspect.members) == wanted)
    }

    /// Asks the shards of a cycle whether it stands. The members follow one another.
    pub fn ask(
        &mut self,
        now: Mono,
        members: Vec<Member>,
        victim: TxnId,
        policy: VictimPolicy,
    ) -> Vec<ToShard> {
        if self.asked.len() >= MAX_ASKED {
            return Vec::new();
        }
        self.last += 1;
        let candidate = self.last;
        let mut questions: BTreeMap<ShardId, List<Edge>> = BTreeMap::new();
        for member in &members {
            questions.entry(member.step.shard).or_default().push(&member.edge());
        }
        let missing = questions.keys().copied().collect();
        let suspect = Suspect { since: now, victim, policy, members, missing };
        self.asked.insert(candidate, suspect);
        let question = |(shard, edges): (ShardId, List<Edge>)| {
            (shard, DeadlockMessage::Confirm { candidate, edges: edges.finish() })
        };
        questions.into_iter().map(question).collect()
    }

    /// A shard answers.
    pub fn answered(&mut self, shard: ShardId, candidate: u64, stands: bool) -> Answered {
        let Some(suspect) = self.asked.get_mut(&candidate) else { return Answered::Nothing };
        if !suspect.missing.remove(&shard) || stands && !suspect.missing.is_empty() {
            return Answered::Nothing;
        }
        let Some(suspect) = self.asked.remove(&candidate) else { return Answered::Nothing };
        let Suspect { victim, policy, members, .. } = suspect;
        if !stands {
            return Answered::Dissolved(members);
        }
        let own = members.iter().find(|member| member.step.waiter == victim);
        let before = members.iter().find(|member| member.step.holder == victim);
        let (own, before) = own.zip(before).expect("the victim is a member");
        let (shard, wait) = (own.step.shard, own.wait);
        let (holds, edge) = (before.step.shard, before.edge());
        let steps = members.into_iter().map(|member| member.step).collect();
        let deadlock = Deadlock::new(steps, victim, policy);
        let told = Box::new(deadlock.clone());
        let mut orders =
            vec![(shard, DeadlockMessage::Break { candidate, txn: victim, wait, deadlock: told })];
        if holds != shard {
            let told = Box::new(deadlock.clone());
            orders.push((holds, DeadlockMessage::LetGo { edge, deadlock: told }));
        }
        Answered::Confirmed { shard, wait, deadlock, orders }
    }

    /// A shard is gone: what it was asked counts no more.
    pub fn left(&mut self, shard: ShardId) {
        self.asked.retain(|_, suspect| !suspect.missing.contains(&shard));
    }

    /// Gives up what was asked long ago.
    pub fn give_up(&mut self, now: Mono) {
        self.asked.retain(|_, suspect| now.since(suspect.since) < PATIENCE);
    }
}
