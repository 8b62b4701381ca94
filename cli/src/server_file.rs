//! The configuration files of `synod coordinator` and `synod shard`.
//!
//! Paths in them are relative to the file's own folder. What is left out has the
//! default of the server's settings. Unknown keys are refused.
//!
//! ```toml
//! # c1.toml                                 # s1.toml
//! cluster = "5b6e…"                         cluster = "5b6e…"
//! listen = "127.0.0.1:7400"                 id = 1
//! data = "c1"                               listen = "127.0.0.1:7500"
//! certs = "certs"                           coordinator = "127.0.0.1:7400"
//! shards = ["127.0.0.1:7500"]               data = "s1"
//!                                           certs = "certs"
//! ```
//!
//! Each member of a group of coordinators says which one it is, and where all of them are:
//!
//! ```toml
//! # c2.toml                                 # s1.toml, instead of `coordinator`
//! id = 2                                    coordinators = ["a:7400", "b:7400", "c:7400"]
//! group = ["a:7400", "b:7400", "c:7400"]
//! ```

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use synod_common::id::{ClusterId, CoordinatorId, ShardId};
use synod_common::key::Key;
use synod_common::limits;
use synod_common::route::{CoordinatorAddress, Partition, Placement, Router, ShardAddress};
use synod_coordinator::server::{self as coordinator, Empty};
use synod_shard::server as shard;

use crate::chaos::Bug;
use crate::text;

/// Size of a log segment, unless stated otherwise.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Below this, a segment is more head than body.
const LEAST_SEGMENT_BYTES: u64 = 4096;

/// What `synod coordinator` reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoordinatorFile {
    /// The cluster's id, 32 hexadecimal digits, the same for all its servers.
    pub cluster: String,
    /// Its number; the certificate is called `c<id>`.
    #[serde(default = "one")]
    pub id: u16,
    /// Where it listens, UDP.
    pub listen: SocketAddr,
    /// Where it shows metrics and health, TCP. Nowhere if left out.
    pub admin: Option<SocketAddr>,
    /// Its data folder.
    pub data: PathBuf,
    /// The folder with its certificate.
    pub certs: PathBuf,
    /// Where the coordinators c1, c2, … of its group are, itself among them, each as
    /// `host:port`; 1, 3 or 5 of them. Without it, there is no other one.
    #[serde(default)]
    pub group: Vec<String>,
    /// How often the leader of a group says that it is there.
    pub heartbeat_ms: Option<u64>,
    /// How long a member of a group hears no leader until it wants to lead.
    pub patience_ms: Option<u64>,
    /// Where clients reach the shards s1, s2, …, each as `host:port`.
    pub shards: Vec<String>,
    /// Shard i + 1 begins at key i of these, with `\xNN` for bytes that do not
    /// print. Without them keys are spread by hash.
    #[serde(default)]
    pub split: Vec<String>,
    /// Changes with every change of `shards` or `split`.
    #[serde(default = "one_u32")]
    pub map_epoch: u32,
    /// Size of a log segment.
    pub segment_bytes: Option<u64>,
    /// A checkpoint begins when the log has grown by so much.
    pub checkpoint_bytes: Option<u64>,
    /// A session lapses when nothing was heard for this long.
    pub session_ttl_ms: Option<u64>,
    /// How far the oracle's durable window reaches ahead.
    pub window_ms: Option<u64>,
    /// A transaction whose votes are not in after this long is aborted.
    pub vote_timeout_ms: Option<u64>,
    /// How often what was not answered is sent again.
    pub resend_ms: Option<u64>,
    /// How long versions that are not the newest are kept for snapshots.
    pub retention_ms: Option<u64>,
    /// How long outcomes are kept.
    pub outcome_retention_ms: Option<u64>,
    /// How many blocks of 64 outcomes are kept at most.
    pub outcome_blocks: Option<usize>,
    /// Sessions that may be open at once.
    pub max_sessions: Option<usize>,
    /// Commits that may be in progress at once.
    pub max_commits: Option<usize>,
    /// Whether transactions may choose classical three-phase commit, under which some of
    /// their shards may commit and others abort.
    #[serde(default)]
    pub unsafe_classical_3pc: bool,
    /// How the whole cluster deals with deadlocks: `graph`, `probes`, `wound-wait` or
    /// `wait-die`.
    pub deadlock_handling: Option<String>,
    /// Who is the victim of a deadlock, in the whole cluster: `youngest`,
    /// `fewest-locks` or `lowest-priority`.
    pub deadlock_victim: Option<String>,
    /// A deliberate bug to have; only in a build for testers.
    #[serde(default)]
    pub bug: Bug,
}

