//! What clients do to a cluster, and how what they saw is judged.
//!
//! ```text
//!   next(dice) ──▶ Op {f, value} ──▶ perform(ask, op) ──▶ Done: ok, fail, in doubt, unknown
//!   one generator, one seed           a transaction of          what is concluded from the
//!   for all clients                   the shipped client        client's answer
//! ```
//!
//! The generator is asked for one operation after another, whoever of the clients is free:
//! the same seed makes the same sequence, though not the same timing. What an operation
//! does stands in it; `via` is a number that was drawn for it, by which `perform` chooses
//! among ways of the client that must come to the same (a read in a transaction, or of a
//! snapshot).
//!
//! Everything goes through the shipped client with the retries that it has of its own:
//! they are as likely to be wrong as the servers (Jepsen's analysis of jetcd 0.8.2).
//!
//! What is deliberately absent: an operation does not ask the cluster a second time when
//! its answer got lost. The client does that by itself, and where it gave up, the harness
//! asks for the outcome once all is healed ([`crate::runner`]).

mod append;
mod bank;
mod counter;
mod keys;
mod long_fork;
mod register;
mod set;
mod skew;
mod writes;

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use synod_client::{Client, Error, Isolation, Protocol, Txn, TxnId};

pub use self::append::ListAppend;
pub use self::bank::Bank;
pub use self::counter::Counter;
pub use self::long_fork::LongFork;
pub use self::register::Register;
pub use self::set::Set;
pub use self::skew::WriteSkew;
pub use self::writes::RwRegister;
use crate::checker::Options;
use crate::history::Value;
use crate::level::Level;

/// The names of workloads.
pub const WORKLOADS: &[&str] = &[
    "register",
    "cas-register",
    "list-append",
    "rw-register",
    "bank",
    "long-fork",
    "write-skew",
    "set",
    "counter",
];

/// An operation that a client is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// What is done; a name.
    pub f: &'static str,
    /// Its arguments.
    pub value: Value,
    /// Chooses among ways that must come to the same.
    pub via: u8,
}

impl Op {
    fn new(f: &'static str, value: impl Into<Value>, dice: &mut Rng) -> Op {
        Op { f, value: value.into(), via: dice.u8(..) }
    }
}

/// What is known of an operation once the client has answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// It happened, with this result.
    Ok(Value),
    /// It did not happen, and why.
    Fail(String),
    /// The client could not learn the outcome of this transaction; if it committed, this is
    /// the result.
    InDoubt(TxnId, Value),
    /// It did not happen, and should have: what is stored is not what anybody stored, or a
    /// request that makes sense was refused.
    Wrong(String),
}

/// What an error of the client says of an operation that is no commit.
fn failed(error: &Error) -> Done {
    match error {
        Error::Retry(_)
        | Error::Aborted(_)
        | Error::InDoubt(_)
        | Error::Locked(_)
        | Error::SnapshotTooOld(_)
        | Error::Unavailable(_) => Done::Fail(error.to_string()),
        Error::Misuse(_) | Error::TooLarge(_) | Error::Denied(_) | Error::Corrupt(_) => {
            Done::Wrong(error.to_string())
        }
    }
}

/// What a read came to that is no transaction.
fn read(result: Result<Value, Error>) -> Done {
    result.map_or_else(|error| failed(&error), Done::Ok)
}

/// How long a client goes on trying.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits for a lock.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// A client, and how it is to ask.
pub struct Ask {
    /// Whom it asks.
    pub db: Client,
    /// How its transactions are isolated.
    pub isolation: Isolation,
    /// How they are committed.
    pub protocol: Protocol,
    /// What all keys of the run begin with, so that it meets nobody else's.
    pub prefix: String,
}

impl Ask {
    /// The key of one thing of a kind; with an empty name, what all of the kind begin with.
    pub fn key(&self, kind: &str, name: impl fmt::Display) -> String {
        format!("{}{kind}/{name}", self.prefix)
    }

    fn options(&self) -> synod_client::Options {
        synod_client::Options::new()
            .isolation(self.isolation)
            .protocol(self.protocol)
            .timeout(PATIENCE)
            .lock_wait(LOCK_WAIT)
    }

    /// Writes one key.
    pub async fn write(&self, key: &str, value: i64) -> Done {
        let written = self.transact(async |tx| {
            tx.put(key, &value)?;
            Ok(Some(Value::Int(value)))
        });
        written.await
    }

    /// Does `work` as a transaction. What it returns is the result; none if it found that
    /// there is nothing to be done, which is a failure.
    async fn transact(&self, work: impl AsyncFn(&Txn) -> Result<Option<Value>, Error>) -> Done {
        let seen = RefCell::new(None);
        let result = self
            .db
            .transact_with(self.options(), async |tx| {
                let value = work(&tx).await?;
                seen.replace(value);
                Ok(())
            })
            .await;
        match (result, seen.into_inner()) {
            (Ok(()), Some(value)) => Done::Ok(value),
            (Ok(()), None) => Done::Fail("it is not as it was to be".to_owned()),
            (Err(Error::InDoubt(txn)), Some(value)) => Done::InDoubt(txn, value),
            (Err(error), _) => failed(&error),
        }
    }
}

/// A transaction that only reads, of a snapshot: what was committed before is in it, so that it
/// is as good as one under locks. `show` tells what a value is in the history.
async fn look(
    ask: &Ask,
    op: &Op,
    kind: &str,
    show: impl Fn(&synod_client::Value) -> Result<Value, Error>,
) -> Done {
    let looked = async {
        let snapshot = ask.db.snapshot().await?;
        let values = snapshot.get_many(mops(op).map(|(_, key, _)| ask.key(kind, key))).await?;
        let seen = mops(op).zip(&values);
        let seen = seen.map(|((name, key, _), value)| Ok(mop(name, key, show(value)?)));
        Ok(vector(seen.collect::<Result<Vec<_>, Error>>()?))
    };
    read(looked.await)
}

