//! Links that are broken by a socket in front of each server, without root.
//!
//! Every server has one UDP socket, with which it both accepts and dials; so where a datagram
//! comes from tells which server sent it, and what comes from elsewhere is a client's. In
//! front of each server stands a socket of ours, its *front*. Everybody is given the address
//! of the front; where the server itself listens only the server and we know:
//!
//! ```text
//!   c1 :11000 ──┐            ┌── upstream of c1 :40001 ──┐
//!   s2 :13000 ──┼─▶ front ───┼── upstream of s2 :40002 ──┼─▶ s1 :12000
//!   client ─────┘   of s1    └── upstream of it :40003 ──┘
//!   :35000          :12500
//! ```
//!
//! For each sender there is an *upstream* socket. What the server answers to it leaves from the
//! front, to that sender. When s1 itself dials c1, it goes through the front of c1; so two
//! servers have two paths, and datagrams of both obey the rule of the same directed link, by
//! who sends and who receives:
//!
//! ```text
//!   c1 → s1   what c1 sends to the front of s1, and what it answers to s1 through its own
//!   s1 → c1   the same the other way round; it has a rule of its own
//! ```
//!
//! For example: with `set(c1, s1, Rule { cut: true, .. })` s1 hears nothing of c1 any more,
//! while c1 goes on hearing s1: until QUIC gives up their connections, on which nothing is
//! acknowledged any more. `heal()` makes all links as they were.
//!
//! A rule is applied by a machine without a world ([`link`]), which draws what happens to
//! the n-th datagram of a link from a seed; [`front`] carries it out, on a thread of its own.
//! Links that have no rule cost little: what the system hands over as one batch leaves as one.
//!
//! A front outlives its server: who restarts is found where it was. To one that is dead,
//! datagrams go as they would without us, into nothing.

mod front;
mod link;
mod pacer;
mod socket;
#[cfg(test)]
mod tests;
mod thread;

pub(crate) use front::Server;
pub(super) use thread::Proxy;
