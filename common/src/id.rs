//! Names of things: nodes, sessions, transactions, requests.
//!
//! Every id prints short and says what it names: `c1` a coordinator, `s2` a
//! shard, `k7` a client connection, `t3.40.12` the transaction with sequence 12
//! of session 40, granted in epoch 3.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Number of a shard, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// Number of a coordinator, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CoordinatorId(pub u16);

impl fmt::Display for CoordinatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// A client's connection to one server. The driver numbers connections from 1
/// in the order in which it accepts them, so the same number means different
/// clients on different servers and is never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k{}", self.0)
    }
}

/// Whoever is at the other end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Peer {
    /// A client, by its connection.
    Client(ClientId),
    /// A coordinator.
    Coordinator(CoordinatorId),
    /// A shard server.
    Shard(ShardId),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Client(id) => id.fmt(f),
            Peer::Coordinator(id) => id.fmt(f),
            Peer::Shard(id) => id.fmt(f),
        }
    }
}

/// The generation of the coordinator that granted a session. It grows with
/// every start of the coordinator and is durable before the coordinator serves,
/// so whatever carries an older epoch comes from before a restart and is refused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u32);

impl Epoch {
    /// So many at most are begun before who takes part hears of one of them.
    const MOST_UNHEARD: u32 = 1 << 20;

    /// Whether it may have begun, for who has heard of no later one than `heard`. The last
    /// number is none: no epoch could follow.
    pub fn may_follow(self, heard: Epoch) -> bool {
        self.0 <= heard.0.saturating_add(Epoch::MOST_UNHEARD) && self.0 < u32::MAX
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// A client's session: the lease under which it holds locks, and the name space
/// of its transactions. Numbered from 1 within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    /// Epoch of the coordinator that granted it.
    pub epoch: Epoch,
    /// Number within the epoch, from 1.
    pub number: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.0, self.number)
    }
}

/// A transaction, named by its client: `(epoch, session, sequence)`. The client
/// chooses the name, so it can ask for the outcome after any lost reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TxnId {
    /// The session it belongs to.
    pub session: SessionId,
    /// Number within the session, from 1, never used twice.
    pub sequence: u64,
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}.{}", self.session, self.sequence)
    }
}

/// The text was not of the form `t3.40.12`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a transaction id; ids look like t3.40.12 (epoch, session, sequence)")]
pub struct ParseTxnIdError(String);

impl FromStr for TxnId {
    type Err = ParseTxnIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseTxnIdError(text.to_owned());
        let mut parts = text.strip_prefix('t').ok_or_else(error)?.split('.');
        let mut next = || parts.next().ok_or_else(error);
        let epoch = next()?.parse().map_err(|_| error())?;
        let number = next()?.parse().map_err(|_| error())?;
        let sequence = next()?.parse().map_err(|_| error())?;
        if parts.next().is_some() {
            return Err(error());
        }
        Ok(TxnId { session: SessionId { epoch: Epoch(epoch), number }, sequence })
    }
}

/// Pairs a reply with its request on one link. Zero on messages that are no
/// request and want no reply.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RequestId(pub u64);

/// A shard's name for one stay of a transaction's locks there. Given at first
/// contact and carried by every later request, so that locks lost in a restart
/// or a lapse can not be mistaken for locks still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

/// Which cluster a data folder, a log or a server belongs to. Made at random
/// when the cluster is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for ClusterId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(ClusterId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_ids_print_and_parse() {
        let txn = TxnId { session: SessionId { epoch: Epoch(3), number: 40 }, sequence: 12 };
        assert_eq!(txn.to_string(), "t3.40.12");
        assert_eq!("t3.40.12".parse(), Ok(txn));
        for bad in ["", "t", "3.40.12", "t3.40", "t3.40.12.1", "t3.x.12", "t3.-1.1"] {
            assert!(bad.parse::<TxnId>().is_err(), "{bad}");
        }
    }
}
