//! What one transaction of each workload does.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use synod_client::{AsKey, Client, Error, Options};

use super::counter::Way;
use super::keyspace::{self, Keyspace, key, value};
use crate::random::Random;

const HOT: u64 = 100;
const MANY: usize = 10;
const SCANNED: usize = 100;

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
             scan100, commit, counter, counter-rmw, load, deadlock, failover",
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
            Workload::Load => "load",
            Workload::Deadlock => "deadlock",
            Workload::Failover => "failover",
        }
    }

    /// How its transactions are isolated.
    pub(super) fn isolation(self) -> &'static str {
        match self {
            Workload::Snapshot10 | Workload::Scan100 => "snapshot",
            Workload::Transfer
            | Workload::Put
            | Workload::Get
            | Workload::RmwHot
            | Workload::Commit(_)
            | Workload::Counter
            | Workload::CounterRmw
            | Workload::Load
            | Workload::Deadlock
            | Workload::Failover => "serializable",
        }
    }

    /// How many shards its own cluster has.
    pub(super) fn shards(self) -> u16 {
        match self {
            Workload::Commit(participants) => participants.max(2),
            _ => 2,
        }
    }

    pub(super) fn check(self, keyspace: &Keyspace) -> Result<()> {
        if let Workload::Commit(participants) = self {
            let shards = keyspace.shards().len();
            anyhow::ensure!(
                (1..=shards).contains(&usize::from(participants)),
                "{participants} participants need as many shards, and there are {shards}"
            );
        }
        Ok(())
    }

    /// Makes one transaction. Counts its attempts.
    pub(super) async fn once(
        self,
        db: &Client,
        options: &Options,
        keys: &Keyspace,
        random: &mut Random,
        attempts: &mut u64,
    ) -> Result<(), Error> {
        match self {
            Workload::Transfer => {
                let pair = &keys.any_two(random).map(key);
                db.transact_with(options.clone(), |tx| {
                    *attempts += 1;
                    async move {
                        let found = tx.get_many_for_update(pair).await?;
                        let from = keyspace::balance(found[0].bytes().map_or(&[], |b| b))?;
                        let to = keyspace::balance(found[1].bytes().map_or(&[], |b| b))?;
                        tx.put_bytes(&pair[0], value(from - 1))?;
                        tx.put_bytes(&pair[1], value(to + 1))
                    }
                })
                .await
            }
            Workload::RmwHot => {
                let first = random.below(HOT);
                let second = (first + 1 + random.below(HOT - 1)) % HOT;
                let pair = &[first, second].map(|n| key(n as u32));
                db.transact_with(options.clone(), |tx| {
                    *attempts += 1;
                    async move {
                        for (key, change) in pair.iter().zip([-1, 1]) {
                            let found = tx.get_for_update(key).await?;
                            let balance = keyspace::balance(found.bytes().map_or(&[], |b| b))?;
                            tx.put_bytes(key, value(balance + change))?;
                        }
                        Ok(())
                    }
                })
                .await
            }
            Workload::Put => {
                let key = key(keys.any(random));
                *attempts += 1;
                db.put_bytes(&key, value(keyspace::INITIAL)).await
            }
            Workload::Get => {
                let key = key(keys.any(random));
                *attempts += 1;
                let found = db.get(&key).await?;
                keyspace::balance(found.bytes().map_or(&[], |b| b)).map(drop)
            }
            Workload::Snapshot10 => {
                let many: [_; MANY] = std::array::from_fn(|_| key(keys.any(random)));
                *attempts += 1;
                let found = db.snapshot().await?.get_many(&many).await?;
                found.iter().try_for_each(|value| {
                    keyspace::balance(value.bytes().map_or(&[], |b| b)).map(drop)
                })
            }
            Workload::Scan100 => {
                let last = u64::from(keys.len()) - SCANNED as u64;
                let from = random.below(last + 1) as u32;
                let range = key(from).as_key()..key(from + SCANNED as u32);
                *attempts += 1;
                let rows = db.snapshot().await?.scan(range).collect().await?;
                match rows.len() {
                    SCANNED => Ok(()),
                    n => Err(Error::Corrupt(format!("{n} of {SCANNED} keys were found"))),
                }
            }
            Workload::Commit(participants) => {
                let shards = keys.shards().iter().take(usize::from(participants));
                let written: Vec<_> = shards.map(|s| key(keys.any_of(*s, random))).collect();
                let written = &written;
                db.transact_with(options.clone(), |tx| {
                    *attempts += 1;
                    async move {
                        let value = value(keyspace::INITIAL);
                        written.iter().try_for_each(|key| tx.put_bytes(key, value.clone()))
                    }
                })
                .await
            }
            Workload::Counter => keys.counter().once(db, Way::Add, attempts).await,
            Workload::CounterRmw => keys.counter().once(db, Way::ReadAndPut, attempts).await,
            Workload::Load | Workload::Deadlock | Workload::Failover => {
                Err(Error::Misuse(format!("`{}` is no loop", self.name())))
            }
        }
    }
}
