//! Keys that are written once, and read in groups.

use fastrand::Rng;
use synod_client::{Error, Isolation};

use super::{Ask, Done, Op, Workload, mop, mops, needs_snapshots, read, vector};
use crate::checker::Options;
use crate::history::Value;

/// Keys of a group, which are read together.
const GROUP: i64 = 2;
/// Groups in use at a time.
const ACTIVE: i64 = 4;
/// How many reads of a group there are, for each of its writes.
const READS: u8 = 4;
const KIND: &str = "fork";

/// Two reads of a group must not see its writes in different orders.
pub struct LongFork {
    /// The next key that is written.
    next: i64,
}

impl LongFork {
    /// Keys that nobody has written.
    pub fn new() -> LongFork {
        LongFork { next: 0 }
    }
}

impl Default for LongFork {
    fn default() -> LongFork {
        LongFork::new()
    }
}

impl Workload for LongFork {
    fn judged(&self, isolation: Isolation) -> Result<Options, String> {
        needs_snapshots("long-fork", isolation)
    }

    fn next(&mut self, dice: &mut Rng) -> Op {
        if dice.u8(..=READS) == 0 {
            self.next += 1;
            // Neighbours are of different groups, so that a group is read between its writes.
            let (span, place) = (GROUP * ACTIVE, self.next - 1);
            let (block, within) = (place / span, place % span);
            let key = block * span + (within % ACTIVE) * GROUP + within / ACTIVE;
            return Op::new("txn", [mop("w", key, 1)], dice);
        }
        let span = GROUP * ACTIVE;
        let group = self.next / span * ACTIVE + dice.i64(0..ACTIVE);
        let keys = (0..GROUP).map(|place| mop("r", group * GROUP + place, Value::Nil));
        Op::new("txn", vector(keys), dice)
    }

    async fn perform(ask: &Ask, op: &Op) -> Done {
        let parts: Vec<_> = mops(op).collect();
        if let [("w", key, Value::Int(value))] = parts[..] {
            let done = ask.transact(async |tx| {
                tx.put(ask.key(KIND, key), value)?;
                Ok(Some(op.value.clone()))
            });
            return done.await;
        }
        let keys = || parts.iter().map(|(_, key, _)| ask.key(KIND, key));
        let seen = |values: &[synod_client::Value]| -> Result<Value, Error> {
            let mut seen = Vec::new();
            for ((_, key, _), value) in parts.iter().zip(values) {
                let value = value.decode_opt()?.map_or(Value::Nil, Value::Int);
                seen.push(mop("r", *key, value));
            }
            Ok(vector(seen))
        };
        if op.via.is_multiple_of(2) {
            return ask.transact(async |tx| Ok(Some(seen(&tx.get_many(keys()).await?)?))).await;
        }
        read(async { seen(&ask.db.snapshot().await?.get_many(keys()).await?) }.await)
    }
}
