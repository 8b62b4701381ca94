//! **I5** A transaction is applied at most once on each shard, whatever is resent.
//!
//! Source: the log of a shard is its history; a second commit record of the same
//! transaction would be a second application.

use synod_common::commit::Verdict;
use synod_shard::Record;

use super::Check;
use crate::sim::ledger::{Fact, Facts};

/// Called with a record that has become durable, before it is entered.
pub fn check(facts: &Facts, fact: &Fact) -> Check {
    let (txn, known) = match fact {
        Fact::Shard(
            Record::Committed { txn, .. } | Record::Outcome { txn, verdict: Verdict::Commit(_) },
        ) => (txn, facts.committed.contains_key(txn)),
        Fact::Shard(Record::OnePhase(record)) => {
            (&record.txn, facts.one_phase.contains_key(&record.txn))
        }
        Fact::Shard(Record::Prepared(record)) => {
            (&record.txn, facts.prepared.contains_key(&record.txn))
        }
        Fact::Shard(
            Record::Aborted { .. }
            | Record::Shards(_)
            | Record::Site { .. }
            | Record::Resolved(_)
            | Record::Outcome { verdict: Verdict::Abort, .. },
        )
        | Fact::Coordinator(_) => {
            return Ok(());
        }
    };
    if known { Err(format!("I5: {txn} was logged twice: {fact:?}")) } else { Ok(()) }
}
