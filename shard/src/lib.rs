//! A shard server: versions, locks, and its part in commits.
//!
//! ```text
//!   client ──Read, Scan──────▶ access ──▶ lock      strict two-phase locks, waits, deadlocks
//!          ──Lock, Return────▶ hold, skip            locks alone; reads of what is free
//!                              turn ──▶ lock         who is served first
//!          ──SnapshotRead────▶ snapshot ─▶ mvcc     versions by commit timestamp
//!   coordinator ──Prepare────▶ participant          votes, decisions, in doubt
//!               ──Welcome────▶ join                 epoch, map, floor
//!               ◀─Waits─────── deadlock             who waits for whom; victims
//! ```
//!
//! [`Shard`] is a core (see [`synod_common::node`]): it only routes events to
//! the rooms above. What the shard must never forget is in three numbers:
//!
//! * the **floor**: no transaction may commit here at or below it, because a
//!   reader has seen, or may have seen, the state as of then;
//! * the **low-water mark**: no commit below it may begin any more;
//! * the **safe point**: versions below it may be gone.
//!
//! *Deliberately absent*: moving keys, replicas.

mod access;
mod acks;
mod checkpoint;
mod deadlock;
mod hold;
mod intents;
mod join;
mod lease;
mod listing;
pub mod lock;
mod mutant;
pub mod mvcc;
mod over;
mod participant;
mod record;
mod recovery;
#[cfg(feature = "driver")]
pub mod server;
mod settings;
mod settled;
mod shard;
mod skip;
mod snapshot;
mod turn;
mod txns;
mod wait;
mod writes;

#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use record::{HeldLock, OnePhase, Prepared, Record};
pub use settings::Settings;
pub use shard::{Shard, Stats};
