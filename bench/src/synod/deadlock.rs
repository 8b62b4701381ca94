//! `synod bench deadlock`: how long a deadlock across two shards lasts, while others
//! move money.
//!
//! ```text
//!   one    locks a ──────── asks for b ─────────────────▶ gets it
//!   other      locks b ─────────── asks for a ────▶ is the victim
//!                                  └───── measured ─────┘
//! ```
//!
//! Which of the two is the victim is up to the cluster; the time ends when its client
//! knows and the other one has its lock. Where a younger one is wounded as soon as it is
//! in the way, there is none to measure.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::Serialize;
use synod_client::{Client, Error, Key, Options, Reason};
use synod_common::route::Router;

use super::{BenchOptions, Counters, Site};
use crate::Workload;
use crate::measure::Measured;
use crate::random::Random;

/// Pause between the two waits, so that the first one has begun.
const BETWEEN: Duration = Duration::from_millis(2);
/// Longest pause between two deadlocks, in microseconds.
const PAUSE_US: u64 = 10_000;

/// How long deadlocks lasted.
#[derive(Clone, Debug, Serialize)]
pub struct Broken {
    /// How many there were.
    pub deadlocks: u64,
    /// Those that ended otherwise, such as by a time-out.
    pub deadlocks_missed: u64,
    /// Half of the transactions beside them took at most so long.
    pub background_p50_us: u64,
    /// All but one in a hundred of them did.
    pub background_p99_us: u64,
}

/// What was measured: transfers, with the deadlocks' times in the place of theirs.
pub(super) async fn run(
    site: &Site,
    options: &BenchOptions,
) -> Result<(Measured<Option<Counters>>, Histogram<u64>, u64)> {
    let pair = pair_of_keys(&site.db).await?;
    let from = Instant::now() + options.warm_up;
    let until = from + Duration::from_secs(options.seconds);
    let deadlocks = tokio::task::spawn_local(deadlocks(site.db.clone(), pair, from, until));
    let background = BenchOptions { workload: Workload::Transfer, ..options.clone() };
    let measured = site.all_clients(&background).await?;
    let (times, missed) = deadlocks.await.context("the pair ended")??;
    Ok((measured, times, missed))
}

/// Two keys on two shards, apart from those of the other transactions.
async fn pair_of_keys(db: &Client) -> Result<[Key; 2]> {
    let router = Router::new(db.status().await?.placement)?;
    let key = |n: u32| Key::from(format!("deadlock/{n}").as_str());
    let first = key(0);
    let apart = |other: &Key| router.shard_of(other) != router.shard_of(&first);
    let second = (1..1_000).map(key).find(apart);
    let second = second.or_else(|| Some(Key::from("\u{1}")).filter(apart));
    let second = second.or_else(|| Some(Key::from("~~~~")).filter(apart));
    Ok([first, second.context("a deadlock across shards needs keys on two of them")?])
}

async fn deadlocks(
    db: Client,
    pair: [Key; 2],
    from: Instant,
    until: Instant,
) -> Result<(Histogram<u64>, u64)> {
    let mut times = Histogram::new_with_bounds(1, 120_000_000, 3)?;
    let mut random = Random::new(0xdead);
    let mut missed = 0;
    while Instant::now() < until {
        let outcome = one(&db, &pair).await;
        if Instant::now() >= from {
            match outcome {
                Ok(spent) => times.saturating_record(spent.as_micros() as u64),
                Err(_) => missed += 1,
            }
        }
        tokio::time::sleep(Duration::from_micros(random.below(PAUSE_US))).await;
    }
    Ok((times, missed))
}

/// Makes one deadlock.
async fn one(db: &Client, [a, b]: &[Key; 2]) -> Result<Duration, Error> {
    let (one, other) = (db.begin(Options::new()).await?, db.begin(Options::new()).await?);
    one.get_for_update(a).await?;
    other.get_for_update(b).await?;
    let mut first = pin!(one.get_for_update(b).into_future());
    tokio::select! {
        biased;
        _ = &mut first => return Err(Error::Misuse("there was no wait".to_owned())),
        () = tokio::time::sleep(BETWEEN) => {}
    }
    let begin = Instant::now();
    let ends = tokio::join!(first, other.get_for_update(a).into_future());
    let spent = begin.elapsed();
    match ends {
        (Ok(_), Err(Error::Retry(refusal))) | (Err(Error::Retry(refusal)), Ok(_))
            if matches!(refusal.reason, Reason::Deadlock(_)) =>
        {
            Ok(spent)
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
        (Ok(_), Ok(_)) => Err(Error::Misuse("there was no deadlock".to_owned())),
    }
}
