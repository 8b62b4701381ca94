//! What a run is to be.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use synod_client::{Isolation, Protocol};

use super::Remote;
use crate::nemesis::Nemesis;

/// What a run is to be. The same settings make the same operations and the same faults;
/// their timing is the machine's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One of [`WORKLOADS`](crate::workload::WORKLOADS).
    pub workload: String,
    /// What is done to the cluster meanwhile.
    pub nemeses: Vec<Nemesis>,
    /// How long operations are begun.
    pub length: Duration,
    /// From which all is drawn.
    pub seed: u64,
    /// Where the history goes, and what is reported of it.
    pub out: PathBuf,
    /// How transactions are isolated.
    pub isolation: Isolation,
    /// How they are committed.
    pub protocol: Protocol,
    /// How many shards.
    pub shards: u16,
    /// How many coordinators.
    pub coordinators: u16,
    /// How many clients, each with one operation at a time.
    pub clients: u16,
    /// How many operations a second are begun at most; the workload's own if none is given.
    pub rate: Option<f64>,
    /// A deliberate bug of all coordinators, and one of all shards, in servers built for that.
    pub bugs: [Option<String>; 2],
    /// A cluster that is there, in place of one that is started.
    pub remote: Option<Remote>,
    /// How links are broken, of a cluster that is started.
    pub links: Breaker,
    /// The `synod` executable, if it is not the one beside this.
    pub bin: Option<PathBuf>,
}

/// How links are broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Breaker {
    /// By a proxy, where a nemesis breaks them.
    #[default]
    Proxy,
    /// By the kernel, between network namespaces, which cuts them and no more. Takes root and
    /// Linux.
    Namespaces,
}

impl Breaker {
    /// All of them.
    pub const ALL: [Breaker; 2] = [Breaker::Proxy, Breaker::Namespaces];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Breaker::Proxy => "proxy",
            Breaker::Namespaces => "namespaces",
        }
    }

    /// Whether links can be broken as this nemesis wants, if it wants that.
    pub fn can(self, nemesis: Nemesis) -> bool {
        self == Breaker::Proxy || !nemesis.spoils_links()
    }
}

impl Settings {
    /// Makes sure that links can be broken as the nemeses want.
    ///
    /// # Errors
    ///
    /// What is not possible, and why.
    pub fn check_links(&self) -> Result<()> {
        if self.links == Breaker::Namespaces {
            anyhow::ensure!(self.remote.is_none(), "links of a cluster that is there stay whole");
        }
        let wrong = self.nemeses.iter().filter(|nemesis| !self.links.can(**nemesis));
        let wrong: Vec<&str> = wrong.map(|nemesis| nemesis.name()).collect();
        anyhow::ensure!(
            wrong.is_empty(),
            "with --links namespaces, links can only be cut; --links proxy does {}",
            wrong.join(", ")
        );
        Ok(())
    }

    /// What was set, beside workload, seed and faults, by the names of the command's flags.
    pub fn named(&self) -> Vec<(String, String)> {
        let [coordinator_bug, shard_bug] = &self.bugs;
        let always = [
            ("isolation", self.isolation.to_string()),
            ("protocol", self.protocol.to_string()),
            ("clients", self.clients.to_string()),
        ];
        let is_own = self.remote.is_none();
        let breaks_otherwise = is_own && self.links != Breaker::default();
        let if_set = [
            ("shards", is_own.then(|| self.shards.to_string())),
            ("coordinators", is_own.then(|| self.coordinators.to_string())),
            ("links", breaks_otherwise.then(|| self.links.name().to_owned())),
            ("rate", self.rate.map(|rate| rate.to_string())),
            ("url", self.remote.as_ref().map(|remote| remote.url.clone())),
            ("certs", self.remote.as_ref().map(|remote| remote.certs.display().to_string())),
            ("coordinator-bug", coordinator_bug.clone()),
            ("shard-bug", shard_bug.clone()),
        ];
        let if_set = if_set.into_iter().filter_map(|(name, value)| Some((name, value?)));
        always.into_iter().chain(if_set).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The command that repeats the run.
    pub fn command(&self) -> String {
        let mut command = format!("synod-jepsen run {}", self.workload);
        if !self.nemeses.is_empty() {
            let names: Vec<&str> = self.nemeses.iter().map(|nemesis| nemesis.name()).collect();
            command.push_str(&format!(" --nemesis {}", names.join(",")));
        }
        command.push_str(&format!(" --seconds {} --seed {}", self.length.as_secs_f64(), self.seed));
        for (name, value) in self.named() {
            command.push_str(&format!(" --{name} {value}"));
        }
        command
    }
}
