//! The open loop: when transactions are to begin, whatever the system does meanwhile.
//!
//! ```text
//!   due        │ │    │  │││        │   │      drawn before, gaps exponential (Poisson)
//!   clients    └▶ first who is idle takes the next one, and waits until it is due
//!   stall                 ░░░░░░░░░░            nobody is idle: due ones wait,
//!   latency               ├──────────────┤      and that is part of how long they take
//! ```
//!
//! A closed loop asks for less while the system is slow, and so forgets most of what would
//! have waited: Tene calls that coordinated omission. Here the times are a function of seed
//! and rate alone.

use std::time::Duration;

use anyhow::Result;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::random::Random;

/// Gaps between arrivals are exponential, so that these come one by one and know nothing of
/// each other.
#[derive(Clone, Debug)]
pub struct Schedule {
    random: Random,
    rate: f64,
    at: Duration,
}

impl Schedule {
    /// So many a second.
    pub fn new(seed: u64, rate: u32) -> Schedule {
        let rate = f64::from(rate.max(1));
        Schedule { random: Random::new(seed), rate, at: Duration::ZERO }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // 1 - u is never 0.
        let gap = -(1.0 - self.random.unit()).ln() / self.rate;
        self.at += Duration::from_secs_f64(gap);
        Some(self.at)
    }
}

/// What all clients take their transactions from.
#[derive(Debug)]
pub(crate) struct Arrivals {
    begin: Instant,
    until: Instant,
    /// Who has it is the next one to begin; the others stand behind it, in order.
    next: Mutex<(Schedule, Alarm)>,
}

impl Arrivals {
    pub(crate) fn new(
        schedule: Schedule,
        begin: Instant,
        until: Instant,
        alarm: Alarm,
    ) -> Arrivals {
        Arrivals { begin, until, next: Mutex::new((schedule, alarm)) }
    }

    /// When the next one was to begin. Returns at that time, or at once if it is over; none
    /// if the loop ends before.
    pub(crate) async fn next(&self) -> Result<Option<Instant>> {
        let mut next = self.next.lock().await;
        let (schedule, alarm) = &mut *next;
        let Some(due) = schedule.next().map(|at| self.begin + at).filter(|due| *due < self.until)
        else {
            return Ok(None);
        };
        alarm.wait_until(due).await?;
        Ok(Some(due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_exponential() {
        const RATE: u32 = 500;
        let due: Vec<f64> =
            Schedule::new(3, RATE).take(50_000).map(|at| at.as_secs_f64()).collect();
        let gaps: Vec<f64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        assert!((mean * f64::from(RATE) - 1.0).abs() < 0.02, "{mean}");
        // So many are longer than so many means: e^-1, e^-2, e^-3.
        for means in [1.0, 2.0, 3.0] {
            let longer = gaps.iter().filter(|gap| **gap * f64::from(RATE) > means).count();
            let share = longer as f64 / gaps.len() as f64;
            assert!((share - f64::exp(-means)).abs() < 0.01, "{means}: {share}");
        }
    }
}
