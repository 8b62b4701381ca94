//! The cluster as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use synod_client::{Client, Credentials, Scheme};
use synod_common::driver::authority::Authority;
use synod_common::driver::tls::Role;
use synod_common::limits;

use crate::bin::find_bin;
use crate::config::{config_text, url_of};
use crate::folder::Folder;
use crate::links::{Links, Network, Server};
use crate::node::NodeName;
use crate::ports::{self, Place};
use crate::process::{Condition, Process, Usage};
use crate::scrape::{self, Metrics};

/// The client certificate that a local cluster comes with.
pub const CLIENT: &str = "client";

/// How long a server may take until it serves.
const START: Duration = Duration::from_secs(60);
/// A server whose log has failed stops by then.
const MOMENT: Duration = Duration::from_secs(5);
/// How long a server may take to stop when it is asked to.
const STOP: Duration = Duration::from_secs(5);

/// What carries the links between servers, and between them and clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// The system, and nobody can break them.
    #[default]
    Loopback,
    /// A proxy before each server. What happens to datagrams is drawn from this seed.
    Proxy(u64),
    /// The system, between network namespaces, which can cut them and nothing else. Takes root
    /// and Linux ([`probe_namespaces`](crate::probe_namespaces)).
    Namespaces,
}

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
    /// What carries its links, and whether they can be broken ([`LocalCluster::links`]).
    pub links: Medium,
    /// Further lines in the files of coordinators and of shards, such as `bug = "NoFloor"`.
    pub lines: [Vec<String>; 2],
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
            links: Medium::default(),
            lines: [Vec::new(), Vec::new()],
        }
    }
}

/// Servers that run as processes of their own.
pub struct LocalCluster {
    nodes: BTreeMap<NodeName, Process>,
    url: String,
    /// It goes after the processes that use it, as does the folder.
    links: Option<Links>,
    dir: Folder,
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
        let certs = dir.path().join("certs");
        if !certs.join("ca.pem").exists() {
            let authority = Authority::create(&certs)?;
            for name in &names {
                authority.issue(name.role(), &name.to_string())?;
            }
            authority.issue(Role::Client, CLIENT)?;
        }
        let (places, links) = connect(&names, options.links).await?;
        let url = url_of(&places);
        let mut nodes = BTreeMap::new();
        let cluster_id = format!("{:032x}", ports::seed());
        for &name in &names {
            let config = dir.path().join(format!("{name}.toml"));
            std::fs::write(&config, config_text(name, &cluster_id, &places, &options))
                .with_context(|| format!("{} can not be written", config.display()))?;
            let place = places[&name].clone();
            let mut node = Process::new(name, &bin, &config, dir.path(), place);
            node.spawn()?;
            nodes.insert(name, node);
        }
        let mut cluster = LocalCluster { nodes, url, links, dir };
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
        self.dir.path().join("certs")
    }

    /// The folder of all its files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
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

    /// Its links, if it was started with breakable ones.
    pub fn links(&self) -> Option<&Links> {
        self.links.as_ref()
    }

    /// Kills a server without warning.
    ///
    /// # Errors
    /// If there is no such server, or the system refuses.
    pub fn kill(&mut self, name: NodeName) -> Result<()> {
        self.node(name)?.kill()
    }

    /// Stops a server where it stands (SIGSTOP), with all it has open.
    ///
    /// # Errors
    /// If it does not run.
    #[cfg(unix)]
    pub fn pause(&mut self, name: NodeName) -> Result<()> {
        self.node(name)?.pause()
    }

    /// Lets a paused server go on (SIGCONT).
    ///
    /// # Errors
    /// If it has ended meanwhile.
    #[cfg(unix)]
    pub fn resume(&mut self, name: NodeName) -> Result<()> {
        self.node(name)?.resume()
    }

    /// What a server's process does now, as the system tells; ended if there is none.
    pub fn condition(&mut self, name: NodeName) -> Condition {
        self.nodes.get_mut(&name).map_or(Condition::Ended, Process::condition)
    }

    /// Waits a moment for a server to end by itself; whether it did.
    pub async fn wait_end(&mut self, name: NodeName) -> bool {
        let ends = self.nodes.get_mut(&name).map(|node| node.wait_end(MOMENT));
        match ends {
            Some(ends) => ends.await,
            None => true,
        }
    }

    /// Of a server that ended by itself: with what status, and what it said last. It may
    /// be started again after that.
    pub fn bury(&mut self, name: NodeName) -> Option<String> {
        self.nodes.get_mut(&name)?.bury()
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

    /// Asks a server built for testers for faults, with the body of a `POST /chaos`; an empty
    /// one only asks what there is. Returns what the server then says (`docs/chaos.md`).
    ///
    /// # Errors
    /// If it does not answer, was not built for that, or refuses.
    pub async fn chaos(&self, name: NodeName, body: &str) -> Result<String> {
        let node = self.nodes.get(&name).with_context(|| format!("there is no {name}"))?;
        let asked = scrape::ask(node.admin(), "/chaos", (!body.is_empty()).then_some(body));
        asked.await.with_context(|| format!("{name} and faults on request"))
    }

    fn node(&mut self, name: NodeName) -> Result<&mut Process> {
        self.nodes.get_mut(&name).with_context(|| format!("there is no {name}"))
    }
}

/// Where the servers are, and the links between them if they shall be breakable.
async fn connect(
    names: &[NodeName],
    medium: Medium,
) -> Result<(BTreeMap<NodeName, Place>, Option<Links>)> {
    let on_loopback = || anyhow::Ok(names.iter().copied().zip(ports::free(names.len())?).collect());
    match medium {
        Medium::Loopback => Ok((on_loopback()?, None)),
        Medium::Proxy(seed) => {
            let fronts = names.iter().map(|_| ports::front()).collect::<Result<Vec<_>>>()?;
            let mut places: BTreeMap<NodeName, Place> = on_loopback()?;
            let mut servers = Vec::new();
            for ((&name, place), front) in places.iter_mut().zip(fronts) {
                place.told = front.local_addr()?;
                servers.push(Server { name, real: place.listen, front });
            }
            Ok((places, Some(Links::through_a_proxy(servers, seed).await?)))
        }
        Medium::Namespaces => {
            let network = Network::new(names)?;
            let places = names.iter().map(|&name| (name, network.place(name))).collect();
            Ok((places, Some(Links::through(network, names))))
        }
    }
}
