//! What clients work on: a cluster of its own, or one that is there.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use fastrand::Rng;
use synod_client::{Client, Credentials};
use synod_cluster::{CLIENT, ClusterOptions, LocalCluster, Medium, find_bin};
use tokio::sync::Mutex;

use super::{Breaker, Settings};
use crate::nemesis::{Ground, Nemesis};
use crate::workload::Ask;

/// Of how many bytes a segment of a log is, and after how many a checkpoint is written: small,
/// so that both happen in a short run, and now and then so small that both always happen.
const SEGMENT_BYTES: [u32; 3] = [1 << 16, 1 << 18, 1 << 22];
const CHECKPOINT_BYTES: [u32; 3] = [1 << 12, 1 << 16, 1 << 20];

/// A cluster that is there already. It is left alone: nobody breaks it.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where its coordinators are.
    pub url: String,
    /// The folder of the certificate `client`.
    pub certs: PathBuf,
}

/// What clients work on.
pub(super) struct Site {
    /// Name and version of what is there.
    pub(super) system: String,
    /// What may be broken.
    pub(super) ground: Option<Mutex<Ground>>,
    remote: Remote,
    prefix: String,
}

impl Site {
    /// Starts a cluster, unless there is one.
    pub(super) async fn reach(settings: &Settings, dice: &mut Rng) -> Result<Site> {
        if let Some(remote) = settings.remote.clone() {
            anyhow::ensure!(
                settings.nemeses.is_empty() && settings.bugs == [None, None],
                "only a cluster that the harness has started can be broken"
            );
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // Runs on one cluster do not meet.
            let prefix = format!("jepsen/{:x}/", now.as_micros());
            let system = format!("synod at {}", remote.url);
            return Ok(Site { system, ground: None, remote, prefix });
        }
        let system = version(settings).await?;
        let cluster = start(settings, dice).await?;
        let remote = Remote { url: cluster.url().to_owned(), certs: cluster.certs() };
        let ground = Ground::new(cluster);
        ground.probe(&settings.nemeses).await?;
        Ok(Site { system, ground: Some(Mutex::new(ground)), remote, prefix: String::new() })
    }

    /// Clients, each with connections and a session of its own.
    pub(super) async fn clients(&self, settings: &Settings) -> Result<Vec<Ask>> {
        let mut asks = Vec::new();
        for _ in 0..settings.clients {
            let credentials = Credentials::load(&self.remote.certs, CLIENT)?;
            let db = Client::connect(&self.remote.url, credentials).await?;
            let (isolation, protocol) = (settings.isolation, settings.protocol);
            asks.push(Ask { db, isolation, protocol, prefix: self.prefix.clone() });
        }
        anyhow::ensure!(!asks.is_empty(), "there has to be a client");
        Ok(asks)
    }

    /// Stops the cluster, if it is ours.
    ///
    /// # Errors
    ///
    /// If a server had ended by itself, or does not stop.
    pub(super) async fn leave(self) -> Result<()> {
        match self.ground {
            Some(ground) => ground.into_inner().cluster.stop().await,
            None => Ok(()),
        }
    }
}

/// What is tested says what it is.
async fn version(settings: &Settings) -> Result<String> {
    let bin = settings.bin.clone().map_or_else(find_bin, Ok)?;
    let said = tokio::process::Command::new(&bin).arg("--version").output().await;
    let said = said.with_context(|| format!("{} can not be started", bin.display()))?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

async fn start(settings: &Settings, dice: &mut Rng) -> Result<LocalCluster> {
    let mut drawn = |sizes: &[u32]| sizes[dice.usize(..sizes.len())];
    let (mut segment, mut checkpoint) = (drawn(&SEGMENT_BYTES), drawn(&CHECKPOINT_BYTES));
    if settings.nemeses.contains(&Nemesis::DiskFull) {
        // Else a disk would hardly ever be asked for more.
        (segment, checkpoint) = (SEGMENT_BYTES[0], CHECKPOINT_BYTES[1]);
    }
    let of_all = [format!("segment_bytes = {segment}"), format!("checkpoint_bytes = {checkpoint}")];
    let lines = settings.bugs.clone().map(|bug| {
        let bug = bug.map(|bug| format!("bug = \"{bug}\""));
        of_all.iter().cloned().chain(bug).collect()
    });
    let breaks_links = settings.nemeses.iter().any(|nemesis| nemesis.breaks_links());
    let options = ClusterOptions {
        shards: settings.shards,
        coordinators: settings.coordinators,
        bin: settings.bin.clone(),
        links: match settings.links {
            Breaker::Proxy if breaks_links => Medium::Proxy(settings.seed),
            Breaker::Proxy => Medium::Loopback,
            Breaker::Namespaces => Medium::Namespaces,
        },
        lines,
        ..ClusterOptions::default()
    };
    LocalCluster::start(options).await
}
