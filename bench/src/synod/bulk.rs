//! `synod bench load`: how much memory many keys take, and how long a restart.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;
use synod_client::Client;

use synod_cluster::{ClusterOptions, LocalCluster, NodeName};

use super::Target;
use super::books::{self, Books, key};
use crate::keyspace::PREFIX;
use crate::report::{self, round};
use crate::{BenchOptions, Report};

/// Bytes of a key and its value.
const RAW_BYTES: u64 = 16 + 100;
/// What is being written in the background when the last key is acknowledged
/// gets this long before the servers are killed.
const SETTLE: Duration = Duration::from_secs(3);

/// What the load found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Bulk {
    /// Writers at a time.
    #[serde(skip)]
    pub writers: u32,
    /// Batches a second.
    #[serde(skip)]
    pub txn_per_s: f64,
    /// Resident memory of each server at the end.
    #[serde(skip)]
    pub rss_by_server: BTreeMap<String, u64>,
    /// Seconds until all keys were written.
    pub load_s: f64,
    /// Keys and values, in bytes.
    pub raw_bytes: u64,
    /// Resident memory of all shards when all keys were written.
    pub rss_bytes: Option<u64>,
    /// The same, in parts of the raw data.
    pub rss_ratio: Option<f64>,
    /// Resident memory after the restart, in parts of the raw data.
    pub rss_ratio_restarted: Option<f64>,
    /// Seconds from the start of the killed servers until a key of every shard
    /// was read.
    pub restart_s: f64,
    /// Seconds to read all keys after that.
    pub scan_s: f64,
}

pub(crate) async fn run(options: &BenchOptions) -> Result<Report> {
    let Target::Own { shards, .. } = options.target else {
        bail!("`load` kills its servers, so it works on a cluster of its own only");
    };
    let shards = shards.unwrap_or(options.workload.shards());
    let cluster = ClusterOptions { shards, ..ClusterOptions::default() };
    let mut cluster = LocalCluster::start(cluster).await?;
    let db = cluster.client().await?;
    let books = Books::new(&db, options.keys, PREFIX, true).await?;
    let begin = Instant::now();
    books.fill(&db, options.progress, true).await?;
    let load_s = begin.elapsed().as_secs_f64();
    let coordinators = super::coordinators(&db).await?;
    drop(db);
    let rss_bytes = rss(&cluster);
    tokio::time::sleep(SETTLE).await;

    let names: Vec<NodeName> = cluster.names().collect();
    for name in &names {
        cluster.kill(*name)?;
    }
    let begin = Instant::now();
    for name in &names {
        cluster.spawn(*name)?;
    }
    for name in &names {
        cluster.wait_ready(*name).await?;
    }
    let db = cluster.client().await?;
    probe(&db, &books).await?;
    let restart_s = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let sum = books.audit(&db).await?;
    let scan_s = begin.elapsed().as_secs_f64();
    drop(db);
    let restarted = rss(&cluster);
    let rss_of = |name: NodeName| Some((name.to_string(), cluster.usage(name)?.rss_bytes));
    let rss_by_server = cluster.names().filter_map(rss_of).collect();
    cluster.stop().await?;

    let raw_bytes = u64::from(options.keys) * RAW_BYTES;
    let ratio = |bytes: Option<u64>| bytes.map(|bytes| round(bytes as f64 / raw_bytes as f64));
    let bulk = Bulk {
        writers: books::WRITERS,
        txn_per_s: round(f64::from(options.keys.div_ceil(books::BATCH)) / load_s),
        rss_by_server,
        load_s: round(load_s),
        raw_bytes,
        rss_bytes,
        rss_ratio: ratio(rss_bytes),
        rss_ratio_restarted: ratio(restarted),
        restart_s: round(restart_s),
        scan_s: round(scan_s),
    };
    Ok(report::of_bulk(options, coordinators, bulk, &sum))
}

/// Reads a key of every shard.
async fn probe(db: &Client, books: &Books) -> Result<()> {
    let some = books.keys.one_of_each().into_iter().map(|n| key(PREFIX, n));
    let found = db.snapshot().await?.get_many(some).await?;
    anyhow::ensure!(found.iter().all(|value| value.is_present()), "a key is gone");
    Ok(())
}

fn rss(cluster: &LocalCluster) -> Option<u64> {
    cluster.shards().map(|shard| Some(cluster.usage(shard)?.rss_bytes)).sum()
}

impl fmt::Display for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(f, "load: {:.0} MiB of keys and values", mib(self.raw_bytes))?;
        writeln!(f, "  {:>10.2} s  to write them", self.load_s)?;
        if let (Some(bytes), Some(ratio)) = (self.rss_bytes, self.rss_ratio) {
            writeln!(f, "  {:>8.0} MiB  resident in the shards: {ratio} times", mib(bytes))?;
        }
        if let Some(ratio) = self.rss_ratio_restarted {
            writeln!(f, "  {ratio:>12}  times after a restart")?;
        }
        writeln!(f, "  {:>10.2} s  from kill -9 of all to reading every shard", self.restart_s)?;
        write!(f, "  {:>10.2} s  to read and check all of it", self.scan_s)
    }
}
