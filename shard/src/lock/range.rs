//! Ranges, to be found by a key that they contain or a range that they overlap.
//!
//! An interval tree (Cormen et al., *Introduction to Algorithms*, §14.3): ordered
//! by start, each subtree knows how far its ranges reach, so a search passes over
//! those that end before the key. Balanced as a treap (Seidel & Aragon 1996)
//! whose priorities are a hash of the ids: no rotations to get wrong, and the
//! same tree on every run. All costs are logarithmic in the number of ranges,
//! plus what is found.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};

use super::mode::{LockTarget, Mode, Modes};

/// A set of ranges, each with an id of its own and an owner.
#[derive(Clone, Debug, Default)]
pub(super) struct RangeIndex {
    root: Tree,
}

type Tree = Option<Box<Node>>;

#[derive(Clone, Debug)]
struct Node {
    range: KeyRange,
    id: u64,
    txn: TxnId,
    priority: u64,
    /// The furthest end in this subtree; none is without end.
    reach: Option<Key>,
    left: Tree,
    right: Tree,
}

impl RangeIndex {
    /// Adds a range. Ids must differ.
    pub(super) fn insert(&mut self, range: KeyRange, id: u64, txn: TxnId) {
        let (left, right) = split(self.root.take(), &range.start, id);
        let reach = range.end.clone();
        let priority = mix(id);
        let node = Node { range, id, txn, priority, reach, left: None, right: None };
        self.root = merge(merge(left, Some(Box::new(node))), right);
    }

    /// Removes the range with this start and id.
    pub(super) fn remove(&mut self, start: &Key, id: u64) {
        let removed = remove(&mut self.root, start, id);
        debug_assert!(removed, "range {start}.. with id {id} is not there");
    }

    /// Visits the ranges that contain a key, by start and id, until told to stop.
    pub(super) fn containing(
        &self,
        key: &[u8],
        visit: &mut dyn FnMut(u64, TxnId) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        containing(&self.root, key, visit)
    }

    /// Visits the ranges that overlap a range that is not empty, likewise.
    pub(super) fn overlapping(
        &self,
        range: &KeyRange,
        visit: &mut dyn FnMut(u64, TxnId) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        overlapping(&self.root, range, visit)
    }
}

/// Ranges apart by mode, so that readers do not pass readers.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    shared: RangeIndex,
    exclusive: RangeIndex,
}

impl Ranges {
    /// Those of one mode.
    pub(super) fn of(&mut self, mode: Mode) -> &mut RangeIndex {
        if mode.is_write() { &mut self.exclusive } else { &mut self.shared }
    }

