//! `synod up`.

use std::fs::DirBuilder;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use synod_client::{Handling, Scheme, VictimPolicy};
use synod_common::id::{CoordinatorId, ShardId};
use synod_coordinator::server::{self as coordinator, Empty};
use synod_shard::server as shard;

use super::{Global, Usage};
use crate::config::Config;
use crate::local::{Local, Wanted};
use crate::servers::{self, Plan};
use crate::{server_file, state};

/// Shards of a new cluster, unless stated otherwise.
const SHARDS: u16 = 4;
/// Size of a log segment. Smaller than a server's own default: there are
/// several logs on one disk, and segments are filled with zeros beforehand.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Where the ports of a kind begin, from the base port.
const ADMIN: u16 = 80;
const SHARD: u16 = 100;

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the cluster; made if there is none [default: ./synod-data]
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    data: Option<PathBuf>,
    /// Number of shards [default: 4, or as the folder has it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    shards: Option<u16>,
    /// Number of coordinators, 1, 3 or 5: of three, one may die [default: 1, or as the
    /// folder has it]
    #[arg(long, value_name = "N", value_parser = server_file::group_size)]
    coordinators: Option<u16>,
    /// First port P: coordinators on P, admin HTTP on P+80, shards from P+100 [default: 7400]
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..))]
    base_port: Option<u16>,
    /// Make the shards ranges, cut at these keys, instead of spreading keys by hash
    #[arg(long, value_name = "KEY,KEY…", value_delimiter = ',')]
    split: Option<Vec<String>>,
    /// How deadlocks are dealt with: graph, probes, wound-wait or wait-die
    #[arg(long, value_name = "SCHEME", default_value_t)]
    deadlock_handling: Scheme,
    /// Who is the victim of a deadlock: youngest, fewest-locks or lowest-priority
    #[arg(long, value_name = "POLICY", default_value_t)]
    deadlock_victim: VictimPolicy,
    /// Allow transactions to choose 3pc-classical, under which some of their shards may commit
    /// and others abort
    #[arg(long)]
    unsafe_classical_3pc: bool,
    /// Keep the data in a temporary folder that goes away on stop
    #[arg(long)]
    memory: bool,
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    let config = Config::load(global)?;
    let wanted = Wanted {
        shards: args.shards,
        coordinators: args.coordinators,
        split: canonical(args.split.as_deref())?,
    };
    check(&wanted)?;
    let base = args.base_port.unwrap_or(config.base_port.value);
    check_ports(base, wanted.shards.unwrap_or(1))?;
    if args.memory {
        let folder = Temporary::new()?;
        eprintln!("the data is in {} and goes away on stop: nothing is kept", folder.0.display());
        let local = Local::open(&folder.0, &wanted, SHARDS)?;
        let certs = local.certs();
        let result = serve(&local, base, args);
        state::forget_certs(&certs);
        return result;
    }
    let dir = args.data.clone().unwrap_or(config.data.value);
    let local = Local::open(&dir, &wanted, SHARDS)?;
    serve(&local, base, args)
}

/// The splits as they are stored, so that they compare equal however they were
/// escaped.
fn canonical(split: Option<&[String]>) -> Result<Option<Vec<String>>> {
    let Some(split) = split else { return Ok(None) };
    let key = |text: &String| crate::text::key(text).map(|key| key.to_string());
    let split: Result<Vec<String>> = split.iter().map(key).collect();
    split.map(Some).map_err(Usage::because)
}

/// Refuses what can be no cluster before a folder is touched.
fn check(wanted: &Wanted) -> Result<()> {
    let Some(split) = &wanted.split else { return Ok(()) };
    let shards = wanted.shards.map_or(split.len() + 1, usize::from);
    if shards != split.len() + 1 {
        let keys = split.len();
        return Err(Usage::because(format!(
            "{keys} split keys make {} shards, not {shards}; leave --shards out",
            keys + 1
        )));
    }
    let nowhere = vec!["localhost:1".to_owned(); shards];
    server_file::placement(1, nowhere, split).map(drop).map_err(Usage::because)
}

fn check_ports(base: u16, shards: u16) -> Result<()> {
    let most = u16::MAX - SHARD - (shards - 1);
    if base > most {
        return Err(Usage::because(format!("--base-port must be at most {most}")));
    }
    Ok(())
}

fn serve(local: &Local, base: u16, args: &Args) -> Result<ExitCode> {
    let cluster = local.cluster();
    check_ports(base, cluster.shards)?;
    let say = if local.is_new() { "made a new cluster" } else { "starting the cluster" };
    let by = if cluster.split.is_empty() { "by hash" } else { "by range" };
    let of = match cluster.coordinators {
        1 => String::new(),
        n => format!("{n} coordinators, "),
    };
    eprintln!("{say} in {}: {of}{} shards, {by}", local.dir().display(), cluster.shards);
    let certs = local.certs();
    servers::run(plans(local, base, args)?, Some(loopback(base + ADMIN)), || {
        state::remember_certs(&certs);
        local.founded()
    })
}

fn plans(local: &Local, base: u16, args: &Args) -> Result<Vec<Plan>> {
    let file = local.cluster();
    let cluster = file.cluster.parse().context("cluster.toml: the id is damaged")?;
    let addresses = (0..file.shards).map(|i| loopback(base + SHARD + i).to_string()).collect();
    let placement = server_file::placement(1, addresses, &file.split)?;
    let coordinators: Vec<String> =
        (0..file.coordinators).map(|i| loopback(base + i).to_string()).collect();
    let ids: Vec<CoordinatorId> = (1..=file.coordinators).map(CoordinatorId).collect();
    let (dir, certs) = (local.dir(), local.certs());
    let group = match file.coordinators {
        1 => Vec::new(),
        _ => server_file::group(coordinators.clone()),
    };
    let members = ids.iter().map(|id| {
        let mut settings = synod_coordinator::Settings::new(*id, cluster, placement.clone());
        settings.group = group.clone();
        settings.deadlocks =
            Handling { scheme: args.deadlock_handling, victim: args.deadlock_victim };
        settings.unsafe_classical_3pc = args.unsafe_classical_3pc;
        let config = coordinator::ServerConfig {
            settings,
            listen: loopback(base + id.0 - 1),
            data: dir.join(id.to_string()),
            certs: certs.clone(),
            name: id.to_string(),
            segment_bytes: SEGMENT_BYTES,
            empty: if local.is_founding() { Empty::Founding } else { Empty::Refused },
        };
        Plan::Coordinator(Box::new(config))
    });
    let shards = (0..file.shards).map(|i| {
        let id = ShardId(i + 1);
        let config = shard::ServerConfig {
            settings: synod_shard::Settings::new(id, cluster, &ids),
            listen: loopback(base + SHARD + i),
            data: dir.join(id.to_string()),
            certs: certs.clone(),
            name: id.to_string(),
            segment_bytes: SEGMENT_BYTES,
            coordinator_addresses: coordinators.clone(),
        };
        Plan::Shard(Box::new(config))
    });
    Ok(members.chain(shards).collect())
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A folder that goes away.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Temporary> {
        let unique = crate::local::new_cluster_id().to_string();
        let path = std::env::temp_dir().join(format!("synod-{unique}"));
        let mut builder = DirBuilder::new();
        builder
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("can not make {}", path.display()))?;
        Ok(Temporary(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path) {
        eprintln!("synod: can not remove {}: {error}", path.display());
    }
}
