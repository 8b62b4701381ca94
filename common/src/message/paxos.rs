//! Paxos Commit: participants propose their votes to the acceptors, which are members of
//! the group of coordinators, and these tell the leader what they have accepted.
//!
//! ```text
//!   participants ──Propose──▶ acceptors     each to all of them: YES(m) or READ(m)
//!   acceptor     ──Accepted─▶ leader        one for all participants, once durable
//!   leader       ──Forward──▶ acceptor      what the participants have proposed, if it is
//!                                           missed there
//!
//!   acceptors    ──Accepted─▶ participants  in the faster form
//! ```

use serde::{Deserialize, Serialize};

use super::commit::Vote;
use crate::id::{CoordinatorId, ShardId, TxnId};
use crate::time::Timestamp;

/// A message of Paxos Commit. Any may be lost, late or doubled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PaxosMessage {
    /// Participant: my vote, YES or READ, as it was first given. The ballot is the epoch in
    /// which the transaction began.
    Propose {
        /// On which transaction.
        txn: TxnId,
        /// When its commit began.
        h: Timestamp,
        /// Who leads, and counts who has accepted it.
        leader: CoordinatorId,
        /// All that take part, in the order of their numbers.
        participants: Vec<ShardId>,
        /// The vote.
        vote: Vote,
        /// Whether the participants are to be told, too, once all votes are accepted.
        tell: bool,
    },
    /// Acceptor: I have accepted the votes of all participants, durably, and had promised no
    /// later epoch before that.
    Accepted {
        /// On which transaction.
        txn: TxnId,
        /// When it commits, if it does.
        at: Timestamp,
    },
    /// Leader: accept what its participants have proposed.
    Forward(Bundle),
}

/// The votes of all participants of one transaction: what an acceptor accepts as a whole.
/// Whoever finds one knows the decision, if there was one: commit, at this timestamp.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bundle {
    /// The transaction.
    pub txn: TxnId,
    /// When its commit began.
    pub h: Timestamp,
    /// The largest timestamp that was voted.
    pub at: Timestamp,
    /// Who voted YES.
    pub yes: Vec<ShardId>,
    /// Who voted READ.
    pub read: Vec<ShardId>,
}

impl Bundle {
    /// All that take part.
    pub fn participants(&self) -> impl Iterator<Item = ShardId> {
        self.yes.iter().chain(&self.read).copied()
    }
}

impl PaxosMessage {
    /// Whether shards send this; otherwise coordinators do.
    pub fn is_from_shard(&self) -> bool {
        match self {
            PaxosMessage::Propose { .. } => true,
            PaxosMessage::Accepted { .. } | PaxosMessage::Forward(_) => false,
        }
    }
}
