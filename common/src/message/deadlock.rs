//! Who waits for whom: between a shard and the coordinator, and between shards. Which
//! of these are sent at all is the cluster's choice, see
//! [`Scheme`](crate::deadlock::Scheme).
//!
//! ```text
//!   shard                                   coordinator
//!     Waits    all that wait, again and again ──▶  the graph; a cycle in it?
//!              ◀── Confirm   do these still wait?
//!     Confirmed   yes, every one  ──▶              all shards say so: it is real
//!              ◀── Break     abort this one, which waits here
//!              ◀── LetGo     and here, where it is waited for
//!     Broken   one was aborted here  ──▶           remembered for people
//!     Wound    this one is in the way, and has voted ──▶ aborted, if not yet decided
//!
//!   shard                                   shard
//!     Probes   these wait, in the end, for those ──▶ and these for ..., or a cycle:
//!              ◀── Confirm, Confirmed, Break ──▶     as above
//! ```
//!
//! None of these needs an answer to be safe, and all may be lost, late or doubled:
//! what still holds is told again a little later.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::deadlock::{Claim, Deadlock, Target};
use crate::id::{ShardId, TxnId};

/// A message of deadlock detection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DeadlockMessage {
    /// Shard: everything that has been waiting here for a while. Replaces what I
    /// said before.
    Waits {
        /// Names this life of the shard.
        life: u64,
        /// Counts the reports of this life.
        number: u64,
        /// A list of [`Wait`].
        #[serde(skip)]
        waits: Bytes,
    },
    /// Coordinator: do all of these still stand?
    Confirm {
        /// Names the question.
        candidate: u64,
        /// A list of [`Edge`].
        #[serde(skip)]
        edges: Bytes,
    },
    /// Shard: the answer.
    Confirmed {
        /// The question.
        candidate: u64,
        /// Whether each of the edges stands: the same wait, still for the same holder.
        stands: bool,
    },
    /// Coordinator: abort this transaction, if it still waits so.
    Break {
        /// The question whose answers led to this.
        candidate: u64,
        /// The victim.
        txn: TxnId,
        /// Its wait.
        wait: u64,
        /// The cycle, for its client.
        deadlock: Box<Deadlock>,
    },
    /// Shard: somebody was aborted here, and the coordinator does not know yet.
    Broken {
        /// Why.
        deadlock: Box<Deadlock>,
    },
    /// Shard: an older transaction waits here for this one, which has voted: abort it,
    /// if it is not decided.
    Wound {
        /// The younger one.
        txn: TxnId,
        /// The wait.
        deadlock: Box<Deadlock>,
    },
    /// Whoever breaks a deadlock: abort the holder of this edge, if it still stands; its
    /// own wait is broken elsewhere.
    LetGo {
        /// The wait of the one before the victim.
        edge: Edge,
        /// The cycle, for the victim's client.
        deadlock: Box<Deadlock>,
    },
    /// Shard: I follow these chains of waits. Do their ends wait with you?
    Probes {
        /// A list of [`Probe`].
        #[serde(skip)]
        probes: Bytes,
    },
}

/// A chain of waits that is being followed. Source: Chandy, Misra, Haas 1983; theirs
/// carries three words, this one the way it has come, so that what it finds can be
/// made sure of, and told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Counts how often the first wait has been looked into.
    pub round: u32,
    /// Each of these waits for the next one, and the last for the one that the
    /// question is about.
    pub path: Vec<Link>,
}

/// A wait for one of those in its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where.
    pub shard: ShardId,
    /// The number of the wait.
    pub wait: u64,
    /// Who waits.
    pub waiter: Claim,
    /// What it asks for.
    pub target: Target,
    /// In which mode.
    pub mode: String,
    /// Who is in the way.
    pub holder: Holder,
}

/// A lock request that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Whose it is.
    pub waiter: Claim,
    /// Its number: no other wait has it, not even after a restart of the shard.
    pub wait: u64,
    /// What it asks for.
    pub target: Target,
    /// In which mode.
    pub mode: String,
    /// Who stands in its way. Those may be left out for whom another of these waits.
    pub holders: Vec<Holder>,
}

/// Who stands in the way of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its name.
    pub txn: TxnId,
    /// How many locks it holds on the shard.
    pub locks: u32,
    /// As in [`Edge::returns`].
    pub returns: u32,
}

/// A wait for one of those in its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Edge {
    /// Who waits.
    pub waiter: TxnId,
    /// The number of the wait.
    pub wait: u64,
    /// For whom.
    pub holder: TxnId,
    /// How often the two had given back locks on the shard. If that has changed, the
    /// holder may not have been in the way all the time.
    pub returns: u32,
}

impl DeadlockMessage {
    /// Whether coordinators send this. Shards may send any.
    pub fn is_from_coordinator(&self) -> bool {
        match self {
            DeadlockMessage::Confirm { .. }
            | DeadlockMessage::Break { .. }
            | DeadlockMessage::LetGo { .. } => true,
            DeadlockMessage::Waits { .. }
            | DeadlockMessage::Confirmed { .. }
            | DeadlockMessage::Broken { .. }
            | DeadlockMessage::Wound { .. }
            | DeadlockMessage::Probes { .. } => false,
        }
    }

    pub(super) fn bulk(&self) -> Option<&Bytes> {
        match self {
            DeadlockMessage::Waits { waits, .. } => Some(waits),
            DeadlockMessage::Confirm { edges, .. } => Some(edges),
            DeadlockMessage::Probes { probes } => Some(probes),
            DeadlockMessage::Confirmed { .. }
            | DeadlockMessage::Break { .. }
            | DeadlockMessage::Broken { .. }
            | DeadlockMessage::Wound { .. }
            | DeadlockMessage::LetGo { .. } => None,
        }
    }

    pub(super) fn bulk_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            DeadlockMessage::Waits { waits, .. } => Some(waits),
            DeadlockMessage::Confirm { edges, .. } => Some(edges),
            DeadlockMessage::Probes { probes } => Some(probes),
            DeadlockMessage::Confirmed { .. }
            | DeadlockMessage::Break { .. }
            | DeadlockMessage::Broken { .. }
            | DeadlockMessage::Wound { .. }
            | DeadlockMessage::LetGo { .. } => None,
        }
    }
}
