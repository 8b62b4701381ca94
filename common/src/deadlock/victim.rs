//! Who of a cycle must give way.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::TxnId;
use crate::time::Timestamp;

/// The priority of a transaction that did not choose one.
pub const DEFAULT_PRIORITY: u8 = 100;

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

    pub(super) fn why(self) -> &'static str {
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
}
