//! A cluster of real processes on this machine, to be measured and killed.
//!
//! ```text
//!   dir/certs/   ca.pem c1.pem s1.pem … client.pem     made at the start
//!   dir/c1.toml  dir/c1/   its configuration and its data folder
//!   dir/c1.err   what it said on stderr, shown when something fails
//! ```
//!
//! A kill is SIGKILL: the process gets no chance to write anything. Nothing
//! outlives the cluster: whoever drops it ends its processes and, unless the
//! folder was chosen by the caller, removes its files.

mod ports;
mod process;
mod scrape;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use synod_client::{Client, Credentials, Scheme};
use synod_common::driver::authority::Authority;
use synod_common::driver::tls::Role;
use synod_common::limits;

use process::Process;
pub use process::Usage;
pub use scrape::Metrics;

/// The client certificate that a local cluster comes with.
pub const CLIENT: &str = "client";

/// How long a server may take until it serves.
const START: Duration = Duration::from_secs(60);
/// How long a server may take to stop when it is asked to.
const STOP: Duration = Duration::from_secs(5);

/// What kind of cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How many shards.
    pub shards: u16,
    /// How many coordinators: 1, 3 or 5.
    pub coordinators: u16,
    /// Where its files go; a temporary folder otherwise, which is removed.
    pub dir: Option<PathBuf>,
    /// How it deals with deadlocks.
    pub deadlocks: Scheme,
    /// Whether transactions may choose classical three-phase commit.
    pub unsafe_classical_3pc: bool,
    /// The `synod` executable; found by [`find_bin`] otherwise.
    pub bin: Option<PathBuf>,
}

impl Default for ClusterOptions {
    fn default() -> ClusterOptions {
        ClusterOptions {
            shards: 2,
            coordinators: 1,
            dir: None,
            deadlocks: Scheme::default(),
            unsafe_classical_3pc: false,
            bin: None,
        }
    }
}

/// A server of the cluster, as it prints: `c1`, `s2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeName {
    /// A coordinator, by its number.
    Coordinator(u16),
    /// A shard, by its number.
    Shard(u16),
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeName::Coordinator(n) => write!(f, "c{n}"),
            NodeName::Shard(n) => write!(f, "s{n}"),
        }
    }
}

impl NodeName {
    fn role(self) -> Role {
        match self {
            NodeName::Coordinator(_) => Role::Coordinator,
            NodeName::Shard(_) => Role::Shard,
        }
    }
}

/// Servers that run as processes of their own.
pub struct LocalCluster {
    nodes: BTreeMap<NodeName, Process>,
    url: String,
    /// Last, so that it goes after the processes that use it.
    dir: Folder,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
struct Ports {
    quic: u16,
    admin: u16,
}

impl LocalCluster {
    /// Makes certificates, starts the servers and waits until they serve.
    ///
    /// # Errors
    /// If a server does not start; says what it said.
    pub async fn start(options: ClusterOptions) -> Result<LocalCluster> {
        anyhow::ensure!(
            limits::GROUP_SIZES.contains(&usize::from(options.coordinators)),
            "there can be 1, 3 or 5 coordinators, not {}",
            options.coordinators
        );
        let bin = match options.bin.clone() {
            Some(bin) => bin,
            None => find_bin()?,
        };
        let dir = Folder::new(options.dir.clone())?;
        let names: Vec<NodeName> = (1..=options.coordinators)
            .map(NodeName::Coordinator)
            .chain((1..=options.shards).map(NodeName::Shard))
            .collect();
        let certs = dir.path.join("certs");
        if !certs.join("ca.pem").exists() {
            let authority = Authority::create(&certs)?;
            for name in &names {
                authority.issue(name.role(), &name.to_string())?;
            }
            authority.issue(Role::Client, CLIENT)?;
        }
        let ports: BTreeMap<NodeName, Ports> =
            names.iter().copied().zip(ports::free(names.len())?).collect();
        let url = url_of(&ports);
        let mut nodes = BTreeMap::new();
        let cluster_id = format!("{:032x}", ports::seed());
        for &name in &names {
            let config = dir.path.join(format!("{name}.toml"));
            std::fs::write(&config, config_text(name, &cluster_id, &ports, &options))
                .with_context(|| format!("{} can not be written", config.display()))?;
            let mut node = Process::new(name, &bin, &config, &dir.path, ports[&name].admin);
            node.spawn()?;
            nodes.insert(name, node);
        }
        let mut cluster = LocalCluster { nodes, url, dir };
        for name in names {
            cluster.wait_ready(name).await?;
        }
        Ok(cluster)
    }

    /// The address for clients.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder of its certificates.
    pub fn certs(&self) -> PathBuf {
        self.dir.path.join("certs")
    }

    /// The folder of all its files.
    pub fn dir(&self) -> &Path {
        &self.dir.path
    }

    /// Its servers.
    pub fn names(&self) -> impl Iterator<Item = NodeName> + '_ {
        self.nodes.keys().copied()
    }

