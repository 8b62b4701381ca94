//! The sorted items of one node of a [tree](super::tree).

use std::cmp::Ordering;
use std::ops::Range;

use synod_common::key::{Key, KeyRange};

/// Items at most.
pub(super) const WIDTH: usize = 32;
/// Two neighbours become one if that is not nearly full then: else the next few
/// changes would undo it.
const SNUG: usize = WIDTH * 3 / 4;
/// A search looks at every so manieth place first. So many fill a cache line.
const STEP: usize = 4;

/// What stands in a node.
pub(super) trait Item {
    /// The least key that belongs to it.
    fn key(&self) -> &Key;
}

/// Items in the order of their keys, which lie in one range.
#[derive(Debug)]
pub(super) struct Row<T> {
    len: usize,
    /// So many bytes at the front are the same in all keys of the range.
    skip: usize,
    /// First key of the range.
    from: Key,
    /// First key beyond; none if nothing is.
    end: Option<Key>,
    /// Those that are free come last.
    places: [Place<T>; WIDTH],
}

/// An item with the bytes of its key that follow those skipped, beside it: so a
/// search seldom has to go to where the key lies.
#[derive(Clone, Debug)]
struct Place<T> {
    start: u64,
    item: Option<T>,
}

impl<T> Place<T> {
    const FREE: Place<T> = Place { start: u64::MAX, item: None };
}

impl<T: Clone> Clone for Row<T> {
    fn clone(&self) -> Row<T> {
        let Row { len, skip, from, end, .. } = self;
        let mut places = [const { Place::FREE }; WIDTH];
        places[..*len].clone_from_slice(&self.places[..*len]);
        Row { len: *len, skip: *skip, from: from.clone(), end: end.clone(), places }
    }
}

impl<T> Row<T> {
    /// How many items.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// First key of the range.
    pub(super) fn from(&self) -> &Key {
        &self.from
    }

    /// First key beyond the range; none if nothing is.
    pub(super) fn end(&self) -> Option<&Key> {
        self.end.as_ref()
    }

    /// The item at a place.
    pub(super) fn item(&self, at: usize) -> &T {
        self.places[at].item.as_ref().expect("within the length")
    }

    /// The item at a place, to be changed.
    pub(super) fn item_mut(&mut self, at: usize) -> &mut T {
        self.places[at].item.as_mut().expect("within the length")
    }

    /// Takes out the item at a place.
    pub(super) fn remove(&mut self, at: usize) -> T {
        let place = std::mem::replace(&mut self.places[at], Place::FREE);
        self.places[at..self.len].rotate_left(1);
        self.len -= 1;
        place.item.expect("within the length")
    }

    /// Takes out all, in order.
    fn drain(&mut self) -> impl Iterator<Item = T> {
        self.places[..std::mem::take(&mut self.len)].iter_mut().filter_map(|p| p.item.take())
    }
}

impl<T: Item> Row<T> {
    /// Of all keys.
    pub(super) fn of_all(items: impl IntoIterator<Item = T>) -> Row<T> {
        let KeyRange { start, end } = KeyRange::all();
        Row::new(start, end, items)
    }

    /// Of all keys from one on and in front of another.
    pub(super) fn new(from: Key, end: Option<Key>, items: impl IntoIterator<Item = T>) -> Row<T> {
        let skip = end.as_ref().map_or(0, |end| common(&from, end));
        let mut row = Row { len: 0, skip, from, end, places: [const { Place::FREE }; WIDTH] };
        for item in items {
            row.insert(row.len, item);
        }
        row
    }

