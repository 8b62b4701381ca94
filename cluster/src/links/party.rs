//! Who can be at the end of a link.

use std::fmt;

use crate::node::NodeName;

/// A link in one direction: who sends, and who receives.
pub(super) type Ends = (Party, Party);

/// An end of links, as it prints: `c1`, `s2`, `client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A server.
    Node(NodeName),
    /// All clients together.
    Client,
}

impl Party {
    /// A number that no other one has, in any cluster.
    pub(super) fn number(self) -> u64 {
        match self {
            Party::Client => 0,
            Party::Node(NodeName::Coordinator(n)) => 1 << 16 | u64::from(n),
            Party::Node(NodeName::Shard(n)) => 2 << 16 | u64::from(n),
        }
    }
}

impl From<NodeName> for Party {
    fn from(name: NodeName) -> Party {
        Party::Node(name)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Node(name) => name.fmt(f),
            Party::Client => f.write_str("client"),
        }
    }
}

/// All links between these servers, and between them and clients.
pub(super) fn all_ends(names: impl IntoIterator<Item = NodeName>) -> Vec<Ends> {
    let parties = names.into_iter().map(Party::from).chain([Party::Client]);
    let parties: Vec<Party> = parties.collect();
    let pairs = parties.iter().flat_map(|&from| parties.iter().map(move |&to| (from, to)));
    pairs.filter(|(from, to)| from != to).collect()
}
