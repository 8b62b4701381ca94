//! Between a client and the coordinator: sessions, timestamps, commits, outcomes.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::commit::Terms;
use crate::error::Reason;
use crate::id::{CoordinatorId, Epoch, Incarnation, SessionId, ShardId, TxnId};
use crate::route::{CoordinatorAddress, Placement};
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
        /// What holds for it on every shard.
        terms: Terms,
        /// The shards it touched, in the order of their reads and writes.
        parts: Vec<Part>,
        /// Of each part what it read without locks, then what it writes; see
        /// [`ReadSet`](super::bulk::ReadSet) and [`WriteSet`](super::bulk::WriteSet).
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
    /// Which deadlocks were there?
    Deadlocks,
    /// As `Heartbeat`, and I have a snapshot: keep what it needs.
    Pinned {
        /// The session to keep.
        session: SessionId,
        /// No COMMIT of a transaction before this sequence will follow.
        oldest: u64,
        /// The timestamp of my oldest snapshot.
        pin: Timestamp,
    },
    /// Which transactions are you committing?
    Commits {
        /// Go on behind this.
        after: Option<TxnId>,
        /// At most so many; zero asks for a whole page.
        limit: u32,
    },
    /// Are you committing this one, and how far is it?
    CommitOf {
        /// Its name.
        txn: TxnId,
    },
    /// Tell me as soon as you know a leader of a later epoch than this. Every member of
    /// the group answers it, the leader too; the newest one of a connection counts.
    Follow {
        /// The epoch of the leader that I know.
        epoch: Epoch,
    },
}

/// One shard's part in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The shard.
    pub shard: ShardId,
    /// The incarnation it gave the transaction, if the transaction read there.
    pub incarnation: Option<Incarnation>,
    /// How many bytes of the bulk are what this part read without locks.
    pub read_bytes: u32,
    /// How many bytes behind them are this part's writes; zero if it only read.
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
    /// The answer to [`ClientRequest::Deadlocks`].
    Deadlocks {
        /// The last ones, oldest first: a [`List`](super::bulk::List) of
        /// [`Happened`](crate::deadlock::Happened).
        #[serde(skip)]
        list: Bytes,
    },
    /// The answer to [`ClientRequest::Commits`].
    Commits {
        /// Behind what the next page begins, if there is more.
        resume: Option<TxnId>,
        /// A [`List`](super::bulk::List) of [`Commit`](super::txns::Commit).
        #[serde(skip)]
        commits: Bytes,
    },
    /// The answer to [`ClientRequest::CommitOf`]; none if it is not being committed.
    CommitOf(Option<Box<super::txns::Commit>>),
    /// The answer to [`ClientRequest::Follow`].
    Leader {
        /// The epoch that it leads.
        epoch: Epoch,
        /// Where it is, as `host:port`; none if this is who answers.
        address: Option<String>,
    },
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
    /// Who leads, as far as it knows.
    pub leader: Option<CoordinatorId>,
    /// The epoch that it leads or has promised to somebody.
    pub epoch: Epoch,
    /// The members of the group; none if it is alone.
    pub group: Vec<CoordinatorAddress>,
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
            | ClientRequest::Deadlocks
            | ClientRequest::Pinned { .. }
            | ClientRequest::Commits { .. }
            | ClientRequest::CommitOf { .. }
            | ClientRequest::Follow { .. } => None,
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
            | ClientRequest::Deadlocks
            | ClientRequest::Pinned { .. }
            | ClientRequest::Commits { .. }
            | ClientRequest::CommitOf { .. }
            | ClientRequest::Follow { .. } => None,
        }
    }
}

impl ClientReply {
    pub(super) fn bulk(&self) -> Option<&Bytes> {
        match self {
            ClientReply::Deadlocks { list } => Some(list),
            ClientReply::Commits { commits, .. } => Some(commits),
            ClientReply::SessionOpened { .. }
            | ClientReply::Done
            | ClientReply::Timestamp(_)
            | ClientReply::Outcome(_)
            | ClientReply::Status(_)
            | ClientReply::Refused(_)
            | ClientReply::CommitOf(_)
            | ClientReply::Leader { .. } => None,
        }
    }

    pub(super) fn bulk_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            ClientReply::Deadlocks { list } => Some(list),
            ClientReply::Commits { commits, .. } => Some(commits),
            ClientReply::SessionOpened { .. }
            | ClientReply::Done
            | ClientReply::Timestamp(_)
            | ClientReply::Outcome(_)
            | ClientReply::Status(_)
            | ClientReply::Refused(_)
            | ClientReply::CommitOf(_)
            | ClientReply::Leader { .. } => None,
        }
    }
}
