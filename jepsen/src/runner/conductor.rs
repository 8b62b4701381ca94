//! Lets each nemesis come and go, and writes down what it did.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;
use tokio::sync::Mutex;
use tokio::time::sleep_until;

use super::{Recorder, Settings};
use crate::nemesis::{Ground, Nemesis};

/// How long a fault stays, in milliseconds.
const STAYS_MS: std::ops::Range<u64> = 500..4_000;
/// How long a nemesis then leaves the cluster alone.
const RESTS_MS: std::ops::Range<u64> = 300..2_500;

/// Until the time is over; then all is healed.
pub(super) async fn torment(
    settings: &Settings,
    ground: &Mutex<Ground>,
    mut dice: Rng,
    recorder: &RefCell<Recorder>,
    until: Instant,
) -> Result<()> {
    let each = settings.nemeses.iter().map(|nemesis| {
        let dice = dice.fork();
        torment_with(*nemesis, ground, dice, recorder, until)
    });
    futures_util::future::try_join_all(each).await?;
    ground.lock().await.are_there()
}

async fn torment_with(
    nemesis: Nemesis,
    ground: &Mutex<Ground>,
    mut dice: Rng,
    recorder: &RefCell<Recorder>,
    until: Instant,
) -> Result<()> {
    loop {
        rest(&mut dice, RESTS_MS, until).await;
        if Instant::now() >= until {
            return Ok(());
        }
        let from_ns = recorder.borrow().now();
        let Some(installed) = nemesis.install(&mut *ground.lock().await, &mut dice).await? else {
            continue;
        };
        recorder.borrow_mut().strike(nemesis.name(), from_ns, installed.target())?;
        rest(&mut dice, STAYS_MS, until).await;
        let effect = installed.heal(&mut *ground.lock().await).await?;
        recorder.borrow_mut().heal(nemesis.name(), effect)?;
    }
}

async fn rest(dice: &mut Rng, range_ms: std::ops::Range<u64>, until: Instant) {
    let pause = Duration::from_millis(dice.u64(range_ms));
    sleep_until((Instant::now() + pause).min(until).into()).await;
}
