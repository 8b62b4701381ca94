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

mod process;

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;
use fastrand::Rng;
use synod_cluster::{Condition, LocalCluster, NodeName};

use self::process::Held;

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
}

impl Ground {
    /// A cluster that is left alone.
    pub fn new(cluster: LocalCluster) -> Ground {
        Ground { cluster, held: BTreeSet::new() }
    }

    /// Servers that nobody holds down.
    fn free(&self) -> Vec<NodeName> {
        self.cluster.names().filter(|name| !self.held.contains(name)).collect()
    }

    /// Waits until all servers serve.
    ///
    /// # Errors
    ///
    /// If one does not.
    pub async fn serve(&mut self) -> Result<()> {
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
pub struct Installed {
    target: String,
    held: Held,
}

impl Installed {
    /// Whom it hit.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Takes it away. Says what it was seen to do.
    ///
    /// # Errors
    ///
    /// If that does not work: then the run proves nothing.
    pub async fn heal(self, ground: &mut Ground) -> Result<String> {
        self.held.heal(ground).await
    }
}

impl Nemesis {
    /// Does it; to nobody if there is nobody left.
    ///
    /// # Errors
    ///
    /// If it had no effect: then the run proves nothing.
    pub async fn install(self, ground: &mut Ground, dice: &mut Rng) -> Result<Option<Installed>> {
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
        };
        Ok(held.map(|held| Installed { target: held.target(), held }))
    }
}

/// `s1, s2`
fn list(names: &[NodeName]) -> String {
    let names: Vec<String> = names.iter().map(NodeName::to_string).collect();
    names.join(", ")
}
