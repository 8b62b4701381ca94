//! One client of a cluster.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use synod_client::{Client, Error, Key, Options, Value};

use super::books;
use super::counter::Counter;
use super::ledger::Ledger;
use crate::deed::{Deed, Order};
use crate::keyspace::{self, INITIAL, value};
use crate::session::Session;
use crate::smallbank::Banking;

/// One client of a cluster.
pub struct SynodSession {
    pub(crate) db: Client,
    /// Of its transactions.
    pub(crate) options: Options,
    /// How keys begin.
    pub(crate) prefix: &'static str,
    pub(crate) counter: Arc<Counter>,
    pub(crate) ledger: Arc<Ledger>,
}

impl Session for SynodSession {
    async fn act(&mut self, deed: &Deed, attempts: &mut u64) -> Result<()> {
        let result = self.act_once(deed, attempts).await;
        if matches!(result, Err(Error::Corrupt(_))) {
            self.ledger.damaged();
        }
        Ok(result?)
    }
}

impl SynodSession {
    async fn act_once(&self, deed: &Deed, attempts: &mut u64) -> Result<(), Error> {
        let db = &self.db;
        match deed {
            Deed::Transfer(pair, order) => {
                self.transfer(&pair.map(|n| self.key(n)), *order, attempts).await
            }
            Deed::PutAll(all) => self.put_all(&self.keys(all), value(INITIAL), attempts).await,
            Deed::Count(way) => self.counter.once(db, *way, attempts).await,
            Deed::Put(n) => {
                *attempts += 1;
                db.put_bytes(&self.key(*n), value(INITIAL)).await
            }
            Deed::Insert(n) => self.put_all(&[self.key(*n)], value(INITIAL), attempts).await,
            Deed::Update(n) => {
                let mark = self.ledger.begin();
                let written = keyspace::marked(mark);
                let result = self.put_all(&[self.key(*n)], written, attempts).await;
                self.ledger.end(*n, mark, &result);
                result
            }
            Deed::Raise(n) => self.raise(&self.key(*n), attempts).await,
            Deed::Get(n) => {
                *attempts += 1;
                balance(&db.get(&self.key(*n)).await?).map(drop)
            }
            Deed::Snapshot(all) => {
                *attempts += 1;
                self.look_at(all).await
            }
            Deed::Scan(from, count) => {
                *attempts += 1;
                self.scan(*from, *count).await
            }
            Deed::Bank(deed @ Banking::Balance(_)) => {
                *attempts += 1;
                self.look_at(&deed.reads()).await
            }
            Deed::Bank(deed) => self.bank(*deed, attempts).await,
        }
    }

    fn key(&self, n: u32) -> Key {
        books::key(self.prefix, n)
    }

    fn keys(&self, numbers: &[u32]) -> Vec<Key> {
        numbers.iter().map(|n| self.key(*n)).collect()
    }

    /// Reads as of one moment.
    async fn look_at(&self, all: &[u32]) -> Result<(), Error> {
        let found = self.db.snapshot().await?.get_many(self.keys(all)).await?;
        balances(&found).map(drop)
    }

    async fn scan(&self, from: u32, count: u32) -> Result<(), Error> {
        let range = self.key(from)..self.key(from + count);
        let rows = self.db.snapshot().await?.scan(range).collect().await?;
        if rows.len() == count as usize {
            return Ok(());
        }
        Err(Error::Corrupt(format!("of {count} keys {} are there", rows.len())))
    }

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

    async fn put_all(&self, all: &[Key], value: Bytes, attempts: &mut u64) -> Result<(), Error> {
        let value = &value;
        let transact = self.db.transact_with(self.options.clone(), |tx| {
            *attempts += 1;
            async move { all.iter().try_for_each(|key| tx.put_bytes(key, value.clone())) }
        });
        transact.await
    }

    async fn raise(&self, key: &Key, attempts: &mut u64) -> Result<(), Error> {
        let transact = self.db.transact_with(self.options.clone(), |tx| {
            *attempts += 1;
            async move {
                let held = balance(&tx.get_for_update(key).await?)?;
                tx.put_bytes(key, value(held + 1))?;
                Ok(1)
            }
        });
        let result = transact.await;
        self.ledger.add(&result, [0, 1]);
        result.map(drop)
    }

    async fn bank(&self, deed: Banking, attempts: &mut u64) -> Result<(), Error> {
        let (read, changed) = (&self.keys(&deed.reads()), &self.keys(&deed.changes()));
        let transact = self.db.transact_with(self.options.clone(), |tx| {
            *attempts += 1;
            async move {
                // Both at once; nothing is asked for that is not needed.
                let (read, held) =
                    tokio::try_join!(tx.get_many(read), tx.get_many_for_update(changed))?;
                let (read, held) = (balances(&read)?, balances(&held)?);
                let after = deed.apply(&read, &held);
                for ((key, held), after) in changed.iter().zip(&held).zip(&after) {
                    if held != after {
                        tx.put_bytes(key, value(*after))?;
                    }
                }
                Ok(after.iter().sum::<i64>() - held.iter().sum::<i64>())
            }
        });
        let result = transact.await;
        self.ledger.add(&result, deed.bounds());
        result.map(drop)
    }
}

fn balance(found: &Value) -> Result<i64, Error> {
    keyspace::balance(found.bytes().map_or(&[], |bytes| bytes))
        .ok_or_else(|| Error::Corrupt("a value is not one of this benchmark".to_owned()))
}

fn balances(found: &[Value]) -> Result<Vec<i64>, Error> {
    found.iter().map(balance).collect()
}
