//! A bank whose books can be checked: accounts, transfers, receipts.
//!
//! ```text
//!   ("acct", 17)         ──▶ balance
//!   ("receipt", 3, 120)  ──▶ { from, to, amount }     worker 3's 120th transfer
//! ```
//!
//! A transfer reads two accounts on two shards under exclusive locks, writes
//! both, and writes its receipt, all in one transaction. So the receipts say
//! which transfers happened, whoever was told: an acknowledged one must have
//! left its receipt, one reported as failed must have left none, and one in
//! doubt must have left what the coordinator says of it. And since the receipts
//! replayed from the start must give exactly the balances, no transfer happened
//! twice or by half.

mod books;
mod load;

use std::ops::Range;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use synod_client::{Client, ShardId};
use synod_common::route::Router;

pub use books::{Books, Wrong};
pub use load::{Done, Load, Tally};

use synod_bench::random::Random;

/// Accounts opened in one transaction.
const BATCH: u32 = 500;

/// Accounts in a cluster.
#[derive(Clone)]
pub struct Bank {
    db: Client,
    accounts: u32,
    initial: i64,
    /// Which shard has which account, by number.
    homes: Vec<ShardId>,
}

/// What a transfer leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The account that paid.
    pub from: u32,
    /// The account that was paid.
    pub to: u32,
    /// How much.
    pub amount: i64,
}

impl Bank {
    /// Opens accounts with the same balance each.
    ///
    /// # Errors
    /// If the cluster does not do it.
    pub async fn open(db: Client, accounts: u32, initial: i64) -> Result<Bank> {
        let router = Router::new(db.status().await?.placement)?;
        let homes = (0..accounts).map(|n| router.shard_of(&account(n))).collect();
        let bank = Bank { db, accounts, initial, homes };
        anyhow::ensure!(
            bank.homes.iter().any(|home| *home != bank.homes[0]),
            "all accounts are on one shard"
        );
        for batch in batches(accounts) {
            let opening = bank.db.transact(|tx| {
                let mut batch = batch.clone();
                async move { batch.try_for_each(|n| tx.put(account(n), &initial)) }
            });
            opening.await.context("the accounts can not be opened")?;
        }
        Ok(bank)
    }

    /// Its client.
    pub fn db(&self) -> &Client {
        &self.db
    }

    /// How many accounts it has.
    pub fn accounts(&self) -> u32 {
        self.accounts
    }

    /// All its money.
    pub fn total(&self) -> i64 {
        self.initial * i64::from(self.accounts)
    }

    /// The shard that has an account.
    pub fn home(&self, account: u32) -> ShardId {
        self.homes[account as usize]
    }

    /// A transfer between two shards.
    fn draw(&self, random: &mut Random) -> Receipt {
        let mut any = || random.below(u64::from(self.accounts)) as u32;
        let from = any();
        loop {
            let to = any();
            if self.home(to) != self.home(from) {
                return Receipt { from, to, amount: 1 + random.below(100) as i64 };
            }
        }
    }

    /// Locks every account once: nobody who died holds a lock any more.
    ///
    /// # Errors
    /// If a lock can not be had.
    pub async fn lock_all(&self) -> Result<()> {
        for batch in batches(self.accounts) {
            let locking = self.db.transact(|tx| {
                let keys = batch.clone().map(account);
                async move { tx.get_many_for_update(keys).await.map(drop) }
            });
            locking.await.context("an account stays locked")?;
        }
        Ok(())
    }
}

fn batches(accounts: u32) -> impl Iterator<Item = Range<u32>> {
    (0..accounts).step_by(BATCH as usize).map(move |from| from..accounts.min(from + BATCH))
}

fn account(n: u32) -> synod_client::Key {
    synod_client::AsKey::as_key(&("acct", n))
}

fn receipt(worker: u32, n: u64) -> synod_client::Key {
    synod_client::AsKey::as_key(&("receipt", worker, n))
}
