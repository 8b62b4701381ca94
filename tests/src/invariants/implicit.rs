//! **I32** A transaction that votes alone decide, and that all its participants have prepared,
//! durably, is committed as soon as a coordinator writes so, durably or not, at the largest of
//! the votes; and not if the coordinator's log has aborted it.
//!
//! That all have prepared is not yet a commit: the coordinator may have waited for too long, as
//! long as nobody was told.
//!
//! Source: the commit condition of CockroachDB's parallel commits (RFC 20180324).

use synod_common::id::TxnId;
use synod_common::time::Timestamp;
use synod_coordinator::Record;
use synod_shard::Prepared;

use super::{Check, agreement};
use crate::sim::ledger::Ledger;

/// Called when a coordinator writes a record.
pub fn written(ledger: &mut Ledger, record: &Record) -> Check {
    let Record::Committed { txn, .. } = record else { return Ok(()) };
    let Some(largest) = decided_by_votes(ledger, *txn) else { return Ok(()) };
    if ledger.committed.contains_key(txn) {
        return Ok(());
    }
    ledger.committed.insert(*txn, largest);
    ledger.by_votes += 1;
    agreement::check(ledger, *txn)
}

/// Whether votes alone decide it, as far as anybody has prepared it.
pub fn decides(ledger: &Ledger, txn: TxnId) -> bool {
    record(ledger, txn).is_some_and(|record| record.implicit)
}

fn record(ledger: &Ledger, txn: TxnId) -> Option<&Prepared> {
    ledger.servers.iter().find_map(|facts| facts.records.get(&txn))
}

/// The largest of the votes, if they decide it and all participants have prepared it.
fn decided_by_votes(ledger: &Ledger, txn: TxnId) -> Option<Timestamp> {
    let record = record(ledger, txn).filter(|record| record.implicit)?;
    let votes = record.participants.iter();
    let votes = votes.map(|shard| ledger.servers[usize::from(shard.0)].prepared.get(&txn).copied());
    votes.collect::<Option<Vec<Timestamp>>>()?.into_iter().max()
}

/// Called when the log of the coordinators aborts one though nobody has voted NO.
pub fn aborted(ledger: &mut Ledger, txn: TxnId) -> Check {
    ledger.set_aside += u64::from(decided_by_votes(ledger, txn).is_some());
    ledger.aborted.insert(txn);
    agreement::check(ledger, txn)
}
