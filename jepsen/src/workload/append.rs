//! Transactions that append to lists and read them: what is read shows in which order
//! all that is there was written.

use bytes::Bytes;
use fastrand::Rng;
use synod_client::{Error, Isolation, Txn};

use super::keys::Keys;
use super::{Ask, Done, Op, Workload, is_look, look, mop, mops, promised, transactional, vector};
use crate::checker::Options;
use crate::history::Value;
use crate::level::Level;

/// So many lists at a time, so many elements in each.
const ACTIVE: usize = 8;
const LENGTH: u32 = 48;
const LIST: &str = "list";
/// An element as it is stored, big-endian.
const BYTES: usize = 8;

/// Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental
/// observations" (2020), §3.
pub struct ListAppend {
    keys: Keys,
}

impl ListAppend {
    /// Empty lists.
    pub fn new() -> ListAppend {
        ListAppend { keys: Keys::new(ACTIVE, LENGTH) }
    }
}

impl Default for ListAppend {
    fn default() -> ListAppend {
        ListAppend::new()
    }
}

impl Workload for ListAppend {
    fn judged(&self, isolation: Isolation) -> Result<Options, String> {
        Ok(transactional("list-append", isolation))
    }

    fn next(&mut self, dice: &mut Rng) -> Op {
        self.keys.transaction("append", dice)
    }

    async fn perform(ask: &Ask, op: &Op) -> Done {
        if is_look(op) {
            return look(ask, op, LIST, |value| Ok(list(value.bytes()))).await;
        }
        let done = ask.transact(async |tx| {
            let mut seen = Vec::new();
            for (name, key, value) in mops(op) {
                let value = match value {
                    Value::Int(element) => {
                        append(tx, key, *element, op, ask).await?;
                        value.clone()
                    }
                    _ => list(tx.get(ask.key(LIST, key)).await?.bytes()),
                };
                seen.push(mop(name, key, value));
            }
            Ok(Some(vector(seen)))
        });
        done.await
    }
}

/// By the operation that commutes with itself, or by reading and writing anew. The former
/// locks nothing before the commit, so that below serializable it may come behind what its
/// transaction has not seen (`docs/isolation.md`): there only the latter is a write like any
/// other.
async fn append(tx: &Txn, key: i64, element: i64, op: &Op, ask: &Ask) -> Result<(), Error> {
    let name = ask.key(LIST, key);
    if op.via.is_multiple_of(2) && promised(ask.isolation) == Level::StrictSerializable {
        return tx.append(&name, element.to_be_bytes());
    }
    let old = tx.get_for_update(&name).await?;
    let mut bytes = old.bytes().map(|bytes| bytes.to_vec()).unwrap_or_default();
    bytes.extend(element.to_be_bytes());
    tx.put_bytes(&name, bytes)
}

/// A torn element is none that anybody wrote.
fn list(bytes: Option<&Bytes>) -> Value {
    let Some(bytes) = bytes else { return Value::Nil };
    let elements = bytes.chunks(BYTES).map(|chunk| match chunk.try_into() {
        Ok(chunk) => Value::Int(i64::from_be_bytes(chunk)),
        Err(_) => Value::Int(i64::MIN),
    });
    vector(elements)
}
