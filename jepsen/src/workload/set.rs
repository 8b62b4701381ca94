//! A set that grows while it is read: nothing that was added is ever missing.

use fastrand::Rng;
use synod_client::Isolation;

use super::{Ask, Done, Op, Workload, read, vector};
use crate::checker::Options;
use crate::history::Value;
use crate::level::Level;

/// One operation of so many reads all.
const READS: u16 = 100;
const KIND: &str = "set";

/// Each element is a key of its own; a read is a scan.
pub struct Set {
    next: i64,
}

impl Set {
    /// An empty one.
    pub fn new() -> Set {
        Set { next: 0 }
    }
}

impl Default for Set {
    fn default() -> Set {
        Set::new()
    }
}

impl Workload for Set {
    // A read returns all: what is written down grows with the square of the elements.
    const RATE: Option<f64> = Some(300.0);

    fn judged(&self, _: Isolation) -> Result<Options, String> {
        let mut options = Options::new("set-full").expect("it is a model");
        options.level = Some(Level::Linearizable);
        Ok(options)
    }

    fn next(&mut self, dice: &mut Rng) -> Op {
        if dice.u16(..READS) == 0 {
            return Op::new("read", Value::Nil, dice);
        }
        self.next += 1;
        Op::new("add", self.next, dice)
    }

    async fn perform(ask: &Ask, op: &Op) -> Done {
        let Value::Int(element) = op.value else { return look(ask, op.via).await };
        let done = ask.transact(async |tx| {
            tx.put(ask.key(KIND, format_args!("{element:012}")), &element)?;
            Ok(Some(op.value.clone()))
        });
        done.await
    }

    fn last(&self) -> Option<Op> {
        Some(Op { f: "read", value: Value::Nil, via: 0 })
    }
}

async fn look(ask: &Ask, via: u8) -> Done {
    let all = || synod_client::prefix(ask.key(KIND, ""));
    let elements = |rows: Vec<synod_client::Row>| {
        let elements: Result<Vec<Value>, _> =
            rows.iter().map(|row| row.decode().map(Value::Int)).collect();
        elements.map(vector)
    };
    if via.is_multiple_of(2) {
        let done = ask.transact(async |tx| Ok(Some(elements(tx.scan(all()).collect().await?)?)));
        return done.await;
    }
    read(async { elements(ask.db.snapshot().await?.scan(all()).collect().await?) }.await)
}
