//! What a transaction costs does not depend on how many shards the cluster has, only on
//! how many it touches.
//!
//! Servers do some things again and again, whether anything commits or not: heartbeats,
//! safe points, windows; and what they tell of many commits at once they tell once, as each
//! shard acknowledges. So the same time passes once with so many transactions and once with
//! twice as many, and what the others cost is the difference. Transactions go around: they
//! begin at each shard in turn, so that all have something to acknowledge either way.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use synod_client::{Client, Error, Isolation, Options, Protocol};
use synod_common::commit::Price;
use synod_common::deadlock::Scheme;
use synod_tests::stage::{Cluster, Counted};

/// As many as the largest cluster has shards: each is the first that one touches.
const TXNS: u32 = 64;
const SHARDS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Enough for all acknowledgements, and for whatever else is told late.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What a transaction does on the shards that it touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Writes to each.
    Write,
    /// Reads on each, and then writes to the first.
    ReadAndWrite,
    /// Reads on each.
    Read,
    /// Reads on each, without locks.
    Snapshot,
    /// Reads on each, writes to each, and gives up.
    Abort,
    /// Writes to each, and one of them refuses.
    Refused,
}

const WORK: [Work; 6] =
    [Work::Write, Work::ReadAndWrite, Work::Read, Work::Snapshot, Work::Abort, Work::Refused];

/// A cluster and a way to use it.
#[derive(Clone, Copy, Debug)]
struct Setup {
    shards: u32,
    coordinators: u16,
    protocol: Protocol,
}

/// What one transaction costs: all messages, those of commits, and forced writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    sent: u32,
    of_commit: u32,
    forced: u32,
}

/// On which shard this is, if there are as many.
fn key(shard: u32) -> String {
    format!("{shard:02}")
}

async fn transact(
    database: Client,
    protocol: Protocol,
    work: Work,
    keys: Vec<String>,
) -> Result<(), Error> {
    if work == Work::Snapshot {
        database.snapshot().await?.get_many(keys).await?;
        return Ok(());
    }
    let mut options = Options::new().protocol(protocol);
    if work == Work::Refused {
        options = options.isolation(Isolation::Optimistic);
    }
    let txn = database.begin(options).await?;
    if work != Work::Write {
        for key in &keys {
            txn.get(key).await?;
        }
    }
    if work == Work::Refused {
        // What it has read is no more: that shard says NO.
        database.put_bytes(&keys[0], "other").await?;
    }
    match work {
        Work::Write | Work::Abort | Work::Refused => {
            keys.iter().try_for_each(|key| txn.put_bytes(key, "new"))?;
        }
        Work::ReadAndWrite => txn.put_bytes(&keys[0], "new")?,
        Work::Read | Work::Snapshot => {}
    }
    if work == Work::Abort {
        txn.abort();
        return Ok(());
    }
    let committed = txn.commit().await.is_ok();
    assert_eq!(committed, work != Work::Refused);
    Ok(())
}

/// What a cluster has spent when so many transactions were done and some time has passed.
fn spent(setup: Setup, work: Work, touched: u32, txns: u32) -> Counted {
    let splits: Vec<String> = (1..setup.shards).map(key).collect();
    let splits: Vec<&str> = splits.iter().map(String::as_str).collect();
    let mut cluster = Cluster::led_by_group(setup.coordinators, &splits, Scheme::default());
    let database = Client::over(cluster.net.clone(), cluster.leader());
    for n in 0..txns {
        let keys = (0..touched).map(|other| key((n + other) % setup.shards)).collect();
        let done = Rc::new(Cell::new(false));
        let (slot, database) = (Rc::clone(&done), database.clone());
        cluster.executor.spawn(Box::pin(async move {
            transact(database, setup.protocol, work, keys).await.expect("nobody is in its way");
            slot.set(true);
        }));
        cluster.settle();
        assert!(done.get(), "it ends without time passing");
    }
    cluster.pass(AFTERWARDS);
    assert_eq!(cluster.in_progress(), 0, "all is acknowledged");
    cluster.take_counted()
}

/// What each of them costs, exactly.
fn cost(setup: Setup, work: Work, touched: u32) -> Cost {
    let once = spent(setup, work, touched, TXNS);
    let twice = spent(setup, work, touched, 2 * TXNS);
    let each = |count: fn(&Counted) -> u32| {
        let more = count(&twice) - count(&once);
        assert_eq!(more % TXNS, 0, "{setup:?}, {work:?} on {touched}: {once:?}, {twice:?}");
        more / TXNS
    };
    Cost {
        sent: each(|counted| counted.sent),
        of_commit: each(|counted| counted.messages),
        forced: each(|counted| counted.forced),
    }
}

fn all_cost_the_same(coordinators: u16, protocol: Protocol, work: &[Work]) {
    for work in work {
        for touched in [1, 2] {
            let mut first = None;
            for shards in SHARDS.into_iter().filter(|shards| *shards >= touched) {
                let setup = Setup { shards, coordinators, protocol };
                let cost = cost(setup, *work, touched);
                let first = *first.get_or_insert(cost);
                assert_eq!(cost, first, "{protocol}, {work:?} on {touched} of {shards}");
                if *work == Work::Write && coordinators == 1 {
                    let listed = Price::here(protocol, touched as u16, coordinators);
                    let listed = (listed.messages, listed.forced_writes);
                    assert_eq!((cost.of_commit, cost.forced), listed, "{protocol}, {touched}");
                }
            }
        }
    }
}

#[test]
fn the_shards_that_are_not_touched_cost_nothing() {
    all_cost_the_same(1, Protocol::TwoPhase, &WORK);
}

#[test]
fn nor_by_another_protocol() {
    all_cost_the_same(1, Protocol::ThreePhase, &[Work::Write, Work::ReadAndWrite]);
}

#[test]
fn nor_with_a_group() {
    for protocol in [Protocol::TwoPhase, Protocol::PaxosCommit, Protocol::FasterPaxosCommit] {
        all_cost_the_same(3, protocol, &[Work::Write, Work::ReadAndWrite]);
    }
}
