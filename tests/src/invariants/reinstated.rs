//! **I9** After a restart the locks of every prepared transaction are held before
//! the first request is served.
//!
//! Source: Mohan, Lindsay, Obermarck (1986), §2.

use bytes::Bytes;
use synod_common::message::bulk::WriteSet;
use synod_shard::lock::Mode;
use synod_shard::{HeldLock, Shard};

use super::Check;
use crate::sim::ledger::Ledger;

/// Called when a shard has recovered and not seen an event yet.
pub fn check(ledger: &Ledger, server: usize, shard: &Shard) -> Check {
    let facts = &ledger.servers[server];
    for txn in ledger.undecided(server) {
        let Some(record) = facts.records.get(&txn) else { continue };
        let writes = |writes: &Bytes| -> Vec<(Vec<u8>, Mode)> {
            let keys = WriteSet::read(writes).map_while(Result::ok);
            keys.map(|(key, _)| (key.to_vec(), Mode::Exclusive)).collect()
        };
        let mut needed = writes(&record.writes);
        for lock in &record.locks {
            match lock {
                HeldLock::Shared(key) => needed.push((key.to_vec(), Mode::Shared)),
                HeldLock::Exclusive(key) => needed.push((key.to_vec(), Mode::Exclusive)),
                HeldLock::SharedRange(range) => needed.push((range.start.to_vec(), Mode::Shared)),
            }
        }
        for (key, mode) in needed {
            if !shard.locks().holds(txn, &key, mode) {
                let key = String::from_utf8_lossy(&key).into_owned();
                return Err(format!("I9: {txn} is prepared and does not hold {mode} on {key}"));
            }
        }
    }
    Ok(())
}
