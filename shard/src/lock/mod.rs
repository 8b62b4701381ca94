//! Locks: strict two-phase locking over keys and key ranges.
//!
//! A transaction locks what it reads (shared) and what it writes (exclusive)
//! and keeps every lock until its outcome is decided. Then any execution is as
//! if the transactions had run one after another. A shared lock on a *range*
//! covers the keys in it that do not exist yet, so that nothing appears between
//! two reads of one transaction (no phantoms).
//!
//! ```text
//!             a     c     e     g     i        keys
//!   t1        X                                holds a to write
//!   t2              S─────────S                holds c..g to read
//!   t3  #1                X                    waits: e lies within c..g
//!   t4  #2                S                    waits behind #1: nobody starves
//!   t5                             S           holds h to read
//!
//!   waits: t3 ─▶ t2    t4 ─▶ t3
//! ```
//!
//! # Rules
//!
//! A request of a transaction `T` is *blocked* by
//!
//! 1. a lock of another transaction that conflicts and overlaps, and
//! 2. a waiting request of another transaction that conflicts, overlaps and
//!    came earlier. This holds across keys and ranges: a range that waits blocks
//!    later writers inside it, and the reverse.
//!
//! Two exceptions to the second, without which fairness would make deadlocks
//! that locking alone does not have:
//!
//! * *Upgrades* (`T` may read the key already and asks to write it) go in front of
//!   all others. Two of them on one key are a deadlock, found at once. Whether
//!   a request is one is decided when it comes, and so is its place.
//! * *Nobody waits behind a request that waits for him*: one that is blocked by a
//!   lock of `T` anyway does not block `T`. It can not come before `T` ends,
//!   whatever `T` gets until then, so it loses nothing.
//!
//! Whatever is not blocked is granted at once, and whatever is covered already by
//! locks of the transaction (several adjoining ranges together, too) is not
//! entered again. Ranges of one transaction that touch are merged, so paging
//! through a range leaves one lock.
//!
//! *Worked example.* `t1` and `t2` read `k`, `t3` asks to write it and waits (#1)
//! for both. `t1` asks to write it: an upgrade, in front of `t3`, waits (#2) for
//! `t2`. `t2` ends: `t1` is granted. `t1` ends: `t3` is granted. Had `t2` asked to
//! write too, `t1 ─▶ t2 ─▶ t1` would be a cycle, and the younger one the victim.
//!
//! # The rooms
//!
//! * `mode`: the words. `queue`: one key. `holdings`: one transaction.
//! * `range`: finds the ranges that contain a key.
//! * `table`: [`LockTable`]: acquire, release, grant.
//! * `waits`: who waits for whom, cycles, victims; when to look for them.
//!
//! # Cost
//!
//! A request takes logarithmic time in all that is locked, plus the conflicting
//! entries that it passes; a range also passes the keys inside that its own
//! transaction writes. A release looks, per key, only at the front of the queue.
//! Readers never pass readers.
//!
//! A lock on a key takes 56 bytes in the tree of keys, 16 in its transaction's
//! set (both in nodes half to wholly full) and one block with the key, shared by
//! both; exclusive ones 16 more. A second reader adds 24 bytes per reader. A range
//! takes about 200 bytes, and a request that waits about 250. A million random
//! keys, ten per transaction, measured 166 bytes per lock beside the keys' own
//! blocks. All are bounded by [`Capacity`].
//!
//! # Deliberately absent
//!
//! * Intention modes and a hierarchy: ranges do their work over a flat key space.
//! * Partial release: locks go together, at the end. So savepoints would keep them.
//! * Time-outs: the caller cancels a ticket.
//! * Update mode, exclusive ranges, no-wait requests: not used yet. A mode is a
//!   variant of [`Mode`] with its row in `conflicts`.
//! * Lock escalation: the capacity refuses instead.
//!
//! Papers: Eswaran, Gray, Lorie, Traiger, *The Notions of Consistency and
//! Predicate Locks in a Database System* (CACM 1976): two phases, and predicates,
//! of which ranges are the useful case. Gray & Reuter, *Transaction Processing*
//! (1993), §7.4 to §7.8 and §8.3 to §8.5: queues, upgrades, fairness, deadlocks.

mod holdings;
mod mode;
#[cfg(test)]
mod model;
mod queue;
mod range;
mod span;
mod table;
mod waits;

pub use mode::{Acquired, Capacity, Grant, LockTarget, Mode, Refused, Ticket, Tried};
pub use table::LockTable;
