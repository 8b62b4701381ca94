//! `synod bench failover`: how long nobody can write when the coordinator that leads is
//! killed, again and again, and whether anything that was acknowledged is lost.
//!
//! ```text
//!   writers  ✓ ✓ ✓ ✓ ✓ ✓ ✓                     ✓ ✓ ✓ ✓
//!                         kill -9              first commit that was begun
//!                         └────── measured ────┘ and acknowledged after it
//! ```
//!
//! Each writer counts up a number of its own, which it writes to two shards in one
//! transaction. What it was told last must be there in the end, on both.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;
use synod_client::{Client, Key, Options, Protocol, ShardId};
use synod_common::route::Router;

use crate::random::Random;
use synod_cluster::{ClusterOptions, LocalCluster, NodeName};

/// Shards of the cluster.
const SHARDS: u16 = 2;
/// How often it is looked what is in doubt.
const LOOK: Duration = Duration::from_millis(20);
/// How long a run goes on after the kill.
const AFTER: Duration = Duration::from_secs(3);
/// How long nobody may write until it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is measured, and how.
#[derive(Clone, Copy, Debug)]
pub struct FailoverOptions {
    /// How many coordinators there are.
    pub coordinators: u16,
    /// How often the leader is killed.
    pub runs: u32,
    /// Writers at a time.
    pub clients: u32,
    /// How they commit.
    pub protocol: Protocol,
}

/// What must hold, if anybody asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailoverBounds {
    /// Nobody could write for so long at most, in all but one of a hundred kills.
    pub back: Option<Duration>,
    /// Nothing was seen in doubt for longer.
    pub in_doubt: Option<Duration>,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Failover {
    workload: &'static str,
    clients: u32,
    protocol: String,
    coordinators: u16,
    runs: u32,
    /// Nobody could write for so long, in half of the runs at most.
    back_p50_ms: f64,
    /// In all but one of a hundred, at most.
    back_p99_ms: f64,
    /// The longest that anything was seen in doubt after a kill, on any shard.
    in_doubt_max_ms: u64,
    commits: u64,
    /// Commits of which the writer could not learn whether they happened.
    unknown: u64,
    /// Acknowledged, and not there in the end.
    lost: u64,
}

impl Failover {
    /// What is not as it must be.
    pub fn faults(&self, bounds: FailoverBounds) -> Vec<String> {
        let mut faults = Vec::new();
        if self.lost > 0 {
            faults.push(format!("{} acknowledged commits are not there", self.lost));
        }
        let ms = |bound: Duration| bound.as_secs_f64() * 1_000.0;
        if let Some(bound) = bounds.back.map(ms).filter(|bound| self.back_p99_ms > *bound) {
            let p99 = self.back_p99_ms;
            faults.push(format!("nobody could write for {p99:.0} ms (p99), not {bound} at most"));
        }
        let longest = self.in_doubt_max_ms;
        if let Some(bound) = bounds.in_doubt.map(ms).filter(|bound| longest as f64 > *bound) {
            faults.push(format!("something was in doubt for {longest} ms, not {bound} at most"));
        }
        faults
    }
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "the leader of {} coordinators was killed {} times, with {} writers ({})",
            self.coordinators, self.runs, self.clients, self.protocol
        )?;
        writeln!(
            f,
            "nobody could write for {:.0} ms (p50), {:.0} ms (p99)",
            self.back_p50_ms, self.back_p99_ms
        )?;
        writeln!(f, "nothing was seen in doubt for longer than {} ms", self.in_doubt_max_ms)?;
        write!(
            f,
            "{} commits were acknowledged, {} of them are lost; {} are unknown to their writer",
            self.commits, self.lost, self.unknown
        )
    }
}

/// What the writers share.
#[derive(Default)]
struct Shared {
    stop: Cell<bool>,
    /// When the leader was killed.
    killed: Cell<Option<Instant>>,
    /// When the first commit was acknowledged that was begun after that.
    back: Cell<Option<Instant>>,
    commits: Cell<u64>,
    unknown: Cell<u64>,
    last_error: RefCell<Option<String>>,
}

/// One writer's number, on two shards.
struct Counted {
    keys: [Key; 2],
    acknowledged: u64,
}

/// Kills leaders.
///
/// # Errors
/// If the cluster can not be started, or does not come back.
pub async fn run(options: FailoverOptions) -> Result<Failover> {
    let wanted = ClusterOptions {
        shards: SHARDS,
        coordinators: options.coordinators,
        unsafe_classical_3pc: options.protocol == Protocol::ClassicalThreePhase,
        ..ClusterOptions::default()
    };
    let mut cluster = LocalCluster::start(wanted).await?;
    let db = cluster.client().await?;
    let router = Router::new(db.status().await?.placement)?;
    let shared = Rc::new(Shared::default());
    let writers: Vec<_> = (0..options.clients)
        .map(|number| {
            let keys = pair_of_keys(&router, number);
            let write = write(db.clone(), Rc::clone(&shared), keys, options.protocol);
            tokio::task::spawn_local(write)
        })
        .collect();
    let mut times: Histogram<u64> = Histogram::new_with_bounds(1, 120_000_000, 3)?;
    let mut in_doubt_max_ms = 0;
    let mut random = Random::new(0xfa11);
    for _ in 0..options.runs {
        let pause = Duration::from_millis(500 + random.below(500));
        tokio::time::sleep(pause).await;
        let (back, in_doubt) = kill_leader(&mut cluster, &db, &shared).await?;
        times.saturating_record(u64::try_from(back.as_micros()).unwrap_or(u64::MAX));
        in_doubt_max_ms = in_doubt_max_ms.max(in_doubt);
    }
    shared.stop.set(true);
    let mut lost = 0;
    for writer in writers {
        lost += u64::from(is_lost(&db, &writer.await.context("a writer ended")?).await?);
    }
    drop(db);
    cluster.stop().await.context("a server did not stop cleanly")?;
    let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1_000.0;
    Ok(Failover {
        workload: "failover",
        clients: options.clients,
        protocol: options.protocol.to_string(),
        coordinators: options.coordinators,
        runs: options.runs,
        back_p50_ms: ms(0.5),
        back_p99_ms: ms(0.99),
        in_doubt_max_ms,
        commits: shared.commits.get(),
        unknown: shared.unknown.get(),
        lost,
    })
}

