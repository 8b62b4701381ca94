//! Disks that fail and clocks that jump, in servers built for that.

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::{Value, json};
use synod_cluster::{Condition, NodeName};

use super::{Ground, Nemesis, list};

/// A clock is off by so many milliseconds at most: outcomes are kept for an hour.
const OFF_MS: i64 = 600_000;

/// Servers that were asked to fail.
pub struct Asked {
    names: Vec<NodeName>,
    what: String,
}

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
        let (body, what, most) = match nemesis {
            Nemesis::Clock => {
                let off = dice.i64(-OFF_MS..=OFF_MS);
                (json!({ "clock_offset_ms": off }), format!("clock off by {off} ms"), free.len())
            }
            Nemesis::DiskFull => (json!({ "disk": "full" }), "disk full".to_owned(), 1),
            Nemesis::Fsync => (json!({ "disk": "fsync-fails" }), "fsync fails".to_owned(), 1),
            Nemesis::SlowDisk => {
                let slow = dice.u16(5..200);
                let what = format!("fsync takes {slow} ms more");
                (json!({ "disk": { "slow_ms": slow } }), what, free.len())
            }
            _ => unreachable!("{nemesis} asks nobody"),
        };
        free.truncate(if most > 1 { dice.usize(1..=most) } else { most });
        let mut names = Vec::new();
        for name in free {
            ground.cluster.chaos(name, &body.to_string()).await?;
            ground.held.insert(name);
            names.push(name);
        }
        names.sort_unstable();
        Ok((!names.is_empty()).then_some(Asked { names, what }))
    }

    pub(super) fn target(&self) -> String {
        format!("{}: {}", list(&self.names), self.what)
    }

    /// Ends it. Who stopped because of it is started again.
    pub(super) async fn heal(self, ground: &mut Ground) -> Result<String> {
        let mut effects = Vec::new();
        for name in self.names {
            let effect = match ground.cluster.condition(name) {
                Condition::Ended => revived(ground, name)?,
                _ => counted(ground, name).await?,
            };
            ground.held.remove(&name);
            effects.push(format!("{name} {effect}"));
        }
        Ok(effects.join("; "))
    }
}

/// Starts a server again that stopped because of what was asked of it.
fn revived(ground: &mut Ground, name: NodeName) -> Result<String> {
    ground.cluster.bury(name).context("it has ended, and was not there")?;
    ground.cluster.spawn(name)?;
    Ok("stopped, and was started again".to_owned())
}

/// What a server says that took effect; it ends that.
async fn counted(ground: &mut Ground, name: NodeName) -> Result<String> {
    let ended = json!({ "disk": "ok", "clock_offset_ms": 0 }).to_string();
    let said = match ground.cluster.chaos(name, &ended).await {
        Ok(said) => said,
        // It was about to stop.
        Err(_) if ground.cluster.wait_end(name).await => return revived(ground, name),
        Err(error) => return Err(error),
    };
    let said: Value = serde_json::from_str(&said).context("what it says is no JSON")?;
    let counts = said["took_effect"].as_object().context("it does not say what took effect")?;
    let is_hit = |what: &str| counts.get(what).and_then(Value::as_u64) > Some(0);
    if (is_hit("writes_refused") || is_hit("fsyncs_failed")) && ground.cluster.wait_end(name).await
    {
        return revived(ground, name);
    }
    let counts = counts.iter().filter(|(_, count)| count.as_u64() > Some(0));
    let counts: Vec<String> =
        counts.map(|(what, count)| format!("{} {count}", what.replace('_', " "))).collect();
    Ok(match counts.is_empty() {
        true => "never came to it".to_owned(),
        false => counts.join(", "),
    })
}
