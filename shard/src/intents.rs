//! Intents: the prepared writers of every key.
//!
//! A key may have several at once, if what they do commutes. A snapshot reader
//! must wait for each that may commit at or below its timestamp, so they stand
//! in the order of their votes. What they append counts before it is there: a
//! value must not become too long, whichever of them commit.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};
use synod_common::message::bulk::{Write, WriteSet};
use synod_common::operation::Operation;
use synod_common::time::Timestamp;

/// The prepared writers, by key.
#[derive(Clone, Debug, Default)]
pub struct Intents {
    keys: BTreeMap<Key, Writers>,
}

/// Those of one key, one at least.
#[derive(Clone, Debug, Default)]
struct Writers {
    /// With what they voted, smallest first. They come close to the end and go
    /// close to the front.
    by_vote: VecDeque<(Timestamp, TxnId)>,
    /// How many bytes they append, all together.
    appended: usize,
}

impl Intents {
    /// `txn` has voted `m` on these writes.
    pub fn insert(&mut self, txn: TxnId, m: Timestamp, writes: &[u8]) {
        for (key, write) in WriteSet::read(writes).map_while(Result::ok) {
            let writers = match self.keys.get_mut(key) {
                Some(writers) => writers,
                None => self.keys.entry(Key::from(key)).or_default(),
            };
            if let Err(place) = writers.by_vote.binary_search(&(m, txn)) {
                writers.by_vote.insert(place, (m, txn));
            }
            writers.appended += appended(&write);
        }
    }

    /// `txn`, which voted `m` on these writes, is decided.
    pub fn remove(&mut self, txn: TxnId, m: Timestamp, writes: &[u8]) {
        for (key, write) in WriteSet::read(writes).map_while(Result::ok) {
            let Some(writers) = self.keys.get_mut(key) else { continue };
            writers.appended -= appended(&write);
            if let Ok(place) = writers.by_vote.binary_search(&(m, txn)) {
                writers.by_vote.remove(place);
            }
            // The same key may follow once more; what it appends must be counted.
            if writers.by_vote.is_empty() && writers.appended == 0 {
                self.keys.remove(key);
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The writers of a key and their votes, smallest first.
    pub fn of(&self, key: &[u8]) -> impl Iterator<Item = (Timestamp, TxnId)> {
        self.keys.get(key).into_iter().flat_map(|writers| writers.by_vote.iter().copied())
    }

    /// The writers of the keys in a range and their votes.
    pub fn within(&self, range: &KeyRange) -> impl Iterator<Item = (Timestamp, TxnId)> {
        let from = (Bound::Included(range.start.as_bytes()), Bound::Unbounded);
        let keys = self.keys.range::<[u8], _>(from).take_while(|(key, _)| range.contains(key));
        keys.flat_map(|(_, writers)| writers.by_vote.iter().copied())
    }

    /// How many bytes the writers of a key append.
    pub fn appended(&self, key: &[u8]) -> usize {
        self.keys.get(key).map_or(0, |writers| writers.appended)
    }
}

fn appended(write: &Write<'_>) -> usize {
    match write {
        Write::Operate(Operation::Append(bytes)) => bytes.len(),
        Write::Operate(Operation::Integer(_)) | Write::Put(_) | Write::Delete => 0,
    }
}

#[cfg(test)]
mod tests {
    use synod_common::id::{Epoch, SessionId};
    use synod_common::operation::IntegerOp;

    use super::*;

    fn txn(sequence: u64) -> TxnId {
        TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence }
    }

    fn set(writes: &[(&str, Write<'_>)]) -> Vec<u8> {
        let mut set = WriteSet::default();
        for (key, write) in writes {
            set.push(key.as_bytes(), *write);
        }
        set.finish().to_vec()
    }

    fn append(bytes: &[u8]) -> Write<'_> {
        Write::Operate(Operation::Append(bytes))
    }

    #[test]
    fn the_writers_of_a_key_stand_in_the_order_of_their_votes() {
        let add = set(&[("k", Write::Operate(Operation::Integer(IntegerOp::Add(1))))]);
        let mut intents = Intents::default();
        for (number, m) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
            intents.insert(txn(number), Timestamp(m), &add);
        }
        let votes = |intents: &Intents| -> Vec<(u64, u64)> {
            intents.of(b"k").map(|(m, txn)| (m.0, txn.sequence)).collect()
        };
        assert_eq!(votes(&intents), [(10, 2), (10, 4), (20, 3), (30, 1)]);
        intents.remove(txn(3), Timestamp(20), &add);
        intents.remove(txn(2), Timestamp(10), &add);
        assert_eq!(votes(&intents), [(10, 4), (30, 1)]);
        intents.remove(txn(4), Timestamp(10), &add);
        intents.remove(txn(1), Timestamp(30), &add);
        assert!(intents.is_empty());
    }

    #[test]
    fn what_is_appended_counts_until_it_is_decided() {
        let mut intents = Intents::default();
        let twice = set(&[("k", append(b"ab")), ("k", append(b"c")), ("l", append(b""))]);
        let once = set(&[("k", append(b"1234"))]);
        intents.insert(txn(1), Timestamp(1), &twice);
        intents.insert(txn(2), Timestamp(2), &once);
        assert_eq!((intents.appended(b"k"), intents.of(b"k").count()), (7, 2));
        assert_eq!(intents.within(&KeyRange::all()).count(), 3);
        intents.remove(txn(1), Timestamp(1), &twice);
        assert_eq!((intents.appended(b"k"), intents.of(b"k").count()), (4, 1));
        intents.remove(txn(2), Timestamp(2), &once);
        assert!(intents.is_empty());
    }
}
