//! Keys and their chains in key order, in leaves that have just the room they need.
//!
//! ```text
//!   leaves   ""          "f"         "q"           a tree of separators
//!             │           │           │
//!            a c d e     f h k       q r t         sorted vectors, up to FULL
//! ```
//!
//! A leaf holds the keys from its separator up to the next one. The first separator
//! is the empty key, so every key has a leaf. The tree of the standard library alone
//! would do, but for memory: its nodes always have room for 11 keys, and when keys
//! come in order, as they mostly do, all but the last have 6. A vector grows by a few
//! keys at a time, so it hardly matters how many a leaf has.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;
use std::slice;

use super::chain::Chain;
use super::name::Name;

/// Most keys of a leaf. What stands behind a new key is moved, 48 bytes each.
const FULL: usize = 64;
/// Keys that a leaf gets room for at a time.
const ROOM: usize = 4;
/// A leaf with fewer keys is put together with one beside it, if what they make then
/// is not full again soon.
const FEW: usize = FULL / 4;

type Entry = (Name, Chain);
type Leaf = Vec<Entry>;

/// An ordered map.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    leaves: BTreeMap<Name, Leaf>,
    len: usize,
}

impl Tree {
    /// How many keys.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The chain of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Chain> {
        let (_, leaf) = self.leaves.range::<[u8], _>(up_to(key)).next_back()?;
        let index = find(leaf, key).ok()?;
        leaf.get(index).map(|(_, chain)| chain)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut Chain> {
        let (_, leaf) = self.leaves.range_mut::<[u8], _>(up_to(key)).next_back()?;
        let index = find(leaf, key).ok()?;
        leaf.get_mut(index).map(|(_, chain)| chain)
    }

    /// Puts in a key that is not there.
    pub(super) fn insert(&mut self, name: Name, chain: Chain) {
        self.len += 1;
        let Some((_, leaf)) = self.leaves.range_mut::<[u8], _>(up_to(name.as_bytes())).next_back()
        else {
            self.leaves.insert(Name::from(&b""[..]), vec![(name, chain)]);
            return;
        };
        let Err(index) = find(leaf, name.as_bytes()) else { unreachable!("a key comes once") };
        if leaf.len() < FULL {
            put(leaf, index, (name, chain));
            return;
        }
        // Behind all others, in order it seems: no more will come to this leaf.
        let half = if index == FULL { FULL } else { FULL / 2 };
        let mut right = leaf.split_off(half);
        leaf.shrink_to_fit();
        match index.checked_sub(half) {
            Some(index) => put(&mut right, index, (name, chain)),
            None => put(leaf, index, (name, chain)),
        }
        if let Some((first, _)) = right.first() {
            self.leaves.insert(first.clone(), right);
        }
    }

    /// Takes out a key that is there.
    pub(super) fn remove(&mut self, key: &[u8]) {
        let Some((low, leaf)) = self.leaves.range_mut::<[u8], _>(up_to(key)).next_back() else {
            return;
        };
        let Ok(index) = find(leaf, key) else { return };
        leaf.remove(index);
        self.len -= 1;
        if leaf.capacity() > leaf.len() + 2 * ROOM {
            leaf.shrink_to(leaf.len() + ROOM);
        }
        if leaf.len() < FEW {
            let low = low.clone();
            let lower = (Bound::Unbounded, Bound::Excluded(low.as_bytes()));
            let before = self.leaves.range::<[u8], _>(lower).next_back();
            let before = before.map(|(before, _)| before.clone());
            if self.leaves[&low].is_empty() && before.is_some() {
                self.leaves.remove(&low);
                return;
            }
            self.join(&low);
            if let Some(before) = before {
                self.join(&before);
            }
        }
    }

