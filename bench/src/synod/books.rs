//! The keys of the workloads in a cluster: written at the start, added up at the end.

use std::sync::Arc;

use anyhow::{Context, Result};
use synod_client::{Client, Error, Key, prefix};
use synod_common::route::Router;

use super::counter::Counter;
use crate::keyspace::{self, INITIAL, Keyspace, LEAST, PREFIX, Sum, value};
use crate::report;

/// Keys written by one transaction.
pub(crate) const BATCH: u32 = 500;
/// Transactions that write at a time.
pub(crate) const WRITERS: u32 = 8;

/// What is in a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) keys: Arc<Keyspace>,
    pub(crate) counter: Arc<Counter>,
}

/// The name of a key.
pub(super) fn key(n: u32) -> Key {
    Key::from(keyspace::key(n).as_str())
}

impl Books {
    /// Knows the keys, without writing any.
    pub(super) async fn new(db: &Client, keys: u32) -> Result<Books> {
        anyhow::ensure!(keys >= LEAST, "at least {LEAST} keys are needed");
        let placement = db.status().await?.placement;
        let shards: Vec<_> = placement.shards.iter().map(|shard| shard.id).collect();
        let router = Router::new(placement)?;
        let part_of = |n| {
            let home = router.shard_of(&key(n));
            shards.iter().position(|shard| *shard == home).unwrap_or_default() as u16
        };
        let keys = Keyspace::new(keys, u16::try_from(shards.len())?, part_of);
        let counter = Counter::open(db).await?;
        Ok(Books { keys: Arc::new(keys), counter: Arc::new(counter) })
    }

    /// Writes the keys: `blindly`, or only those that are not there.
    pub(super) async fn fill(&self, db: &Client, progress: bool, blindly: bool) -> Result<()> {
        let len = self.keys.len();
        let bar = Arc::new(report::bar(progress, u64::from(len), "keys"));
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let (db, bar) = (db.clone(), Arc::clone(&bar));
            writers.push(tokio::task::spawn_local(async move {
                for from in (writer * BATCH..len).step_by((WRITERS * BATCH) as usize) {
                    let keys: Vec<Key> = (from..len.min(from + BATCH)).map(key).collect();
                    write(&db, &keys, blindly).await?;
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

    /// Reads all keys at one snapshot and adds up their balances; looks at the
    /// counter.
    pub(super) async fn audit(&self, db: &Client) -> Result<Sum> {
        let snapshot = db.snapshot().await?;
        let mut rows = snapshot.scan(prefix(PREFIX));
        let mut sum = Sum::default();
        while let Some(row) = rows.next().await {
            sum.count(&row.context("the keys can not be read")?.value);
        }
        sum.damaged += u64::from(!self.counter.is_right(db).await?);
        // Another run may have left more keys; each of them counts from the start.
        let missing = i64::from(self.keys.len()) - i64::try_from(sum.keys)?;
        sum.should += INITIAL * missing.max(0);
        Ok(sum)
    }
}

/// Writes these keys in one transaction.
async fn write(db: &Client, keys: &[Key], blindly: bool) -> Result<(), Error> {
    db.transact(|tx| async move {
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
    })
    .await
}