    /// Where a key of the range is, or would be.
    pub(super) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let start = start(key, self.skip);
        let is_before = |at: usize| usize::from(self.places[at].start < start);
        // Not by halves: these reads do not wait for each other.
        let mut at = STEP * (1..WIDTH / STEP).map(|n| is_before(n * STEP - 1)).sum::<usize>();
        at += (at..at + STEP).map(is_before).sum::<usize>();
        let alike = self.places[at..self.len].iter().take_while(|place| place.start == start);
        let alike = at..at + alike.count();
        self.find_among(alike, key)
    }

    /// The same among those that begin alike.
    fn find_among(&self, alike: Range<usize>, key: &[u8]) -> Result<usize, usize> {
        let Range { start: mut from, end: mut to } = alike;
        while from < to {
            let middle = from.midpoint(to);
            match self.item(middle).key().as_bytes().cmp(key) {
                Ordering::Less => from = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }

    /// How many items lie in front of a key that is not in front of the range.
    pub(super) fn count_before(&self, key: Option<&Key>) -> usize {
        match (key, &self.end) {
            (None, _) => self.len,
            (Some(key), Some(end)) if end <= key => self.len,
            (Some(key), _) => self.find(key).unwrap_or_else(|at| at),
        }
    }

    /// Puts an item in its place.
    pub(super) fn insert(&mut self, at: usize, item: T) {
        let start = start(item.key(), self.skip);
        self.places[at..=self.len].rotate_right(1);
        self.places[at] = Place { start, item: Some(item) };
        self.len += 1;
    }

    /// Takes in the right neighbour, if there is one, and gives half of it all back
    /// as one if it is too much.
    pub(super) fn join(&mut self, next: Option<Row<T>>) -> Option<Row<T>> {
        let (from, mut end) = (self.from.clone(), self.end.take());
        let mut items: Vec<T> = self.drain().collect();
        if let Some(mut next) = next {
            end = next.end.take();
            items.extend(next.drain());
        }
        if items.len() <= SNUG {
            *self = Row::new(from, end, items);
            return None;
        }
        let right = items.split_off(items.len() / 2);
        let middle = right[0].key().clone();
        *self = Row::new(from, Some(middle.clone()), items);
        Some(Row::new(middle, end, right))
    }
}

/// How many bytes two keys begin with alike: and so does every key between them.
fn common(from: &[u8], end: &[u8]) -> usize {
    from.iter().zip(end).take_while(|(a, b)| a == b).count()
}

/// Eight bytes of a key as a number that sorts as they do.
fn start(key: &[u8], skip: usize) -> u64 {
    let rest = key.get(skip..).unwrap_or_default();
    if let Some(start) = rest.first_chunk() {
        return u64::from_be_bytes(*start);
    }
    let mut start = [0; 8];
    start[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(start)
}

#[cfg(test)]
impl<T: Item> Row<T> {
    /// Asserts what must be so of a row that spans a range.
    pub(super) fn check(&self, from: &Key, end: Option<&Key>) {
        assert_eq!((&self.from, self.end.as_ref()), (from, end));
        for (at, place) in self.places.iter().enumerate() {
            assert_eq!(place.item.is_some(), at < self.len);
            let start = place.item.as_ref().map(|item| start(item.key(), self.skip));
            assert_eq!(place.start, start.unwrap_or(u64::MAX));
        }
        let keys: Vec<&Key> = (0..self.len).map(|at| self.item(at).key()).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert!(keys.iter().all(|key| *key >= from && end.is_none_or(|end| *key < end)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(prop_oneof![Just(0_u8), Just(1), Just(0xff)], 0..14)
    }

    impl Item for Key {
        fn key(&self) -> &Key {
            self
        }
    }

    #[test]
    fn what_all_keys_of_a_range_begin_with_is_left_out() {
        let key = |text: &str| Key::from(text);
        let row = Row::new(key("tenant/71"), Some(key("tenant/73")), [key("tenant/72/account")]);
        assert_eq!(row.places[0].start, u64::from_be_bytes(*b"2/accoun"));
        let last = Row::new(key("tenant/71"), None, [key("tenant/72/account")]);
        assert_eq!(last.places[0].start, u64::from_be_bytes(*b"tenant/7"));
    }

    proptest! {
        #[test]
        fn keys_of_a_range_begin_alike_and_then_sort_by_what_follows(
            mut keys in [bytes(), bytes(), bytes(), bytes()],
        ) {
            keys.sort();
            let [from, a, b, end] = &keys;
            let skip = common(from, end);
            prop_assert!(a.starts_with(&from[..skip]));
            prop_assert!(start(a, skip) <= start(b, skip));
        }
    }
}
