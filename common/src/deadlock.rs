//! The words of deadlocks: what a cycle of waits looks like, and who must give way.
//!
//! ```text
//!   t1 ──X on key a, s1──▶ t2        Step { waiter: t1, holder: t2, … }
//!    ▲                      │
//!    └──X on key b, s2──────┘        Step { waiter: t2, holder: t1, … }
//! ```
//!
//! A shard breaks the cycles that lie within it, the coordinator those across
//! shards. Both choose by the same rule, [`VictimPolicy::choose`], and tell the same
//! story, [`Deadlock`], which the client gets to see. Keys in it are cut short: it
//! is for people, and stored in places with a bound.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{ShardId, TxnId};
use crate::key::{Key, KeyRange};
use crate::time::{Timestamp, Wall};

/// Bytes of a key that are shown; of each end of a range half of that.
pub const SHOWN_BYTES: usize = 64;
/// Steps of a cycle that are told.
pub const MAX_STEPS: usize = 64;
/// The priority of a transaction that did not choose one.
pub const DEFAULT_PRIORITY: u8 = 100;

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

/// A deadlock that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlock {
    /// Each waits for the next, the last for the first; the victim is the first.
    /// At most [`MAX_STEPS`].
    pub steps: Vec<Step>,
    /// How many steps there were.
    pub length: u32,
    /// Who was aborted.
    pub victim: TxnId,
    /// Why that one.
    pub policy: VictimPolicy,
}

impl Deadlock {
    /// From all steps of a cycle.
    pub fn new(mut steps: Vec<Step>, victim: TxnId, policy: VictimPolicy) -> Deadlock {
        let length = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        let first = steps.iter().position(|step| step.waiter == victim).unwrap_or(0);
        steps.rotate_left(first);
        steps.truncate(MAX_STEPS);
        Deadlock { steps, length, victim, policy }
    }
}

/// One line that says who waits for whom, and who had to go.
impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Deadlock { steps, length, victim, policy } = self;
        write!(f, "deadlock of {length}: ")?;
        for (i, step) in steps.iter().enumerate() {
            write!(f, "{}{step}", if i == 0 { "" } else { ", " })?;
        }
        if steps.len() < *length as usize {
            write!(f, ", and {} more", *length as usize - steps.len())?;
        }
        write!(f, "; {victim} was aborted: {}", policy.why())
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

/// Which transaction of a cycle is aborted. The same in the whole cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VictimPolicy {
    /// The one whose work began last. Whoever is retried keeps his age, so he is
    /// the oldest in the end and gets through.
    #[default]
    Youngest,
    /// The one with the fewest locks; of several the youngest. Little work is lost,
    /// but a small transaction may lose time and again.
    FewestLocks,
    /// The one with the lowest priority; of several the youngest.
    LowestPriority,
}

/// Why a transaction should be spared. Every request that may make it wait carries
/// it, and it is the same in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// When its work first began; kept over retries.
    pub age: Timestamp,
    /// Its priority; the lowest loses.
    pub priority: u8,
}

/// What a transaction has to say for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its name.
    pub txn: TxnId,
    /// When its work began.
    pub age: Timestamp,
    /// Its priority; the lowest loses.
    pub priority: u8,
    /// How many locks it holds, as far as is known.
    pub locks: u32,
}

impl VictimPolicy {
    /// Who of a cycle must give way; none of nobody.
    pub fn choose(self, cycle: impl IntoIterator<Item = Claim>) -> Option<TxnId> {
        let loss = |claim: &Claim| {
            let weight = match self {
                VictimPolicy::Youngest => 0,
                VictimPolicy::FewestLocks => claim.locks,
                VictimPolicy::LowestPriority => u32::from(claim.priority),
            };
            (std::cmp::Reverse(weight), claim.age, claim.txn)
        };
        cycle.into_iter().max_by_key(loss).map(|claim| claim.txn)
    }

    fn why(self) -> &'static str {
        match self {
            VictimPolicy::Youngest => "it began last",
            VictimPolicy::FewestLocks => "it had the fewest locks",
            VictimPolicy::LowestPriority => "it had the lowest priority",
        }
    }
}

impl fmt::Display for VictimPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VictimPolicy::Youngest => "youngest",
            VictimPolicy::FewestLocks => "fewest-locks",
            VictimPolicy::LowestPriority => "lowest-priority",
        })
    }
}

/// There is no such policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no policy '{0}'; there are youngest, fewest-locks, lowest-priority")]
pub struct BadPolicy(String);

impl FromStr for VictimPolicy {
    type Err = BadPolicy;

    fn from_str(text: &str) -> Result<VictimPolicy, BadPolicy> {
        let all = [VictimPolicy::Youngest, VictimPolicy::FewestLocks, VictimPolicy::LowestPriority];
        let found = all.into_iter().find(|policy| policy.to_string() == text);
        found.ok_or_else(|| BadPolicy(text.to_owned()))
    }
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
    fn each_policy_chooses_its_own_victim() {
        let claim =
            |n, age, priority, locks| Claim { txn: txn(n), age: Timestamp(age), priority, locks };
        let cycle = [claim(1, 30, 9, 5), claim(2, 10, 9, 2), claim(3, 20, 1, 7)];
        assert_eq!(VictimPolicy::Youngest.choose(cycle), Some(txn(1)));
        assert_eq!(VictimPolicy::FewestLocks.choose(cycle), Some(txn(2)));
        assert_eq!(VictimPolicy::LowestPriority.choose(cycle), Some(txn(3)));
        // Among equals, the youngest; among the equally young, the last name.
        let equal = [claim(1, 7, 9, 5), claim(2, 8, 9, 5), claim(3, 8, 9, 5)];
        for policy in
            [VictimPolicy::Youngest, VictimPolicy::FewestLocks, VictimPolicy::LowestPriority]
        {
            assert_eq!(policy.choose(equal), Some(txn(3)));
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!(VictimPolicy::Youngest.choose([]), None);
        assert!("oldest".parse::<VictimPolicy>().is_err());
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
