//! Disks that fail and clocks that jump, in servers built for that.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::{Value, json};
use synod_cluster::{Condition, NodeName};

use super::{Ground, Nemesis, list};

/// A clock is off by so many milliseconds at most: outcomes are kept for an hour.
const OFF_MS: i64 = 600_000;

/// What a server says when it stops because its disk fails; anything else is a bug of it.
const STOPS: [&str; 2] = ["the log has failed", "nothing acknowledged is lost"];

/// Servers that were asked to fail.
pub struct Asked {
    nemesis: Nemesis,
    /// Which, and what each had counted by then.
    servers: BTreeMap<NodeName, Counts>,
    what: String,
}

/// How often each fault took effect since a server started.
type Counts = BTreeMap<String, u64>;

/// Fails if a server was not built to be asked for faults.
///
/// # Errors
///
/// Says how to build one.
pub(super) async fn probe(ground: &Ground) -> Result<()> {
    for name in ground.cluster.names() {
        ground.cluster.chaos(name, "").await.context(
            "disks and clocks fail only in a `synod` that was built for it: \
             cargo build --profile ci -p synod-cli --features chaos",
        )?;
    }
    Ok(())
}

impl Asked {
    /// Asks one server, or for its clock any number of them.
    pub(super) async fn install(
        nemesis: Nemesis,
        ground: &mut Ground,
        dice: &mut Rng,
    ) -> Result<Option<Asked>> {
        let mut free = ground.free();
        dice.shuffle(&mut free);
        // The others are there for whoever else is about.
        let half = free.len().div_ceil(2);
        let (body, what, most) = match nemesis {
            Nemesis::Clock => {
                let off = dice.i64(-OFF_MS..=OFF_MS);
                (json!({ "clock_offset_ms": off }), format!("clock off by {off} ms"), half)
            }
            Nemesis::DiskFull => (json!({ "disk": "full" }), "disk full".to_owned(), 1),
            Nemesis::Fsync => (json!({ "disk": "fsync-fails" }), "fsync fails".to_owned(), 1),
            Nemesis::SlowDisk => {
                let slow = dice.u16(5..200);
                let what = format!("fsync takes {slow} ms more");
                (json!({ "disk": { "slow_ms": slow } }), what, half)
            }
            _ => unreachable!("{nemesis} asks nobody"),
        };
        free.truncate(dice.usize(1..=most.max(1)));
        let mut servers = BTreeMap::new();
        for name in free {
            // One that starts just now does not answer.
            if let Ok(said) = ground.cluster.chaos(name, &body.to_string()).await {
                servers.insert(name, counts(&said)?);
                ground.held.insert(name);
            }
        }
        Ok((!servers.is_empty()).then_some(Asked { nemesis, servers, what }))
    }

    pub(super) fn target(&self) -> String {
        let names: Vec<NodeName> = self.servers.keys().copied().collect();
        format!("{}: {}", list(&names), self.what)
    }

    /// Ends it. Who stopped because of it is started again.
    pub(super) async fn heal(self, ground: &mut Ground) -> Result<String> {
        let mut effects = Vec::new();
        for (name, before) in &self.servers {
            let effect = match ground.cluster.condition(*name) {
                Condition::Ended => self.revived(ground, *name)?,
                _ => self.counted(ground, *name, before).await?,
            };
            ground.held.remove(name);
            effects.push(format!("{name} {effect}"));
        }
        Ok(effects.join("; "))
    }

    /// Starts a server again that stopped, if that is what it was asked for.
    fn revived(&self, ground: &mut Ground, name: NodeName) -> Result<String> {
        let said = ground.cluster.bury(name).context("it has ended, and was not there")?;
        let is_asked = matches!(self.nemesis, Nemesis::DiskFull | Nemesis::Fsync);
        let is_known = STOPS.iter().any(|stops| said.contains(stops));
        ground.cluster.spawn(name)?;
        anyhow::ensure!(is_asked && is_known, "{name} ended by itself: {said}");
        Ok("stopped, and was started again".to_owned())
    }

    /// What took effect on a server; it ends that.
    async fn counted(
        &self,
        ground: &mut Ground,
        name: NodeName,
        before: &Counts,
    ) -> Result<String> {
        let ended = json!({ "disk": "ok", "clock_offset_ms": 0 }).to_string();
        let said = match ground.cluster.chaos(name, &ended).await {
            Ok(said) => said,
            // It was about to stop.
            Err(_) if ground.cluster.wait_end(name).await => return self.revived(ground, name),
            Err(error) => return Err(error),
        };
        let after = counts(&said)?;
        let since = |what: &String| after[what].saturating_sub(*before.get(what).unwrap_or(&0));
        let hit: Vec<&String> = after.keys().filter(|what| since(what) > 0).collect();
        let is_disk = |what: &&String| ["writes_refused", "fsyncs_failed"].contains(&what.as_str());
        if hit.iter().any(is_disk) && ground.cluster.wait_end(name).await {
            return self.revived(ground, name);
        }
        let hit = hit.iter().map(|what| format!("{} {}", what.replace('_', " "), since(what)));
        let hit: Vec<String> = hit.collect();
        Ok(if hit.is_empty() { "never came to it".to_owned() } else { hit.join(", ") })
    }
}

/// What a server says that took effect.
fn counts(said: &str) -> Result<Counts> {
    let said: Value = serde_json::from_str(said).context("what it says is no JSON")?;
    let counts = said["took_effect"].as_object().context("it does not say what took effect")?;
    let counts = counts.iter().map(|(what, count)| (what.clone(), count.as_u64().unwrap_or(0)));
    Ok(counts.collect())
}
