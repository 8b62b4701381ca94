//! A sum that many add to at once.

use fastrand::Rng;
use synod_client::Isolation;

use super::{Ask, Done, Op, Workload, read};
use crate::checker::Options;
use crate::history::Value;
use crate::level::Level;

const MOST: i64 = 5;

/// Adds that commute, and reads of the sum.
pub struct Counter;

impl Workload for Counter {
    fn judged(&self, _: Isolation) -> Result<Options, String> {
        let mut options = Options::new("counter").expect("it is a model");
        options.level = Some(Level::Linearizable);
        Ok(options)
    }

    fn next(&mut self, dice: &mut Rng) -> Op {
        match dice.u8(..4) {
            0 => Op::new("read", Value::Nil, dice),
            _ => {
                let added = dice.i64(1..=MOST);
                Op::new("add", added, dice)
            }
        }
    }

    async fn perform(ask: &Ask, op: &Op) -> Done {
        let Value::Int(added) = op.value else { return look(ask, op.via).await };
        let name = name(ask);
        let done = ask.transact(async |tx| {
            match op.via.is_multiple_of(4) {
                true => {
                    let sum = tx.get_for_update(&name).await?.number_opt()?.unwrap_or(0);
                    tx.put_bytes(&name, (sum + added).to_be_bytes().to_vec())?;
                }
                false => tx.add(&name, added)?,
            }
            Ok(Some(op.value.clone()))
        });
        done.await
    }

    fn last(&self) -> Option<Op> {
        Some(Op { f: "read", value: Value::Nil, via: 0 })
    }
}

fn name(ask: &Ask) -> String {
    ask.key("counter", "sum")
}

async fn look(ask: &Ask, via: u8) -> Done {
    let name = name(ask);
    if via.is_multiple_of(2) {
        let done = ask.transact(async |tx| {
            Ok(Some(Value::Int(tx.get(&name).await?.number_opt()?.unwrap_or(0))))
        });
        return done.await;
    }
    let sum = ask.db.get(&name).await.and_then(|value| value.number_opt());
    read(sum.map(|sum| Value::Int(sum.unwrap_or(0))))
}