    /// Puts the next leaf's keys behind those of this, if both have few.
    fn join(&mut self, low: &Name) {
        let len = self.leaves.get(low).map_or(0, Vec::len);
        let after = (Bound::Excluded(low.as_bytes()), Bound::Unbounded);
        let Some((next, right)) = self.leaves.range::<[u8], _>(after).next() else { return };
        if len + right.len() > FULL - FEW {
            return;
        }
        let next = next.clone();
        let right = self.leaves.remove(&next).unwrap_or_default();
        if let Some(leaf) = self.leaves.get_mut(low) {
            leaf.reserve_exact(right.len());
            leaf.extend(right);
        }
    }

    /// All keys in order.
    #[cfg(test)]
    pub(super) fn iter(&self) -> Range<'_> {
        self.range(Bound::Unbounded, Bound::Unbounded)
    }

    /// The keys between two bounds, of which the first must not be the greater.
    pub(super) fn range(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Range<'_> {
        let low = match start {
            Bound::Included(key) | Bound::Excluded(key) => {
                let low = self.leaves.range::<[u8], _>(up_to(key)).next_back();
                low.map_or(Bound::Unbounded, |(low, _)| Bound::Included(low.as_bytes()))
            }
            Bound::Unbounded => Bound::Unbounded,
        };
        let mut leaves = self.leaves.range::<[u8], _>((low, end));
        let first = leaves.next().map_or(&[][..], |(_, leaf)| leaf);
        let first = &first[first.partition_point(|(name, _)| is_before(name, start))..];
        let last = leaves.next_back().map(|(_, leaf)| &leaf[..]);
        let cut = |part: &'_ [Entry]| part.partition_point(|(name, _)| !is_behind(name, end));
        match last {
            Some(last) => Range { front: first.iter(), leaves, back: last[..cut(last)].iter() },
            None => Range { front: first[..cut(first)].iter(), leaves, back: [].iter() },
        }
    }
}

/// Keys and chains in order, from both ends.
#[derive(Clone, Debug)]
pub(super) struct Range<'a> {
    front: slice::Iter<'a, Entry>,
    leaves: btree_map::Range<'a, Name, Leaf>,
    back: slice::Iter<'a, Entry>,
}

impl<'a> Iterator for Range<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        loop {
            if let Some(entry) = self.front.next() {
                return Some(entry);
            }
            match self.leaves.next() {
                Some((_, leaf)) => self.front = leaf.iter(),
                None => return self.back.next(),
            }
        }
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.back.next_back() {
                return Some(entry);
            }
            match self.leaves.next_back() {
                Some((_, leaf)) => self.back = leaf.iter(),
                None => return self.front.next_back(),
            }
        }
    }
}

/// The separators up to that of a key's leaf, which is the last of them.
fn up_to(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Unbounded, Bound::Included(key))
}

fn find(leaf: &Leaf, key: &[u8]) -> Result<usize, usize> {
    leaf.binary_search_by(|(name, _)| name.as_bytes().cmp(key))
}

fn put(leaf: &mut Leaf, index: usize, entry: Entry) {
    if leaf.len() == leaf.capacity() {
        leaf.reserve_exact(ROOM);
    }
    leaf.insert(index, entry);
}

fn is_before(name: &Name, start: Bound<&[u8]>) -> bool {
    match start {
        Bound::Included(start) => name.as_bytes() < start,
        Bound::Excluded(start) => name.as_bytes() <= start,
        Bound::Unbounded => false,
    }
}

