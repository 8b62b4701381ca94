//! Locks: strict two-phase locking over keys and key ranges.
//!
//! A transaction locks what it reads (shared) and what it writes (exclusive)
//! and keeps every lock until its outcome is decided. Then any execution is as
//! if the transactions had run one after another. A lock on a *range* covers the
//! keys in it that do not exist yet, so that nothing appears between two reads of
//! one transaction (no phantoms).
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
//! # Modes
//!
//! ```text
//!      S U I A X      S  shared: read          I  increment: add, min, max
//!   S  + + - - -      U  update: read, and     A  append
//!   U  + - - - -         perhaps write later   X  exclusive
//!   I  - - + - -
//!   A  - - - + -      + two transactions may hold these on one key
//!   X  - - - - -
//! ```
//!
//! * *Update* is for read-modify-write. Two who read a key shared and then both
//!   write it deadlock; of two who read it for update one waits at the read.
//!   Readers are let in beside it until its write is asked for: then they queue
//!   behind the write, so that they can not starve it.
//! * *Increment* and *Append* are for writes that commute and return nothing, so
//!   that a hot counter is no queue. Reading such a key waits for all of them.
//! * What one transaction holds on a key is the *join* of all that it was given
//!   there, the weakest mode that keeps others from all that these do: S and U
//!   make U; any other two different modes make X. (Who adds to what it read must
//!   keep others from adding: else what it read would change.)
//! * Ranges are held in S or X only; U, I and A on a range are X.
//!
//! # Rules
//!
//! A request of a transaction `T` is *blocked* by
//!
//! 1. a lock of another transaction that conflicts and overlaps, and
//! 2. a waiting request of another transaction that conflicts, overlaps and
//!    stands in front. This holds across keys and ranges: a range that waits blocks
//!    later writers inside it, and the reverse.
//!
//! Requests stand in the order of their [`Turn`]s, and those with the same in that in
//! which they came. Whoever asks says which it is; see `turn` of the shard, where those
//! who hold locks get a head start.
//!
//! Two exceptions to the second, without which fairness would make deadlocks
//! that locking alone does not have:
//!
//! * *Upgrades* (`T` holds all of the target already, in a weaker mode, and asks
//!   for more) go in front of all others, in their order. Two from S to X on one
//!   key are a deadlock, found at once. Whether a request is one is decided when
//!   it comes, and so is its place.
//! * *Nobody waits behind a request that waits for him*: one that is blocked by a
//!   lock of `T` anyway does not block `T`. It can not come before `T` ends,
//!   whatever `T` gets until then, so it loses nothing.
//!
//! Who is passed by an upgrade to X, or by one from I or A, waits for its
//! transaction already, directly or through others: it loses nothing but against
//! an update that is asked for and not held, and that one is passed only by those
//! who read before. From S to U is another matter. Beside an update that is held,
//! new readers come all the time; if each could ask for update in front of those
//! who wait for it, those would starve. So *S to U is an upgrade only if a writer
//! waits for that S lock*: behind the writer it would deadlock, and no new reader
//! passes the writer, so there are few of them. Otherwise it queues.
//!
//! (Not excluded is that somebody who waits for a wide range is passed again and
//! again by upgrades on different keys in it. The lock time-out ends that.)
//!
//! Whatever is not blocked is granted at once, and whatever is covered already by
//! locks of the transaction (several adjoining ranges together, too) is not
//! entered again. Ranges of one transaction that touch are merged per mode, so
//! paging through a range leaves one lock. Who does not want to wait
//! ([`LockTable::try_acquire`]) is judged by the same rules: he passes only those whose
//! turn comes after his.
//!
//! *Worked example.* `t1` and `t2` read `k`, `t3` asks to write it and waits (#1)
//! for both. `t1` asks to write it: an upgrade, in front of `t3`, waits (#2) for
//! `t2`. `t2` ends: `t1` is granted. `t1` ends: `t3` is granted. Had `t2` asked to
//! write too, `t1 ─▶ t2 ─▶ t1` would be a cycle, and the younger one the victim.
//! Had both read for update, `t2` would have waited from the start.
//!
//! # Partial release
//!
//! [`LockTable::downgrade`] makes a lock weaker or drops it before the end, for
//! savepoints. That is two-phase locking still, as far as anybody can tell, if
//! nothing was observed under the lock (`lock`, and no read since), or if what was
//! observed stays protected by what is left (X or U to S after a read). The table
//! does not know which it is; the caller does.
//!
//! # The rooms
//!
//! * `mode`: the words, and which go together.
//! * `queue`: one key. `keys`: all of them, in order. `tree`: how they are found,
//!   and `row`: one node of that.
//! * `holdings`: one transaction. `span`: its ranges.
//! * `range`: finds the ranges that contain a key or overlap a range.
//! * `table`: [`LockTable`]: acquire, grant. `release`: release, downgrade, cancel.
//! * `waits`: who waits for whom, cycles, victims; when to look for them.
//! * `report`: what is told of it, to the coordinator and to people.
//!
//! # Cost
//!
//! A request takes logarithmic time in all that is locked, plus the conflicting
//! entries that it passes. A range to read passes the keys inside that are written
//! by its own transaction or waited for, an exclusive one all that its own
//! transaction holds inside: no request passes what others hold and it does not
//! conflict with. A release looks, per key, at those of the queue that nothing in
//! front blocks, and at the ranges that wait over it. Who holds a key and waits
//! for it in vain as an ordinary request, or has several requests for one key, is
//! looked at every time; clients that wait for each answer do neither, but for S
//! to U.
//!
//! A lock on a key takes 16 bytes in the tree of keys, 17 in its transaction's map
//! (both in nodes that are not full), a block of 56 bytes, and one with the key,
//! shared by both. A second reader adds 24 bytes per reader. A range takes about
//! 250 bytes, and a request that waits about 350. A million random 16-byte keys, ten
//! per transaction, measured 180 bytes per lock in all (`examples/locks.rs`), and
//! 1.8 times the time per lock that a thousand take: the tree has two rows more to
//! pass, and its leaves are no longer in the cache. All are bounded by [`Capacity`].
//!
//! # Deliberately absent
//!
//! * Intention modes and a hierarchy: ranges do their work over a flat key space.
//! * Update and commutative modes on ranges: nobody asked for them yet.
//! * Time-outs: the caller cancels a ticket.
//! * Lock escalation: the capacity refuses instead.
//!
//! Papers: Eswaran, Gray, Lorie, Traiger, *The Notions of Consistency and
//! Predicate Locks in a Database System* (CACM 1976): two phases, and predicates,
//! of which ranges are the useful case. Gray & Reuter, *Transaction Processing*
//! (1993), §7.4 to §7.8 and §8.3 to §8.5: queues, upgrades, fairness, deadlocks;
//! §7.8.2 for update mode. O'Neil, *The Escrow Transactional Method* (TODS 1986),
//! for writes that commute.

mod holdings;
mod keys;
mod mode;
#[cfg(test)]
mod model;
mod queue;
mod range;
mod release;
mod report;
mod row;
mod span;
mod table;
mod tree;
mod waits;

pub use mode::{Acquired, Asker, Capacity, Grant, LockTarget, Mode, Refused, Ticket, Tried, Turn};
pub use report::Row;
pub use table::LockTable;
