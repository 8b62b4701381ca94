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

/// Until the time is over; then all is healed. Returns what went wrong: a server that ended by
/// itself, a fault that could not be made or healed. The others go on.
pub(super) async fn torment(
    settings: &Settings,
    ground: &Mutex<Ground>,
    mut dice: Rng,
    recorder: &RefCell<Recorder>,
    until: Instant,
) -> Vec<String> {
    let each = settings.nemeses.iter().map(|nemesis| {
        let dice = dice.fork();
        torment_with(*nemesis, ground, dice, recorder, until)
    });
    let mut ended = futures_util::future::join_all(each).await;
    ended.push(ground.lock().await.are_there());
    let errors = ended.into_iter().filter_map(Result::err);
    errors.map(|error| format!("{error:#}")).collect()
}

async fn torment_with(
    nemesis: Nemesis,
    ground: &Mutex<Ground>,
    mut dice: Rng,
    recorder: &RefCell<Recorder>,
    until: Instant,
) -> Result<()> {
    let (began, mut struck) = (Instant::now(), false);
    loop {
        // What one strike draws does not change the next one.
        let mut dice = dice.fork();
        rest(&mut dice, RESTS_MS, until).await;
        if Instant::now() >= until {
            break;
        }
        let from_ns = recorder.borrow().now();
        let Some(installed) = nemesis.install(&mut *ground.lock().await, &mut dice).await? else {
            continue;
        };
        struck = true;
        recorder.borrow_mut().strike(nemesis.name(), from_ns, installed.target())?;
        rest(&mut dice, STAYS_MS, until).await;
        let effect = installed.heal(&mut *ground.lock().await).await?;
        recorder.borrow_mut().heal(nemesis.name(), effect)?;
    }
    let is_long = until.duration_since(began) > Duration::from_millis(2 * RESTS_MS.end);
    anyhow::ensure!(struck || !is_long, "{nemesis} never struck: it found nobody");
    Ok(())
}

async fn rest(dice: &mut Rng, range_ms: std::ops::Range<u64>, until: Instant) {
    let pause = Duration::from_millis(dice.u64(range_ms));
    sleep_until((Instant::now() + pause).min(until).into()).await;
}
