//! **I3** A decision never changes: the commit timestamp of a transaction is the
//! same in every record and every message.
//!
//! Source: rule AC2 in Bernstein, Hadzilacos, Goodman (1987), §7.3.

use synod_common::id::TxnId;
use synod_common::time::Timestamp;

use super::Check;
use crate::sim::ledger::Ledger;

/// Called with every commit timestamp that is written or sent.
pub fn check(ledger: &mut Ledger, txn: TxnId, at: Timestamp) -> Check {
    match ledger.claimed.insert(txn, at) {
        Some(before) if before != at => Err(format!("I3: {txn} committed at {before} and at {at}")),
        _ => Ok(()),
    }
}
