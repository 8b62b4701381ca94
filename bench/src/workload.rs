//! What one transaction of each workload does.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;

use crate::deed::{Deed, Order, Way};
use crate::keyspace::{Keyspace, PREFIX};
use crate::random::Random;
use crate::smallbank::Banking;
use crate::ycsb::Ycsb;

const HOT: u64 = 100;
const MANY: usize = 10;
const SCANNED: u32 = 100;

/// A kind of transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Two locking reads and two writes on two shards.
    Transfer,
    /// One blind write.
    Put,
    /// One strictly serializable read.
    Get,
    /// A transfer between two of 100 keys, read one after the other.
    RmwHot,
    /// Ten keys at one snapshot.
    Snapshot10,
    /// A hundred neighbouring keys.
    Scan100,
    /// A blind write on each of so many shards.
    Commit(u16),
    /// One is added to one key, the same for all.
    Counter,
    /// The same, by reading and writing.
    CounterRmw,
    /// One of the core workloads of YCSB.
    Ycsb(Ycsb),
    /// A bank.
    SmallBank,
    /// A million keys, and a restart.
    Load,
    /// Deadlocks across two shards, beside transfers.
    Deadlock,
    /// The leader of the coordinators is killed.
    Failover,
}

/// There is no such workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadWorkload(String);

impl fmt::Display for BadWorkload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "there is no workload '{}'; there are transfer, put, get, rmw-hot, snapshot10, \
             scan100, commit, counter, counter-rmw, ycsb-a to ycsb-f, smallbank, load, deadlock, \
             failover",
            self.0
        )
    }
}

impl std::error::Error for BadWorkload {}

impl FromStr for Workload {
    type Err = BadWorkload;

    fn from_str(text: &str) -> Result<Workload, BadWorkload> {
        Ok(match text {
            "transfer" => Workload::Transfer,
            "put" => Workload::Put,
            "get" => Workload::Get,
            "rmw-hot" => Workload::RmwHot,
            "snapshot10" => Workload::Snapshot10,
            "scan100" => Workload::Scan100,
            "commit" => Workload::Commit(2),
            "counter" => Workload::Counter,
            "counter-rmw" => Workload::CounterRmw,
            "ycsb-a" => Workload::Ycsb(Ycsb::A),
            "ycsb-b" => Workload::Ycsb(Ycsb::B),
            "ycsb-c" => Workload::Ycsb(Ycsb::C),
            "ycsb-d" => Workload::Ycsb(Ycsb::D),
            "ycsb-e" => Workload::Ycsb(Ycsb::E),
            "ycsb-f" => Workload::Ycsb(Ycsb::F),
            "smallbank" => Workload::SmallBank,
            "load" => Workload::Load,
            "deadlock" => Workload::Deadlock,
            "failover" => Workload::Failover,
            other => return Err(BadWorkload(other.to_owned())),
        })
    }
}