fn is_behind(name: &Name, end: Bound<&[u8]>) -> bool {
    match end {
        Bound::Included(end) => name.as_bytes() > end,
        Bound::Excluded(end) => name.as_bytes() >= end,
        Bound::Unbounded => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use synod_common::time::Timestamp;

    use super::super::chain::Content;
    use super::*;

    fn add(tree: &mut Tree, key: &[u8]) {
        let chain = Chain::new(Timestamp(1), Content::Complete(Some(key)));
        tree.insert(Name::from(key), chain);
    }

    fn names<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Vec<u8>> {
        entries.map(|(name, _)| name.as_bytes().to_vec()).collect()
    }

    /// Leaves hold what belongs to them, and no more than they may.
    fn check(tree: &Tree) {
        let lows: Vec<&Name> = tree.leaves.keys().collect();
        for (n, (low, leaf)) in tree.leaves.iter().enumerate() {
            assert_eq!(low.as_bytes().is_empty(), n == 0);
            assert!(leaf.len() <= FULL && leaf.capacity() <= leaf.len() + 2 * ROOM);
            assert!(n == 0 || !leaf.is_empty());
            let next = lows.get(n + 1);
            assert!(leaf.iter().all(|(name, _)| name >= low && next.is_none_or(|n| name < *n)));
        }
    }

    #[test]
    fn keys_in_order_fill_their_leaves_and_leave_none_behind() {
        let mut tree = Tree::default();
        let keys: Vec<[u8; 2]> = (0..1000_u16).map(u16::to_be_bytes).collect();
        keys.iter().for_each(|key| add(&mut tree, key));
        assert_eq!(tree.leaves.len(), 1000_usize.div_ceil(FULL));
        for key in &keys {
            assert!(tree.get(key).is_some());
            tree.remove(key);
            check(&tree);
        }
        assert_eq!((tree.len(), tree.leaves.len()), (0, 1));
    }

    #[test]
    fn what_is_left_of_many_keys_is_put_together() {
        let mut tree = Tree::default();
        let keys: Vec<[u8; 2]> = (0..6400_u16).map(u16::to_be_bytes).collect();
        keys.iter().for_each(|key| add(&mut tree, key));
        keys.iter().filter(|key| key[1] % 32 != 0).for_each(|key| tree.remove(key));
        check(&tree);
        assert!(tree.leaves.len() <= tree.len().div_ceil(FEW) + 1, "{}", tree.leaves.len());
    }

    proptest! {
        #[test]
        fn it_holds_what_an_ordered_set_holds(
            steps in vec((0..700_u16, 0..8_u8), 0..1500),
            (start, end) in (0..700_u16, 0..700_u16),
        ) {
            let (mut tree, mut set) = (Tree::default(), BTreeSet::new());
            for (key, step) in steps {
                let key = key.to_be_bytes();
                prop_assert_eq!(tree.get(&key).is_some(), set.contains(&key[..]));
                if step < 3 && set.remove(&key[..]) {
                    tree.remove(&key);
                } else if step >= 3 && set.insert(key.to_vec()) {
                    add(&mut tree, &key);
                }
            }
            check(&tree);
            prop_assert_eq!(tree.len(), set.len());
            prop_assert_eq!(names(tree.iter()), Vec::from_iter(set.iter().cloned()));
            let (start, end) = (start.min(end).to_be_bytes(), start.max(end).to_be_bytes());
            let bounds = [Bound::Included(&start[..]), Bound::Excluded(&start[..])];
            for low in bounds {
                for high in [Bound::Excluded(&end[..]), Bound::Unbounded] {
                    if start == end && high != Bound::Unbounded {
                        continue;
                    }
                    let mut expected: Vec<Vec<u8>> =
                        set.range::<[u8], _>((low, high)).cloned().collect();
                    prop_assert_eq!(names(tree.range(low, high)), expected.clone());
                    expected.reverse();
                    prop_assert_eq!(names(tree.range(low, high).rev()), expected);
                }
            }
        }

        #[test]
        fn both_ends_meet(count in 0..200_u16, from_back in vec(any::<bool>(), 200)) {
            let mut tree = Tree::default();
            (0..count).for_each(|n| add(&mut tree, &n.to_be_bytes()));
            let mut both = tree.iter();
            let mut found = Vec::new();
            for back in from_back {
                found.extend(if back { both.next_back() } else { both.next() });
            }
            prop_assert!(both.next().is_none() && both.next_back().is_none());
            let mut found = names(found.into_iter());
            found.sort();
            prop_assert_eq!(found, names(tree.iter()));
        }
    }
}
