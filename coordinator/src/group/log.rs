//! The end of the group's log, as one member has it: what is not decided yet, and some of
//! what is, for members that are behind.
//!
//! ```text
//!   …───base│ 7  8  9 10 11 12│
//!     gone  │ kept     ▲     last
//!           first      committed
//! ```

use std::collections::VecDeque;

use bytes::Bytes;
use synod_common::id::Epoch;
use synod_common::message::group::{Entries, Position};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The epoch whose leader wrote it.
    pub epoch: Epoch,
    /// The record.
    pub record: Bytes,
}

/// The entries from some place on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    base: Position,
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Log {
    /// Nothing is kept up to here.
    pub fn from(base: Position) -> Log {
        Log { base, ..Log::default() }
    }

    /// Where it ends.
    pub fn last(&self) -> Position {
        let epoch = self.entries.back().map_or(self.base.epoch, |entry| entry.epoch);
        Position { epoch, index: self.base.index + self.entries.len() as u64 }
    }

    /// The place before the first entry that is kept.
    pub fn base(&self) -> Position {
        self.base
    }

    /// An entry, if it is kept.
    pub fn get(&self, index: u64) -> Option<&Entry> {
        let offset = index.checked_sub(self.base.index + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The place with this index, unless it lies before those that are known.
    pub fn at(&self, index: u64) -> Option<Position> {
        let epoch = match index == self.base.index {
            true => self.base.epoch,
            false => self.get(index)?.epoch,
        };
        Some(Position { epoch, index })
    }

    /// Adds an entry to the end.
    pub fn push(&mut self, entry: Entry) {
        assert!(entry.epoch >= self.last().epoch, "an entry is of an older epoch than the last");
        self.bytes += entry.record.len();
        self.entries.push_back(entry);
    }

    /// Drops what is behind this index.
    pub fn cut(&mut self, index: u64) {
        assert!(index >= self.base.index, "what is decided can not be dropped");
        while self.last().index > index
            && let Some(entry) = self.entries.pop_back()
        {
            self.bytes -= entry.record.len();
        }
    }

    /// Keeps only so many bytes of entries up to this index.
    pub fn forget(&mut self, index: u64, keep: usize) {
        while self.bytes > keep
            && self.base.index < index
            && let Some(entry) = self.entries.pop_front()
        {
            self.bytes -= entry.record.len();
            self.base = Position { epoch: entry.epoch, index: self.base.index + 1 };
        }
    }

    /// What is behind `after`, at most so many bytes but at least one entry, with the
    /// index of the last.
    pub fn behind(&self, after: u64, most: usize) -> (Bytes, u64) {
        let (mut index, mut bytes) = (after, 0);
        while let Some(entry) = self.get(index + 1)
            && (index == after || bytes + entry.record.len() <= most)
        {
            bytes += Entries::size(&entry.record);
            index += 1;
        }
        let mut entries = Entries::with_capacity(bytes);
        for entry in (after + 1..=index).filter_map(|index| self.get(index)) {
            entries.push(entry.epoch, &entry.record);
        }
        (entries.finish(), index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(epoch: u32, len: usize) -> Entry {
        Entry { epoch: Epoch(epoch), record: Bytes::from(vec![0; len]) }
    }

    #[test]
    fn what_is_forgotten_leaves_its_place() {
        let mut log = Log::default();
        for epoch in [1, 1, 2, 3] {
            log.push(entry(epoch, 10));
        }
        log.forget(3, 20);
        assert_eq!(log.base(), Position { epoch: Epoch(1), index: 2 });
        assert_eq!(log.at(2), Some(log.base()));
        assert_eq!(log.at(1), None);
        assert_eq!(log.at(3).unwrap().epoch, Epoch(2));
        log.forget(3, 0);
        assert_eq!(log.base().index, 3, "only what may go");
        log.cut(3);
        assert_eq!(log.last(), Position { epoch: Epoch(2), index: 3 });
    }

    #[test]
    fn at_least_one_entry_is_sent() {
        let mut log = Log::default();
        for _ in 0..3 {
            log.push(entry(1, 100));
        }
        assert_eq!(log.behind(0, 1).1, 1);
        assert_eq!(log.behind(0, 250).1, 2);
        assert_eq!(log.behind(3, 250), (Bytes::new(), 3));
    }
}
