//! Keys that are written once, and read in groups.

use fastrand::Rng;
use synod_client::{Error, Isolation};

use super::{Ask, Done, Op, Workload, mop, mops, needs_snapshots, read, vector};
use crate::checker::Options;
use crate::history::Value;

/// One operation of so many begins the writes of a new group.
const BEGINS: u8 = 8;
/// One read of so many is of the group before.
const BEFORE: u8 = 4;
const KIND: &str = "fork";

/// Two reads of a group must not see its writes in different orders. A group has two keys,
/// written at about the same time, while it is read again and again.
pub struct LongFork {
    group: i64,
    /// The key of the group that is to be written next.
    second: Option<i64>,
}

impl LongFork {
    /// Keys that nobody has written.
    pub fn new() -> LongFork {
        LongFork { group: 0, second: None }
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
        if let Some(key) = self.second.take_if(|_| dice.bool()) {
            return Op::new("txn", [mop("w", key, 1)], dice);
        }
        if self.second.is_none() && dice.u8(..BEGINS) == 0 {
            self.group += 1;
            let first = 2 * self.group + i64::from(dice.bool());
            self.second = Some(first ^ 1);
            return Op::new("txn", [mop("w", first, 1)], dice);
        }
        let group = self.group - i64::from(self.second.is_none() && dice.u8(..BEFORE) == 0);
        let keys = [2 * group, 2 * group + 1].map(|key| mop("r", key, Value::Nil));
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
