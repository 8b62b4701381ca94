//! A server: a real core with its clock, its log and what the log holds back.

use std::collections::BTreeMap;

use synod_common::error::Corrupt;
use synod_common::id::{CoordinatorId, Peer, ShardId};
use synod_common::node::{Event, Lsn, Node, Output, Recovered, Send};
use synod_common::time::{Mono, Now};
use synod_coordinator::Member;
use synod_shard::Shard;

use super::clock::Clock;
use super::disk::Log;
use crate::diagrams::Watch;

/// The number of the first coordinator.
pub const COORDINATOR: CoordinatorId = CoordinatorId(1);
/// A world has at most so many shards. Behind them stand the coordinators but for the
/// first, so that an index always means the same.
pub const MOST_SHARDS: usize = 4;

/// A server, running or not.
#[derive(Debug)]
pub struct Server {
    /// Counts its lives.
    pub life: u32,
    /// The core, while it runs.
    pub core: Option<Core>,
    /// Its clocks.
    pub clock: Clock,
    /// Its log.
    pub log: Log,
    /// What the core asked for and was not carried out yet.
    pub out: Output,
    /// Messages that wait for the log.
    pub held: Vec<(Lsn, Send)>,
    /// When the core wants to be woken.
    pub wake: Option<Mono>,
    /// Tells the newest wake-up from those it replaced.
    pub wakes: u64,
    /// Whether the output will be carried out a little later.
    pub flush_due: bool,
    /// The clients at the other end of its connections.
    pub connections: BTreeMap<u64, usize>,
    /// How many connections it accepted.
    pub accepted: u64,
    /// It stands still until then, and does what is due afterwards.
    pub paused_until: u64,
    /// Whether there is no such server in this world, or not any more.
    pub absent: bool,
    /// Looks at what it does, for diagrams.
    pub watch: Watch,
    /// The mark of a coordinator that has lost its disk, and is not back yet.
    pub rejoins: bool,
}

/// The core of a server.
#[derive(Debug)]
pub enum Core {
    /// The coordinator's.
    Coordinator(Box<Member>),
    /// A shard's.
    Shard(Box<Shard>),
}

impl Clone for Core {
    fn clone(&self) -> Core {
        match self {
            Core::Coordinator(core) => Core::Coordinator(core.clone()),
            Core::Shard(core) => Core::Shard(core.clone()),
        }
    }

    /// In the place of one of the same kind.
    fn clone_from(&mut self, other: &Core) {
        match (self, other) {
            (Core::Coordinator(core), Core::Coordinator(other)) => core.clone_from(other),
            (Core::Shard(core), Core::Shard(other)) => core.clone_from(other),
            (core, other) => *core = other.clone(),
        }
    }
}

impl Core {
    /// See [`Node::recover`].
    ///
    /// # Errors
    /// If the core does not understand it.
    pub fn recover(&mut self, recovered: Recovered<'_>) -> Result<(), Corrupt> {
        match self {
            Core::Coordinator(core) => core.recover(recovered),
            Core::Shard(core) => core.recover(recovered),
        }
    }

    /// See [`Node::handle`].
    pub fn handle(&mut self, now: Now, event: Event, out: &mut Output) {
        match self {
            Core::Coordinator(core) => core.handle(now, event, out),
            Core::Shard(core) => core.handle(now, event, out),
        }
    }

    /// The shard, if it is one.
    pub fn shard(&self) -> Option<&Shard> {
        match self {
            Core::Shard(core) => Some(core),
            Core::Coordinator(_) => None,
        }
    }

    /// The coordinator, if it is one.
    pub fn coordinator(&self) -> Option<&Member> {
        match self {
            Core::Coordinator(core) => Some(core),
            Core::Shard(_) => None,
        }
    }
}

impl Server {
    /// A server that does not run.
    pub fn new(clock: Clock, log: Log) -> Server {
        Server {
            life: 0,
            core: None,
            clock,
            log,
            out: Output::default(),
            held: Vec::new(),
            wake: None,
            wakes: 0,
            flush_due: false,
            connections: BTreeMap::new(),
            accepted: 0,
            paused_until: 0,
            absent: false,
            watch: Watch::default(),
            rejoins: false,
        }
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.core.is_some()
    }
}

/// How others call server `index`.
pub fn peer(index: usize) -> Peer {
    match index {
        1..=MOST_SHARDS => Peer::Shard(ShardId(index as u16)),
        0 => Peer::Coordinator(COORDINATOR),
        _ => Peer::Coordinator(CoordinatorId((index - MOST_SHARDS + 1) as u16)),
    }
}

/// Which server others call so.
pub fn index(peer: Peer) -> Option<usize> {
    match peer {
        Peer::Coordinator(COORDINATOR) => Some(0),
        Peer::Coordinator(id) => Some(usize::from(id.0) + MOST_SHARDS - 1),
        Peer::Shard(id) => Some(usize::from(id.0)),
        Peer::Client(_) => None,
    }
}

/// Whether server `index` is a coordinator.
pub fn is_coordinator(index: usize) -> bool {
    matches!(peer(index), Peer::Coordinator(_))
}
