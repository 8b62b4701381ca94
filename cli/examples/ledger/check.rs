//! The ledger in the store against the bank's own figures.
//!
//! Within one account and one day the order of rows in the file is not always
//! the order in which the bank's balances arose, and the bank rounded balances
//! to 0.10. So the rule is per account and day: among the day's rows there is a
//! balance that is the one chosen for the day before plus what the store says
//! the day changed, within 0.20. On top of that the store's own books must
//! balance: each account holds exactly the sum of its rows, each day's balance
//! exactly that of the day before plus its rows, and all accounts and
//! counter-accounts together hold nothing.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use synod_client::{Client, Key, Snapshot, prefix};

use crate::books;
use crate::rows::Row;

/// What the bank's rounding may amount to in a day.
const ROUNDING: i64 = 20;
/// How many wrongs are told one by one.
const SHOWN: usize = 10;

/// What was found.
#[derive(Default)]
pub struct Checked {
    rows: usize,
    accounts: usize,
    days: usize,
    counters: i64,
    /// The farthest that a balance of the bank is from ours.
    drift: i64,
    wrong: Vec<String>,
}

/// What the file says of an account's day.
#[derive(Default)]
struct Day {
    change: i64,
    balances: Vec<i64>,
}

impl Checked {
    /// Whether everything held.
    pub fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checked { rows, accounts, days, counters, drift, wrong } = self;
        let crowns = |hundredths: i64| hundredths as f64 / 100.0;
        if wrong.is_empty() {
            return write!(
                f,
                "every row is booked once ({rows}), every account holds the sum of its rows \
                 ({accounts}), every balance of every day is the bank's ({days}; its rounding adds \
                 up to {:.2} at most), and all accounts sum to zero ({:.2} against {:.2})",
                crowns(*drift),
                crowns(-counters),
                crowns(*counters),
            );
        }
        write!(f, "{} WRONG:", wrong.len())?;
        for wrong in wrong.iter().take(SHOWN) {
            write!(f, "\n  {wrong}")?;
        }
        if wrong.len() > SHOWN {
            write!(f, "\n  and {} more", wrong.len() - SHOWN)?;
        }
        Ok(())
    }
}

/// Reads the whole ledger at one snapshot and checks it.
///
/// # Errors
/// If it can not be read; what is wrong in it is listed instead.
pub async fn check(db: &Client, rows: &[Row]) -> Result<Checked> {
    let snapshot = db.snapshot().await?;
    let accounts: BTreeMap<Key, i64> = all(&snapshot, books::ACCOUNT).await?;
    let counters: BTreeMap<Key, i64> = all(&snapshot, books::COUNTER).await?;
    let days: BTreeMap<Key, i64> = all(&snapshot, books::DAY).await?;
    let receipts: BTreeMap<Key, i64> = all(&snapshot, books::ROW).await?;

    let mut checked = Checked { counters: counters.values().sum(), ..Checked::default() };
    checked.receipts(rows, &receipts);
    let mut by_account: BTreeMap<u64, BTreeMap<u32, Day>> = BTreeMap::new();
    for row in rows {
        let day = by_account.entry(row.account).or_default().entry(row.date).or_default();
        day.change += row.change;
        day.balances.push(row.balance);
    }
    for (account, of_file) in &by_account {
        checked.account(*account, of_file, &accounts, &days);
    }
    if accounts.len() != by_account.len() {
        let (is, should) = (accounts.len(), by_account.len());
        checked.wrong.push(format!("{is} accounts where there must be {should}"));
    }
    if days.len() != checked.days {
        let (is, should) = (days.len(), checked.days);
        checked.wrong.push(format!("{is} balances of days where there must be {should}"));
    }
    let sum = accounts.values().sum::<i64>() + checked.counters;
    if sum != 0 {
        checked.wrong.push(format!("all accounts sum to {sum} hundredths, not to zero"));
    }
    Ok(checked)
}

impl Checked {
    fn receipts(&mut self, rows: &[Row], receipts: &BTreeMap<Key, i64>) {
        self.rows = rows.len();
        for row in rows {
            let key = synod_client::AsKey::as_key(&(books::ROW, row.id));
            if receipts.get(&key) != Some(&row.change) {
                self.wrong.push(format!("row {} is not booked as it is", row.id));
            }
        }
        if receipts.len() != rows.len() {
            self.wrong.push(format!("{} receipts for {} rows", receipts.len(), rows.len()));
        }
    }

    fn account(
        &mut self,
        account: u64,
        of_file: &BTreeMap<u32, Day>,
        accounts: &BTreeMap<Key, i64>,
        days: &BTreeMap<Key, i64>,
    ) {
        self.accounts += 1;
        let (mut ours, mut banks) = (0, 0);
        for (date, day) in of_file {
            self.days += 1;
            let Some(balance) = days.get(&books::day(account, *date)).copied() else {
                self.wrong.push(format!("account {account} has no balance of {date}"));
                continue;
            };
            let change = balance - ours;
            if change != day.change {
                self.wrong.push(format!(
                    "account {account} changed by {change} on {date}, its rows say {}",
                    day.change
                ));
            }
            let expected = banks + change;
            let nearest = day.balances.iter().min_by_key(|of_bank| (**of_bank - expected).abs());
            let of_bank = nearest.copied().unwrap_or(i64::MAX);
            if (of_bank - expected).abs() > ROUNDING {
                self.wrong.push(format!(
                    "account {account} ends {date} with {expected}, the bank says {of_bank}"
                ));
            }
            (ours, banks) = (balance, of_bank);
            self.drift = self.drift.max((ours - banks).abs());
        }
        let key = synod_client::AsKey::as_key(&(books::ACCOUNT, account));
        if accounts.get(&key) != Some(&ours) {
            let is = accounts.get(&key);
            self.wrong
                .push(format!("account {account} holds {is:?}, its last day ended with {ours}"));
        }
    }
}

async fn all<T: DeserializeOwned>(snapshot: &Snapshot, kind: &str) -> Result<BTreeMap<Key, T>> {
    let mut found = BTreeMap::new();
    let mut rows = snapshot.scan(prefix((kind,)));
    while let Some(row) = rows.next().await {
        let row = row.with_context(|| format!("the keys of '{kind}' can not be read"))?;
        found.insert(row.key.clone(), row.decode()?);
    }
    Ok(found)
}
