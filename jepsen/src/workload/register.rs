//! Registers: each is read, written and, if asked for, compared and set.

use fastrand::Rng;
use synod_client::Isolation;

use super::keys::Keys;
use super::{Ask, Done, Op, Workload, read, vector};
use crate::checker::Options;
use crate::history::Value;

/// So many registers at a time, so many operations on each.
const ACTIVE: usize = 5;
const USES: u32 = 200;
/// Values are few, so that a comparison often holds.
const VALUES: i64 = 5;

/// Operations on one key each; values are `[key value]`.
pub struct Register {
    keys: Keys,
    cas: bool,
}

impl Register {
    /// With compare-and-set, or without.
    pub fn new(cas: bool) -> Register {
        Register { keys: Keys::new(ACTIVE, USES), cas }
    }
}

impl Workload for Register {
    fn judged(&self, _: Isolation) -> Result<Options, String> {
        // One key: at each level what was committed before is seen, and what is locked first
        // loses no update.
        let model = if self.cas { "cas-register" } else { "register" };
        let mut options = Options::new(model).expect("it is a model");
        options.cas_drop = true;
        options.independent = true;
        Ok(options)
    }

    fn next(&mut self, dice: &mut Rng) -> Op {
        let (key, _) = self.keys.use_one(dice);
        let (f, value) = match dice.u8(..10) {
            0..5 => ("read", Value::Nil),
            5..8 if self.cas => {
                ("cas", vector([dice.i64(0..VALUES).into(), dice.i64(0..VALUES).into()]))
            }
            _ => ("write", dice.i64(0..VALUES).into()),
        };
        Op::new(f, [key.into(), value], dice)
    }

    async fn perform(ask: &Ask, op: &Op) -> Done {
        let Value::Vector(parts) = &op.value else { unreachable!("values are [key value]") };
        let [Value::Int(key), value] = &parts[..] else { unreachable!("values are [key value]") };
        let name = ask.key("register", key);
        match value {
            Value::Nil => look(ask, &name, *key, op.via).await,
            Value::Int(written) => {
                let done = ask.transact(async |tx| {
                    tx.put(&name, written)?;
                    Ok(Some(op.value.clone()))
                });
                done.await
            }
            Value::Vector(cas) => {
                let [Value::Int(from), Value::Int(to)] = cas[..] else { unreachable!("[from to]") };
                let done = ask.transact(async |tx| {
                    let now: Option<i64> = tx.get_for_update(&name).await?.decode_opt()?;
                    if now != Some(from) {
                        return Ok(None);
                    }
                    tx.put(&name, &to)?;
                    Ok(Some(op.value.clone()))
                });
                done.await
            }
            _ => unreachable!("no such operation is generated"),
        }
    }
}

/// In a transaction, or by itself, without locks.
async fn look(ask: &Ask, name: &str, key: i64, via: u8) -> Done {
    let seen = |value: Option<i64>| vector([key.into(), value.map_or(Value::Nil, Value::Int)]);
    if via.is_multiple_of(2) {
        return ask.transact(async |tx| Ok(Some(seen(tx.get(name).await?.decode_opt()?)))).await;
    }
    let looked = async { ask.db.get(name).await?.decode_opt().map(seen) };
    read(looked.await)
}
