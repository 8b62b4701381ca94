//! Keys with values, in order: a B-tree.
//!
//! ```text
//!   row        [ ""   "acc/5"   "acc/8" ]
//!                ▼       │         ▼
//!   row         ...      ▼        ...
//!              [ "5…"   "52…"   "713…" ]     from acc/5 up to acc/8: leaves out "acc/"
//!                 ▼       ▼        ▼
//!   entry      acc/5   acc/52   acc/7134     each with its value
//! ```
//!
//! A million keys do not fit into the processor's cache, and a read past it takes as
//! long as some hundred instructions: longer than the rest of a search. So the tree
//! is made for few such reads that wait for each other:
//!
//! * An entry is a block of its own. A leaf keeps only eight bytes of its key, and
//!   where it lies: 16 bytes, at most 32 of them, so nine cache lines in all. A search
//!   looks into each line, whatever it finds in the others; so they come together,
//!   and who then enters a key reads nothing further from afar. The rows above are a
//!   twentieth of the leaves, and mostly stay near.
//! * The eight bytes are those that follow what all keys of the row begin with, however
//!   long that is (`tenant/7/account/…`). A row knows the range of its keys, present
//!   or asked for: from its own key in the row above up to the next one. What both ends
//!   begin with, all keys between them do.
//! * Only keys that are alike in these bytes, too, are compared themselves, by halves.
//!
//! Rows but the root hold 8 to 31 items. One that is full is halved; one that holds
//! less takes in its neighbour, and is halved again if that is too much. All costs are
//! logarithmic, whatever the keys, and nothing is left to chance: the same steps make
//! the same tree.
//!
//! A map of the standard library looks at the 11 keys of a node one after another, and
//! is twice as deep: with it a lock took 1.4 µs among a million, and now 0.9.
//!
//! Papers: Comer, *The Ubiquitous B-Tree* (ACM Computing Surveys 1979). Bayer &
//! Unterauer, *Prefix B-Trees* (TODS 1977), for what is left out. Graefe & Larson,
//! *B-Tree Indexes and CPU Caches* (ICDE 2001), for the first bytes of a key beside the
//! pointer (a "poor man's normalized key"), and for why cache lines are what counts.

use synod_common::key::{Key, KeyRange};

use super::row::{Item, Row, WIDTH};

/// Items of a row at least, but for the root.
const LEAST: usize = WIDTH / 4;

/// Keys in order, each with a value.
#[derive(Clone, Debug)]
pub(super) struct Tree<V> {
    /// None until there is a first key.
    root: Option<Box<Node<V>>>,
}

/// All leaves are equally deep.
#[derive(Clone, Debug)]
enum Node<V> {
    Leaf(Row<Entry<V>>),
    Inner(Row<Box<Node<V>>>),
}

/// A key and its value.
type Entry<V> = Box<(Key, V)>;

impl<V> Item for Entry<V> {
    fn key(&self) -> &Key {
        &self.0
    }
}

impl<V> Item for Box<Node<V>> {
    fn key(&self) -> &Key {
        match &**self {
            Node::Leaf(row) => row.from(),
            Node::Inner(row) => row.from(),
        }
    }
}

impl<V> Default for Tree<V> {
    fn default() -> Tree<V> {
        Tree { root: None }
    }
}

impl<V> Tree<V> {
    /// The value of a key, with the key that lives as long.
    pub(super) fn get(&self, key: &[u8]) -> Option<(&Key, &V)> {
        let mut node = &**self.root.as_ref()?;
        loop {
            match node {
                Node::Leaf(row) => {
                    let (key, value) = &**row.item(row.find(key).ok()?);
                    return Some((key, value));
                }
                Node::Inner(row) => node = row.item(row.child(key)),
            }
        }
    }

    /// Changes the value of a key; none is one that is absent.
    pub(super) fn change(&mut self, key: &Key, change: impl FnOnce(Option<V>) -> Option<V>)
    where
        V: Default,
    {
        let root = self.root.get_or_insert_with(|| Box::new(Node::Leaf(Row::of_all([]))));
        root.change(key, change);
        if root.len() == WIDTH
            && let Some(right) = root.join(None)
        {
            let left = std::mem::replace(&mut **root, Node::Leaf(Row::of_all([])));
            **root = Node::Inner(Row::of_all([Box::new(left), right]));
        }
        if let Node::Inner(row) = &mut **root
            && row.len() == 1
        {
            *root = row.remove(0);
        }
    }

    /// Whether there is none.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.root.as_ref().is_none_or(|root| root.len() == 0)
    }

    /// The entries of a range that is not empty, in order.
    pub(super) fn range(&self, range: &KeyRange) -> impl Iterator<Item = (&Key, &V)> {
        self.root.iter().flat_map(|root| root.range(range))
    }
}

