//! A stage: a whole cluster without faults, one step at a time, for situations
//! that are told as scripts.
//!
//! ```text
//!   script ──▶ Player: named transactions over the client library
//!                │ a command runs until nothing moves any more
//!                ▼
//!   Executor ◀─▶ StageNet ◀─▶ Stage: cores, messages in the order sent, durable at
//!                                    once, time stands still unless told to pass
//! ```
//!
//! The simulator looks for what nobody thought of; a script shows one thing that
//! somebody did think of, in the order in which it happens, and stays as its
//! description. What waits is said to wait, and when it goes on, that is said too:
//!
//! ```text
//!   t1: get-for-update a        a = 1
//!   t2: get-for-update a        waits
//!   t1: commit                  committed
//!                               t2 get-for-update a: a = 1
//! ```
//!
//! *Deliberately absent*: loss, crashes and chance; they are the simulator's.

mod cluster;
mod net;
mod player;

pub use cluster::{Behind, Cluster, Counted};
pub use player::Player;
