//! `synod demo`: a bank whose servers are killed while money moves.
//!
//! ```text
//!   start c1 s1 s2 s3 ── open accounts ── transfers ───────────────────────── stop
//!                                           kill s2 ─ s2 back    kill c1 ─ c1 back
//!                                                                            └ audit
//! ```
//!
//! The audit is that of [`crate::bank`]: no acknowledged transfer is lost, none
//! happened that was reported as failed, none by half, and the sum is exact.

mod story;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use synod_client::{Options, Protocol, ShardId};

use crate::bank::{Bank, Load};
use crate::cluster::{ClusterOptions, LocalCluster, NodeName};
use story::Story;

/// How the demo is run.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The cluster; three shards by default.
    pub cluster: ClusterOptions,
    /// Accounts.
    pub accounts: u32,
    /// Concurrent clients.
    pub clients: u32,
    /// How long the transfers go on before, between and after the kills.
    pub pace: Duration,
    /// How the transfers are committed.
    pub protocol: Protocol,
}

impl Default for DemoOptions {
    fn default() -> DemoOptions {
        DemoOptions {
            cluster: ClusterOptions { shards: 3, ..ClusterOptions::default() },
            accounts: 1000,
            clients: 32,
            pace: Duration::from_secs(3),
            protocol: Protocol::default(),
        }
    }
}

/// How long a killed server stays dead.
const DEAD: Duration = Duration::from_secs(1);
/// How long the transfers may take to go on after a server is back.
const PATIENCE: Duration = Duration::from_secs(20);
const INITIAL: i64 = 1000;
const VICTIM: u16 = 2;

/// A kill, as it turned out.
struct Kill {
    name: NodeName,
    killed: Duration,
    serving: Duration,
    /// When the first transfer that needed the server and began after its death
    /// was acknowledged.
    recovered: Duration,
}

/// Tells the story. Whether every check held.
///
/// # Errors
/// If the cluster can not be started or reached.
pub async fn run(options: DemoOptions) -> Result<bool> {
    let mut story = Story::begin();
    let began = Instant::now();
    let shards = options.cluster.shards;
    let mut cluster = LocalCluster::start(options.cluster).await?;
    let processes = usize::from(shards) + 1;
    story.done(&format!(
        "{processes} servers are up: 1 coordinator and {shards} shards, each a process of its \
         own, QUIC with mutual TLS between them, every commit synced to disk ({:.1} s)",
        began.elapsed().as_secs_f64()
    ));

    let db = cluster.client().await?;
    let bank = Bank::open(db, options.accounts, INITIAL).await?;
    story.done(&format!(
        "{} accounts hold {INITIAL} each, {} in all, spread over the shards",
        options.accounts,
        story::grouped(bank.total())
    ));

    let load = Load::start(&bank, options.clients, 0, 1, Options::new().protocol(options.protocol));
    story.done(&format!(
        "{} clients move money, always between two shards, in one transaction{}",
        options.clients,
        match options.protocol {
            Protocol::Auto | Protocol::TwoPhase => "",
            Protocol::ThreePhase => ", committed in three phases",
        }
    ));
    tokio::time::sleep(options.pace).await;

    let mut kills = Vec::new();
    for victim in [NodeName::Shard(VICTIM.min(shards)), NodeName::Coordinator(1)] {
        let kill = kill(&mut cluster, &load, victim, &mut story).await?;
        kills.push(kill);
        tokio::time::sleep(options.pace).await;
    }
    let span = load.elapsed();
    let tally = load.stop().await;
    story.figures(&tally, span, &kills);

    let (books, wrong) = bank.audit(&tally).await?;
    story.verdict(&bank, &tally, &books, &wrong);
    if let Err(error) = cluster.stop().await {
        story.wrong(&format!("the servers did not stop cleanly: {error:#}"));
        return Ok(false);
    }
    if !wrong.is_empty() {
        return Ok(false);
    }
    story.end(began.elapsed());
    Ok(true)
}

async fn kill(
    cluster: &mut LocalCluster,
    load: &Load,
    name: NodeName,
    story: &mut Story,
) -> Result<Kill> {
    let before = load.acknowledged();
    cluster.kill(name)?;
    let killed = load.elapsed();
    story.blow(&format!(
        "kill -9 {name}, without warning, {} transfers acknowledged so far",
        story::grouped(before as i64)
    ));
    tokio::time::sleep(DEAD).await;
    cluster.restart(name).await?;
    let serving = load.elapsed();
    let shard = match name {
        NodeName::Shard(n) => Some(ShardId(n)),
        NodeName::Coordinator(_) => None,
    };
    let recovered = load.next_after(killed, shard, PATIENCE).await;
    let recovered = recovered
        .with_context(|| format!("no transfer succeeds {PATIENCE:?} after {name} is back"))?;
    let spent = (serving - killed).saturating_sub(DEAD);
    story.done(&format!(
        "{name} is back: read its log, settled what was in doubt and serves again {} ms after \
         its start; transfers go on",
        spent.as_millis(),
    ));
    Ok(Kill { name, killed, serving, recovered })
}