/// What `synod shard` reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardFile {
    /// The cluster's id, 32 hexadecimal digits, the same for all its servers.
    pub cluster: String,
    /// Its number; the certificate is called `s<id>`.
    pub id: u16,
    /// Where it listens, UDP.
    pub listen: SocketAddr,
    /// Where it shows metrics and health, TCP. Nowhere if left out.
    pub admin: Option<SocketAddr>,
    /// Its data folder.
    pub data: PathBuf,
    /// The folder with its certificate.
    pub certs: PathBuf,
    /// Where the coordinator is, as `host:port`, if there is one.
    pub coordinator: Option<String>,
    /// Where the coordinators c1, c2, … are, if they are a group.
    #[serde(default)]
    pub coordinators: Vec<String>,
    /// Size of a log segment.
    pub segment_bytes: Option<u64>,
    /// A checkpoint begins when the log has grown by so much.
    pub checkpoint_bytes: Option<u64>,
    /// The locks of a session go when nothing was heard of it for this long.
    pub session_ttl_ms: Option<u64>,
    /// How long PREPARE waits for its write locks.
    pub lock_timeout_ms: Option<u64>,
    /// From which age on the coordinator is told of lock waits, and how often.
    pub report_after_ms: Option<u64>,
    /// How long a voter waits before it first asks for the decision.
    pub inquire_after_ms: Option<u64>,
    /// How often joining is tried again.
    pub join_retry_ms: Option<u64>,
    /// Transactions known at once.
    pub max_txns: Option<usize>,
    /// Locks that one transaction may hold.
    pub max_locks_per_txn: Option<usize>,
    /// Locks that may be held in all.
    pub max_locks: Option<usize>,
    /// Requests that may wait for locks at once.
    pub max_waits: Option<usize>,
    /// A deliberate bug to have; only in a build for testers.
    #[serde(default)]
    pub bug: Bug,
}

fn one() -> u16 {
    1
}

fn one_u32() -> u32 {
    1
}

/// A server of this process, ready to be started.
#[derive(Clone, Debug)]
pub struct Planned<C> {
    /// What it is given.
    pub server: C,
    /// Where its metrics are shown, if anywhere.
    pub admin: Option<SocketAddr>,
}

impl CoordinatorFile {
    /// Reads and checks a file. `empty` as in [`coordinator::ServerConfig`].
    ///
    /// # Errors
    /// If it can not be read or makes no sense; names the file and the key.
    pub fn load(path: &Path, empty: Empty) -> Result<Planned<coordinator::ServerConfig>> {
        let file: CoordinatorFile = read(path)?;
        file.plan(&folder_of(path), empty).with_context(|| path.display().to_string())
    }

