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
//! # Operands
//!
//! An operation on a value (add, min, max, append) is installed as it is: an
//! *operand*, with its timestamp and its transaction. The value at `T` is what the
//! operands at or below `T` make of the complete version (value or tombstone)
//! below them, in the order of (timestamp, transaction, step).
//!
//! ```text
//!   Time   installed     reads as
//!    9     t1: add 1     11        t1 came first and voted 5; another shard said 9
//!    6     t3: add 3     10
//!    6     t2: min 7      –        at one timestamp: t2 before t3, so 6 reads as 10
//!    4     put 8          8
//! ```
//!
//! Writers of operands hold their locks together, so they may commit at one
//! timestamp, and be installed in any order. An integer operand carries what it has
//! made of the cell, and whatever is put in below it makes that anew upwards to the
//! next complete version; so a read goes back nowhere. An appended piece carries
//! only how long the value has become, and a read puts the pieces together, in time
//! proportional to what it returns.
//!
//! Pruning turns the newest operand at or below the safe point into the value that
//! it makes, with its timestamp. *At one timestamp a complete version stands above
//! the operands*, and that is never wrong:
//!
//! * A put or a deletion at `v` held its key alone. Every operand that was installed
//!   before raised the floor, so `v` is above it; every later one votes above `v`.
//!   No operand has its timestamp.
//! * A value that pruning made at `v` has `v` at or below the safe point, which lies
//!   below the `m` of every undecided writer and below every later vote. So all
//!   operands at or below `v` were there, and are in it.
//!
//! # The rooms
//!
//! * `name`: a key as stored, short ones inline, so that a search compares
//!   without following pointers.
//! * `chain`: the versions of one key, and what operands make. One live version,
//!   the usual case, stands inline in the map with only its value in a heap block.
//! * `tree`: an ordered map from keys to chains, in full leaves.
//! * `index`: [`Versions`], the map, with install and point reads.
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
//! An operand must not be done twice. If it stands in the chain, its transaction
//! and step tell, and the second is a no-op. If it was folded into a value, it comes
//! back *below* that value, even at the same timestamp, and a complete version hides
//! whatever is below it. That holds for a commit, too, that was installed, folded
//! and written into a checkpoint before its own record was durable: after a crash it
//! is in doubt, is decided once more, and goes below the value that holds it.
//!
//! One thing is asked of the log: of the versions of *one key*, those whose locks
//! conflict stand in it in timestamp order, as two-phase locking has it (invariant
//! I21). Else a tombstone could be logged before the checkpoint's start and be pruned
//! with the value it hid, and replay bring back the value alone. Below a complete
//! version replay may leave operands without what they were done to; what they make
//! there is nonsense that nobody reads.
//!
//! # Memory
//!
//! A key of up to 22 bytes with one version takes 48 bytes in a leaf of `tree` (which
//! has room for few more than it holds) and one heap block with its value. A further
//! version takes 24 bytes and its block, and the key an entry in the queue of
//! `gc` (48 bytes). An operand's block has 64 bytes. `examples/memory.rs` measures
//! it.
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
//! one half of); Weihl, *Commutativity-Based Concurrency Control for Abstract Data
//! Types* (IEEE Trans. Computers 1988), for operands that are done later.

mod chain;
mod chunk;
mod gc;
mod index;
#[cfg(test)]
mod model;
mod name;
mod scan;
mod tree;

pub use chain::{By, Version};
pub use index::{Stats, Versions};
pub use scan::Scan;
