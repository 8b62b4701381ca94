//! Resident memory per lock, and what a lock costs when few and when many are
//! held: run it by hand, on a machine that does nothing else.
//!
//! `cargo run --release -p synod-shard --example locks [S|X] [locks]`

use std::error::Error;
use std::time::Instant;

use synod_common::id::{Epoch, SessionId, TxnId};
use synod_common::key::Key;
use synod_common::time::Timestamp;
use synod_shard::lock::{Acquired, Asker, Capacity, LockTable, LockTarget, Mode, Turn};

/// Locks of one transaction.
const PER_TXN: u64 = 10;
/// So many are timed together, and the best of so many times counts.
const LOCKS: u64 = 20_000;
const TIMES: u64 = 30;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mode = match args.next().as_deref() {
        None | Some("S") => Mode::Shared,
        Some("X") => Mode::Exclusive,
        Some(other) => return Err(format!("{other} is neither S nor X").into()),
    };
    let locks: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let before = resident()?;
    let mut many = table(locks, mode)?;
    let used = resident()? - before;
    assert_eq!(many.held() as u64, locks);
    println!(
        "{locks} locks in mode {mode}, {PER_TXN} per transaction: {:.1} bytes each, 16-byte keys included",
        used as f64 / locks as f64,
    );
    let mut few = table(1_000, mode)?;
    let (few, many) = (cost(&mut few, mode)?, cost(&mut many, mode)?);
    println!(
        "to acquire and release one: {few:.0} ns with 1000 held, {many:.0} ns with {locks} held, {:.2} times",
        many / few
    );
    Ok(())
}

fn txn(sequence: u64) -> TxnId {
    TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence }
}

/// 16 bytes. An odd factor permutes all numbers: a random-looking order, no
/// repeats.
fn key(n: u64) -> Key {
    Key::from(format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).as_str())
}

fn table(locks: u64, mode: Mode) -> Result<LockTable, Box<dyn Error>> {
    let mut table = LockTable::new(Capacity { per_txn: 100, total: usize::MAX });
    for n in 0..locks {
        lock(&mut table, n / PER_TXN, key(n), mode)?;
    }
    Ok(table)
}

fn lock(table: &mut LockTable, owner: u64, key: Key, mode: Mode) -> Result<(), Box<dyn Error>> {
    let asker = Asker { txn: txn(owner), age: Timestamp(owner), turn: Turn(owner) };
    let acquired = table.acquire(asker, LockTarget::Key(key), mode, &mut Vec::new())?;
    assert_eq!(acquired, Acquired::Granted);
    Ok(())
}

/// Nanoseconds per lock taken and released by further transactions.
fn cost(table: &mut LockTable, mode: Mode) -> Result<f64, Box<dyn Error>> {
    let mut best = f64::MAX;
    let mut owner = 1 << 40;
    for _ in 0..TIMES {
        let began = Instant::now();
        for _ in 0..LOCKS / PER_TXN {
            for n in 0..PER_TXN {
                lock(table, owner, key(owner * PER_TXN + n), mode)?;
            }
            table.release_all(txn(owner), &mut Vec::new());
            owner += 1;
        }
        best = best.min(began.elapsed().as_nanos() as f64 / LOCKS as f64);
    }
    Ok(best)
}

/// Resident bytes of this process.
fn resident() -> Result<usize, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm.split(' ').nth(1).ok_or("statm has no second field")?.parse()?;
    Ok(pages * 4096)
}