    fn plan(self, base: &Path, empty: Empty) -> Result<Planned<coordinator::ServerConfig>> {
        check_place(self.id, &self.group)?;
        let alone = self.group.len() <= 1;
        ensure!(
            !alone || empty != Empty::Rejoining,
            "--rejoin: without a group there is nobody who knows what it has lost"
        );
        let placement = placement(self.map_epoch, self.shards, &self.split)?;
        let id = CoordinatorId(self.id);
        let mut settings =
            synod_coordinator::Settings::new(id, cluster_id(&self.cluster)?, placement);
        settings.group = group(self.group);
        set_ms("heartbeat_ms", self.heartbeat_ms, &mut settings.heartbeat)?;
        set_ms("patience_ms", self.patience_ms, &mut settings.patience)?;
        ensure!(
            settings.patience >= 2 * settings.heartbeat,
            "patience_ms must be at least twice heartbeat_ms, or members take turns to lead"
        );
        set_ms("session_ttl_ms", self.session_ttl_ms, &mut settings.session_ttl)?;
        set_ms("window_ms", self.window_ms, &mut settings.window)?;
        set_ms("vote_timeout_ms", self.vote_timeout_ms, &mut settings.vote_timeout)?;
        set_ms("resend_ms", self.resend_ms, &mut settings.resend)?;
        let retention = &mut settings.outcome_retention;
        set_ms("outcome_retention_ms", self.outcome_retention_ms, retention)?;
        set_ms("retention_ms", self.retention_ms, &mut settings.retention)?;
        set_count("outcome_blocks", self.outcome_blocks, &mut settings.outcome_blocks)?;
        set_count("max_sessions", self.max_sessions, &mut settings.max_sessions)?;
        set_count("max_commits", self.max_commits, &mut settings.max_commits)?;
        settings.unsafe_classical_3pc = self.unsafe_classical_3pc;
        if let Some(scheme) = &self.deadlock_handling {
            settings.deadlocks.scheme = scheme.parse().context("deadlock_handling")?;
        }
        if let Some(policy) = &self.deadlock_victim {
            settings.deadlocks.victim = policy.parse().context("deadlock_victim")?;
        }
        set_bytes("checkpoint_bytes", self.checkpoint_bytes, &mut settings.checkpoint_bytes)?;
        self.bug.plant_in_coordinator(&mut settings)?;
        let mut segment_bytes = SEGMENT_BYTES;
        set_bytes("segment_bytes", self.segment_bytes, &mut segment_bytes)?;
        let server = coordinator::ServerConfig {
            settings,
            listen: self.listen,
            data: base.join(self.data),
            certs: base.join(self.certs),
            name: id.to_string(),
            segment_bytes,
            empty,
        };
        Ok(Planned { server, admin: self.admin })
    }
}

impl ShardFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// If it can not be read or makes no sense; names the file and the key.
    pub fn load(path: &Path) -> Result<Planned<shard::ServerConfig>> {
        let file: ShardFile = read(path)?;
        file.plan(&folder_of(path)).with_context(|| path.display().to_string())
    }

    fn plan(self, base: &Path) -> Result<Planned<shard::ServerConfig>> {
        ensure!(self.id > 0, "id: shards are numbered from 1");
        let coordinators = one_or_group(self.coordinator, self.coordinators)?;
        let id = ShardId(self.id);
        let ids: Vec<CoordinatorId> =
            (1..=u16::MAX).zip(&coordinators).map(|(id, _)| CoordinatorId(id)).collect();
        let mut settings = synod_shard::Settings::new(id, cluster_id(&self.cluster)?, &ids);
        set_ms("session_ttl_ms", self.session_ttl_ms, &mut settings.session_ttl)?;
        set_ms("lock_timeout_ms", self.lock_timeout_ms, &mut settings.lock_timeout)?;
        set_ms("report_after_ms", self.report_after_ms, &mut settings.report_after)?;
        set_ms("inquire_after_ms", self.inquire_after_ms, &mut settings.inquire_after)?;
        set_ms("join_retry_ms", self.join_retry_ms, &mut settings.join_retry)?;
        set_count("max_txns", self.max_txns, &mut settings.max_txns)?;
        set_count("max_locks_per_txn", self.max_locks_per_txn, &mut settings.max_locks.0)?;
        set_count("max_locks", self.max_locks, &mut settings.max_locks.1)?;
        set_count("max_waits", self.max_waits, &mut settings.max_waits)?;
        set_bytes("checkpoint_bytes", self.checkpoint_bytes, &mut settings.checkpoint_bytes)?;
        self.bug.plant_in_shard(&mut settings)?;
        let mut segment_bytes = SEGMENT_BYTES;
        set_bytes("segment_bytes", self.segment_bytes, &mut segment_bytes)?;
        let server = shard::ServerConfig {
            settings,
            listen: self.listen,
            data: base.join(self.data),
            certs: base.join(self.certs),
            name: id.to_string(),
            segment_bytes,
            coordinator_addresses: coordinators,
        };
        Ok(Planned { server, admin: self.admin })
    }
}

/// The shard map of shards s1, s2, … at these addresses.
///
/// # Errors
/// If there are too few or too many, or the splits do not fit.
pub fn placement(epoch: u32, addresses: Vec<String>, splits: &[String]) -> Result<Placement> {
    for address in &addresses {
        check_address("shards", address)?;
    }
    let shards = (1..=u16::MAX)
        .zip(addresses)
        .map(|(id, address)| ShardAddress { id: ShardId(id), address })
        .collect();
    let keys: Result<Vec<Key>> = splits.iter().map(|split| text::key(split)).collect();
    let partition = match keys.context("split")? {
        keys if keys.is_empty() => Partition::Hash,
        keys => Partition::Range(keys),
    };
    let placement = Placement { epoch, partition, shards };
    Router::new(placement.clone())?;
    Ok(placement)
}

