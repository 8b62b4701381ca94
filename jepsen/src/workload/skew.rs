//! Two that each look for what is not there, and then write it: at most one may.

use fastrand::Rng;
use synod_client::{Error, Isolation, Txn};

use super::{Ask, Done, Op, Workload, mop, mops, transactional, vector};
use crate::checker::Options;
use crate::history::Value;

/// Pairs of keys in use at a time, and attempts at each.
const ACTIVE: i64 = 4;
const ATTEMPTS: i64 = 8;

/// Adya's G2 (1999, §4.2.2), as Jepsen's `adya` workload tests it: a transaction reads both
/// keys of a pair, and writes one if both are absent. Absence is looked for key by key, or by
/// a scan of the range.
pub struct WriteSkew {
    next: i64,
}

impl WriteSkew {
    /// Pairs that nobody has written.
    pub fn new() -> WriteSkew {
        WriteSkew { next: 0 }
    }
}

impl Default for WriteSkew {
    fn default() -> WriteSkew {
        WriteSkew::new()
    }
}

impl Workload for WriteSkew {
    fn judged(&self, isolation: Isolation) -> Result<Options, String> {
        Ok(transactional("rw-register", isolation))
    }

    fn next(&mut self, dice: &mut Rng) -> Op {
        let attempt = self.next;
        self.next += 1;
        let pair = attempt / (ACTIVE * ATTEMPTS) * ACTIVE + attempt % ACTIVE;
        let (one, other) = (2 * pair, 2 * pair + 1);
        let reads = [mop("r", one, Value::Nil), mop("r", other, Value::Nil)];
        let write = mop("w", if dice.bool() { one } else { other }, attempt + 1);
        Op::new("txn", vector(reads.into_iter().chain([write])), dice)
    }

    async fn perform(ask: &Ask, op: &Op) -> Done {
        let done = ask.transact(async |tx| {
            let mut seen = Vec::new();
            let mut absent = true;
            for (name, key, value) in mops(op) {
                if let Value::Int(written) = value {
                    if absent {
                        tx.put(key_name(ask, key), written)?;
                        seen.push(mop(name, key, *written));
                    }
                    continue;
                }
                let found = find(tx, key_name(ask, key), op.via).await?;
                absent &= found.is_none();
                seen.push(mop(name, key, found.map_or(Value::Nil, Value::Int)));
            }
            Ok(Some(vector(seen)))
        });
        done.await
    }
}

fn key_name(ask: &Ask, key: i64) -> String {
    ask.key("skew", format_args!("{}/{}", key / 2, key % 2))
}

async fn find(tx: &Txn, name: String, via: u8) -> Result<Option<i64>, Error> {
    if via.is_multiple_of(2) {
        return tx.get(name).await?.decode_opt();
    }
    // What begins with its name is the key alone.
    let rows = tx.scan(synod_client::prefix(name)).collect().await?;
    rows.first().map(|row| row.decode()).transpose()
}
