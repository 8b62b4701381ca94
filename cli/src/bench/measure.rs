//! The closed loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use synod_client::{Client, Error, Options};

use super::cost::Cost;
use super::{BenchOptions, Counters, Keyspace, WARM_UP, Workload, report};
use crate::random::Random;
use synod_cluster::LocalCluster;

/// After an error a client waits this long.
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// What one client, or all of them, saw.
pub(super) struct Seen {
    /// In microseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) retries: u64,
    pub(super) errors: u64,
    pub(super) last_error: Option<Error>,
}

/// A measurement.
pub(super) struct Measured {
    pub(super) seen: Seen,
    pub(super) span: Duration,
    pub(super) cost: Option<Cost>,
}

impl Seen {
    fn new() -> Result<Seen> {
        let latency = Histogram::new_with_bounds(1, 120_000_000, 3)?;
        Ok(Seen { latency, retries: 0, errors: 0, last_error: None })
    }

    fn add(&mut self, other: Seen) -> Result<()> {
        self.latency.add(&other.latency)?;
        self.retries += other.retries;
        self.errors += other.errors;
        self.last_error = other.last_error.or(self.last_error.take());
        Ok(())
    }
}

pub(super) async fn run(
    db: &Client,
    keyspace: &Keyspace,
    cluster: Option<&LocalCluster>,
    options: &BenchOptions,
) -> Result<Measured> {
    let keyspace = Arc::new(keyspace.clone());
    let from = Instant::now() + WARM_UP;
    let until = from + Duration::from_secs(options.seconds);
    let mut clients = Vec::new();
    for client in 0..options.clients {
        let random = Random::new(0x5eed ^ u64::from(client) << 32);
        let (db, keyspace) = (db.clone(), Arc::clone(&keyspace));
        let seen = Seen::new()?;
        let work = (options.workload, Options::new().protocol(options.protocol));
        clients.push(tokio::task::spawn_local(closed_loop(
            db, keyspace, work, random, from, until, seen,
        )));
    }
    tokio::time::sleep_until(from.into()).await;
    let before = Counters::read(cluster).await?;
    let begin = Instant::now();
    let bar = report::bar(options.progress, options.seconds, options.workload.name());
    while Instant::now() < until {
        let second = Instant::now() + Duration::from_secs(1);
        tokio::time::sleep_until(second.min(until).into()).await;
        bar.inc(1);
    }
    let after = Counters::read(cluster).await?;
    let counted = begin.elapsed();
    bar.finish_and_clear();
    let mut seen = Seen::new()?;
    for client in clients {
        seen.add(client.await.context("a client ended")?)?;
    }
    let span = until - from;
    let txns = seen.latency.len() as f64 * counted.as_secs_f64() / span.as_secs_f64();
    let cost = Cost::between(before, after, txns);
    Ok(Measured { seen, span, cost })
}

/// One transaction after the other. Those that end in the measured time count.
async fn closed_loop(
    db: Client,
    keyspace: Arc<Keyspace>,
    (workload, options): (Workload, Options),
    mut random: Random,
    from: Instant,
    until: Instant,
    mut seen: Seen,
) -> Seen {
    loop {
        let begin = Instant::now();
        if begin >= until {
            return seen;
        }
        let mut attempts = 0;
        let result = workload.once(&db, &options, &keyspace, &mut random, &mut attempts).await;
        let end = Instant::now();
        if (from..until).contains(&end) {
            seen.retries += attempts.saturating_sub(1);
            match &result {
                Ok(()) => {
                    let spent = u64::try_from((end - begin).as_micros()).unwrap_or(u64::MAX);
                    seen.latency.saturating_record(spent.max(1));
                }
                Err(error) => {
                    seen.errors += 1;
                    seen.last_error = Some(error.clone());
                }
            }
        }
        if result.is_err() {
            tokio::time::sleep(AFTER_ERROR).await;
        }
    }
}