/// Whether an operation only reads, and does so of a snapshot.
fn is_look(op: &Op) -> bool {
    op.via.is_multiple_of(2) && mops(op).all(|(_, _, value)| *value == Value::Nil)
}

/// One kind of work.
pub trait Workload {
    /// How what its clients saw is judged if they work at that level.
    ///
    /// # Errors
    ///
    /// A level at which nothing is promised that it could show.
    fn judged(&self, isolation: Isolation) -> Result<Options, String>;

    /// How many operations a second are begun, if nothing else is asked for; none for as
    /// many as the clients can.
    const RATE: Option<f64> = None;

    /// What has to be there before the first operation.
    #[allow(async_fn_in_trait, reason = "all of a run is on one thread")]
    async fn set_up(&self, _: &Ask) -> Result<(), Error> {
        Ok(())
    }

    /// The next operation.
    fn next(&mut self, dice: &mut Rng) -> Op;

    /// Does an operation.
    #[allow(async_fn_in_trait, reason = "all of a run is on one thread")]
    async fn perform(ask: &Ask, op: &Op) -> Done;

    /// What is read at the end, when all is healed.
    fn last(&self) -> Option<Op> {
        None
    }
}

/// Whether a level promises anything that a workload can show.
pub fn is_promised(workload: &str, isolation: Isolation) -> bool {
    isolation.strengthened() != Isolation::ReadCommitted
        || !["bank", "long-fork"].contains(&workload)
}

/// Options of a model of what several keys have in common.
fn needs_snapshots(model: &str, isolation: Isolation) -> Result<Options, String> {
    if !is_promised(model, isolation) {
        return Err(format!("at {isolation}, {model} may see anything: nothing is promised"));
    }
    Ok(Options::new(model).expect("it is a model"))
}

/// Options of a model of transactions, at the level that an isolation promises.
fn transactional(model: &str, isolation: Isolation) -> Options {
    let mut options = Options::new(model).expect("it is a model");
    options.level = Some(promised(isolation));
    options
}

/// What a level of the client promises, in the words of the checkers. The weaker ones
/// promise, too, that what was committed before is seen, for which there is no level
/// of its own at read committed.
fn promised(isolation: Isolation) -> Level {
    match isolation.strengthened() {
        Isolation::ReadUncommitted | Isolation::ReadCommitted => Level::ReadCommitted,
        Isolation::Snapshot => Level::StrongSnapshotIsolation,
        Isolation::RepeatableRead | Isolation::Optimistic | Isolation::Serializable => {
            Level::StrictSerializable
        }
    }
}

/// A vector.
fn vector(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Vector(items.into_iter().collect())
}

/// `[:r 3 nil]`: a part of a transaction.
fn mop(name: &'static str, key: i64, value: impl Into<Value>) -> Value {
    vector([Value::Name(name), key.into(), value.into()])
}

/// The parts of a transaction that were made by [`mop`].
fn mops(op: &Op) -> impl Iterator<Item = (&'static str, i64, &Value)> {
    let Value::Vector(parts) = &op.value else { unreachable!("a transaction is a vector") };
    parts.iter().map(|part| match part {
        Value::Vector(part) => match &part[..] {
            [Value::Name(name), Value::Int(key), value] => (*name, *key, value),
            _ => unreachable!("made by mop"),
        },
        _ => unreachable!("made by mop"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn ops<W: Workload>(mut workload: W, seed: u64) -> Vec<Op> {
        let mut dice = Rng::with_seed(seed);
        (0..5_000).map(|_| workload.next(&mut dice)).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_operations() {
        fn check<W: Workload>(new: impl Fn() -> W) {
            assert_eq!(ops(new(), 3), ops(new(), 3));
            assert_ne!(ops(new(), 3), ops(new(), 4));
        }
        check(|| Register::new(true));
        check(ListAppend::new);
        check(RwRegister::new);
        check(|| Bank);
        check(LongFork::new);
        check(WriteSkew::new);
        check(Set::new);
        check(|| Counter);
    }

    /// Else who wrote what is read could not be told.
    #[test]
    fn a_value_is_written_once() {
        let all = [ops(ListAppend::new(), 1), ops(RwRegister::new(), 1), ops(WriteSkew::new(), 1)];
        for ops in all {
            let mut written = HashSet::new();
            for op in &ops {
                for (_, key, value) in mops(op).filter(|(_, _, value)| **value != Value::Nil) {
                    assert!(written.insert((key, value.clone())), "{key} {value:?}");
                }
            }
            assert!(written.len() > 1_000);
        }
    }

    /// A fork needs reads of a group while both of its keys are being written.
    #[test]
    fn groups_are_read_while_they_are_written() {
        let ops = ops(LongFork::new(), 1);
        let keys = |op: &Op| mops(op).map(|(_, key, _)| key).collect::<Vec<i64>>();
        let writes = ops.iter().enumerate().filter(|(_, op)| mops(op).count() == 1);
        let places: HashMap<i64, usize> = writes.map(|(at, op)| (keys(op)[0], at)).collect();
        let mut read = 0;
        for (key, first) in &places {
            let Some(second) = places.get(&(key ^ 1)).filter(|second| first < second) else {
                continue;
            };
            assert!(second - first < 20, "{key}: {first} and {second}");
            let around = &ops[*first..ops.len().min(second + 4)];
            read +=
                around.iter().filter(|op| keys(op).len() == 2 && keys(op).contains(key)).count();
        }
        assert!(read > places.len(), "{read} reads around {} writes", places.len());
    }
}
