//! Links between the parties of a cluster that can be cut, slowed and spoiled.
//!
//! ```text
//!                  Links          who sends and who receives ──▶ Rule, Counts
//!                 /     \
//!            proxy       namespaces
//!   a socket before      each server in a network of its own,
//!   each server;         and the kernel between them;
//!   no root              root, on Linux; cuts only
//! ```
//!
//! A link has two directions, and a [`Rule`] for each. What rules did is counted for each
//! direction ([`Counts`]), so that a fault that never took effect is noticed. [`Partition`]
//! says which links to cut for the usual shapes.
//!
//! The [`proxy`] needs nothing, draws from a seed what happens to the n-th datagram, and
//! counts all of it. [`namespaces`] can only cut, but leave the servers' own sockets and
//! addresses as they are on machines, with nothing of ours in between: what a cluster survives
//! there it does not survive by the grace of a proxy.
//!
//! Deliberately absent: links between single clients (all of them are one party), limits of
//! bandwidth, and spoiled bytes, which QUIC would drop as it drops what is lost.

mod dice;
mod handle;
mod namespaces;
mod party;
mod proxy;
mod rule;
mod shape;

pub use handle::Links;
pub(crate) use namespaces::Network;
pub use namespaces::probe as probe_namespaces;
pub use party::Party;
pub(crate) use proxy::Server;
pub use rule::{Counts, Rule};
pub use shape::{Partition, Shape};
