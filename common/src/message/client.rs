//! Between a client and the coordinator: sessions, timestamps, commits, outcomes.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Reason;
use crate::id::{CoordinatorId, Incarnation, SessionId, ShardId, TxnId};
use crate::route::Placement;
use crate::time::Timestamp;

/// What a client asks of a coordinator. Every request gets one reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ClientRequest {
    /// Grant me a session.
    OpenSession,
    /// I am alive. Must come more often than the session's time to live.
    Heartbeat {
        /// The session to keep.
        session: SessionId,
        /// No COMMIT of a transaction before this sequence will follow.
        oldest: u64,
    },
    /// I am done with this session; none of its transactions will be committed.
    CloseSession {
        /// The session to end.
        session: SessionId,
    },
    /// A fresh timestamp to read at.
    Timestamp,
    /// Commit a transaction.
    Commit {
        /// Its name.
        txn: TxnId,
        /// The shards it touched, in the order of their writes.
        parts: Vec<Part>,
        /// The writes of all parts, one behind another; see
        /// [`WriteSet`](super::bulk::WriteSet).
        #[serde(skip)]
        writes: Bytes,
    },
    /// What became of this transaction? If no commit of it is in progress, it
    /// is aborted by being asked for.
    Outcome {
        /// Its name.
        txn: TxnId,
    },
    /// How is the cluster?
    Status,
    /// As `Heartbeat`, and I have a snapshot: keep what it needs.
    Pinned {
        /// The session to keep.
        session: SessionId,
        /// No COMMIT of a transaction before this sequence will follow.
        oldest: u64,
        /// The timestamp of my oldest snapshot.
        pin: Timestamp,
    },
}

/// One shard's part in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The shard.
    pub shard: ShardId,
    /// The incarnation it gave the transaction, if the transaction read there.
    pub incarnation: Option<Incarnation>,
    /// How many bytes of the bulk are this part's writes; zero if it only read.
    pub write_bytes: u32,
}

/// What a coordinator answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ClientReply {
    /// The session is granted.
    SessionOpened {
        /// Its name.
        session: SessionId,
        /// It lapses when nothing is heard for this long.
        ttl_ms: u32,
        /// A fresh timestamp, for the age of transactions.
        now: Timestamp,
        /// The shard map.
        placement: Placement,
    },
    /// The heartbeat was heard, or the session is closed.
    Done,
    /// A fresh timestamp.
    Timestamp(Timestamp),
    /// The answer to [`ClientRequest::Commit`] and [`ClientRequest::Outcome`].
    Outcome(Outcome),
    /// The answer to [`ClientRequest::Status`].
    Status(CoordinatorStatus),
    /// The request was refused and has had no effect.
    Refused(Reason),
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Durably committed at this timestamp.
    Committed(Timestamp),
    /// Never committed, and never will be.
    Aborted(Reason),
    /// Being decided; ask again.
    Undecided,
    /// Too long ago: the retention of outcomes has passed.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Committed(at) => write!(f, "committed {at}"),
            Outcome::Aborted(reason) => write!(f, "aborted {reason}"),
            Outcome::Undecided => f.write_str("undecided"),
            Outcome::Unknown => f.write_str("unknown"),
        }
    }
}

/// How a coordinator sees the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorStatus {
    /// Its number.
    pub id: CoordinatorId,
    /// The shard map.
    pub placement: Placement,
    /// Shards that have joined and are connected.
    pub joined: Vec<ShardId>,
    /// Sessions that are open.
    pub sessions: u64,
    /// Transactions between COMMIT and the last acknowledgement.
    pub committing: u64,
}

impl ClientRequest {
    pub(super) fn bulk(&self) -> Option<&Bytes> {
        match self {
            ClientRequest::Commit { writes, .. } => Some(writes),
            ClientRequest::OpenSession
            | ClientRequest::Heartbeat { .. }
            | ClientRequest::CloseSession { .. }
            | ClientRequest::Timestamp
            | ClientRequest::Outcome { .. }
            | ClientRequest::Status
            | ClientRequest::Pinned { .. } => None,
        }
    }

    pub(super) fn bulk_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            ClientRequest::Commit { writes, .. } => Some(writes),
            ClientRequest::OpenSession
            | ClientRequest::Heartbeat { .. }
            | ClientRequest::CloseSession { .. }
            | ClientRequest::Timestamp
            | ClientRequest::Outcome { .. }
            | ClientRequest::Status
            | ClientRequest::Pinned { .. } => None,
        }
    }
}
