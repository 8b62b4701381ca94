//! What nodes and clients say to one another, one vocabulary per file.
//!
//! ```text
//!   client ──ClientRequest──▶ coordinator ──CommitMessage──▶ shard
//!      ▲◀────ClientReply────────┘       ◀──CommitMessage────┘  ▲
//!      │                                 ◀─DeadlockMessage─▶   │ ◀─PeerMessage─▶ shard
//!      │     coordinator                 ◀───SiteMessage───▶   │ ◀─SiteMessage─▶ shard
//!      │      ◀─GroupMessage─▶ coordinator ◀─PaxosMessage─────┤
//!      │      ◀─PaxosMessage─▶ coordinator                    │
//!      └──────────────────DataRequest / DataReply──────────────┘
//! ```
//!
//! A message is a small header, encoded by postcard, and at most one piece of
//! *bulk*: raw bytes (keys, values, writes) that travel behind the header and
//! are never copied or looked into by those who only pass them on. [`bulk`]
//! knows their layout, [`codec`] the frames.
//!
//! Only append variants: postcard numbers them by position, and the golden test
//! fails when an existing message changes its bytes.
//!
//! *Deliberately absent*: recursive types and long lists in headers, both of
//! which let a small frame become a large allocation.

pub mod bulk;
pub mod client;
pub mod codec;
pub mod commit;
pub mod data;
pub mod deadlock;
pub mod group;
pub mod paxos;
pub mod peer;
pub mod site;
pub mod txns;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use client::{ClientReply, ClientRequest};
pub use commit::CommitMessage;
pub use data::{DataReply, DataRequest};
pub use deadlock::DeadlockMessage;
pub use group::GroupMessage;
pub use paxos::PaxosMessage;
pub use peer::PeerMessage;
pub use site::SiteMessage;

use crate::id::Peer;

/// Any message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// Client to coordinator.
    ClientRequest(ClientRequest),
    /// Coordinator to client.
    ClientReply(ClientReply),
    /// Client to shard.
    DataRequest(DataRequest),
    /// Shard to client.
    DataReply(DataReply),
    /// Between coordinator and shard.
    Commit(CommitMessage),
    /// Between coordinator and shard, and between shards.
    Deadlock(DeadlockMessage),
    /// Between shards.
    Peer(PeerMessage),
    /// Between coordinator and shard, and between shards.
    Site(SiteMessage),
    /// Between coordinators of a group.
    Group(GroupMessage),
    /// Between shards and coordinators, and between coordinators of a group.
    Paxos(PaxosMessage),
}

impl Message {
    /// The bulk, if this kind of message has one.
    pub fn bulk(&self) -> Option<&Bytes> {
        match self {
            Message::ClientRequest(message) => message.bulk(),
            Message::DataRequest(message) => message.bulk(),
            Message::DataReply(message) => message.bulk(),
            Message::Commit(message) => message.bulk(),
            Message::Deadlock(message) => message.bulk(),
            Message::ClientReply(message) => message.bulk(),
            Message::Group(message) => message.bulk(),
            Message::Peer(_) | Message::Site(_) | Message::Paxos(_) => None,
        }
    }

    fn bulk_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            Message::ClientRequest(message) => message.bulk_mut(),
            Message::DataRequest(message) => message.bulk_mut(),
            Message::DataReply(message) => message.bulk_mut(),
            Message::Commit(message) => message.bulk_mut(),
            Message::Deadlock(message) => message.bulk_mut(),
            Message::ClientReply(message) => message.bulk_mut(),
            Message::Group(message) => message.bulk_mut(),
            Message::Peer(_) | Message::Site(_) | Message::Paxos(_) => None,
        }
    }

    /// Whether servers send this to one another for the commit of transactions: what the
    /// protocols are compared by.
    pub fn is_of_commit(&self) -> bool {
        match self {
            Message::Commit(CommitMessage::Ack { .. }) => true,
            Message::Commit(message) => message.txn().is_some(),
            Message::Peer(_) | Message::Site(_) | Message::Paxos(_) => true,
            Message::ClientRequest(_)
            | Message::ClientReply(_)
            | Message::DataRequest(_)
            | Message::DataReply(_)
            | Message::Deadlock(_)
            | Message::Group(_) => false,
        }
    }

    /// Says who sent it, where only an operator may.
    pub fn sent_by(&mut self, operator: Option<&str>) {
        if let Message::DataRequest(DataRequest::Resolve { by, .. }) = self {
            *by = operator.map(str::to_owned);
        }
    }

    /// Whether a peer of this kind may send this message to a server. Replies to
    /// clients are never accepted by a server.
    pub fn may_come_from(&self, peer: Peer) -> bool {
        match (self, peer) {
            (Message::ClientRequest(_) | Message::DataRequest(_), Peer::Client(_)) => true,
            (Message::Commit(message), Peer::Shard(_)) => message.is_from_shard(),
            (Message::Commit(message), Peer::Coordinator(_)) => !message.is_from_shard(),
            (Message::Deadlock(_) | Message::Peer(_), Peer::Shard(_)) => true,
            (Message::Site(_), Peer::Shard(_) | Peer::Coordinator(_)) => true,
            (Message::Group(_), Peer::Coordinator(_)) => true,
            (Message::Paxos(message), Peer::Shard(_)) => message.is_from_shard(),
            (Message::Paxos(message), Peer::Coordinator(_)) => !message.is_from_shard(),
            (Message::Deadlock(message), Peer::Coordinator(_)) => message.is_from_coordinator(),
            _ => false,
        }
    }
}

macro_rules! into_message {
    ($($variant:ident($inner:ty)),*) => {$(
        impl From<$inner> for Message {
            fn from(message: $inner) -> Message {
                Message::$variant(message)
            }
        }
    )*};
}
into_message!(
    ClientRequest(ClientRequest),
    ClientReply(ClientReply),
    DataRequest(DataRequest),
    DataReply(DataReply),
    Commit(CommitMessage),
    Deadlock(DeadlockMessage),
    Peer(PeerMessage),
    Site(SiteMessage),
    Group(GroupMessage),
    Paxos(PaxosMessage)
);
