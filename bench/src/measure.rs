//! The closed loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use hdrhistogram::Histogram;

use crate::keyspace::Keyspace;
use crate::random::Random;
use crate::report;
use crate::session::Session;
use crate::workload::Workload;

/// After an error a client waits this long.
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// What is measured, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the clients do.
    pub workload: Workload,
    /// With which keys.
    pub keys: Arc<Keyspace>,
    /// Time before the measurement, for connections, caches and the allocator.
    pub warm_up: Duration,
    /// How long the measurement takes.
    pub time: Duration,
    /// Whether to show a bar.
    pub progress: bool,
}

/// What one client, or all of them, saw.
#[derive(Debug)]
pub struct Seen {
    /// In microseconds.
    pub latency: Histogram<u64>,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Transactions that failed.
    pub errors: u64,
    /// The last of them.
    pub last_error: Option<Error>,
}

/// A measurement.
#[derive(Debug)]
pub struct Measured<M> {
    /// What the clients saw.
    pub seen: Seen,
    /// How long it took.
    pub time: Duration,
    /// How long the meter ran, which is a little more.
    pub metered: Duration,
    /// What the meter said at the beginning, and at the end.
    pub meter: [M; 2],
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

impl<M> Measured<M> {
    /// How many transactions there were while the meter ran.
    pub fn metered_txns(&self) -> f64 {
        self.seen.latency.len() as f64 * self.metered.as_secs_f64() / self.time.as_secs_f64()
    }
}

/// Lets these clients work, each with one transaction after the other.
///
/// # Errors
/// If the meter fails, or a client ends.
pub async fn run<S: Session + 'static, M>(
    sessions: Vec<S>,
    plan: &Plan,
    meter: impl AsyncFn() -> Result<M>,
) -> Result<Measured<M>> {
    let from = Instant::now() + plan.warm_up;
    let until = from + plan.time;
    let mut clients = Vec::new();
    for (client, session) in sessions.into_iter().enumerate() {
        let random = Random::new(0x5eed ^ (client as u64) << 32);
        let seen = Seen::new()?;
        let looping = closed_loop(session, plan.clone(), random, from, until, seen);
        clients.push(tokio::task::spawn_local(looping));
    }
    tokio::time::sleep_until(from.into()).await;
    let before = meter().await?;
    let begin = Instant::now();
    let bar = report::bar(plan.progress, plan.time.as_secs(), plan.workload.name());
    while Instant::now() < until {
        let second = Instant::now() + Duration::from_secs(1);
        tokio::time::sleep_until(second.min(until).into()).await;
        bar.inc(1);
    }
    let meter = [before, meter().await?];
    let metered = begin.elapsed();
    bar.finish_and_clear();
    let mut seen = Seen::new()?;
    for client in clients {
        seen.add(client.await.context("a client ended")??)?;
    }
    Ok(Measured { seen, time: plan.time, metered, meter })
}

/// One transaction after the other. Those that end in the measured time count.
async fn closed_loop(
    mut session: impl Session,
    plan: Plan,
    mut random: Random,
    from: Instant,
    until: Instant,
    mut seen: Seen,
) -> Result<Seen> {
    loop {
        let deed = plan.workload.draw(&plan.keys, &mut random)?;
        let begin = Instant::now();
        if begin >= until {
            return Ok(seen);
        }
        let mut attempts = 0;
        let result = session.act(&deed, &mut attempts).await;
        let end = Instant::now();
        let failed = result.is_err();
        if (from..until).contains(&end) {
            seen.retries += attempts.saturating_sub(1);
            match result {
                Ok(()) => {
                    let spent = u64::try_from((end - begin).as_micros()).unwrap_or(u64::MAX);
                    seen.latency.saturating_record(spent.max(1));
                }
                Err(error) => {
                    seen.errors += 1;
                    seen.last_error = Some(error);
                }
            }
        }
        if failed {
            tokio::time::sleep(AFTER_ERROR).await;
        }
    }
}
