//! **I27** The sum of all balances is the same in every snapshot and in every
//! committed transaction that read all accounts under locks.
//!
//! Source: the bank test of Kingsbury's Jepsen analyses.

use bytes::Bytes;
use synod_common::key::Key;

use super::Check;
use crate::sim::history::{History, Seen};
use crate::sim::ledger::Ledger;

/// The balance within a value.
pub fn balance(value: &Bytes) -> Option<i64> {
    std::str::from_utf8(value).ok()?.split(' ').next()?.parse().ok()
}

/// Called at the end.
pub fn check(history: &History, ledger: &Ledger, accounts: usize, total: i64) -> Check {
    for snapshot in history.snapshots.iter().filter(|snapshot| snapshot.full) {
        if let Some(wrong) = wrong_sum(&snapshot.seen, accounts, total) {
            return Err(format!("I27: the snapshot at {} {wrong}", snapshot.at));
        }
    }
    for (txn, known) in &history.txns {
        let committed = ledger.committed.contains_key(txn) || known.answered.is_some();
        if known.full_scan
            && committed
            && let Some(wrong) = wrong_sum(&known.seen, accounts, total)
        {
            return Err(format!("I27: the scan of {txn} {wrong}"));
        }
    }
    Ok(())
}

fn wrong_sum(seen: &Seen, accounts: usize, total: i64) -> Option<String> {
    let rows = seen.ranges.iter().flat_map(|(_, _, rows)| rows.iter());
    let keys = seen.keys.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    let found: Vec<(&Key, i64)> = rows
        .chain(keys)
        .filter(|(key, _)| key.starts_with(b"a/"))
        .filter_map(|(key, value)| Some((key, balance(value)?)))
        .collect();
    let sum: i64 = found.iter().map(|(_, balance)| balance).sum();
    (found.len() != accounts || sum != total)
        .then(|| format!("has {} of {accounts} accounts, sum {sum} and not {total}", found.len()))
}
