//! **I7** Presumed abort: where the coordinator has no record, nobody is or will be
//! committed and unacknowledged. So it writes that a commit has ended only when
//! every participant that voted YES has its commit durable.
//!
//! Source: Mohan, Lindsay, Obermarck (1986), §3.1.

use synod_coordinator::Record;

use super::Check;
use crate::sim::ledger::{Fact, Ledger};

/// Called when a record is written.
pub fn check(ledger: &Ledger, fact: &Fact) -> Check {
    let Fact::Coordinator(Record::Ended { txn }) = fact else { return Ok(()) };
    for shard in ledger.voters.get(txn).into_iter().flatten() {
        if !ledger.servers[usize::from(shard.0)].committed.contains_key(txn) {
            return Err(format!("I7: {txn} has ended, but is not durably committed on {shard}"));
        }
    }
    Ok(())
}
