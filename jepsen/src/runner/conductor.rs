//! Lets each nemesis come and go, and writes down what it did.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;
use tokio::sync::Mutex;
use tokio::time::sleep_until;

use super::{Recorder, Settings};
use crate::history::Value;
use crate::nemesis::{Ground, Nemesis};

/// How long a fault stays, in milliseconds.
const STAYS_MS: std::ops::Range<u64> = 500..4_000;
/// How long a nemesis then leaves the cluster alone.
const RESTS_MS: std::ops::Range<u64> = 300..2_500;

/// What was done to the cluster, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which nemesis.
    pub nemesis: Nemesis,
    /// To whom.
    pub target: String,
    /// Nanoseconds since the run began.
    pub from_ns: u64,
    /// The same.
    pub until_ns: u64,
    /// What was verified: a fault that had no effect proves nothing.
    pub effect: String,
}

/// Until the time is over; then all is healed.
pub(super) async fn torment(
    settings: &Settings,
    ground: &Mutex<Ground>,
    mut dice: Rng,
    recorder: &RefCell<Recorder>,
    until: Instant,
) -> Result<Vec<Fault>> {
    let each = settings.nemeses.iter().map(|nemesis| {
        let dice = dice.fork();
        torment_with(*nemesis, ground, dice, recorder, until)
    });
    let faults = futures_util::future::try_join_all(each).await?;
    // A server that was held down by two of them.
    ground.lock().await.serve().await?;
    let mut faults: Vec<Fault> = faults.into_iter().flatten().collect();
    faults.sort_by_key(|fault| fault.from_ns);
    Ok(faults)
}

async fn torment_with(
    nemesis: Nemesis,
    ground: &Mutex<Ground>,
    mut dice: Rng,
    recorder: &RefCell<Recorder>,
    until: Instant,
) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    loop {
        rest(&mut dice, RESTS_MS, until).await;
        if Instant::now() >= until {
            return Ok(faults);
        }
        let from_ns = recorder.borrow().now();
        let Some(installed) = nemesis.install(&mut *ground.lock().await, &mut dice).await? else {
            continue;
        };
        let target = installed.target().to_owned();
        recorder.borrow_mut().fault(&format!("start-{nemesis}"), Value::Text(target.clone()))?;
        rest(&mut dice, STAYS_MS, until).await;
        let effect = installed.heal(&mut *ground.lock().await).await?;
        let until_ns = recorder.borrow().now();
        recorder.borrow_mut().fault(&format!("stop-{nemesis}"), Value::Text(effect.clone()))?;
        faults.push(Fault { nemesis, target, from_ns, until_ns, effect });
    }
}

async fn rest(dice: &mut Rng, range_ms: std::ops::Range<u64>, until: Instant) {
    let pause = Duration::from_millis(dice.u64(range_ms));
    sleep_until((Instant::now() + pause).min(until).into()).await;
}