    /// Its shards.
    pub fn shards(&self) -> impl Iterator<Item = NodeName> + '_ {
        self.names().filter(|name| matches!(name, NodeName::Shard(_)))
    }

    /// A client of it.
    ///
    /// # Errors
    /// If it can not be reached.
    pub async fn client(&self) -> Result<Client> {
        let credentials = Credentials::load(&self.certs(), CLIENT)?;
        Ok(Client::connect(&self.url, credentials).await?)
    }

    /// Kills a server without warning.
    ///
    /// # Errors
    /// If there is no such server, or the system refuses.
    pub fn kill(&mut self, name: NodeName) -> Result<()> {
        self.node(name)?.kill()
    }

    /// Starts a server that was killed, and waits until it serves.
    ///
    /// # Errors
    /// If it does not; says what it said.
    pub async fn restart(&mut self, name: NodeName) -> Result<()> {
        self.spawn(name)?;
        self.wait_ready(name).await
    }

    /// Starts a server that was killed, without waiting.
    ///
    /// # Errors
    /// If it can not be started.
    pub fn spawn(&mut self, name: NodeName) -> Result<()> {
        self.node(name)?.spawn()
    }

    /// Waits until a server serves.
    ///
    /// # Errors
    /// If it ends instead, or takes too long; says what it said.
    pub async fn wait_ready(&mut self, name: NodeName) -> Result<()> {
        self.node(name)?.wait_ready(START).await
    }

    /// Asks all servers to stop, and kills those that do not.
    ///
    /// # Errors
    /// If one had ended before, or did not stop by itself.
    pub async fn stop(mut self) -> Result<()> {
        let mut result = Ok(());
        for node in self.nodes.values_mut().rev() {
            result = result.and(node.stop(STOP).await);
        }
        result
    }

    /// CPU time and memory of a server. Only where the system tells (Linux).
    pub fn usage(&self, name: NodeName) -> Option<Usage> {
        self.nodes.get(&name)?.usage()
    }

    /// What a server counts.
    ///
    /// # Errors
    /// If its admin port does not answer.
    pub async fn metrics(&self, name: NodeName) -> Result<Metrics> {
        let node = self.nodes.get(&name).with_context(|| format!("there is no {name}"))?;
        Metrics::fetch(node.admin()).await.with_context(|| format!("{name} shows no metrics"))
    }

    fn node(&mut self, name: NodeName) -> Result<&mut Process> {
        self.nodes.get_mut(&name).with_context(|| format!("there is no {name}"))
    }
}

fn url_of(ports: &BTreeMap<NodeName, Ports>) -> String {
    let coordinators = addresses(ports, |name| matches!(name, NodeName::Coordinator(_)));
    format!("synod://{}", coordinators.join(","))
}

fn addresses(ports: &BTreeMap<NodeName, Ports>, which: fn(&NodeName) -> bool) -> Vec<String> {
    let found = ports.iter().filter(|(name, _)| which(name));
    found.map(|(_, ports)| format!("127.0.0.1:{}", ports.quic)).collect()
}

/// The configuration file of a server. Paths in it are relative to its folder.
fn config_text(
    name: NodeName,
    cluster: &str,
    ports: &BTreeMap<NodeName, Ports>,
    options: &ClusterOptions,
) -> String {
    let own = ports[&name];
    let mut text = format!(
        "cluster = \"{cluster}\"\nlisten = \"127.0.0.1:{}\"\nadmin = \"127.0.0.1:{}\"\n\
         data = \"{name}\"\ncerts = \"certs\"\n",
        own.quic, own.admin
    );
    let coordinators = addresses(ports, |name| matches!(name, NodeName::Coordinator(_)));
    match name {
        NodeName::Coordinator(n) => {
            let shards = addresses(ports, |name| matches!(name, NodeName::Shard(_)));
            text.push_str(&format!("id = {n}\nshards = {shards:?}\n"));
            if coordinators.len() > 1 {
                text.push_str(&format!("group = {coordinators:?}\n"));
            }
            let ClusterOptions { deadlocks, unsafe_classical_3pc, .. } = options;
            text.push_str(&format!(
                "deadlock_handling = \"{deadlocks}\"\n\
                 unsafe_classical_3pc = {unsafe_classical_3pc}\n"
            ));
        }
        NodeName::Shard(n) => {
            text.push_str(&format!("id = {n}\ncoordinators = {coordinators:?}\n"));
        }
    }
    text
}

/// Finds the `synod` executable: this one, the one named by `SYNOD_BIN`, or the
/// one that cargo built beside this test or example.
///
/// # Errors
/// If there is none.
pub fn find_bin() -> Result<PathBuf> {
    if let Some(bin) = std::env::var_os("SYNOD_BIN") {
        let bin = PathBuf::from(bin);
        anyhow::ensure!(bin.is_file(), "SYNOD_BIN: {} is not a file", bin.display());
        return Ok(bin);
    }
    let me = std::env::current_exe().context("the running executable has no path")?;
    if me.file_stem().is_some_and(|stem| stem == "synod") {
        return Ok(me);
    }
    let name = format!("synod{}", std::env::consts::EXE_SUFFIX);
    for folder in me.ancestors().skip(1).take(2) {
        let bin = folder.join(&name);
        if bin.is_file() {
            return Ok(bin);
        }
    }
    anyhow::bail!(
        "the `synod` executable is not beside this program; build it with \
         `cargo build --release -p synod-cli`, or name it in SYNOD_BIN"
    )
}

/// A folder, removed at the end if it was ours.
pub(crate) struct Folder {
    path: PathBuf,
    ours: bool,
}

impl Folder {
    pub(crate) fn new(chosen: Option<PathBuf>) -> Result<Folder> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let ours = chosen.is_none();
        let path = chosen.unwrap_or_else(|| {
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            std::env::temp_dir().join(format!(
                "synod-{}-{n}-{:08x}",
                std::process::id(),
                ports::seed() as u32
            ))
        });
        std::fs::create_dir_all(&path)
            .with_context(|| format!("{} can not be made", path.display()))?;
        Ok(Folder { path, ours })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
