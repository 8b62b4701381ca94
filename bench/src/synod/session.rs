//! One client of a cluster.

use std::sync::Arc;

use anyhow::Result;
use synod_client::{AsKey, Client, Error, Key, Options, Value};

use super::books::key;
use super::counter::Counter;
use crate::deed::{Deed, Order};
use crate::keyspace::{self, INITIAL, value};
use crate::session::Session;

/// One client of a cluster.
pub struct SynodSession {
    pub(crate) db: Client,
    /// Of its transactions.
    pub(crate) options: Options,
    pub(crate) counter: Arc<Counter>,
}

impl Session for SynodSession {
    async fn act(&mut self, deed: &Deed, attempts: &mut u64) -> Result<()> {
        let db = &self.db;
        match deed {
            Deed::Transfer(pair, order) => self.transfer(&pair.map(key), *order, attempts).await?,
            Deed::PutAll(all) => {
                let all: Vec<Key> = all.iter().copied().map(key).collect();
                self.put_all(&all, attempts).await?;
            }
            Deed::Count(way) => self.counter.once(db, *way, attempts).await?,
            Deed::Put(n) => {
                *attempts += 1;
                db.put_bytes(&key(*n), value(INITIAL)).await?;
            }
            Deed::Get(n) => {
                *attempts += 1;
                balance(&db.get(&key(*n)).await?)?;
            }
            Deed::Snapshot(all) => {
                *attempts += 1;
                let found = db.snapshot().await?.get_many(all.iter().copied().map(key)).await?;
                found.iter().try_for_each(|value| balance(value).map(drop))?;
            }
            Deed::Scan(from, count) => {
                *attempts += 1;
                let range = key(*from).as_key()..key(from + count);
                let rows = db.snapshot().await?.scan(range).collect().await?;
                anyhow::ensure!(
                    rows.len() == *count as usize,
                    "of {count} keys {} are there",
                    rows.len()
                );
            }
        }
        Ok(())
    }
}

impl SynodSession {
    async fn transfer(
        &self,
        pair: &[Key; 2],
        order: Order,
        attempts: &mut u64,
    ) -> Result<(), Error> {
        let transact = self.db.transact_with(self.options.clone(), |tx| {
            *attempts += 1;
            async move {
                match order {
                    Order::AtOnce => {
                        let found = tx.get_many_for_update(pair).await?;
                        for ((key, found), change) in pair.iter().zip(&found).zip([-1, 1]) {
                            tx.put_bytes(key, value(balance(found)? + change))?;
                        }
                    }
                    Order::OneByOne => {
                        for (key, change) in pair.iter().zip([-1, 1]) {
                            let found = tx.get_for_update(key).await?;
                            tx.put_bytes(key, value(balance(&found)? + change))?;
                        }
                    }
                }
                Ok(())
            }
        });
        transact.await
    }

    async fn put_all(&self, all: &[Key], attempts: &mut u64) -> Result<(), Error> {
        let transact = self.db.transact_with(self.options.clone(), |tx| {
            *attempts += 1;
            async move { all.iter().try_for_each(|key| tx.put_bytes(key, value(INITIAL))) }
        });
        transact.await
    }
}

fn balance(found: &Value) -> Result<i64, Error> {
    keyspace::balance(found.bytes().map_or(&[], |bytes| bytes))
        .ok_or_else(|| Error::Corrupt("a value is not one of this benchmark".to_owned()))
}
