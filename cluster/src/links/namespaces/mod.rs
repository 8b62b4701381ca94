//! Links that are the kernel's: each server in a network namespace of its own. Takes root.
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
//! each link in one direction is one class:
//!
//! ```text
//!   port s1 ── htb 1: ─┬─ 1:302  UDP from 198.19.161.2, the link c1 → s1 ── leaf
//!                      ├─ 1:301  UDP from 198.19.161.1, client → s1 ─────── leaf
//!                      └─ all else, at once: ARP, and TCP to the admin port
//!
//!   leaf   pfifo             everything passes
//!          pfifo limit 0     cut: everything is dropped
//!          netem …           slow, lossy, twice, overtaken
//! ```
//!
//! Nothing is dropped at the sender, whose system would tell it, but on the way: it learns of
//! a cut as it would of a broken cable behind the next switch, by silence. The harness itself
//! goes on reaching admin ports, or it could not see what it does.
//!
//! For example: `set(c1, s1, Rule { cut: true, .. })` becomes one line for `tc`,
//! `qdisc replace dev s1 parent 1:302 pfifo limit 0`, in the hub; it holds at once, for
//! connections that are up and for new ones. What classes sent and dropped `tc -s` tells;
//! [`tally`] makes [`Counts`](super::Counts) of it.
//!
//! The number of a network, here 417, is its addresses and its names at once, so that whoever
//! could make the hub's namespace has the addresses, too: clusters on one machine never meet.
//! All are of 198.18.0.0/15, which is set aside for tests of networks (RFC 2544).
//!
//! A namespace outlives its server: who restarts is found where it was. All of them go with
//! the [`Network`]; what a run left that was killed itself is in nobody's way, and
//! `ip netns` shows it as `synod-…`.
//!
//! Servers send as quinn wants it, many datagrams as one packet; cables take them apart
//! (`gso_max_segs 1`), or a loss would hit all of them, and count as one.
//!
//! Deliberately absent: seeds, as netem draws by itself, so that the same seed makes the same
//! partitions, but loses other datagrams; counts of copies and of those that were overtaken,
//! which netem does not tell.

mod leaf;
mod network;
mod plan;
mod system;
mod tally;

pub(crate) use network::Network;
pub use system::probe;
