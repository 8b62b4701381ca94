//! `synod demo`: a bank whose servers are killed while money moves.
//!
//! ```text
//!   start c1 c2 c3 s1 s2 s3 ── open accounts ── transfers ─────────────────────── stop
//!                                     kill s2 ─ s2 back    kill the leader ─ it is back
//!                                                                                  └ audit
//! ```
//!
//! The audit is that of [`crate::bank`]: no acknowledged transfer is lost, none
//! happened that was reported as failed, none by half, and the sum is exact.

mod story;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use synod_client::{Client, Options, Protocol, ShardId};

use crate::bank::{Bank, Load};
use story::Story;
use synod_cluster::{ClusterOptions, LocalCluster, NodeName};

/// How the demo is run.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The cluster; three coordinators and three shards by default.
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
            cluster: ClusterOptions { shards: 3, coordinators: 3, ..ClusterOptions::default() },
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
    /// Whether others did its work in the meantime.
    replaced: bool,
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
    let (shards, coordinators) = (options.cluster.shards, options.cluster.coordinators);
    let mut cluster = LocalCluster::start(options.cluster).await?;
    story.done(&format!(
        "{} servers are up: {} and {shards} shards, each a process of its own, QUIC with \
         mutual TLS between them, every commit synced to disk ({:.1} s)",
        shards + coordinators,
        match coordinators {
            1 => "1 coordinator".to_owned(),
            n => format!("{n} coordinators, of which one leads,"),
        },
        began.elapsed().as_secs_f64()
    ));

    let db = cluster.client().await?;
    let bank = Bank::open(db.clone(), options.accounts, INITIAL).await?;
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
            Protocol::PaxosCommit => ", committed by Paxos Commit",
            Protocol::FasterPaxosCommit => ", committed by Paxos Commit in its faster form",
            Protocol::ClassicalThreePhase => ", committed in three phases, the classical way",
        }
    ));
    tokio::time::sleep(options.pace).await;

    let mut kills = Vec::new();
    let shard = NodeName::Shard(VICTIM.min(shards));
    kills.push(kill(&mut cluster, &load, shard, &mut story).await?);
    tokio::time::sleep(options.pace).await;
    let leader = NodeName::Coordinator(db.status().await?.id.0);
    kills.push(match coordinators {
        1 => kill(&mut cluster, &load, leader, &mut story).await?,
        _ => kill_leader(&mut cluster, &load, leader, &db, &mut story).await?,
    });
    tokio::time::sleep(options.pace).await;
    drop(db);
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
    let killed = strike(cluster, load, name, "", story)?;
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
    Ok(Kill { name, killed, serving, replaced: false, recovered })
}

/// The others go on without it.
async fn kill_leader(
    cluster: &mut LocalCluster,
    load: &Load,
    name: NodeName,
    db: &Client,
    story: &mut Story,
) -> Result<Kill> {
    let killed = strike(cluster, load, name, ", the coordinator that leads", story)?;
    let recovered = load.next_after(killed, None, PATIENCE).await;
    let recovered = recovered
        .with_context(|| format!("no transfer succeeds {PATIENCE:?} after {name} is gone"))?;
    let next = db.status().await?;
    story.done(&format!(
        "c{} leads now, elected by those that are left; transfers go on {} ms after the kill, \
         with all that was decided",
        next.id.0,
        (recovered - killed).as_millis(),
    ));
    tokio::time::sleep(DEAD).await;
    cluster.restart(name).await?;
    let serving = load.elapsed();
    story.done(&format!("{name} is back, catches up, and follows"));
    Ok(Kill { name, killed, serving, replaced: true, recovered })
}

fn strike(
    cluster: &mut LocalCluster,
    load: &Load,
    name: NodeName,
    who: &str,
    story: &Story,
) -> Result<Duration> {
    let before = load.acknowledged();
    cluster.kill(name)?;
    story.blow(&format!(
        "kill -9 {name}{who}, without warning, {} transfers acknowledged so far",
        story::grouped(before as i64)
    ));
    Ok(load.elapsed())
}
