//! The one key to which everybody adds, and the book that is kept about it.

use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Result;
use synod_client::{Client, Error};

use crate::deed::Way;

const KEY: &str = "bench-counter";

/// The counter.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    start: i64,
    /// Additions that were told committed.
    told: AtomicI64,
    /// Additions that may have been.
    unsure: AtomicI64,
}

impl Counter {
    /// As it stands.
    pub(crate) async fn open(db: &Client) -> Result<Counter> {
        let start = db.get(KEY).await?.number_opt()?.unwrap_or(0);
        Ok(Counter { start, ..Counter::default() })
    }

    /// Adds one.
    pub(crate) async fn once(
        &self,
        db: &Client,
        way: Way,
        attempts: &mut u64,
    ) -> Result<(), Error> {
        let result = db
            .transact(|tx| {
                *attempts += 1;
                async move {
                    match way {
                        Way::Add => tx.add(KEY, 1),
                        Way::ReadAndPut => {
                            let found = tx.get_for_update(KEY).await?.number_opt()?.unwrap_or(0);
                            tx.put_bytes(KEY, (found + 1).to_be_bytes().to_vec())
                        }
                    }
                }
            })
            .await;
        match &result {
            Ok(()) => _ = self.told.fetch_add(1, Ordering::Relaxed),
            Err(Error::InDoubt(_)) => _ = self.unsure.fetch_add(1, Ordering::Relaxed),
            Err(_) => {}
        }
        result
    }

    /// Whether everything that was told is there, and nothing else.
    pub(crate) async fn is_right(&self, db: &Client) -> Result<bool> {
        let added = db.get(KEY).await?.number_opt()?.unwrap_or(0) - self.start;
        let told = self.told.load(Ordering::Relaxed);
        Ok((told..=told + self.unsure.load(Ordering::Relaxed)).contains(&added))
    }
}