impl Workload {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Transfer => "transfer",
            Workload::Put => "put",
            Workload::Get => "get",
            Workload::RmwHot => "rmw-hot",
            Workload::Snapshot10 => "snapshot10",
            Workload::Scan100 => "scan100",
            Workload::Commit(_) => "commit",
            Workload::Counter => "counter",
            Workload::CounterRmw => "counter-rmw",
            Workload::Ycsb(which) => which.name(),
            Workload::SmallBank => "smallbank",
            Workload::Load => "load",
            Workload::Deadlock => "deadlock",
            Workload::Failover => "failover",
        }
    }

    /// How its transactions are isolated.
    pub(crate) fn isolation(self) -> &'static str {
        match self {
            Workload::Snapshot10 | Workload::Scan100 => "snapshot",
            Workload::Transfer
            | Workload::Put
            | Workload::Get
            | Workload::RmwHot
            | Workload::Commit(_)
            | Workload::Counter
            | Workload::CounterRmw
            | Workload::Ycsb(_)
            | Workload::SmallBank
            | Workload::Load
            | Workload::Deadlock
            | Workload::Failover => "serializable",
        }
    }

    /// Whether it is one transaction after the other, drawn as they come.
    pub fn is_loop(self) -> bool {
        !matches!(self, Workload::Load | Workload::Deadlock | Workload::Failover)
    }

    /// How its keys begin: apart from others where it leaves another sum behind, or cares for
    /// what others left.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Workload::Ycsb(Ycsb::F) => "ycsbf/",
            Workload::Ycsb(_) => "ycsb-/",
            Workload::SmallBank => "sbank/",
            _ => PREFIX,
        }
    }

    /// Whether money comes and goes.
    pub(crate) fn changes_sum(self) -> bool {
        matches!(self, Workload::Ycsb(Ycsb::F) | Workload::SmallBank)
    }

    /// How many shards its own cluster has.
    pub(crate) fn shards(self) -> u16 {
        match self {
            Workload::Commit(participants) => participants.max(2),
            _ => 2,
        }
    }

    /// Makes sure that the system is large enough.
    pub(crate) fn check(self, keys: &Keyspace) -> Result<()> {
        if let Workload::Commit(participants) = self {
            anyhow::ensure!(
                (1..=keys.parts()).contains(&participants),
                "{participants} participants need as many shards, and there are {}",
                keys.parts()
            );
        }
        Ok(())
    }

    /// The next transaction.
    ///
    /// # Errors
    /// If this is no loop of transactions.
    pub fn draw(self, keys: &Keyspace, random: &mut Random) -> Result<Deed> {
        Ok(match self {
            Workload::Transfer => Deed::Transfer(keys.any_two(random), Order::AtOnce),
            Workload::RmwHot => {
                let first = random.below(HOT);
                let second = (first + 1 + random.below(HOT - 1)) % HOT;
                Deed::Transfer([first, second].map(|n| n as u32), Order::OneByOne)
            }
            Workload::Put => Deed::Put(keys.any(random)),
            Workload::Get => Deed::Get(keys.any(random)),
            Workload::Snapshot10 => Deed::Snapshot((0..MANY).map(|_| keys.any(random)).collect()),
            Workload::Scan100 => {
                let last = u64::from(keys.len() - SCANNED);
                Deed::Scan(random.below(last + 1) as u32, SCANNED)
            }
            Workload::Commit(participants) => {
                Deed::PutAll((0..participants).map(|part| keys.any_of(part, random)).collect())
            }
            Workload::Counter => Deed::Count(Way::Add),
            Workload::CounterRmw => Deed::Count(Way::ReadAndPut),
            Workload::Ycsb(which) => which.draw(keys, random),
            Workload::SmallBank => Deed::Bank(Banking::draw(keys, random)),
            Workload::Load | Workload::Deadlock | Workload::Failover => {
                anyhow::bail!("`{}` is no loop", self.name())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(parts: u16) -> Keyspace {
        Keyspace::new(1_000, parts, |n| n as u16 % parts)
    }

    fn drawn(workload: Workload, keys: &Keyspace) -> Vec<Deed> {
        let mut random = Random::new(7);
        (0..1_000).map(|_| workload.draw(keys, &mut random).unwrap()).collect()
    }

    #[test]
    fn a_transfer_is_between_two_parts_if_there_are_two() {
        for (parts, apart) in [(1, false), (2, true), (3, true)] {
            let keys = keys(parts);
            for deed in drawn(Workload::Transfer, &keys) {
                let Deed::Transfer([a, b], Order::AtOnce) = deed else { panic!("{deed:?}") };
                assert!(a != b && (keys.part_of(a) != keys.part_of(b)) == apart);
            }
        }
    }

    #[test]
    fn hot_keys_are_few_and_locked_in_any_order() {
        let deeds = drawn(Workload::RmwHot, &keys(2));
        let pairs = deeds.iter().map(|deed| match deed {
            Deed::Transfer(pair, Order::OneByOne) => *pair,
            other => panic!("{other:?}"),
        });
        let pairs: Vec<[u32; 2]> = pairs.collect();
        assert!(pairs.iter().all(|[a, b]| a != b && u64::from(*a.max(b)) < HOT));
        assert!(pairs.iter().any(|[a, b]| a < b) && pairs.iter().any(|[a, b]| a > b));
    }

    #[test]
    fn what_is_read_is_there() {
        let keys = keys(2);
        for deed in drawn(Workload::Scan100, &keys) {
            assert!(matches!(deed, Deed::Scan(from, SCANNED) if from + SCANNED <= keys.len()));
        }
        for deed in drawn(Workload::Commit(2), &keys) {
            let Deed::PutAll(all) = deed else { panic!("{deed:?}") };
            let parts: Vec<u16> = all.iter().map(|n| keys.part_of(*n)).collect();
            assert_eq!(parts, [0, 1], "a key of each part");
        }
        assert!(Workload::Commit(3).check(&keys).is_err());
        assert!(Workload::Load.draw(&keys, &mut Random::new(1)).is_err());
    }
}
