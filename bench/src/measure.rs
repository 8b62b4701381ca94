//! The closed loop, and the open one.
//!
//! | | closed | open |
//! | --- | --- | --- |
//! | a transaction begins | when its client has ended another | when it is due ([`arrivals`](crate::arrivals)), or as soon after that as a client is idle |
//! | it took | from when it began | from when it was due |
//! | its time counts if | it ended while it was measured | it was due while it was measured, however late it ended |
//! | the rate is of | those that ended while it was measured | the same |
//!
//! What was due while it was measured, and could not begin before the end, is missed. What was
//! due while it warmed up, and did not begin then, is left out.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::arrivals::{Arrivals, Schedule};
use crate::keyspace::Keyspace;
use crate::random::Random;
use crate::report;
use crate::session::Session;
use crate::workload::Workload;

/// After an error a client waits this long.
const AFTER_ERROR: Duration = Duration::from_millis(10);
const SEED: u64 = 0x5eed;
/// Of an open loop.
const ARRIVALS_SEED: u64 = 0xa441;

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
    /// In an open loop: how many transactions are due in a second, for all clients together.
    pub rate: Option<u32>,
    /// Whether to show a bar.
    pub progress: bool,
}

/// What one client, or all of them, saw.
#[derive(Debug)]
pub struct Seen {
    /// In microseconds.
    pub latency: Histogram<u64>,
    /// Transactions that were done while it was measured.
    pub done: u64,
    /// Those of an open loop that were due, and never began.
    pub missed: u64,
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
        Ok(Seen { latency, done: 0, missed: 0, retries: 0, errors: 0, last_error: None })
    }

    fn add(&mut self, other: Seen) -> Result<()> {
        self.latency.add(&other.latency)?;
        self.done += other.done;
        self.missed += other.missed;
        self.retries += other.retries;
        self.errors += other.errors;
        self.last_error = other.last_error.or(self.last_error.take());
        Ok(())
    }
}

impl<M> Measured<M> {
    /// How many transactions there were while the meter ran.
    pub fn metered_txns(&self) -> f64 {
        self.seen.done as f64 * self.metered.as_secs_f64() / self.time.as_secs_f64()
    }
}

/// Lets these clients work, each with one transaction at a time.
///
/// # Errors
/// If the meter fails, or a client ends.
pub async fn run<S: Session + 'static, M>(
    sessions: Vec<S>,
    plan: &Plan,
    meter: impl AsyncFn() -> Result<M>,
) -> Result<Measured<M>> {
    let alarm = plan.rate.map(|_| Alarm::new()).transpose()?;
    run_by(sessions, plan, meter, alarm.unwrap_or(Alarm::Coarse)).await
}

/// By this alarm.
async fn run_by<S: Session + 'static, M>(
    sessions: Vec<S>,
    plan: &Plan,
    meter: impl AsyncFn() -> Result<M>,
    alarm: Alarm,
) -> Result<Measured<M>> {
    let now = Instant::now();
    let from = now + plan.warm_up;
    let until = from + plan.time;
    let arrivals = plan.rate.map(|rate| {
        let schedule = Schedule::new(ARRIVALS_SEED, rate);
        Rc::new(Arrivals::new(schedule, now, until, alarm))
    });
    let mut clients = Vec::new();
    for (number, session) in sessions.into_iter().enumerate() {
        let random = Random::new(SEED ^ (number as u64) << 32);
        let seen = Seen::new()?;
        let client = Client { session, plan: plan.clone(), random, from, until, seen };
        clients.push(match &arrivals {
            Some(arrivals) => tokio::task::spawn_local(client.open_loop(Rc::clone(arrivals))),
            None => tokio::task::spawn_local(client.closed_loop()),
        });
    }
    tokio::time::sleep_until(from).await;
    let before = meter().await?;
    let begin = Instant::now();
    let bar = report::bar(plan.progress, plan.time.as_secs(), plan.workload.name());
    while Instant::now() < until {
        let second = Instant::now() + Duration::from_secs(1);
        tokio::time::sleep_until(second.min(until)).await;
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

/// A client at work.
struct Client<S> {
    session: S,
    plan: Plan,
    random: Random,
    /// The measured time.
    from: Instant,
    until: Instant,
    seen: Seen,
}

impl<S: Session> Client<S> {
    /// One transaction after the other.
    async fn closed_loop(mut self) -> Result<Seen> {
        loop {
            let begin = Instant::now();
            if begin >= self.until {
                return Ok(self.seen);
            }
            let (result, attempts) = self.act().await?;
            let failed = result.is_err();
            let end = Instant::now();
            if (self.from..self.until).contains(&end) {
                self.seen.done += u64::from(!failed);
                self.see(result, attempts, end - begin);
            }
            if failed {
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }

    /// Whatever is due, and as soon as it is, if this client is idle.
    async fn open_loop(mut self, arrivals: Rc<Arrivals>) -> Result<Seen> {
        while let Some(due) = arrivals.next().await? {
            let counts = due >= self.from;
            let now = Instant::now();
            // Measuring begins with nothing that waits, and ends with it.
            if now >= if counts { self.until } else { self.from } {
                self.seen.missed += u64::from(counts);
                continue;
            }
            let (result, attempts) = self.act().await?;
            let end = Instant::now();
            if (self.from..self.until).contains(&end) {
                self.seen.done += u64::from(result.is_ok());
            }
            if counts {
                self.see(result, attempts, end - due);
            }
        }
        Ok(self.seen)
    }

    /// One transaction: what came of it, and after how many attempts.
    async fn act(&mut self) -> Result<(Result<()>, u64)> {
        let deed = self.plan.workload.draw(&self.plan.keys, &mut self.random)?;
        let mut attempts = 0;
        let result = self.session.act(&deed, &mut attempts).await;
        self.plan.keys.settle(&deed, result.is_ok());
        Ok((result, attempts))
    }

    fn see(&mut self, result: Result<()>, attempts: u64, spent: Duration) {
        self.seen.retries += attempts.saturating_sub(1);
        match result {
            Ok(()) => {
                let spent = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
                self.seen.latency.saturating_record(spent.max(1));
            }
            Err(error) => {
                self.seen.errors += 1;
                self.seen.last_error = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests;
