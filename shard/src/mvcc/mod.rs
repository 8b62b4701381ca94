//! Versions: every committed value of every key, in memory, in key order.
//!
//! A commit does not overwrite: it *installs* a version at its commit timestamp.
//! A read at timestamp `T` sees, for each key, the newest version at or below
//! `T`. So a snapshot needs no lock: what lies at or below its timestamp does
//! not change any more (the shard's floor sees to it that nobody commits there).
//!
//! ```text
//!   Time
//!    5                                     x = tombstone (the key was deleted)
//!    4      a4          x
//!    3 ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄   a snapshot at 3 sees a2, b1, c3
//!    2      a2                c3
//!    1            b1    c1
//!         ──a─────b─────c─────d──  Keys
//!                       (c: c1, c3 at 3, x at 4)
//! ```
//!
//! *Worked example.* With `install("a", 2, "v")` and `install("a", 4, None)`:
//! `at("a", 1)` is nothing, `at("a", 3)` is `v`, `at("a", 4)` is a tombstone, and
//! a scan at 4 skips the key. `prune(3)` changes nothing, since 3 still sees the
//! value. `prune(4)` drops the value, and then the tombstone, as nothing is left
//! below that it would have to hide.
//!
//! # The rooms
//!
//! * `name`: a key as stored, short ones inline, so that a search compares
//!   without following pointers.
//! * `chain`: the versions of one key. One live version, the usual case, stands
//!   inline in the tree with only its value in a heap block.
//! * `index`: [`Versions`], the tree, with install and point reads.
//! * `scan`: ordered reads of a range at a timestamp, both directions.
//! * `gc`: drops what no read can see any more, from a queue ordered by when a
//!   key becomes prunable, so that it never walks keys with nothing to drop.
//! * `chunk`: parts of a checkpoint, out and in.
//!
//! # Recovery
//!
//! A checkpoint is *fuzzy*: its chunks are cut one after another while commits
//! go on. It is right nevertheless, since a version never changes once installed
//! and `install` is idempotent: replaying the log from the LSN at which the
//! checkpoint began adds whatever a chunk missed and does nothing where it did
//! not. Replay may bring back versions that were pruned in the meantime; they lie
//! below the safe point, where nobody reads, and are pruned again.
//!
//! One thing is asked of the log: the versions of *one key* stand in it in
//! timestamp order, as two-phase locking has it (invariant I21). Else a tombstone
//! could be logged before the checkpoint's start and be pruned with the value it
//! hid, and replay bring back the value alone.
//!
//! # Memory
//!
//! A key of up to 22 bytes with one version takes 48 bytes in a tree node (which
//! is between half and wholly full) and one heap block with its value. A further
//! version takes 24 bytes and its block, and the key an entry in the queue of
//! `gc` (48 bytes). `examples/memory.rs` measures it.
//!
//! # Deliberately absent
//!
//! * Uncommitted values: a prepared transaction's writes wait in the participant.
//!   So no read here ever finds an intent.
//! * The floor and the safe point: the shard refuses reads and commits by them
//!   before it asks here.
//! * Any concurrency: one core, one thread.
//! * A tier on disk. The narrow surface (install, at, scan, chunk) is what it
//!   would stand behind.
//!
//! Papers: Reed, *Naming and Synchronization in a Decentralized Computer System*
//! (1978), for versions; Bernstein & Goodman, *Multiversion Concurrency Control*
//! (TODS 1983), §2 and §5 (multi-version two-phase locking, which is what this is
//! one half of).

mod chain;
mod chunk;
mod gc;
mod index;
#[cfg(test)]
mod model;
mod name;
mod scan;

pub use chain::{By, Version};
pub use index::{Stats, Versions};
pub use scan::Scan;
