//! The keys of the workloads in a cluster: written at the start, added up at the end, and
//! compared with what clients were told.

use std::sync::Arc;

use anyhow::{Context, Result};
use synod_client::{Client, Error, Key, prefix};
use synod_common::route::Router;

use super::counter::Counter;
use super::ledger::Ledger;
use crate::keyspace::{self, INITIAL, Keyspace, LEAST, Sum, value};
use crate::report;

/// Keys written by one transaction.
pub(crate) const BATCH: u32 = 500;
/// Transactions that write at a time.
pub(crate) const WRITERS: u32 = 8;

/// What is in a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) keys: Arc<Keyspace>,
    /// How they begin.
    pub(crate) prefix: &'static str,
    pub(crate) counter: Arc<Counter>,
    pub(crate) ledger: Arc<Ledger>,
    /// What the keys held at the beginning, beyond what they are loaded with.
    surplus: i64,
}

/// The name of a key.
pub(super) fn key(prefix: &str, n: u32) -> Key {
    Key::from(keyspace::key_in(prefix, n).as_str())
}

impl Books {
    /// Knows the keys, which nobody else writes if it is `alone`; writes none of them.
    pub(super) async fn new(
        db: &Client,
        keys: u32,
        prefix: &'static str,
        alone: bool,
    ) -> Result<Books> {
        anyhow::ensure!(keys >= LEAST, "at least {LEAST} keys are needed");
        let placement = db.status().await?.placement;
        let shards: Vec<_> = placement.shards.iter().map(|shard| shard.id).collect();
        let router = Router::new(placement)?;
        let part_of = |n| {
            let home = router.shard_of(&key(prefix, n));
            shards.iter().position(|shard| *shard == home).unwrap_or_default() as u16
        };
        let keys = Keyspace::new(keys, u16::try_from(shards.len())?, part_of);
        let counter = Arc::new(Counter::open(db).await?);
        let ledger = Arc::new(Ledger::new(alone));
        Ok(Books { keys: Arc::new(keys), prefix, counter, ledger, surplus: 0 })
    }

    /// Takes the sum as it is for right: others have worked here before.
    pub(super) async fn take_over(&mut self, db: &Client) -> Result<()> {
        let sum = self.audit(db).await?;
        self.surplus = sum.is - sum.should;
        Ok(())
    }

    /// Writes the keys: `blindly`, or only those that are not there.
    pub(super) async fn fill(&self, db: &Client, progress: bool, blindly: bool) -> Result<()> {
        let (len, prefix) = (self.keys.len(), self.prefix);
        let bar = Arc::new(report::bar(progress, u64::from(len), "keys"));
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let (db, bar) = (db.clone(), Arc::clone(&bar));
            writers.push(tokio::task::spawn_local(async move {
                for from in (writer * BATCH..len).step_by((WRITERS * BATCH) as usize) {
                    let keys = from..len.min(from + BATCH);
                    let keys: Vec<Key> = keys.map(|n| key(prefix, n)).collect();
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

    /// Reads all keys at one snapshot and adds up their balances; looks at the counter,
    /// whether all keys are there of which that is known, and whether updates are lost.
    pub(super) async fn audit(&self, db: &Client) -> Result<Sum> {
        let snapshot = db.snapshot().await?;
        let mut rows = snapshot.scan(prefix(self.prefix));
        let (mut sum, mut found) = (Sum::default(), 0);
        while let Some(row) = rows.next().await {
            let row = row.context("the keys can not be read")?;
            sum.count(&row.value);
            // Another run may have left more keys; each of them counts from the start.
            let Some(n) = keyspace::number_in(self.prefix, &row.key) else { continue };
            found += u64::from(n < self.keys.len() || self.keys.is_added(n));
            let mark = keyspace::mark(&row.value);
            let is_lost = mark.is_some_and(|mark| !self.ledger.may_be_last(n, mark));
            sum.damaged += u64::from(is_lost);
        }
        sum.damaged += u64::from(!self.counter.is_right(db).await?);
        let missing = u64::from(self.keys.len() + self.keys.added()) - found;
        sum.should += INITIAL * i64::try_from(missing)? + self.surplus;
        sum.damaged += missing;
        self.ledger.enter(&mut sum);
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