impl<V> Node<V> {
    fn range<'t>(&'t self, range: &KeyRange) -> Range<'t, V> {
        let mut path = Vec::new();
        let mut node = self;
        loop {
            match node {
                Node::Leaf(row) => {
                    let at = row.find(&range.start).unwrap_or_else(|at| at);
                    let stop = row.count_before(range.end.as_ref());
                    return Range { path, row, at, stop, end: range.end.clone() };
                }
                Node::Inner(row) => {
                    let at = row.child(&range.start);
                    path.push((row, at));
                    node = row.item(at);
                }
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Node::Leaf(row) => row.len(),
            Node::Inner(row) => row.len(),
        }
    }

    fn change(&mut self, key: &Key, change: impl FnOnce(Option<V>) -> Option<V>)
    where
        V: Default,
    {
        match self {
            Node::Leaf(row) => row.change(key, change),
            Node::Inner(row) => {
                let at = row.child(key);
                row.item_mut(at).change(key, change);
                row.mend(at);
            }
        }
    }

    /// Takes in its right neighbour, if there is one, and gives half of it all back
    /// as one if it is too much.
    fn join(&mut self, next: Option<Node<V>>) -> Option<Box<Node<V>>> {
        let rest = match (self, next) {
            (Node::Leaf(row), None) => row.join(None).map(Node::Leaf),
            (Node::Leaf(row), Some(Node::Leaf(next))) => row.join(Some(next)).map(Node::Leaf),
            (Node::Inner(row), None) => row.join(None).map(Node::Inner),
            (Node::Inner(row), Some(Node::Inner(next))) => row.join(Some(next)).map(Node::Inner),
            (Node::Leaf(_), Some(Node::Inner(_))) | (Node::Inner(_), Some(Node::Leaf(_))) => {
                panic!("neighbours differ in depth")
            }
        };
        rest.map(Box::new)
    }
}

impl<V> Row<Entry<V>> {
    fn change(&mut self, key: &Key, change: impl FnOnce(Option<V>) -> Option<V>)
    where
        V: Default,
    {
        match self.find(key) {
            Ok(at) => {
                let value = &mut self.item_mut(at).1;
                match change(Some(std::mem::take(value))) {
                    Some(changed) => *value = changed,
                    None => _ = self.remove(at),
                }
            }
            Err(at) => {
                if let Some(value) = change(None) {
                    self.insert(at, Box::new((key.clone(), value)));
                }
            }
        }
    }
}

impl<V> Row<Box<Node<V>>> {
    /// Which child a key belongs to.
    fn child(&self, key: &[u8]) -> usize {
        self.find(key).unwrap_or_else(|at| at.saturating_sub(1))
    }

    /// Splits a child that is full, joins one that is nearly empty with a neighbour.
    fn mend(&mut self, at: usize) {
        let len = self.item(at).len();
        let (left, next) = if len == WIDTH {
            (at, None)
        } else if len < LEAST {
            let left = at.min(self.len() - 2);
            (left, Some(*self.remove(left + 1)))
        } else {
            return;
        };
        if let Some(right) = self.item_mut(left).join(next) {
            self.insert(left + 1, right);
        }
    }
}

/// The entries of a range, in order.
#[derive(Debug)]
struct Range<'t, V> {
    path: Vec<(&'t Row<Box<Node<V>>>, usize)>,
    row: &'t Row<Entry<V>>,
    at: usize,
    stop: usize,
    end: Option<Key>,
}

impl<V> Range<'_, V> {
    /// Goes to the next leaf, if that begins within the range.
    fn advance(&mut self) -> Option<()> {
        let from = self.row.end()?;
        if self.end.as_ref().is_some_and(|end| end <= from) {
            return None;
        }
        while self.path.last().is_some_and(|(row, at)| at + 1 == row.len()) {
            self.path.pop();
        }
        let (row, at) = self.path.last_mut()?;
        *at += 1;
        let mut node: &Node<V> = row.item(*at);
        loop {
            match node {
                Node::Leaf(row) => {
                    (self.row, self.at, self.stop) = (row, 0, row.count_before(self.end.as_ref()));
                    return Some(());
                }
                Node::Inner(row) => {
                    self.path.push((row, 0));
                    node = row.item(0);
                }
            }
        }
    }
}

impl<'t, V> Iterator for Range<'t, V> {
    type Item = (&'t Key, &'t V);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at >= self.stop {
            self.advance()?;
        }
        self.at += 1;
        let (key, value) = &**self.row.item(self.at - 1);
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Keys of a kind, for each number another: dense or spread, with long common
    /// beginnings, or such that differ in their length only.
    fn key(kind: u8, n: u16) -> Key {
        match kind {
            0 => Key::from(&n.to_be_bytes()[..]),
            1 => Key::from(&n.wrapping_mul(40_503).to_be_bytes()[..]),
            2 => Key::from(format!("tenant/7/account/{n:05}/balance").as_str()),
            3 => Key::from(vec![0; usize::from(n % 64)]),
            4 => Key::from(vec![0xff; usize::from(n % 64)]),
            _ => Key::from([&[b'x'; 300][..], &u64::from(n).to_be_bytes()].concat()),
        }
    }

