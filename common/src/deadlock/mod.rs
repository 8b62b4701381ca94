//! The words of deadlocks: what a cycle of waits looks like, and who must give way.
//!
//! ```text
//!   t1 ──X on key a, s1──▶ t2        Step { waiter: t1, holder: t2, … }
//!    ▲                      │
//!    └──X on key b, s2──────┘        Step { waiter: t2, holder: t1, … }
//! ```
//!
//! Whoever breaks a cycle chooses by the same rule, [`VictimPolicy::choose`], and
//! tells the same story, [`Deadlock`], which the client gets to see. Keys in it are
//! cut short: it is for people, and stored in places with a bound.
//!
//! How cycles are found, or kept from coming into being, is the cluster's choice, its
//! [`Scheme`]; see `shard/src/deadlock` for what a shard does in each.

mod confirm;
mod scheme;
mod victim;

pub use confirm::{Answered, Confirmations, Member, PATIENCE, ToShard};
pub use scheme::{BadScheme, Handling, Scheme, Seniority};
pub use victim::{BadPolicy, Claim, DEFAULT_PRIORITY, Standing, VictimPolicy};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{ShardId, TxnId};
use crate::key::{Key, KeyRange};
use crate::time::Wall;

/// Bytes of a key that are shown; of each end of a range half of that.
pub const SHOWN_BYTES: usize = 64;
/// Steps of a cycle that are told.
pub const MAX_STEPS: usize = 64;

/// The beginning of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shown {
    /// Its first bytes.
    pub key: Key,
    /// Whether more follow.
    pub cut: bool,
}

impl Shown {
    fn new(key: &Key, most: usize) -> Shown {
        match key.get(..most) {
            Some(head) if key.len() > most => Shown { key: Key::from(head), cut: true },
            _ => Shown { key: key.clone(), cut: false },
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)?;
        if self.cut { f.write_str("…") } else { Ok(()) }
    }
}

/// What somebody waits for, cut short.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Target {
    /// A key.
    Key(Shown),
    /// A range; without end to the last key.
    Range(Shown, Option<Shown>),
}

impl Target {
    /// Of a key.
    pub fn key(key: &Key) -> Target {
        Target::Key(Shown::new(key, SHOWN_BYTES))
    }

    /// Of a range.
    pub fn range(range: &KeyRange) -> Target {
        let half = |key: &Key| Shown::new(key, SHOWN_BYTES / 2);
        Target::Range(half(&range.start), range.end.as_ref().map(half))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Key(key) => write!(f, "key {key}"),
            Target::Range(start, None) => write!(f, "range {start}.."),
            Target::Range(start, Some(end)) => write!(f, "range {start}..{end}"),
        }
    }
}

/// One transaction of a cycle waits for the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Who waits.
    pub waiter: TxnId,
    /// For what.
    pub target: Target,
    /// In which mode, as lock tables print it: `S` to read, `X` to write.
    pub mode: String,
    /// Where.
    pub shard: ShardId,
    /// Who stands in the way: holds it, or asked before.
    pub holder: TxnId,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { waiter, target, mode, shard, holder } = self;
        write!(f, "{waiter} waits for {holder} ({mode} on {target}, {shard})")
    }
}

/// A deadlock that was broken, or prevented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlock {
    /// Each waits for the next, the last for the first; the victim is the first.
    /// At most [`MAX_STEPS`]. Of one that was prevented, the wait that was not let be.
    pub steps: Vec<Step>,
    /// How many steps there were.
    pub length: u32,
    /// Who was aborted.
    pub victim: TxnId,
    /// Why, and why that one.
    pub cause: Cause,
}

/// Why a transaction was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// There was a cycle; it was the one that the policy chooses.
    Cycle(VictimPolicy),
    /// It was younger than one that waited for it.
    WoundWait,
    /// It would have waited for an older one.
    WaitDie,
}

