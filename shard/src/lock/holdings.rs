//! One transaction: what it holds, what it waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use synod_common::key::{Key, KeyRange};
use synod_common::time::Timestamp;

use super::mode::{LockTarget, Mode, Ticket};

/// A range that a transaction holds, without its start.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) end: Option<Key>,
    /// Its id in the index of held ranges.
    pub(super) id: u64,
}

/// A transaction's side of the table.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// When it began, for the choice of a victim.
    pub(super) age: Timestamp,
    /// Prepared: can not be a victim.
    pub(super) pinned: bool,
    /// Keys held to read. Not those held to write.
    pub(super) shared: BTreeSet<Key>,
    /// Keys held to write.
    pub(super) exclusive: BTreeSet<Key>,
    /// Ranges held to read, by start. They neither overlap nor touch.
    pub(super) ranges: BTreeMap<Key, Span>,
    /// Requests that wait.
    pub(super) waiting: BTreeSet<Ticket>,
}

impl Holdings {
    /// How many locks.
    pub(super) fn held(&self) -> usize {
        self.shared.len() + self.exclusive.len() + self.ranges.len()
    }

    /// Whether there is no reason to remember it.
    pub(super) fn is_idle(&self) -> bool {
        !self.pinned && self.waiting.is_empty() && self.held() == 0
    }

    /// Whether it holds this already, be it by several locks together.
    pub(super) fn covers(&self, target: &LockTarget, mode: Mode) -> bool {
        match target {
            LockTarget::Key(key) => self.covers_key(key, mode),
            LockTarget::Range(range) => mode == Mode::Shared && self.covers_range(range),
        }
    }

    /// Whether it holds a key at least so strongly.
    pub(super) fn covers_key(&self, key: &[u8], mode: Mode) -> bool {
        self.exclusive.contains(key)
            || mode == Mode::Shared && (self.shared.contains(key) || self.span_at(key).is_some())
    }

    fn covers_range(&self, range: &KeyRange) -> bool {
        range.is_empty()
            || self.span_at(&range.start).is_some_and(|span| match (&span.end, &range.end) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(held), Some(asked)) => held >= asked,
            })
    }

    /// The range held that contains a key.
    fn span_at(&self, key: &[u8]) -> Option<&Span> {
        let (_, span) =
            self.ranges.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        span.end.as_ref().is_none_or(|end| key < end.as_bytes()).then_some(span)
    }

    /// Whether it holds something that conflicts with a request of another.
    pub(super) fn blocks(&self, target: &LockTarget, mode: Mode) -> bool {
        match (target, mode) {
            (LockTarget::Key(key), Mode::Shared) => self.exclusive.contains(key),
            (LockTarget::Key(key), Mode::Exclusive) => self.covers_key(key, Mode::Shared),
            (LockTarget::Range(range), _) => {
                self.exclusive.range::<[u8], _>(bounds(range)).next().is_some()
            }
        }
    }

    /// Takes out the ranges that overlap or touch `range` and widens it by them.
    pub(super) fn absorb(&mut self, range: &mut KeyRange) -> Vec<(Key, u64)> {
        let mut absorbed = Vec::new();
        // From the back: the last range that starts at or before the end.
        while let Some((start, span)) = match &range.end {
            Some(end) => self.ranges.range(..=end.clone()).next_back(),
            None => self.ranges.last_key_value(),
        } {
            if span.end.as_ref().is_some_and(|end| *end < range.start) {
                break;
            }
            let start = start.clone();
            let span = self.ranges.remove(&start).expect("just found");
            match (&span.end, &range.end) {
                (None, _) => range.end = None,
                (Some(held), Some(end)) if held > end => range.end = span.end,
                _ => {}
            }
            range.start = range.start.clone().min(start.clone());
            absorbed.push((start, span.id));
        }
        absorbed
    }

    /// Everything held: keys to read, keys to write, ranges; each in key order.
    pub(super) fn locks(&self) -> impl Iterator<Item = (LockTarget, Mode)> {
        let shared = self.shared.iter().map(|key| (LockTarget::Key(key.clone()), Mode::Shared));
        let exclusive =
            self.exclusive.iter().map(|key| (LockTarget::Key(key.clone()), Mode::Exclusive));
        let ranges = self.ranges.iter().map(|(start, span)| {
            let range = KeyRange { start: start.clone(), end: span.end.clone() };
            (LockTarget::Range(range), Mode::Shared)
        });
        shared.chain(exclusive).chain(ranges)
    }
}

/// The bounds of a range that is not empty, as a tree wants them.
pub(super) fn bounds(range: &KeyRange) -> (Bound<&[u8]>, Bound<&[u8]>) {
    let end = range.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_bytes()));
    (Bound::Included(range.start.as_bytes()), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> KeyRange {
        KeyRange { start: Key::from(start), end: (!end.is_empty()).then(|| Key::from(end)) }
    }

    fn hold(holdings: &mut Holdings, mut range: KeyRange, id: u64) -> usize {
        let absorbed = holdings.absorb(&mut range).len();
        holdings.ranges.insert(range.start, Span { end: range.end, id });
        absorbed
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut holdings = Holdings::default();
        assert_eq!(hold(&mut holdings, range("a", "c"), 1), 0);
        assert_eq!(hold(&mut holdings, range("e", "g"), 2), 0);
        assert!(!holdings.covers(&LockTarget::Range(range("b", "f")), Mode::Shared));
        assert_eq!(hold(&mut holdings, range("c", "e"), 3), 2);
        assert!(holdings.covers(&LockTarget::Range(range("b", "f")), Mode::Shared));
        assert!(holdings.covers_key(b"f", Mode::Shared));
        assert!(!holdings.covers_key(b"g", Mode::Shared));
        assert_eq!(hold(&mut holdings, range("f", ""), 4), 1);
        assert_eq!(hold(&mut holdings, range("x", "y"), 5), 1);
        assert!(holdings.covers(&LockTarget::Range(range("a", "")), Mode::Shared));
        assert_eq!(holdings.held(), 1);
    }
}
