//! Links that are the kernel's, which can cut them: each server in a network namespace of its
//! own. Takes root.
//!
//! ```text
//!   synod-417-c1            synod-417-s1            here
//!   ┌──────────────┐        ┌──────────────┐        ┌──────────────────────┐
//!   │ synod c1     │        │ synod s1     │        │ clients, the harness │
//!   │ eth0         │        │ eth0         │        │ synod-417            │
//!   │ 198.19.161.2 │        │ 198.19.161.3 │        │ 198.19.161.1         │
//!   └──────┬───────┘        └──────┬───────┘        └──────────┬───────────┘
//!          │ veth                  │ veth                      │ veth
//!   ┌──────┴───────────────────────┴───────────────────────────┴───────────┐
//!   │     c1                      s1                         client        │
//!   │      └──────────────────── bridge ─────────────────────────┘         │ synod-417
//!   └──────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The bridge stands in a namespace of its own, the *hub*: so the machine's firewall has no
//! say in what servers tell each other, and here there is one interface more, not twenty.
//! A port of the bridge sends to one party; what it sends is told apart by who sent it, and so
//! each link in one direction is one class. Receivers are looked at, too, as a bridge sends to
//! all ports what is for somebody whose port it does not know.
//!
//! ```text
//!   port s1 ── htb 1: ─┬─ 1:302  UDP from .2 to .3, the link c1 → s1 ── leaf
//!                      ├─ 1:301  UDP from .1 to .3, client → s1 ─────── leaf
//!                      └─ all else, at once: ARP, and TCP to the admin port
//!
//!   leaf   pfifo limit 10000     everything passes
//!          pfifo limit 0         cut: everything is dropped
//! ```
//!
//! Nothing is dropped at the sender, whose system would tell it, but on the way: it learns of
//! a cut as it would of a broken cable behind the next switch, by silence. The harness itself
//! goes on reaching admin ports, or it could not see what it does.
//!
//! For example: `set(c1, s1, Rule { cut: true, .. })` becomes one line for `tc`,
//! `qdisc replace dev s1 parent 1:302 pfifo limit 0`, in the hub; it holds at once, for
//! connections that are up and for new ones. What classes sent and dropped `tc -s` tells;
//! [`counts`] makes [`Counts`](super::Counts) of it.
//!
//! The number of a network, here 417, is its addresses and its names at once, so that whoever
//! could make the hub's namespace has the addresses, too: clusters that see each other's
//! namespaces do not meet. Who sees only the interface of another one leaves it its number.
//! All are of 198.18.0.0/15, which is set aside for tests of networks (RFC 2544).
//!
//! A namespace outlives its server: who restarts is found where it was. All of them go with
//! the [`Network`]; what a run left that was killed itself is in nobody's way, and
//! `ip netns` shows it as `synod-…`.
//!
//! Servers send as quinn wants it, many datagrams as one packet; cables take them apart
//! (`gso_max_segs 1`), or they would count as one.
//!
//! Deliberately absent: links that are slow or lossy, that copy or reorder. Not every kernel has
//! what that takes (netem), it draws by no seed, and it does not tell whom it hit; the
//! [proxy](super::proxy) does all of it anywhere.

mod counts;
mod network;
mod plan;
mod system;

pub(crate) use network::Network;
pub use network::probe;
