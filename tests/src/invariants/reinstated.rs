//! **I9** After a restart the locks of every prepared transaction are held before
//! the first request is served.
//!
//! Source: Mohan, Lindsay, Obermarck (1986), §2.

use bytes::Bytes;
use synod_common::key::Key;
use synod_common::message::bulk::{Write, WriteSet};
use synod_common::operation::Operation;
use synod_shard::lock::{LockTarget, Mode};
use synod_shard::{HeldLock, Shard};

use super::Check;
use crate::sim::ledger::Ledger;

/// Called when a shard has recovered and not seen an event yet.
pub fn check(ledger: &Ledger, server: usize, shard: &Shard) -> Check {
    let facts = &ledger.servers[server];
    for txn in ledger.undecided(server) {
        let Some(record) = facts.records.get(&txn) else { continue };
        let writes = |writes: &Bytes| -> Vec<(LockTarget, Mode)> {
            let writes = WriteSet::read(writes).map_while(Result::ok);
            let lock = |(key, write): (&[u8], Write<'_>)| {
                let mode = match write {
                    Write::Put(_) | Write::Delete => Mode::Exclusive,
                    Write::Operate(Operation::Integer(_)) => Mode::Increment,
                    Write::Operate(Operation::Append(_)) => Mode::Append,
                };
                (LockTarget::Key(Key::from(key)), mode)
            };
            writes.map(lock).collect()
        };
        let writes = writes(&record.writes);
        for (target, mode) in writes.into_iter().chain(record.locks.iter().map(HeldLock::lock)) {
            if !shard.locks().covers(txn, &target, mode) {
                return Err(format!("I9: {txn} is prepared and does not hold {mode} on {target}"));
            }
        }
    }
    Ok(())
}
