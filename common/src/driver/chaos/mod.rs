//! Faults that a tester asks for while a server runs: a disk that fails, a clock that jumps.
//!
//! ```text
//!   tester ── set ──▶ Chaos ◀── every write and fsync ──── files
//!                       ▲
//!                       └────── every look at the wall clock ── host
//! ```
//!
//! What is between the core and the disk is the code of every build; only the last step, the
//! call of the system, is asked for here. A disk
//!
//! - that *fails to fsync* says EIO, and what was written may or may not be there. It does not
//!   even try, so what a power cut left would be as bad;
//! - that is *full* says ENOSPC to whatever makes a file larger, once what has room is written.
//!   What was preallocated may be written to: a log goes on until its segment ends, but gets no
//!   new one, and a checkpoint gets no byte;
//! - that is *slow* takes so much longer for each fsync.
//!
//! The wall clock is shifted, backwards as well, from one look to the next. The monotonic clock
//! is what it is: that of a real machine does not jump.
//!
//! *Example.* `{"disk": "fsync-fails"}` is asked of a shard. Its next batch is written and not
//! synced; the log is poisoned, nobody hears of the batch, and the server stops.
//!
//! Without the feature `chaos` a [`Chaos`] has no size, and does what the system does.
//!
//! *Deliberately absent*: certificates, which are judged by the clock of the machine; reads
//! that fail, since the log is read at the start only, when nobody can ask for anything yet.

#[cfg(not(feature = "chaos"))]
mod off;
#[cfg(feature = "chaos")]
mod on;

#[cfg(not(feature = "chaos"))]
pub use off::Chaos;
#[cfg(feature = "chaos")]
pub use on::{Chaos, Disk, Effects, Faults, Wish};