/// The members c1, c2, … of a group at these addresses.
pub fn group(addresses: Vec<String>) -> Vec<CoordinatorAddress> {
    let ids = (1..=u16::MAX).map(CoordinatorId);
    ids.zip(addresses).map(|(id, address)| CoordinatorAddress { id, address }).collect()
}

/// Refuses groups that survive no more failures than smaller ones.
///
/// # Errors
/// If there are not 1, 3 or 5 coordinators.
pub fn check_group_size(coordinators: usize) -> Result<()> {
    let allowed = limits::GROUP_SIZES.contains(&coordinators);
    ensure!(allowed, "there can be 1, 3 or 5 coordinators, not {coordinators}");
    Ok(())
}

fn check_group(name: &str, addresses: &[String]) -> Result<()> {
    check_group_size(addresses.len()).with_context(|| name.to_owned())?;
    for (i, address) in addresses.iter().enumerate() {
        check_address(name, address)?;
        ensure!(!addresses[..i].contains(address), "{name}: '{address}' is named twice");
    }
    Ok(())
}

/// Checks that coordinator `id` is one of the group.
fn check_place(id: u16, group: &[String]) -> Result<()> {
    if group.is_empty() {
        ensure!(id == 1, "id: without others it is 1, not {id}; where others are, say in `group`");
        return Ok(());
    }
    check_group("group", group)?;
    let members = group.len();
    ensure!(
        (1..=members).contains(&usize::from(id)),
        "id: there is no coordinator {id} in a group of {members}; they are numbered from 1"
    );
    Ok(())
}

/// The coordinators of a shard, from the key for one or the one for a group.
fn one_or_group(one: Option<String>, group: Vec<String>) -> Result<Vec<String>> {
    let addresses = match (one, group.is_empty()) {
        (Some(one), true) => {
            check_address("coordinator", &one)?;
            return Ok(vec![one]);
        }
        (None, false) => group,
        (Some(_), false) | (None, true) => {
            bail!("say where the coordinators are, with `coordinator` or with `coordinators`")
        }
    };
    check_group("coordinators", &addresses)?;
    Ok(addresses)
}

/// How many coordinators a command line asks for.
///
/// # Errors
/// If there can not be so many.
pub fn group_size(text: &str) -> Result<u16, String> {
    let size: u16 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    check_group_size(usize::from(size)).map_err(|error| error.to_string())?;
    Ok(size)
}

fn cluster_id(text: &str) -> Result<ClusterId> {
    text.parse().with_context(|| {
        format!("cluster: '{text}' is no cluster id; it has 32 hexadecimal digits")
    })
}

fn check_address(name: &str, address: &str) -> Result<()> {
    let parts = address.rsplit_once(':');
    let sound = parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    ensure!(sound, "{name}: '{address}' is no address; give it as host:port");
    Ok(())
}

fn set_ms(name: &str, given: Option<u64>, setting: &mut Duration) -> Result<()> {
    if let Some(ms) = given {
        ensure!(ms > 0, "{name} must be more than 0");
        *setting = Duration::from_millis(ms);
    }
    Ok(())
}

fn set_count(name: &str, given: Option<usize>, setting: &mut usize) -> Result<()> {
    if let Some(count) = given {
        ensure!(count > 0, "{name} must be more than 0");
        *setting = count;
    }
    Ok(())
}

fn set_bytes(name: &str, given: Option<u64>, setting: &mut u64) -> Result<()> {
    if let Some(bytes) = given {
        ensure!(bytes >= LEAST_SEGMENT_BYTES, "{name} must be at least {LEAST_SEGMENT_BYTES}");
        *setting = bytes;
    }
    Ok(())
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

/// Reads a TOML file; errors are one line.
///
/// # Errors
/// If it can not be read, or has a key too many, too few or of the wrong type.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("can not read the configuration {}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or(""));
        let line = before.matches('\n').count() + 1;
        anyhow::anyhow!("{}:{line}: {}", path.display(), error.message().replace('\n', " "))
    })
}
