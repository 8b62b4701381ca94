//! `synod bench`: closed loops of transactions, and what they cost.
//!
//! ```text
//!   bench process: N clients, one connection         c1   s1   s2   as processes
//!     fill ── warm up 2 s ── measure ── verify ──▶ latency, rate
//!               CPU, fsyncs, messages before and after ──▶ cost per transaction
//! ```
//!
//! Every client makes one transaction after the other, so the rate says how many
//! the whole machine manages, clients included. All clients share one thread and
//! one connection per server, as the tasks of one program would.
//!
//! *Deliberately absent*: open loops. A closed loop slows down with what it
//! measures, so its percentiles say nothing of a fixed arrival rate.

mod bulk;
mod cost;
mod counter;
mod deadlock;
mod failover;
mod keyspace;
mod measure;
mod report;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use synod_client::{Client, Credentials, Protocol, Scheme};

use cost::Counters;
pub use failover::{Failover, FailoverBounds, FailoverOptions, run as failover};
use keyspace::Keyspace;
pub use report::{CommitCost, Report};
use synod_cluster::{ClusterOptions, LocalCluster};
pub use workload::{BadWorkload, Workload};

/// Time before the measurement, for connections, caches and the allocator.
const WARM_UP: Duration = Duration::from_secs(2);

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Which workload.
    pub workload: Workload,
    /// Clients at a time.
    pub clients: u32,
    /// How long the measurement takes.
    pub seconds: u64,
    /// How transactions are committed that write on several shards.
    pub protocol: Protocol,
    /// Keys in the cluster.
    pub keys: u32,
    /// Where.
    pub target: Target,
    /// Whether to show a bar.
    pub progress: bool,
}

/// What is measured.
#[derive(Clone, Debug)]
pub enum Target {
    /// A cluster of processes made for this.
    Own {
        /// How it deals with deadlocks.
        deadlocks: Scheme,
        /// How many coordinators it has.
        coordinators: u16,
    },
    /// Coordinator and shards in this process.
    Embedded,
    /// A cluster that is there.
    Remote {
        /// Its address.
        url: String,
        /// The folder of certificates.
        certs: PathBuf,
        /// Which certificate.
        name: String,
    },
}

/// Runs a workload.
///
/// # Errors
/// If the cluster can not be started or reached, or does not do its work.
pub async fn run(options: &BenchOptions) -> Result<Report> {
    if options.workload == Workload::Load {
        return bulk::run(options).await;
    }
    let (db, cluster, folder) = connect(options).await?;
    let report = measure_on(&db, cluster.as_ref(), options).await;
    drop(db);
    if let Some(cluster) = cluster {
        let stopped = cluster.stop().await;
        if report.is_ok() {
            stopped.context("a server did not stop cleanly")?;
        }
    }
    drop(folder);
    report
}

async fn connect(
    options: &BenchOptions,
) -> Result<(Client, Option<LocalCluster>, Option<synod_cluster::Folder>)> {
    match &options.target {
        Target::Own { deadlocks, coordinators } => {
            let options = ClusterOptions {
                shards: options.workload.shards(),
                deadlocks: *deadlocks,
                coordinators: *coordinators,
                unsafe_classical_3pc: options.protocol == Protocol::ClassicalThreePhase,
                ..ClusterOptions::default()
            };
            let cluster = LocalCluster::start(options).await?;
            let db = cluster.client().await?;
            Ok((db, Some(cluster), None))
        }
        Target::Embedded => {
            let folder = synod_cluster::Folder::new(None)?;
            let db = Client::embedded(folder.path()).await?;
            Ok((db, None, Some(folder)))
        }
        Target::Remote { url, certs, name } => {
            let credentials = Credentials::load(certs, name)?;
            Ok((Client::connect(url, credentials).await?, None, None))
        }
    }
}

async fn measure_on(
    db: &Client,
    cluster: Option<&LocalCluster>,
    options: &BenchOptions,
) -> Result<Report> {
    let coordinators = coordinators(db).await?;
    let keyspace = Keyspace::prepare(db, options.keys, options.progress).await?;
    options.workload.check(&keyspace)?;
    if options.workload == Workload::Deadlock {
        let measured = deadlock::run(db, &keyspace, cluster, options).await?;
        let sum = keyspace.audit(db).await?;
        return Ok(report::of_deadlocks(options, coordinators, measured, &sum));
    }
    let measured = measure::run(db, &keyspace, cluster, options).await?;
    let sum = keyspace.audit(db).await?;
    Ok(Report::of(options, coordinators, &measured, &sum))
}

/// How many coordinators there are.
async fn coordinators(db: &Client) -> Result<u16> {
    let group = db.status().await?.group.len().max(1);
    Ok(u16::try_from(group)?)
}
