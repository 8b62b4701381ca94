//! **I2** A transaction is committed only if every participant that writes has
//! durably voted for it, and `commit_ts` is not below any of the votes. Nor is it
//! pre-committed before that.
//!
//! Source: Mohan, Lindsay, Obermarck (1986), §3.1; the largest of the votes is the
//! commit timestamp.

use synod_common::commit::{Phase, Verdict};
use synod_coordinator::Record;

use super::Check;
use crate::sim::ledger::{Fact, Ledger};

/// Called when a record is written.
pub fn check(ledger: &Ledger, fact: &Fact) -> Check {
    let (txn, at, yes) = match fact {
        Fact::Coordinator(Record::Committed { txn, at, yes }) => (txn, at, yes),
        Fact::Coordinator(Record::Site { txn, sites, stable, .. }) => {
            let Phase::Pre(Verdict::Commit(at)) = &stable.phase else { return Ok(()) };
            (txn, at, sites)
        }
        _ => return Ok(()),
    };
    for shard in yes {
        match ledger.servers[usize::from(shard.0)].prepared.get(txn) {
            None => return Err(format!("I2: {txn} is decided, but not prepared on {shard}")),
            Some(m) if m > at => {
                return Err(format!("I2: {txn} committed at {at}, {shard} voted {m}"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
