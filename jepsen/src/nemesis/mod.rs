//! What is done to a cluster while clients work.
//!
//! ```text
//!   install(ground, dice) ──▶ Installed ──▶ … ──▶ heal(ground) ──▶ what it was seen to do
//! ```
//!
//! A nemesis draws whom it hits, does it, and makes sure that it took effect: a process is
//! gone, or stopped, as the system tells. So the history says what happened, and not what
//! was meant to happen. Several may be about at a time; what one holds no other touches.
//!
//! What is deliberately absent: nothing here spares a majority. A cluster that cannot serve
//! has to say so, and to be right when it serves again.

mod chaos;
mod links;
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result};
use fastrand::Rng;
use synod_cluster::{Condition, Links, LocalCluster, NodeName, Rule};

pub use self::chaos::Asked;
use self::links::Rules;
pub use self::links::Spoiled;
pub use self::process::Held;

macro_rules! nemeses {
    ($($(#[$doc:meta])* $nemesis:ident = $name:literal,)*) => {
        /// A way to hurt a cluster.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Nemesis { $($(#[$doc])* $nemesis,)* }

        impl Nemesis {
            /// All of them.
            pub const ALL: &[Nemesis] = &[$(Nemesis::$nemesis,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Nemesis::$nemesis => $name,)* }
            }
        }
    };
}

nemeses! {
    /// Servers are killed without warning, and started again: one, all of a kind, or all.
    Kill = "kill",
    /// Servers stand still, with all they have open, and go on.
    Pause = "pause",
    /// Who leads the coordinators is killed, or stands still, wherever that moves.
    Leader = "leader",
    /// Servers, or the clients, are cut off from others, in both directions.
    Partition = "partition",
    /// What is sent in one direction gets lost.
    OneWay = "one-way",
    /// Two halves that reach each other only through one between them; majorities in a ring.
    Bridge = "bridge",
    /// Links are slow, each datagram as much as chance has it.
    Slow = "slow",
    /// Links lose datagrams.
    Lossy = "lossy",
    /// Links deliver datagrams twice.
    Duplicate = "duplicate",
    /// Datagrams overtake others.
    Reorder = "reorder",
    /// Clocks jump ahead or back, and return.
    Clock = "clock",
    /// A disk has no room for more.
    DiskFull = "disk-full",
    /// A disk fails to make durable what was written.
    Fsync = "fsync",
    /// Disks take their time.
    SlowDisk = "slow-disk",
}

impl fmt::Display for Nemesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The cluster, and what is being done to it.
pub struct Ground {
    /// The servers.
    pub cluster: LocalCluster,
    /// Servers that somebody holds down.
    held: BTreeSet<NodeName>,
    /// What each of those that spoil links wants of them, by number.
    layers: BTreeMap<u64, Rules>,
    /// The last of these numbers.
    layer: u64,
}

impl Ground {
    /// A cluster that is left alone.
    pub fn new(cluster: LocalCluster) -> Ground {
        Ground { cluster, held: BTreeSet::new(), layers: BTreeMap::new(), layer: 0 }
    }

    /// Servers that nobody holds down.
    fn free(&self) -> Vec<NodeName> {
        self.cluster.names().filter(|name| !self.held.contains(name)).collect()
    }

    /// Makes sure that the cluster can be hurt in these ways.
    ///
    /// # Errors
    ///
    /// What it would have to be built with.
    pub async fn probe(&self, nemeses: &[Nemesis]) -> Result<()> {
        if nemeses.iter().any(|nemesis| nemesis.asks()) {
            chaos::probe(self).await?;
        }
        Ok(())
    }

    fn links(&self) -> Result<&Links> {
        self.cluster.links().context("the cluster was started without links that break")
    }

    /// Makes links obey all that is wanted of them.
    fn lay(&self) -> Result<()> {
        let mut rules: BTreeMap<_, Rule> = BTreeMap::new();
        for (link, rule) in self.layers.values().flatten() {
            let whole = rules.entry(*link).or_default();
            *whole = links::both(*whole, *rule);
        }
        self.links()?.set_all(&rules)
    }

    /// Makes sure that all servers are there.
    ///
    /// # Errors
    ///
    /// If one ended by itself.
    pub fn are_there(&mut self) -> Result<()> {
        let names: Vec<NodeName> = self.cluster.names().collect();
        for name in names {
            anyhow::ensure!(
                self.cluster.condition(name) == Condition::Runs,
                "{name} ended by itself: {}",
                self.cluster.bury(name).unwrap_or_default()
            );
        }
        Ok(())
    }
}

/// A fault that is there.
pub enum Installed {
    /// Processes are down or stand still.
    Held(Held),
    /// Links are cut or spoiled.
    Spoiled(Spoiled),
    /// Servers were asked to fail.
    Asked(Asked),
}

impl Installed {
    /// Whom it hit, in words.
    pub fn target(&self) -> String {
        match self {
            Installed::Held(held) => held.target(),
            Installed::Spoiled(spoiled) => spoiled.target(),
            Installed::Asked(asked) => asked.target(),
        }
    }

    /// Takes it away. Says what it was seen to do.
    ///
    /// # Errors
    ///
    /// If that does not work: then the run proves nothing.
    pub async fn heal(self, ground: &mut Ground) -> Result<String> {
        match self {
            Installed::Held(held) => held.heal(ground),
            Installed::Spoiled(spoiled) => spoiled.heal(ground),
            Installed::Asked(asked) => asked.heal(ground).await,
        }
    }
}

impl Nemesis {
    /// Whether it breaks links.
    pub fn breaks_links(self) -> bool {
        match self {
            Nemesis::Partition
            | Nemesis::OneWay
            | Nemesis::Bridge
            | Nemesis::Slow
            | Nemesis::Lossy
            | Nemesis::Duplicate
            | Nemesis::Reorder => true,
            Nemesis::Kill
            | Nemesis::Pause
            | Nemesis::Leader
            | Nemesis::Clock
            | Nemesis::DiskFull
            | Nemesis::Fsync
            | Nemesis::SlowDisk => false,
        }
    }

    /// Whether it breaks links in other ways than by cutting them.
    pub fn spoils_links(self) -> bool {
        matches!(self, Nemesis::Slow | Nemesis::Lossy | Nemesis::Duplicate | Nemesis::Reorder)
    }

    /// Whether servers have to be built so that they can be asked for it.
    pub fn asks(self) -> bool {
        matches!(self, Nemesis::Clock | Nemesis::DiskFull | Nemesis::Fsync | Nemesis::SlowDisk)
    }

    /// Does it; to nobody if there is nobody left.
    ///
    /// # Errors
    ///
    /// If it had no effect: then the run proves nothing.
    pub async fn install(self, ground: &mut Ground, dice: &mut Rng) -> Result<Option<Installed>> {
        if self.breaks_links() {
            let Some((rules, text)) = links::draw(self, ground.links()?, dice) else {
                return Ok(None);
            };
            return Ok(Some(Installed::Spoiled(Spoiled::install(ground, rules, text)?)));
        }
        if self.asks() {
            return Ok(Asked::install(self, ground, dice).await?.map(Installed::Asked));
        }
        let held = match self {
            Nemesis::Kill => Held::kill(ground, process::some(ground, dice))?,
            Nemesis::Pause => Held::pause(ground, process::some(ground, dice)).await?,
            Nemesis::Leader => {
                let leader = process::leader(ground).await;
                match dice.bool() {
                    true => Held::kill(ground, leader)?,
                    false => Held::pause(ground, leader).await?,
                }
            }
            _ => unreachable!("{self} breaks links or asks servers"),
        };
        Ok(held.map(Installed::Held))
    }
}

/// `s1, s2`
fn list(names: &[NodeName]) -> String {
    let names: Vec<String> = names.iter().map(NodeName::to_string).collect();
    names.join(", ")
}
