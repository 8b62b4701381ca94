//! Servers by their names.

use std::fmt;

use synod_common::driver::tls::Role;

/// A server of the cluster, as it prints: `c1`, `s2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeName {
    /// A coordinator, by its number.
    Coordinator(u16),
    /// A shard, by its number.
    Shard(u16),
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeName::Coordinator(n) => write!(f, "c{n}"),
            NodeName::Shard(n) => write!(f, "s{n}"),
        }
    }
}

impl NodeName {
    pub(crate) fn role(self) -> Role {
        match self {
            NodeName::Coordinator(_) => Role::Coordinator,
            NodeName::Shard(_) => Role::Shard,
        }
    }
}
