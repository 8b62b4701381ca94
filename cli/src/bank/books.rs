//! The audit: what the clients were told against what the cluster holds.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use synod_client::{Key, Outcome, TxnId, prefix};

use super::{Bank, Receipt, Tally, account};

/// What the cluster holds, read at one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Balances by account.
    pub balances: BTreeMap<Key, i64>,
    /// Receipts.
    pub receipts: BTreeMap<Key, Receipt>,
    /// Transfers that had been in doubt and had committed.
    pub doubts_committed: usize,
    /// Transfers that had been in doubt and had aborted.
    pub doubts_aborted: usize,
}

/// The books do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A transfer was acknowledged and is not there.
    Lost(Key),
    /// A receipt says something else than its transfer.
    Changed(Key),
    /// A transfer is there that nobody was told of, or that was told to have
    /// had no effect.
    Unexplained(Key),
    /// The coordinator still does not know, or says something else than what
    /// is there.
    Doubt(TxnId, Outcome),
    /// A balance is not what the receipts give.
    Balance {
        /// Of which account.
        account: u32,
        /// What it is.
        is: Option<i64>,
        /// What the receipts give.
        should: i64,
    },
    /// Money was made or lost.
    Sum {
        /// What there is.
        is: i64,
        /// What there was at the start.
        should: i64,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Lost(key) => write!(f, "an acknowledged transfer is lost: {key}"),
            Wrong::Changed(key) => write!(f, "a receipt is not what was written: {key}"),
            Wrong::Unexplained(key) => {
                write!(f, "a transfer that nobody was told of happened: {key}")
            }
            Wrong::Doubt(txn, outcome) => {
                write!(f, "{txn} is said to be '{outcome}', and its receipt says otherwise")
            }
            Wrong::Balance { account, is: Some(is), should } => {
                write!(f, "account {account} has {is} where its receipts give {should}")
            }
            Wrong::Balance { account, is: None, .. } => write!(f, "account {account} is gone"),
            Wrong::Sum { is, should } => write!(f, "the sum is {is} and was {should}"),
        }
    }
}

impl Bank {
    /// Reads the books and compares them with what the clients were told.
    ///
    /// # Errors
    /// If they can not be read; what is wrong in them is listed instead.
    pub async fn audit(&self, tally: &Tally) -> Result<(Books, Vec<Wrong>)> {
        // Outcomes first: asking settles what was in doubt.
        let mut outcomes = Vec::new();
        for (txn, key, transfer) in &tally.in_doubt {
            let outcome = self.db.outcome(*txn).await;
            let outcome = outcome.with_context(|| format!("the outcome of {txn}"))?;
            outcomes.push((*txn, key, transfer, outcome));
        }
        let mut books = self.read().await?;
        let mut wrong = Vec::new();
        let mut explained: BTreeMap<&Key, &Receipt> =
            tally.done.iter().map(|done| (&done.key, &done.receipt)).collect();
        for (txn, key, transfer, outcome) in outcomes {
            let there = books.receipts.contains_key(key);
            match outcome {
                Outcome::Committed(_) if there => {
                    books.doubts_committed += 1;
                    explained.insert(key, transfer);
                }
                Outcome::Aborted(_) if !there => books.doubts_aborted += 1,
                outcome => wrong.push(Wrong::Doubt(txn, outcome)),
            }
        }
        for (key, transfer) in &explained {
            match books.receipts.get(*key) {
                None => wrong.push(Wrong::Lost((*key).clone())),
                Some(found) if found != *transfer => wrong.push(Wrong::Changed((*key).clone())),
                Some(_) => {}
            }
        }
        let unexplained = books.receipts.keys().filter(|key| !explained.contains_key(key));
        wrong.extend(unexplained.cloned().map(Wrong::Unexplained));
        wrong.extend(self.replay(&books));
        Ok((books, wrong))
    }

    async fn read(&self) -> Result<Books> {
        let snapshot = self.db.snapshot().await?;
        let mut books = Books::default();
        let mut rows = snapshot.scan(prefix(("acct",)));
        while let Some(row) = rows.next().await {
            let row = row.context("the accounts can not be read")?;
            books.balances.insert(row.key.clone(), row.decode()?);
        }
        let mut rows = snapshot.scan(prefix(("receipt",)));
        while let Some(row) = rows.next().await {
            let row = row.context("the receipts can not be read")?;
            books.receipts.insert(row.key.clone(), row.decode()?);
        }
        Ok(books)
    }

    /// Compares the balances with those that the receipts give.
    fn replay(&self, books: &Books) -> Vec<Wrong> {
        let mut should = vec![self.initial; self.accounts as usize];
        for transfer in books.receipts.values() {
            for (n, change) in [(transfer.from, -transfer.amount), (transfer.to, transfer.amount)] {
                if let Some(balance) = should.get_mut(n as usize) {
                    *balance += change;
                }
            }
        }
        let mut wrong = Vec::new();
        for (n, should) in (0..).zip(should) {
            let is = books.balances.get(&account(n)).copied();
            if is != Some(should) {
                wrong.push(Wrong::Balance { account: n, is, should });
            }
        }
        let (is, should) = (books.balances.values().sum(), self.total());
        if is != should {
            wrong.push(Wrong::Sum { is, should });
        }
        wrong
    }
}
