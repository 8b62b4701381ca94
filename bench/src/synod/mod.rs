//! Workloads on Synod: on a cluster made for them, on one that is there, or in this process.

mod books;
mod bulk;
mod cost;
mod counter;
mod deadlock;
mod failover;
mod ledger;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use synod_client::{Client, Credentials, Options, Protocol, Scheme};
pub use synod_cluster::find_bin;
use synod_cluster::{ClusterOptions, Folder, LocalCluster};

pub use self::bulk::Bulk;
pub use self::cost::Cost;
pub use self::deadlock::Broken;
pub use self::failover::{Failover, FailoverBounds, FailoverOptions, run as failover};

use self::books::Books;
pub(crate) use self::cost::Counters;
pub use self::session::SynodSession;
use crate::WARM_UP;
use crate::keyspace::{Keyspace, Sum};
use crate::measure::{self, Measured, Plan};
use crate::report::{self, Report};
use crate::workload::Workload;

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Which workload.
    pub workload: Workload,
    /// Clients at a time.
    pub clients: u32,
    /// Time before the measurement.
    pub warm_up: Duration,
    /// How long the measurement takes.
    pub seconds: u64,
    /// In an open loop: how many transactions are due in a second.
    pub rate: Option<u32>,
    /// How often it is measured.
    pub runs: u32,
    /// How transactions are committed that write on several shards.
    pub protocol: Protocol,
    /// Keys in the cluster.
    pub keys: u32,
    /// Where.
    pub target: Target,
    /// Whether to show a bar.
    pub progress: bool,
}

impl BenchOptions {
    /// As `synod bench` does it if nothing else is said, in this process.
    pub fn of(workload: Workload) -> BenchOptions {
        BenchOptions {
            workload,
            clients: 64,
            warm_up: WARM_UP,
            seconds: 10,
            rate: None,
            runs: 1,
            protocol: Protocol::default(),
            keys: 100_000,
            target: Target::Embedded,
            progress: false,
        }
    }
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
        /// How many shards; as many as suit the workload, if none.
        shards: Option<u16>,
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

impl Target {
    fn is_remote(&self) -> bool {
        matches!(self, Target::Remote { .. })
    }
}

/// Synod, with keys in it.
pub struct Site {
    db: Client,
    books: Books,
    cluster: Option<LocalCluster>,
    /// Of a store in this process. Last, so that it goes when nobody uses it any more.
    _folder: Option<Folder>,
}

impl Site {
    /// Starts or reaches it, and writes the keys that are not there.
    ///
    /// # Errors
    /// If the cluster can not be started or reached, or does not take them.
    pub async fn open(options: &BenchOptions) -> Result<Site> {
        let (db, cluster, folder) = connect(options).await?;
        let (prefix, alone) = (options.workload.prefix(), !options.target.is_remote());
        let mut books = Books::new(&db, options.keys, prefix, alone).await?;
        books.fill(&db, options.progress, false).await?;
        if !alone && options.workload.changes_sum() {
            books.take_over(&db).await?;
        }
        Ok(Site { db, books, cluster, _folder: folder })
    }

    /// Its keys.
    pub fn keys(&self) -> &Arc<Keyspace> {
        &self.books.keys
    }

    /// Clients, which share their connections.
    pub fn sessions(&self, clients: u32, protocol: Protocol) -> Vec<SynodSession> {
        let session = || SynodSession {
            db: self.db.clone(),
            options: Options::new().protocol(protocol),
            prefix: self.books.prefix,
            counter: Arc::clone(&self.books.counter),
            ledger: Arc::clone(&self.books.ledger),
        };
        (0..clients).map(|_| session()).collect()
    }

    /// Adds up what is there.
    ///
    /// # Errors
    /// If it can not be read.
    pub async fn audit(&self) -> Result<Sum> {
        self.books.audit(&self.db).await
    }

    /// Stops what was started.
    ///
    /// # Errors
    /// If a server does not stop cleanly.
    pub async fn close(self) -> Result<()> {
        drop(self.db);
        match self.cluster {
            Some(cluster) => cluster.stop().await.context("a server did not stop cleanly"),
            None => Ok(()),
        }
    }

    /// All clients at work.
    async fn all_clients(&self, options: &BenchOptions) -> Result<Measured<Option<Counters>>> {
        let plan = Plan {
            workload: options.workload,
            keys: Arc::clone(&self.books.keys),
            warm_up: options.warm_up,
            time: Duration::from_secs(options.seconds),
            rate: options.rate,
            progress: options.progress,
        };
        let sessions = self.sessions(options.clients, options.protocol);
        measure::run(sessions, &plan, async || Counters::read(self.cluster.as_ref()).await).await
    }

    async fn measure(&self, options: &BenchOptions) -> Result<Report> {
        let coordinators = coordinators(&self.db).await?;
        options.workload.check(&self.books.keys)?;
        if options.workload == Workload::Deadlock {
            let measured = deadlock::run(self, options).await?;
            let sum = self.audit().await?;
            return Ok(report::of_deadlocks(options, coordinators, measured, &sum));
        }
        let measured = self.all_clients(options).await?;
        let sum = self.audit().await?;
        Ok(Report::of(options, coordinators, measured, &sum))
    }

    /// As often as that is wanted.
    async fn measure_all(&self, options: &BenchOptions) -> Result<Report> {
        let mut reports = Vec::new();
        for _ in 0..options.runs.max(1) {
            reports.push(self.measure(options).await?);
        }
        report::median(reports).context("nothing was measured")
    }
}

/// Runs a workload.
///
/// # Errors
/// If the cluster can not be started or reached, or does not do its work.
pub async fn run(options: &BenchOptions) -> Result<Report> {
    if options.workload == Workload::Load {
        return bulk::run(options).await;
    }
    let site = Site::open(options).await?;
    let report = site.measure_all(options).await;
    let closed = site.close().await;
    let report = report?;
    closed.map(|()| report)
}

async fn connect(options: &BenchOptions) -> Result<(Client, Option<LocalCluster>, Option<Folder>)> {
    match &options.target {
        Target::Own { deadlocks, coordinators, shards } => {
            let options = ClusterOptions {
                shards: shards.unwrap_or(options.workload.shards()),
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
            let folder = Folder::new(None)?;
            let db = Client::embedded(folder.path()).await?;
            Ok((db, None, Some(folder)))
        }
        Target::Remote { url, certs, name } => {
            let credentials = Credentials::load(certs, name)?;
            Ok((Client::connect(url, credentials).await?, None, None))
        }
    }
}

/// How many coordinators there are.
async fn coordinators(db: &Client) -> Result<u16> {
    let group = db.status().await?.group.len().max(1);
    Ok(u16::try_from(group)?)
}

#[cfg(test)]
mod tests;
