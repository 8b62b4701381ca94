//! Processes that are killed or stand still.

use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;
use synod_cluster::{Condition, NodeName};
use tokio::time::sleep;

use super::{Ground, list};

/// The system takes note of a signal by then.
const NOTICED: Duration = Duration::from_secs(5);

/// Servers that are down, or stand still.
pub struct Held {
    names: Vec<NodeName>,
    paused: bool,
}

/// Whom to hit: mostly one, at times all of a kind, or everything as when the power fails.
pub(super) fn some(ground: &Ground, dice: &mut Rng) -> Vec<NodeName> {
    let free = ground.free();
    if free.is_empty() {
        return free;
    }
    let one = free[dice.usize(..free.len())];
    let same_kind =
        |name: &NodeName| matches!(name, NodeName::Shard(_)) == matches!(one, NodeName::Shard(_));
    match dice.u8(..8) {
        0 => free,
        1 | 2 => free.into_iter().filter(same_kind).collect(),
        _ => vec![one],
    }
}

/// Who leads the coordinators, if that is known and it is not held down.
pub(super) async fn leader(ground: &Ground) -> Vec<NodeName> {
    for name in ground.free() {
        let NodeName::Coordinator(number) = name else { continue };
        let Ok(metrics) = ground.cluster.metrics(name).await else { continue };
        if metrics.value("synod_leads").is_some_and(|leads| leads > 0.0) {
            return vec![NodeName::Coordinator(number)];
        }
    }
    Vec::new()
}

impl Held {
    /// Kills them. They are gone when this returns.
    pub(super) fn kill(ground: &mut Ground, names: Vec<NodeName>) -> Result<Option<Held>> {
        for name in &names {
            ground.cluster.kill(*name)?;
        }
        Ok(Held::new(ground, names, false))
    }

    /// Stops them where they stand.
    pub(super) async fn pause(ground: &mut Ground, names: Vec<NodeName>) -> Result<Option<Held>> {
        for name in &names {
            ground.cluster.pause(*name)?;
            let began = Instant::now();
            while ground.cluster.condition(*name) != Condition::Paused {
                anyhow::ensure!(began.elapsed() < NOTICED, "{name} does not stand still");
                sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(Held::new(ground, names, true))
    }

    fn new(ground: &mut Ground, names: Vec<NodeName>, paused: bool) -> Option<Held> {
        ground.held.extend(&names);
        (!names.is_empty()).then_some(Held { names, paused })
    }

    pub(super) fn target(&self) -> String {
        list(&self.names)
    }

    pub(super) fn heal(self, ground: &mut Ground) -> Result<String> {
        for name in &self.names {
            match self.paused {
                true => ground.cluster.resume(*name)?,
                false => ground.cluster.spawn(*name)?,
            }
            ground.held.remove(name);
        }
        Ok(match self.paused {
            true => format!("{} stood still, and went on", self.target()),
            false => format!("{} had ended, and started again", self.target()),
        })
    }
}
