//! Between the coordinators of a group: who leads, and what is in the group's log.
//!
//! ```text
//!   candidate ─Canvass─▶ others   would you?      ─Would──▶
//!             ─Elect───▶ others   promise it       ─Elected▶  it leads
//!   leader    ─Append──▶ others   here is more     ─Appended (durable), Missing▶
//!             ─Confirm─▶ others   do I still lead? ─Confirmed▶
//!             ─State───▶ one     you have missed a lot ─Taken▶
//!   anybody   ─Stale───▶ whoever speaks for an epoch that is over
//!
//!   who lost  ─Rejoin──▶ others   what have you promised? ─Told▶
//!   its disk  ─Readmit─▶ leader   of a later epoch: may I? ─Readmitted▶
//!             ─Copied──▶ leader   I have so much, and do not count yet
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::error::Corrupt;
use crate::id::Epoch;

/// A place in the group's log. Of two logs the one that ends later has all that a quorum
/// ever had: an entry of a later epoch counts more than any number of older ones.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// The epoch whose leader wrote the entry.
    pub epoch: Epoch,
    /// Its number, from 1; zero is before the first.
    pub index: u64,
}

/// What one coordinator says to another of its group. Any of it may be lost, late or
/// doubled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GroupMessage {
    /// Would you elect me? Changes nothing, so that who was cut off for a while disturbs
    /// nobody when it comes back.
    Canvass {
        /// The epoch that I would lead.
        epoch: Epoch,
        /// Where my log ends.
        last: Position,
    },
    /// I would.
    Would {
        /// The epoch.
        epoch: Epoch,
    },
    /// Let me lead this epoch.
    Elect {
        /// The epoch.
        epoch: Epoch,
        /// Where my log ends.
        last: Position,
    },
    /// I have promised it, durably: I follow nobody of an older epoch any more.
    Elected {
        /// The epoch.
        epoch: Epoch,
        /// What I have accepted in Paxos Commit and do not know to be decided; a
        /// [`List`](super::bulk::List) of [`Bundle`](super::paxos::Bundle).
        #[serde(skip)]
        accepted: Bytes,
    },
    /// Leader: this is behind `before` in the log.
    Append {
        /// My epoch.
        epoch: Epoch,
        /// The entry before the first of these.
        before: Position,
        /// All up to this is decided.
        committed: u64,
        /// The entries; see [`Entries`].
        #[serde(skip)]
        entries: Bytes,
    },
    /// My log is durable up to here, and the same as yours.
    Appended {
        /// The epoch of the leader.
        epoch: Epoch,
        /// Up to here.
        index: u64,
    },
    /// I do not have what is before these; go on behind this.
    Missing {
        /// The epoch of the leader.
        epoch: Epoch,
        /// A place that may be common.
        index: u64,
    },
    /// Leader: I am here. Do you still follow me?
    Confirm {
        /// My epoch.
        epoch: Epoch,
        /// Counts how often I asked.
        round: u64,
        /// All up to this is decided.
        committed: u64,
    },
    /// I have promised no later epoch.
    Confirmed {
        /// The epoch of the leader.
        epoch: Epoch,
        /// Which time it asked.
        round: u64,
    },
    /// I have promised a later epoch.
    Stale {
        /// The one that I have promised.
        epoch: Epoch,
    },
    /// Leader: you are so far behind that the log does not help you. This is a part of
    /// all that there is at `base`.
    State {
        /// My epoch.
        epoch: Epoch,
        /// What comes behind this is sent as entries, afterwards.
        base: Position,
        /// Counts the parts, from 0.
        number: u32,
        /// Whether it is the last one.
        last: bool,
        /// The part, as it would stand in a checkpoint.
        #[serde(skip)]
        part: Bytes,
    },
    /// I have this part, and if it is the last one, all of it durably.
    Taken {
        /// The epoch of the leader.
        epoch: Epoch,
        /// Where the state stands.
        base: Position,
        /// Which part.
        number: u32,
    },
    /// I have lost my disk, and answer nothing until I am back. What have you promised?
    Rejoin {
        /// Tells this life from former ones.
        life: u64,
    },
    /// That is what I have promised.
    Told {
        /// The life of who asked.
        life: u64,
        /// The epoch.
        epoch: Epoch,
    },
    /// I have lost my disk, and begin anew with the leader of a later epoch than this one,
    /// which is the latest that a majority of the others has promised.
    Readmit {
        /// That epoch.
        above: Epoch,
    },
    /// Leader: I lead a later one. All that was left open before it is decided up to here.
    Readmitted {
        /// My epoch.
        epoch: Epoch,
        /// Up to here.
        index: u64,
    },
    /// My log is the same as yours up to here, but nobody may count on me yet.
    Copied {
        /// The epoch of the leader.
        epoch: Epoch,
        /// Up to here.
        index: u64,
    },
}