    /// Enters or removes some keys of a kind, all or every other one.
    #[derive(Clone, Debug)]
    struct Step {
        enter: bool,
        kind: u8,
        from: u16,
        count: u16,
        stride: u16,
    }

    fn step() -> impl Strategy<Value = Step> {
        let count = prop_oneof![1..6_u16, 1..400_u16];
        (any::<bool>(), 0..6_u8, 0..400_u16, count, 1..3_u16).prop_map(
            |(enter, kind, from, count, stride)| Step { enter, kind, from, count, stride },
        )
    }

    impl Step {
        fn run(&self, tree: &mut Tree<u16>, map: &mut BTreeMap<Key, u16>) {
            for n in (self.from..self.from + self.count).step_by(usize::from(self.stride)) {
                let key = key(self.kind, n);
                let before = map.get(&key).copied();
                let after = self.enter.then(|| before.map_or(n, |value| value.wrapping_add(1)));
                tree.change(&key, |value| {
                    assert_eq!(value, before);
                    after
                });
                match after {
                    Some(value) => _ = map.insert(key, value),
                    None => _ = map.remove(&key),
                }
            }
        }
    }

    /// What must be so of every node; says how deep the leaves lie.
    fn check(node: &Node<u16>, from: &Key, end: Option<&Key>, is_root: bool) -> usize {
        let fits = |len| len < WIDTH && (len >= LEAST || is_root);
        match node {
            Node::Leaf(row) => {
                assert!(fits(row.len()));
                row.check(from, end);
                0
            }
            Node::Inner(row) => {
                assert!(fits(row.len()) && row.len() > 1 && row.item(0).key() == from);
                row.check(from, end);
                let depths = (0..row.len()).map(|at| {
                    let next = (at + 1 < row.len()).then(|| row.item(at + 1).key());
                    check(row.item(at), row.item(at).key(), next.or(end), false)
                });
                let depths: Vec<usize> = depths.collect();
                assert!(depths.iter().all(|depth| *depth == depths[0]));
                depths[0] + 1
            }
        }
    }

    fn depth(tree: &Tree<u16>) -> usize {
        tree.root.as_ref().map_or(0, |root| check(root, &KeyRange::all().start, None, true))
    }

    proptest! {
        #[test]
        fn does_what_a_map_does(
            steps in vec(step(), 0..10),
            asked in vec((0..6_u8, 0..800_u16), 4),
        ) {
            let (mut tree, mut map) = (Tree::default(), BTreeMap::new());
            for step in steps {
                step.run(&mut tree, &mut map);
                depth(&tree);
                prop_assert!(tree.range(&KeyRange::all()).eq(&map));
                prop_assert_eq!(tree.is_empty(), map.is_empty());
                let keys: Vec<Key> = asked.iter().map(|(kind, n)| key(*kind, *n)).collect();
                for (start, end) in keys.iter().zip(&keys[1..]) {
                    prop_assert_eq!(tree.get(start), map.get_key_value(start));
                    let open = KeyRange { start: start.clone(), end: None };
                    prop_assert!(tree.range(&open).eq(map.range::<Key, _>(start..)));
                    if start < end {
                        let range = KeyRange { start: start.clone(), end: Some(end.clone()) };
                        prop_assert!(tree.range(&range).eq(map.range::<Key, _>(start..end)));
                    }
                }
            }
        }
    }

    #[test]
    fn grows_and_shrinks_again() {
        let (mut tree, mut map) = (Tree::default(), BTreeMap::new());
        let all = |enter| Step { enter, kind: 0, from: 0, count: 20_000, stride: 1 };
        all(true).run(&mut tree, &mut map);
        assert_eq!(depth(&tree), 3);
        let but_few = Step { stride: 1, from: 100, count: 19_900, ..all(false) };
        but_few.run(&mut tree, &mut map);
        assert_eq!(depth(&tree), 1);
        assert!(tree.range(&KeyRange::all()).eq(&map));
        all(false).run(&mut tree, &mut map);
        assert_eq!(depth(&tree), 0);
        assert!(tree.is_empty());
    }

    #[test]
    fn what_is_looked_at_first_is_small() {
        assert_eq!(size_of::<Row<Entry<u16>>>(), 48 + 16 * WIDTH);
        assert_eq!(size_of::<Row<Box<Node<u16>>>>(), 48 + 16 * WIDTH);
    }
}
