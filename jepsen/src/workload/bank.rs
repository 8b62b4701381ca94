//! Money that moves between accounts while all of them are read.

use fastrand::Rng;
use synod_client::{Error, Isolation, Txn};

use super::{Ask, Done, Op, Workload, needs_snapshots, read};
use crate::checker::Options;
use crate::history::Value;

const ACCOUNTS: i64 = 8;
const BALANCE: i64 = 100;
const MOST: i64 = 5;
const ACCOUNT: &str = "account";

/// Transfers, and reads of all accounts, whose sum never changes.
pub struct Bank;

impl Workload for Bank {
    fn judged(&self, isolation: Isolation) -> Result<Options, String> {
        let mut options = needs_snapshots("bank", isolation)?;
        options.initial = Some((ACCOUNTS * BALANCE).to_string());
        Ok(options)
    }

    async fn set_up(&self, ask: &Ask) -> Result<(), Error> {
        let accounts = ask.db.transact(async |tx| {
            for account in 0..ACCOUNTS {
                tx.put(ask.key(ACCOUNT, account), &BALANCE)?;
            }
            Ok(())
        });
        accounts.await
    }

    fn next(&mut self, dice: &mut Rng) -> Op {
        if dice.u8(..4) == 0 {
            return Op::new("read", Value::Nil, dice);
        }
        let from = dice.i64(0..ACCOUNTS);
        let to = (from + dice.i64(1..ACCOUNTS)) % ACCOUNTS;
        let amount = dice.i64(1..=MOST);
        let pairs = [("from", from), ("to", to), ("amount", amount)];
        let pairs = pairs.map(|(name, value)| (Value::Name(name), value.into()));
        Op::new("transfer", Value::Map(pairs.into()), dice)
    }

    async fn perform(ask: &Ask, op: &Op) -> Done {
        let Value::Map(pairs) = &op.value else { return look(ask, op.via).await };
        let [(_, Value::Int(from)), (_, Value::Int(to)), (_, Value::Int(amount))] = pairs[..]
        else {
            unreachable!("from, to and amount")
        };
        let done = ask.transact(async |tx| {
            let (left, there) = match op.via.is_multiple_of(2) {
                true => (
                    tx.get_for_update(ask.key(ACCOUNT, from)).await?.decode::<i64>()?,
                    tx.get_for_update(ask.key(ACCOUNT, to)).await?.decode::<i64>()?,
                ),
                false => (
                    tx.get(ask.key(ACCOUNT, from)).await?.decode::<i64>()?,
                    tx.get(ask.key(ACCOUNT, to)).await?.decode::<i64>()?,
                ),
            };
            if left < amount {
                return Ok(None);
            }
            tx.put(ask.key(ACCOUNT, from), &(left - amount))?;
            tx.put(ask.key(ACCOUNT, to), &(there + amount))?;
            Ok(Some(op.value.clone()))
        });
        done.await
    }

    fn last(&self) -> Option<Op> {
        Some(Op { f: "read", value: Value::Nil, via: 0 })
    }
}

/// In a transaction, key by key or by a scan; or of a snapshot.
async fn look(ask: &Ask, via: u8) -> Done {
    let keys = || (0..ACCOUNTS).map(|account| ask.key(ACCOUNT, account));
    match via % 3 {
        0 => ask.transact(async |tx| Ok(Some(books(&tx.get_many(keys()).await?)?))).await,
        1 => ask.transact(async |tx| Ok(Some(scanned(tx, &ask.key(ACCOUNT, "")).await?))).await,
        _ => read(async { books(&ask.db.snapshot().await?.get_many(keys()).await?) }.await),
    }
}

fn books(values: &[synod_client::Value]) -> Result<Value, Error> {
    let mut books = Vec::new();
    for (account, value) in (0..).zip(values) {
        let balance = value.decode_opt::<i64>()?.map_or(Value::Nil, Value::Int);
        books.push((Value::Int(account), balance));
    }
    Ok(Value::Map(books))
}

async fn scanned(tx: &Txn, all: &str) -> Result<Value, Error> {
    let mut books = Vec::new();
    for row in tx.scan(synod_client::prefix(all)).collect().await? {
        let key = String::from_utf8_lossy(row.key.as_bytes()).into_owned();
        let account = key.trim_start_matches(all).parse();
        let account = account.map_or(Value::Text(key), Value::Int);
        books.push((account, Value::Int(row.decode()?)));
    }
    Ok(Value::Map(books))
}