impl GroupMessage {
    /// The epoch to which it belongs, if it is an answer to who leads it, or wants to.
    pub fn answers(&self) -> Option<Epoch> {
        match self {
            GroupMessage::Would { epoch }
            | GroupMessage::Elected { epoch, .. }
            | GroupMessage::Appended { epoch, .. }
            | GroupMessage::Missing { epoch, .. }
            | GroupMessage::Confirmed { epoch, .. }
            | GroupMessage::Taken { epoch, .. }
            | GroupMessage::Copied { epoch, .. } => Some(*epoch),
            GroupMessage::Canvass { .. }
            | GroupMessage::Elect { .. }
            | GroupMessage::Append { .. }
            | GroupMessage::Confirm { .. }
            | GroupMessage::Stale { .. }
            | GroupMessage::State { .. }
            | GroupMessage::Rejoin { .. }
            | GroupMessage::Told { .. }
            | GroupMessage::Readmit { .. }
            | GroupMessage::Readmitted { .. } => None,
        }
    }

    pub(super) fn bulk(&self) -> Option<&Bytes> {
        match self {
            GroupMessage::Append { entries: bulk, .. }
            | GroupMessage::State { part: bulk, .. }
            | GroupMessage::Elected { accepted: bulk, .. } => Some(bulk),
            GroupMessage::Canvass { .. }
            | GroupMessage::Would { .. }
            | GroupMessage::Elect { .. }
            | GroupMessage::Appended { .. }
            | GroupMessage::Missing { .. }
            | GroupMessage::Confirm { .. }
            | GroupMessage::Confirmed { .. }
            | GroupMessage::Stale { .. }
            | GroupMessage::Taken { .. }
            | GroupMessage::Rejoin { .. }
            | GroupMessage::Told { .. }
            | GroupMessage::Readmit { .. }
            | GroupMessage::Readmitted { .. }
            | GroupMessage::Copied { .. } => None,
        }
    }

    pub(super) fn bulk_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            GroupMessage::Append { entries: bulk, .. }
            | GroupMessage::State { part: bulk, .. }
            | GroupMessage::Elected { accepted: bulk, .. } => Some(bulk),
            GroupMessage::Canvass { .. }
            | GroupMessage::Would { .. }
            | GroupMessage::Elect { .. }
            | GroupMessage::Appended { .. }
            | GroupMessage::Missing { .. }
            | GroupMessage::Confirm { .. }
            | GroupMessage::Confirmed { .. }
            | GroupMessage::Stale { .. }
            | GroupMessage::Taken { .. }
            | GroupMessage::Rejoin { .. }
            | GroupMessage::Told { .. }
            | GroupMessage::Readmit { .. }
            | GroupMessage::Readmitted { .. }
            | GroupMessage::Copied { .. } => None,
        }
    }
}

/// Entries of the group's log, one behind another: the epoch and the length, 4 bytes
/// little-endian each, and the entry.
#[derive(Debug, Default)]
pub struct Entries(BytesMut);

impl Entries {
    /// Bytes in front of each one.
    const HEADER: usize = 8;

    /// None yet, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Entries {
        Entries(BytesMut::with_capacity(bytes))
    }

    /// How many bytes one takes.
    pub fn size(entry: &[u8]) -> usize {
        Entries::HEADER + entry.len()
    }

    /// Adds one.
    pub fn push(&mut self, epoch: Epoch, entry: &[u8]) {
        self.0.put_u32_le(epoch.0);
        self.0.put_u32_le(u32::try_from(entry.len()).expect("records are far below 4 GiB"));
        self.0.put_slice(entry);
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }

    /// Reads them back.
    pub fn read(bytes: &Bytes) -> impl Iterator<Item = Result<(Epoch, Bytes), Corrupt>> {
        let mut rest = bytes.clone();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let entry = split(&mut rest);
            if entry.is_none() {
                rest.clear();
            }
            Some(entry.ok_or_else(|| Corrupt::new("entries are cut off")))
        })
    }
}

fn split(rest: &mut Bytes) -> Option<(Epoch, Bytes)> {
    let (epoch, tail) = rest.split_first_chunk::<4>()?;
    let (len, tail) = tail.split_first_chunk::<4>()?;
    let (epoch, len) = (u32::from_le_bytes(*epoch), u32::from_le_bytes(*len) as usize);
    if len > tail.len() {
        return None;
    }
    let end = Entries::HEADER + len;
    let entry = rest.slice(Entries::HEADER..end);
    rest.advance(end);
    Some((Epoch(epoch), entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written_and_cut_ones_are_refused() {
        let mut entries = Entries::default();
        entries.push(Epoch(1), b"one");
        entries.push(Epoch(7), b"");
        let bytes = entries.finish();
        let read: Result<Vec<_>, _> = Entries::read(&bytes).collect();
        let all = vec![(Epoch(1), Bytes::from("one")), (Epoch(7), Bytes::new())];
        assert_eq!(read.unwrap(), all);
        for cut in 1..bytes.len() {
            let whole: Vec<_> = Entries::read(&bytes.slice(..cut)).collect();
            assert_eq!(whole.iter().all(Result::is_ok), cut == 11, "cut at {cut}");
        }
    }
}
