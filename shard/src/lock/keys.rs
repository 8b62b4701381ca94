//! All keys that are held or waited for, in order.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use synod_common::key::{Key, KeyRange};

use super::queue::Queue;

/// A key with its first bytes beside it, so that a comparison seldom has to go
/// to where the key lies: with a million keys that is what a search costs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    start: u64,
    key: Key,
}

impl Place {
    fn of(key: &Key) -> Place {
        let mut start = [0; 8];
        let len = key.len().min(8);
        start[..len].copy_from_slice(&key[..len]);
        Place { start: u64::from_be_bytes(start), key: key.clone() }
    }
}

/// Keys with their queues. Those that are held in a mode which keeps readers
/// away are apart, so that who reads a range does not pass what is read in it.
#[derive(Debug, Default)]
pub(super) struct Keys {
    read: BTreeMap<Place, Queue>,
    written: BTreeMap<Place, Queue>,
}

impl Keys {
    /// The queue of a key, with the key that lives as long.
    pub(super) fn get(&self, key: &Key) -> Option<(&Key, &Queue)> {
        let place = Place::of(key);
        let found = self.read.get_key_value(&place);
        let (place, queue) = found.or_else(|| self.written.get_key_value(&place))?;
        Some((&place.key, queue))
    }

    /// Changes a key's queue, which is there only while it is of use.
    pub(super) fn change(&mut self, key: &Key, change: impl FnOnce(&mut Queue)) {
        let place = Place::of(key);
        for written in [false, true] {
            let Entry::Occupied(mut entry) = self.map(written).entry(place.clone()) else {
                continue;
            };
            change(entry.get_mut());
            if entry.get().is_idle() {
                entry.remove();
            } else if entry.get().is_written() != written {
                let queue = entry.remove();
                self.map(!written).insert(place, queue);
            }
            return;
        }
        let mut queue = Queue::default();
        change(&mut queue);
        if !queue.is_idle() {
            self.map(queue.is_written()).insert(place, queue);
        }
    }

    fn map(&mut self, written: bool) -> &mut BTreeMap<Place, Queue> {
        if written { &mut self.written } else { &mut self.read }
    }

    /// The queues of the keys in a range that are held so that nobody else may
    /// read.
    pub(super) fn written(&self, range: &KeyRange) -> impl Iterator<Item = (&Key, &Queue)> {
        within(&self.written, range)
    }

    /// The queues of all keys in a range, in no order that matters.
    pub(super) fn all(&self, range: &KeyRange) -> impl Iterator<Item = (&Key, &Queue)> {
        within(&self.read, range).chain(within(&self.written, range))
    }

    /// Whether nothing is held or waited for.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.read.is_empty() && self.written.is_empty()
    }
}

/// Those of a range that is not empty.
fn within<'k>(
    keys: &'k BTreeMap<Place, Queue>,
    range: &KeyRange,
) -> impl Iterator<Item = (&'k Key, &'k Queue)> + use<'k> {
    let end = range.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(Place::of(end)));
    let places = keys.range((Bound::Included(Place::of(&range.start)), end));
    places.map(|(place, queue)| (&place.key, queue))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_ordered_as_their_keys(
            a in proptest::collection::vec(0..3_u8, 0..12),
            b in proptest::collection::vec(0..3_u8, 0..12),
        ) {
            let (a, b) = (Key::from(a), Key::from(b));
            prop_assert_eq!(Place::of(&a).cmp(&Place::of(&b)), a.cmp(&b));
        }
    }
}
