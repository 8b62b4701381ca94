//! The log of one node: what is in it is what the node can not forget.
//!
//! A core appends records; the driver writes them, syncs once for many, and
//! tells the core how far the log is durable. After a restart the log hands the
//! records back. Two questions make a log difficult, and this one is built
//! around them:
//!
//! - *Is a damaged place the torn end of the log, or damage in its middle?* A
//!   torn end is normal after a power cut and holds nothing that anybody was
//!   promised: it is cut off. Damage in the middle is the loss of a promise: the
//!   log refuses to open and names the file and the byte. Stopping at the first
//!   bad checksum, as simple logs do, turns one flipped bit into silent loss.
//! - *Did the disk really keep it?* After a failed write or fsync nobody knows,
//!   and a second fsync may report a success that never was. The log is then
//!   poisoned: every later call fails, and the server stops and recovers.
//!
//! ```text
//!   00..01.wal                          00..41.wal                     spare
//!  ┌──────┬───────┬─────────┬─────┬──┐ ┌──────┬───────┬───────┬─────┐ ┌─────┐
//!  │header│ 1..18 │ 19..40  │close│00│ │header│ 41..44│ (44)  │ 00  │ │  00 │
//!  │first1│ D=0   │ D=18    │ D=40│00│ │first │ D=40  │ D=44  │ 00  │ │  00 │
//!  └──────┴───────┴─────────┴─────┴──┘ └──────┴───────┴───────┴─────┘ └─────┘
//!    64 B   a frame: one write           ▲ name = LSN    ▲ empty frame: attests 44
//! ```
//!
//! The log is a row of *segments*, files of a fixed size that are written full
//! of zeros and synced before use: a later fdatasync then has only data to
//! write, no new file size. A *frame* is what one write brought: a header and
//! records. Its CRC covers, besides its bytes, the cluster, the node, the
//! segment and the place in it, so nothing left over or copied from elsewhere
//! passes for a frame.
//!
//! Each frame carries `D`, the LSN up to which the log was durable when the
//! frame was written. A damaged place at which record `n` had to begin is
//! judged by the largest `D` of all intact frames, those behind it included:
//! `n ≤ D` is damage, `n > D` is a torn end. When no batch follows for a while,
//! an empty frame attests the last one.
//!
//! A full segment is synced, then the next one is made, then the full one gets
//! a *close* frame, and only when that is durable the next one is written to.
//! So a missing last segment is noticed as well, and of all segments only the
//! last can have a torn end.
//!
//! # Example
//!
//! Records 1 to 18 are synced. 19 to 40 are written in one frame with `D = 18`
//! when the power goes, and half the frame reaches the disk. On restart the
//! place behind 18 is damaged, record 19 had to begin there, no frame attests
//! more than 18: it is a torn end. A new segment that begins with 19 is made and
//! the old one closed in front of the tear, so that nothing behind it can ever
//! be read again. Had the frame been synced and attested (`D = 40` in the close
//! frame) and later a bit of it flipped, `19 ≤ 40` would be damage: refused.
//!
//! Frames that survived behind record `D` were perhaps never synced: a process
//! that died, even of a failed fsync, leaves them in the page cache. Recovery
//! gives them back, so it writes them once more and syncs before the log opens.
//!
//! # Checkpoints
//!
//! A [`checkpoint`] is a file of parts from which recovery starts, with the LSN
//! from which the log is replayed on top. It appears under its name when it is
//! complete. It also attests the log as far as it was durable by then.
//!
//! # Deliberately absent
//!
//! - Segments are not recycled: fresh zeros make the end of the log plain.
//! - A flipped bit in the very last frame looks like a torn write until the
//!   frame is attested, by the next frame or after the first idle moment. It is
//!   a window of milliseconds that only a copy on another machine can close.
//! - Unused bytes behind a close frame are not looked at.
//! - No repair beyond the torn end: what to do about damage is for a human, or
//!   for a replica, to decide.

pub mod checkpoint;
mod disk;
mod frame;
mod mem_disk;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::io;

use crate::id::ClusterId;
use crate::node::Lsn;

pub use disk::Disk;
pub use mem_disk::{MemDisk, PendingPiece};
pub use writer::{Wal, make_spare};

/// Whose log it is. Files of another cluster or node are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node's short name, such as `s1`.
    pub node: String,
}

/// How the log is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size of a segment. A batch that does not fit gets a larger one.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment_bytes: 64 << 20 }
    }
}

/// What is known before the log is read: what the newest checkpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The first record that is wanted back.
    pub from: Lsn,
    /// The log was once durable up to here.
    pub durable: Lsn,
}

impl Default for Start {
    /// Without a checkpoint: everything from the first record.
    fn default() -> Self {
        Start { from: Lsn(1), durable: Lsn(0) }
    }
}

/// Why the log can not go on.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// Something that was durable is damaged or missing. Nothing was changed.
    #[error("corrupt: {file} at byte {offset}: {reason}")]
    Corrupt {
        /// Name of the file.
        file: String,
        /// Where in it the damaged piece begins.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The disk refused. The log is poisoned from now on.
    #[error("{action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier write or sync failed; what is durable is found out by a restart.
    #[error("the log failed earlier: {0}")]
    Poisoned(String),
    /// The batch is larger than a frame can be, or not a row of records.
    #[error("batch of {bytes} bytes can not be written")]
    BadBatch {
        /// Its size.
        bytes: usize,
    },
}

/// Gives an I/O error its place.
fn at<'a>(action: &'static str, file: &'a str) -> impl FnOnce(io::Error) -> WalError + 'a {
    move |source| WalError::Io { action, file: file.to_owned(), source }
}

fn corrupt(file: &str, offset: usize, reason: impl Into<String>) -> WalError {
    WalError::Corrupt { file: file.to_owned(), offset: offset as u64, reason: reason.into() }
}

/// Reads a whole file.
fn read_all(disk: &mut impl Disk, name: &str) -> Result<Vec<u8>, WalError> {
    let size = disk.size(name).map_err(at("look at", name))?;
    let size = usize::try_from(size).map_err(|_| corrupt(name, 0, "too large for this machine"))?;
    let mut bytes = vec![0; size];
    disk.read_at(name, 0, &mut bytes).map_err(at("read", name))?;
    Ok(bytes)
}
