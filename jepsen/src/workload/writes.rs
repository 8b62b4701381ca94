//! Transactions that write registers and read them.

use fastrand::Rng;
use synod_client::{Error, Isolation};

use super::keys::Keys;
use super::{Ask, Done, Op, Workload, is_look, look, mop, mops, transactional, vector};
use crate::checker::Options;
use crate::history::Value;

/// So many registers at a time, so many writes to each.
const ACTIVE: usize = 8;
const WRITES: u32 = 48;
const KIND: &str = "rw";

/// Reads and blind writes; each value is written once.
pub struct RwRegister {
    keys: Keys,
}

impl RwRegister {
    /// Registers that nobody has written.
    pub fn new() -> RwRegister {
        RwRegister { keys: Keys::new(ACTIVE, WRITES) }
    }
}

impl Default for RwRegister {
    fn default() -> RwRegister {
        RwRegister::new()
    }
}

impl Workload for RwRegister {
    fn judged(&self, isolation: Isolation) -> Result<Options, String> {
        Ok(transactional("rw-register", isolation))
    }

    fn next(&mut self, dice: &mut Rng) -> Op {
        self.keys.transaction("w", dice)
    }

    async fn perform(ask: &Ask, op: &Op) -> Done {
        if is_look(op) {
            return look(ask, op, KIND, shown).await;
        }
        let done = ask.transact(async |tx| {
            let mut seen = Vec::new();
            for (name, key, value) in mops(op) {
                let register = ask.key(KIND, key);
                let value = match value {
                    Value::Int(written) => {
                        tx.put(&register, written)?;
                        value.clone()
                    }
                    _ => shown(&tx.get(&register).await?)?,
                };
                seen.push(mop(name, key, value));
            }
            Ok(Some(vector(seen)))
        });
        done.await
    }
}

fn shown(value: &synod_client::Value) -> Result<Value, Error> {
    Ok(value.decode_opt()?.map_or(Value::Nil, Value::Int))
}
