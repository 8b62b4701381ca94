//! Links: who is connected to whom, and how messages fare on the way.
//!
//! A link is up or down, with an epoch that counts its lives. What is on its way
//! when a link goes down is lost. Each end notices by itself, after a while; only
//! when both have is the link made again. A direction may be *blocked* without
//! either end noticing at first.
//!
//! Some messages get a *ghost*: a second copy that arrives late, whatever became
//! of the link and of the receiver since. No connection does that, but the cores
//! claim to be safe even then.

use super::faults::Faults;
use super::rng::Rng;

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A server by index; see [`super::server::peer`].
    Server(usize),
    /// A client.
    Client(usize),
}

/// A link between who dials and who is dialled.
#[derive(Debug)]
pub struct Link {
    /// Who dials, who is dialled.
    pub ends: [Node; 2],
    /// Whether it is up.
    pub up: bool,
    /// Counts its lives.
    pub epoch: u64,
    /// Which ends believe that it is up.
    pub knows: [bool; 2],
    /// Number of the connection at the server that was dialled.
    pub connection: u64,
    /// Which ends can not send.
    pub blocked: [bool; 2],
    /// Whether it is being dialled.
    pub dialling: bool,
    /// Whether it goes down when it loses a message.
    pub lossless: bool,
}

impl Link {
    /// A link that is down.
    pub fn new(from: Node, to: Node) -> Link {
        Link {
            ends: [from, to],
            up: false,
            epoch: 0,
            knows: [false; 2],
            connection: 0,
            blocked: [false; 2],
            dialling: false,
            lossless: false,
        }
    }

    /// Which end a node is.
    pub fn end_of(&self, node: Node) -> usize {
        usize::from(self.ends[1] == node)
    }
}

/// Copies of a message on their way: when they arrive, and whether as a ghost.
pub fn copies(faults: &Faults, rng: &mut Rng) -> Vec<(u64, bool)> {
    let mut copies = Vec::new();
    if !rng.chance(faults.loss) {
        copies.push((delay(faults, rng), false));
    }
    if rng.chance(faults.duplicates) {
        copies.push((delay(faults, rng) + rng.skewed(20_000), false));
    }
    if rng.chance(faults.ghosts) {
        copies.push((rng.within(1_000..=2_500_000), true));
    }
    copies
}

fn delay(faults: &Faults, rng: &mut Rng) -> u64 {
    let tail = if rng.chance(faults.slow) { rng.skewed(80_000) } else { 0 };
    rng.within(50..=400) + tail
}
