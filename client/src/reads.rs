//! What an optimistic transaction has read, to be validated when it commits.
//!
//! It travels with COMMIT, each shard's part to that shard. Ranges are noted as far
//! as they were read, absent keys included; a page that goes on where the last one
//! ended makes one range of both.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use synod_common::id::ShardId;
use synod_common::key::{Key, KeyRange};
use synod_common::limits::{self, Limit};
use synod_common::message::bulk::ReadSet;

/// What was read, by shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    shards: BTreeMap<ShardId, Seen>,
    pieces: usize,
    bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    keys: BTreeSet<Key>,
    ranges: Vec<KeyRange>,
}

impl Reads {
    /// A key was read, be it absent.
    ///
    /// # Errors
    /// If the transaction has read too much to be validated.
    pub(crate) fn key(&mut self, shard: ShardId, key: &Key) -> Result<(), Limit> {
        if self.shards.get(&shard).is_some_and(|seen| seen.keys.contains(key)) {
            return Ok(());
        }
        self.make_room(key.len())?;
        self.shards.entry(shard).or_default().keys.insert(key.clone());
        Ok(())
    }

    /// A range was read.
    ///
    /// # Errors
    /// If the transaction has read too much to be validated.
    pub(crate) fn range(&mut self, shard: ShardId, range: KeyRange) -> Result<(), Limit> {
        if range.is_empty() {
            return Ok(());
        }
        let last = self.shards.get_mut(&shard).and_then(|seen| seen.ranges.last_mut());
        if let Some(last) = last {
            if last.end.as_ref() == Some(&range.start) {
                last.end = range.end;
                return Ok(());
            }
            if range.end.as_ref() == Some(&last.start) {
                last.start = range.start;
                return Ok(());
            }
        }
        self.make_room(range.start.len() + range.end.as_ref().map_or(0, |end| end.len()))?;
        self.shards.entry(shard).or_default().ranges.push(range);
        Ok(())
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), Limit> {
        let total = self.bytes + bytes + 8;
        if self.pieces >= limits::TXN_KEYS {
            return Err(Limit::TxnKeys);
        }
        // Ranges that grow keep their size within that of two keys.
        if total > limits::READ_BYTES {
            return Err(Limit::ReadBytes);
        }
        (self.pieces, self.bytes) = (self.pieces + 1, total);
        Ok(())
    }

    /// The shards that were read.
    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.shards.keys().copied()
    }

    /// What a shard is to validate.
    pub(crate) fn of(&self, shard: ShardId) -> Bytes {
        let mut set = ReadSet::default();
        if let Some(seen) = self.shards.get(&shard) {
            seen.keys.iter().for_each(|key| set.push_key(key));
            for KeyRange { start, end } in &seen.ranges {
                set.push_range(start, end.as_ref().map(Key::as_bytes));
            }
        }
        set.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_common::message::bulk::ReadPiece;

    fn range(start: &str, end: &str) -> KeyRange {
        KeyRange { start: start.into(), end: Some(end.into()) }
    }

    #[test]
    fn pages_become_one_range_and_keys_count_once() {
        let mut reads = Reads::default();
        let shard = ShardId(1);
        reads.range(shard, range("a", "c")).unwrap();
        reads.range(shard, range("c", "f")).unwrap();
        reads.range(shard, range("m", "p")).unwrap();
        reads.range(shard, range("k", "m")).unwrap();
        reads.range(shard, range("x", "x")).unwrap();
        for _ in 0..2 {
            reads.key(shard, &"z".into()).unwrap();
        }
        let bytes = reads.of(shard);
        let pieces: Vec<_> = ReadSet::read(&bytes).collect::<Result<_, _>>().unwrap();
        let expected = [
            ReadPiece::Key(b"z"),
            ReadPiece::Range(b"a", Some(b"f")),
            ReadPiece::Range(b"k", Some(b"p")),
        ];
        assert_eq!(pieces, expected);
        assert!(reads.of(ShardId(2)).is_empty());
    }

    #[test]
    fn too_much_is_refused() {
        let mut reads = Reads::default();
        for n in 0..limits::TXN_KEYS {
            reads.key(ShardId(1), &n.to_be_bytes()[..].into()).unwrap();
        }
        assert_eq!(reads.key(ShardId(1), &"one more".into()), Err(Limit::TxnKeys));
        reads.key(ShardId(1), &7usize.to_be_bytes()[..].into()).unwrap();
        let mut reads = Reads::default();
        let long = |n: u16| Key::from([&n.to_be_bytes()[..], &[0; limits::KEY_BYTES - 2]].concat());
        let full = (0..).find(|n| reads.key(ShardId(1), &long(*n)).is_err());
        assert_eq!(full.map(usize::from), Some(limits::READ_BYTES / (limits::KEY_BYTES + 8)));
    }
}
