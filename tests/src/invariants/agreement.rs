//! **I1** No transaction has both a durable commit and a durable abort anywhere.
//!
//! Source: the definition of atomic commitment, rule AC1 in Bernstein, Hadzilacos,
//! Goodman, *Concurrency Control and Recovery in Database Systems* (1987), §7.3.

use synod_common::id::TxnId;

use super::Check;
use crate::sim::ledger::Ledger;

/// Called when a commit or an abort of `txn` became durable.
pub fn check(ledger: &Ledger, txn: TxnId) -> Check {
    let committed = ledger.committed.contains_key(&txn)
        || ledger.servers.iter().any(|facts| facts.committed.contains_key(&txn));
    if committed && ledger.aborted.contains(&txn) {
        return Err(format!("I1: {txn} is durably committed and durably aborted"));
    }
    Ok(())
}
