//! Between a shard and the coordinator: who waits for whom.
//!
//! ```text
//!   shard                                   coordinator
//!     Waits    all that wait, again and again ──▶  the graph; a cycle in it?
//!              ◀── Confirm   do these still wait?
//!     Confirmed   yes, every one  ──▶              all shards say so: it is real
//!              ◀── Break     abort this one
//!     Broken   a cycle of my own, broken  ──▶      remembered for people
//! ```
//!
//! None of these needs an answer to be safe, and all may be lost, late or doubled:
//! what still holds is told again with the next `Waits`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::deadlock::{Claim, Deadlock, Target};
use crate::id::TxnId;

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
    /// Shard: I have broken a cycle that lay within me.
    Broken {
        /// The cycle.
        deadlock: Box<Deadlock>,
    },
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
}

impl DeadlockMessage {
    /// Whether shards send this; otherwise coordinators do.
    pub fn is_from_shard(&self) -> bool {
        match self {
            DeadlockMessage::Waits { .. }
            | DeadlockMessage::Confirmed { .. }
            | DeadlockMessage::Broken { .. } => true,
            DeadlockMessage::Confirm { .. } | DeadlockMessage::Break { .. } => false,
        }
    }

    pub(super) fn bulk(&self) -> Option<&Bytes> {
        match self {
            DeadlockMessage::Waits { waits, .. } => Some(waits),
            DeadlockMessage::Confirm { edges, .. } => Some(edges),
            DeadlockMessage::Confirmed { .. }
            | DeadlockMessage::Break { .. }
            | DeadlockMessage::Broken { .. } => None,
        }
    }

    pub(super) fn bulk_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            DeadlockMessage::Waits { waits, .. } => Some(waits),
            DeadlockMessage::Confirm { edges, .. } => Some(edges),
            DeadlockMessage::Confirmed { .. }
            | DeadlockMessage::Break { .. }
            | DeadlockMessage::Broken { .. } => None,
        }
    }
}