    /// Visits those of some modes that overlap a target.
    pub(super) fn overlapping(
        &self,
        modes: Modes,
        target: &LockTarget,
        visit: &mut dyn FnMut(u64, TxnId) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let shared = modes.contains(Mode::Shared).then_some(&self.shared);
        let exclusive = modes.contains(Mode::Exclusive).then_some(&self.exclusive);
        for index in shared.into_iter().chain(exclusive) {
            match target {
                LockTarget::Key(key) => index.containing(key, visit)?,
                LockTarget::Range(range) => index.overlapping(range, visit)?,
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether any overlaps a target.
    pub(super) fn any(&self, target: &LockTarget) -> bool {
        self.overlapping(Modes::all(), target, &mut |_, _| ControlFlow::Break(())).is_break()
    }
}

impl Node {
    fn order(&self, start: &Key, id: u64) -> Ordering {
        self.range.start.cmp(start).then(self.id.cmp(&id))
    }

    /// Brings `reach` in step with the children.
    fn update(&mut self) {
        let mut reach = &self.range.end;
        for child in [&self.left, &self.right].into_iter().flatten() {
            if further(&child.reach, reach) {
                reach = &child.reach;
            }
        }
        self.reach = reach.clone();
    }
}

fn further(a: &Option<Key>, b: &Option<Key>) -> bool {
    match (a, b) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(a), Some(b)) => a > b,
    }
}

/// A bijective mix of 64 bits (splitmix64).
fn mix(id: u64) -> u64 {
    let mut x = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Splits into what sorts before and what does not.
fn split(tree: Tree, start: &Key, id: u64) -> (Tree, Tree) {
    let Some(mut node) = tree else { return (None, None) };
    if node.order(start, id).is_lt() {
        let (left, right) = split(node.right.take(), start, id);
        node.right = left;
        node.update();
        (Some(node), right)
    } else {
        let (left, right) = split(node.left.take(), start, id);
        node.left = right;
        node.update();
        (left, Some(node))
    }
}

/// Joins two trees of which the first sorts wholly before the second.
fn merge(left: Tree, right: Tree) -> Tree {
    let (mut left, mut right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        (one, None) | (None, one) => return one,
    };
    if left.priority > right.priority {
        left.right = merge(left.right.take(), Some(right));
        left.update();
        Some(left)
    } else {
        right.left = merge(Some(left), right.left.take());
        right.update();
        Some(right)
    }
}

fn remove(tree: &mut Tree, start: &Key, id: u64) -> bool {
    let Some(node) = tree else { return false };
    let removed = match node.order(start, id) {
        Ordering::Less => remove(&mut node.right, start, id),
        Ordering::Greater => remove(&mut node.left, start, id),
        Ordering::Equal => {
            *tree = merge(node.left.take(), node.right.take());
            return true;
        }
    };
    node.update();
    removed
}

fn containing(
    tree: &Tree,
    key: &[u8],
    visit: &mut dyn FnMut(u64, TxnId) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some(node) = tree else { return ControlFlow::Continue(()) };
    if node.reach.as_ref().is_some_and(|reach| reach.as_bytes() <= key) {
        return ControlFlow::Continue(());
    }
    containing(&node.left, key, visit)?;
    if node.range.start.as_bytes() > key {
        return ControlFlow::Continue(());
    }
    if node.range.contains(key) {
        visit(node.id, node.txn)?;
    }
    containing(&node.right, key, visit)
}

fn overlapping(
    tree: &Tree,
    range: &KeyRange,
    visit: &mut dyn FnMut(u64, TxnId) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some(node) = tree else { return ControlFlow::Continue(()) };
    if node.reach.as_ref().is_some_and(|reach| *reach <= range.start) {
        return ControlFlow::Continue(());
    }
    overlapping(&node.left, range, visit)?;
    if range.end.as_ref().is_some_and(|end| node.range.start >= *end) {
        return ControlFlow::Continue(());
    }
    if node.range.overlaps(range) {
        visit(node.id, node.txn)?;
    }
    overlapping(&node.right, range, visit)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::lock::model::txn;

    fn depth(tree: &Tree) -> usize {
        tree.as_ref().map_or(0, |node| 1 + depth(&node.left).max(depth(&node.right)))
    }

    proptest! {
        #[test]
        fn finds_what_a_list_finds(
            steps in vec((any::<bool>(), 0..20_u8, proptest::option::of(0..20_u8)), 0..60)
        ) {
            let mut index = RangeIndex::default();
            let mut list = BTreeMap::new();
            for (id, (insert, start, end)) in (0..).zip(steps) {
                let end = end.map(|end| Key::from(&[end][..]));
                let asked = KeyRange { start: Key::from(&[start][..]), end };
                if insert || list.is_empty() {
                    index.insert(asked.clone(), id, txn(1));
                    list.insert(id, asked.clone());
                } else {
                    let id = *list.keys().nth(usize::from(start) % list.len()).unwrap();
                    index.remove(&list.remove(&id).unwrap().start, id);
                }
                for key in 0..21_u8 {
                    let mut found = Vec::new();
                    let all = index.containing(&[key], &mut |id, _| {
                        found.push(id);
                        ControlFlow::Continue(())
                    });
                    prop_assert!(all.is_continue());
                    found.sort_unstable();
                    let expected = list.iter().filter(|(_, range)| range.contains(&[key]));
                    prop_assert_eq!(found, expected.map(|(id, _)| *id).collect::<Vec<_>>());
                }
                if !asked.is_empty() {
                    let mut found = Vec::new();
                    let all = index.overlapping(&asked, &mut |id, _| {
                        found.push(id);
                        ControlFlow::Continue(())
                    });
                    prop_assert!(all.is_continue());
                    found.sort_unstable();
                    let expected = list.iter().filter(|(_, other)| asked.overlaps(other));
                    prop_assert_eq!(found, expected.map(|(id, _)| *id).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn ascending_ranges_do_not_make_a_list() {
        let mut index = RangeIndex::default();
        for id in 0..10_000_u64 {
            let start = Key::from(&id.to_be_bytes()[..]);
            index.insert(KeyRange { end: Some(start.successor()), start }, id, txn(1));
        }
        assert!(depth(&index.root) < 50, "{}", depth(&index.root));
    }
}
