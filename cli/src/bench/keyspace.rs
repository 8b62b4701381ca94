//! The keys of the workloads: 16 bytes, values of 100 bytes, a balance inside.

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::{BufMut, Bytes, BytesMut};
use synod_client::{Client, Error, Key, ShardId, prefix};
use synod_common::route::Router;

use super::counter::Counter;
use super::report;
use crate::random::Random;

/// All keys begin like this; a number of 10 digits follows.
pub(super) const PREFIX: &str = "bench/";
/// The balance that every key begins with.
pub(super) const INITIAL: i64 = 1_000;
const VALUE_BYTES: usize = 100;
/// Keys written by one transaction.
pub(super) const BATCH: u32 = 500;
/// Transactions that write at a time.
pub(super) const WRITERS: u32 = 8;

/// The keys, and which shard has which.
#[derive(Clone)]
pub(super) struct Keyspace {
    homes: Vec<ShardId>,
    shards: Vec<ShardId>,
    counter: Arc<Counter>,
}

/// What the books say at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) keys: u64,
    pub(super) is: i64,
    pub(super) should: i64,
    /// Values that are not what was written.
    pub(super) damaged: u64,
}

impl Sum {
    pub(super) fn is_right(&self) -> bool {
        self.is == self.should && self.damaged == 0
    }
}

pub(super) fn key(n: u32) -> Key {
    Key::from(format!("{PREFIX}{n:010}").as_str())
}

/// A value with a balance.
pub(super) fn value(balance: i64) -> Bytes {
    let mut value = BytesMut::with_capacity(VALUE_BYTES);
    value.put_i64(balance);
    value.put_bytes(b'.', VALUE_BYTES - 8);
    value.freeze()
}

/// The balance in a value.
pub(super) fn balance(value: &[u8]) -> Result<i64, Error> {
    match value.first_chunk() {
        Some(first) if value.len() == VALUE_BYTES => Ok(i64::from_be_bytes(*first)),
        _ => Err(Error::Corrupt("a value is not one of this benchmark".to_owned())),
    }
}

impl Keyspace {
    /// Knows the keys, without writing any.
    pub(super) async fn new(db: &Client, keys: u32) -> Result<Keyspace> {
        anyhow::ensure!(keys >= 200, "at least 200 keys are needed");
        let placement = db.status().await?.placement;
        let shards = placement.shards.iter().map(|shard| shard.id).collect();
        let router = Router::new(placement)?;
        let homes = (0..keys).map(|n| router.shard_of(&key(n))).collect();
        let counter = Arc::new(Counter::open(db).await?);
        Ok(Keyspace { homes, shards, counter })
    }

    /// Writes the keys that are not there.
    pub(super) async fn prepare(db: &Client, keys: u32, progress: bool) -> Result<Keyspace> {
        let keyspace = Keyspace::new(db, keys).await?;
        keyspace.fill(db, progress, false).await?;
        Ok(keyspace)
    }

    /// Writes the keys: `blindly`, or only those that are not there.
    pub(super) async fn fill(&self, db: &Client, progress: bool, blindly: bool) -> Result<()> {
        let bar = report::bar(progress, u64::from(self.len()), "keys");
        let bar = Arc::new(bar);
        let mut writers = Vec::new();
        let len = self.len();
        for writer in 0..WRITERS {
            let (db, bar) = (db.clone(), Arc::clone(&bar));
            writers.push(tokio::task::spawn_local(async move {
                for from in (writer * BATCH..len).step_by((WRITERS * BATCH) as usize) {
                    let keys: Vec<Key> = (from..len.min(from + BATCH)).map(key).collect();
                    let keys = &keys;
                    let writing = db.transact(|tx| async move {
                        let there = match blindly {
                            true => vec![],
                            false => tx.get_many_for_update(keys).await?,
                        };
                        for (i, key) in keys.iter().enumerate() {
                            if !there.get(i).is_some_and(|value| value.is_present()) {
                                tx.put_bytes(key, value(INITIAL))?;
                            }
                        }
                        Ok(())
                    });
                    writing.await?;
                    bar.inc(keys.len() as u64);
                }
                Ok::<_, Error>(())
            }));
        }
        for writer in writers {
            writer.await?.context("the keys can not be written")?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.homes.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn shards(&self) -> &[ShardId] {
        &self.shards
    }

    pub(super) fn counter(&self) -> &Counter {
        &self.counter
    }

    /// Any key.
    pub(super) fn any(&self, random: &mut Random) -> u32 {
        random.below(self.homes.len() as u64) as u32
    }

    /// Two keys on two shards; on one shard if there is only one.
    pub(super) fn any_two(&self, random: &mut Random) -> [u32; 2] {
        let first = self.any(random);
        loop {
            let second = self.any(random);
            let apart = self.homes[first as usize] != self.homes[second as usize];
            if second != first && (apart || self.shards.len() == 1) {
                return [first, second];
            }
        }
    }

    /// A key of a shard.
    pub(super) fn any_of(&self, shard: ShardId, random: &mut Random) -> u32 {
        loop {
            let n = self.any(random);
            if self.homes[n as usize] == shard {
                return n;
            }
        }
    }

    /// A key of every shard, where there is one.
    pub(super) fn one_of_each(&self) -> Vec<u32> {
        let first = |shard| self.homes.iter().position(|home| home == shard);
        self.shards.iter().filter_map(first).filter_map(|n| u32::try_from(n).ok()).collect()
    }

    /// Reads all keys at one snapshot and adds up their balances; looks at the
    /// counter.
    pub(super) async fn audit(&self, db: &Client) -> Result<Sum> {
        let snapshot = db.snapshot().await?;
        let mut rows = snapshot.scan(prefix(PREFIX));
        let mut sum = Sum { should: INITIAL * i64::from(self.len()), ..Sum::default() };
        while let Some(row) = rows.next().await {
            let row = row.context("the keys can not be read")?;
            sum.keys += 1;
            match balance(&row.value) {
                Ok(balance) => sum.is += balance,
                Err(_) => sum.damaged += 1,
            }
        }
        sum.damaged += u64::from(!self.counter.is_right(db).await?);
        // Another run may have left more keys; each of them counts from the start.
        let more = i64::try_from(sum.keys).unwrap_or(0) - i64::from(self.len());
        sum.should += INITIAL * more.max(0);
        Ok(sum)
    }
}