/// Kills the leader, waits until somebody can write again, and brings it back.
async fn kill_leader(
    cluster: &mut LocalCluster,
    db: &Client,
    shared: &Shared,
) -> Result<(Duration, u64)> {
    let leader = NodeName::Coordinator(db.status().await?.id.0);
    cluster.kill(leader)?;
    let killed = Instant::now();
    shared.back.set(None);
    shared.killed.set(Some(killed));
    let mut in_doubt = 0;
    // Alone, it has to come back first.
    if cluster.names().filter(|name| matches!(name, NodeName::Coordinator(_))).count() == 1 {
        cluster.spawn(leader)?;
    }
    while killed.elapsed() < AFTER || shared.back.get().is_none() {
        for shard in (1..=SHARDS).map(ShardId) {
            let rows = db.shard_txns(shard, None, true, 0).await?.rows;
            in_doubt = rows.iter().map(|row| row.for_ms).fold(in_doubt, u64::max);
        }
        let why = || shared.last_error.borrow().clone().unwrap_or_default();
        ensure!(killed.elapsed() < PATIENCE, "nobody can write any more: {}", why());
        tokio::time::sleep(LOOK).await;
    }
    let back = shared.back.get().context("somebody has written")?;
    if cluster.spawn(leader).is_ok() {
        cluster.wait_ready(leader).await?;
    }
    Ok((back.duration_since(killed), in_doubt))
}

/// Counts up until it is to stop.
async fn write(db: Client, shared: Rc<Shared>, keys: [Key; 2], protocol: Protocol) -> Counted {
    let mut counted = Counted { keys, acknowledged: 0 };
    let mut next = 0;
    while !shared.stop.get() {
        next += 1;
        let begun = Instant::now();
        match count(&db, &counted.keys, next, protocol).await {
            Ok(()) => {
                counted.acknowledged = next;
                shared.commits.set(shared.commits.get() + 1);
                let after = shared.killed.get().is_some_and(|killed| begun > killed);
                if after && shared.back.get().is_none() {
                    shared.back.set(Some(Instant::now()));
                }
            }
            Err(error) => {
                if matches!(error, synod_client::Error::InDoubt(_)) {
                    shared.unknown.set(shared.unknown.get() + 1);
                }
                *shared.last_error.borrow_mut() = Some(error.to_string());
            }
        }
    }
    counted
}

async fn count(
    db: &Client,
    keys: &[Key; 2],
    number: u64,
    protocol: Protocol,
) -> Result<(), synod_client::Error> {
    db.transact_with(Options::new().protocol(protocol), async |tx| {
        for key in keys {
            tx.put(key, &number)?;
        }
        Ok(())
    })
    .await
}

/// Whether a number is not there that was acknowledged, or only half.
async fn is_lost(db: &Client, counted: &Counted) -> Result<bool> {
    let [a, b] = &counted.keys;
    let snapshot = db.snapshot().await?;
    let a: Option<u64> = snapshot.get(a).await?.decode_opt()?;
    let b: Option<u64> = snapshot.get(b).await?.decode_opt()?;
    Ok(a != b || a.unwrap_or(0) < counted.acknowledged)
}

/// Two keys of a writer on two shards.
fn pair_of_keys(router: &Router, writer: u32) -> [Key; 2] {
    let key = |n: u32| Key::from(format!("failover/{writer}/{n}").as_str());
    let first = key(0);
    let apart = |other: &Key| router.shard_of(other) != router.shard_of(&first);
    let second = (1..).map(key).find(apart).unwrap_or_else(|| first.clone());
    [first, second]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_beyond_a_bound_is_a_fault() {
        let measured = Failover {
            workload: "failover",
            clients: 1,
            protocol: Protocol::PaxosCommit.to_string(),
            coordinators: 3,
            runs: 30,
            back_p50_ms: 600.0,
            back_p99_ms: 1_100.0,
            in_doubt_max_ms: 700,
            commits: 9,
            unknown: 0,
            lost: 0,
        };
        let bounds = |back, in_doubt| FailoverBounds {
            back: Some(Duration::from_millis(back)),
            in_doubt: Some(Duration::from_millis(in_doubt)),
        };
        let faults = |measured: &Failover, bounds| measured.faults(bounds).len();
        assert_eq!(faults(&measured, FailoverBounds::default()), 0);
        assert_eq!(faults(&measured, bounds(1_100, 700)), 0);
        assert_eq!(faults(&measured, bounds(1_099, 700)), 1);
        assert_eq!(faults(&measured, bounds(1_099, 699)), 2);
        let lost = Failover { lost: 1, ..measured };
        assert_eq!(faults(&lost, FailoverBounds::default()), 1);
    }
}