impl Deadlock {
    /// From all steps of a cycle.
    pub fn new(mut steps: Vec<Step>, victim: TxnId, policy: VictimPolicy) -> Deadlock {
        let cause = Cause::Cycle(policy);
        let length = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        let first = steps.iter().position(|step| step.waiter == victim).unwrap_or(0);
        steps.rotate_left(first);
        steps.truncate(MAX_STEPS);
        Deadlock { steps, length, victim, cause }
    }

    /// Whether there was no cycle yet.
    pub fn was_prevented(&self) -> bool {
        match self.cause {
            Cause::Cycle(_) => false,
            Cause::WoundWait | Cause::WaitDie => true,
        }
    }

    /// The shard on which all of it is, if it is one.
    pub fn only_shard(&self) -> Option<ShardId> {
        let shard = self.steps.first()?.shard;
        self.steps.iter().all(|step| step.shard == shard).then_some(shard)
    }
}

/// One line that says who waits for whom, and who had to go.
impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Deadlock { steps, length, victim, cause } = self;
        match self.was_prevented() {
            true => f.write_str("deadlock prevented: ")?,
            false => write!(f, "deadlock of {length}: ")?,
        }
        for (i, step) in steps.iter().enumerate() {
            write!(f, "{}{step}", if i == 0 { "" } else { ", " })?;
        }
        if steps.len() < *length as usize {
            write!(f, ", and {} more", *length as usize - steps.len())?;
        }
        write!(f, "; {victim} was aborted: {cause}")
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Cycle(policy) => policy.why(),
            Cause::WoundWait => "younger ones give way to older ones that wait (wound-wait)",
            Cause::WaitDie => "younger ones do not wait for older ones (wait-die)",
        })
    }
}

/// A deadlock as the coordinator remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When the coordinator broke it, or heard of it.
    pub at: Wall,
    /// The shard that broke it by itself; none for one across shards.
    pub local: Option<ShardId>,
    /// What it was.
    pub deadlock: Deadlock,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, SessionId};

    fn txn(sequence: u64) -> TxnId {
        TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence }
    }

    fn step(waiter: u64, key: &str, holder: u64) -> Step {
        let (waiter, holder) = (txn(waiter), txn(holder));
        let target = Target::key(&Key::from(key));
        Step {
            waiter,
            target,
            mode: "X".to_owned(),
            shard: ShardId(waiter.sequence as u16),
            holder,
        }
    }

    #[test]
    fn a_deadlock_is_one_line_that_begins_with_the_victim() {
        let steps = vec![step(1, "a", 2), step(2, "b", 1)];
        let deadlock = Deadlock::new(steps, txn(2), VictimPolicy::Youngest);
        assert_eq!(
            deadlock.to_string(),
            "deadlock of 2: t1.1.2 waits for t1.1.1 (X on key b, s2), \
             t1.1.1 waits for t1.1.2 (X on key a, s1); t1.1.2 was aborted: it began last"
        );
    }

    #[test]
    fn what_is_told_is_bounded() {
        let long = "k".repeat(100);
        let steps = (1..=100).map(|n| step(n, &long, n % 100 + 1)).collect();
        let deadlock = Deadlock::new(steps, txn(90), VictimPolicy::Youngest);
        assert_eq!((deadlock.steps.len(), deadlock.length), (MAX_STEPS, 100));
        assert_eq!(deadlock.steps[0].waiter, txn(90));
        let Target::Key(shown) = &deadlock.steps[0].target else { panic!("a key") };
        assert!(shown.cut && shown.key.len() == SHOWN_BYTES);
        assert!(deadlock.to_string().contains("and 36 more"));
        let range = KeyRange { start: Key::from(&long[..]), end: Some(Key::from("l")) };
        let half = "k".repeat(SHOWN_BYTES / 2);
        assert_eq!(Target::range(&range).to_string(), format!("range {half}…..l"));
    }
}
