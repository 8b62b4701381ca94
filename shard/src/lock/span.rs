//! The ranges that one transaction holds in one mode.

use std::collections::BTreeMap;
use std::ops::Bound;

use synod_common::key::{Key, KeyRange};

/// A range that is held, without its start.
#[derive(Clone, Debug)]
struct Span {
    end: Option<Key>,
    /// Its id in the index of held ranges.
    id: u64,
}

/// Ranges by start. They neither overlap nor touch.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(BTreeMap<Key, Span>);

/// What it means to take a range out of others.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// What goes, by start and id.
    pub(super) gone: Vec<(Key, u64)>,
    /// What of that stays, left and right of the hole.
    pub(super) left: Vec<KeyRange>,
    /// What of that lay within.
    pub(super) taken: Vec<KeyRange>,
}

impl Spans {
    pub(super) const fn new() -> Spans {
        Spans(BTreeMap::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (KeyRange, u64)> {
        self.0.iter().map(|(start, span)| (range(start, &span.end), span.id))
    }

    /// Whether a key lies within one.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.at(key).is_some()
    }

    /// Where the range ends that contains a key, if one does.
    pub(super) fn end_at(&self, key: &[u8]) -> Option<&Option<Key>> {
        self.at(key).map(|span| &span.end)
    }

    fn at(&self, key: &[u8]) -> Option<&Span> {
        let (_, span) =
            self.0.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        span.end.as_ref().is_none_or(|end| key < end.as_bytes()).then_some(span)
    }

    /// Whether any overlaps a range that is not empty.
    pub(super) fn overlap(&self, range: &KeyRange) -> bool {
        self.contains(&range.start) || self.0.range::<[u8], _>(bounds(range)).next().is_some()
    }

    /// Enters a range that [`Spans::absorb`] has widened.
    pub(super) fn insert(&mut self, range: KeyRange, id: u64) {
        self.0.insert(range.start, Span { end: range.end, id });
    }

    pub(super) fn remove(&mut self, start: &Key) {
        self.0.remove(start);
    }

    /// Takes out the ranges that overlap or touch `range` and widens it by them.
    pub(super) fn absorb(&mut self, range: &mut KeyRange) -> Vec<(Key, u64)> {
        let mut absorbed = Vec::new();
        // From the back: the last range that starts at or before the end.
        while let Some((start, span)) = match &range.end {
            Some(end) => self.0.range(..=end.clone()).next_back(),
            None => self.0.last_key_value(),
        } {
            if span.end.as_ref().is_some_and(|end| *end < range.start) {
                break;
            }
            let start = start.clone();
            let span = self.0.remove(&start).expect("just found");
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

    /// What taking a range out would do.
    pub(super) fn cut(&self, hole: &KeyRange) -> Cut {
        let mut cut = Cut::default();
        let before = (Bound::Unbounded, Bound::Included(hole.start.as_bytes()));
        let first = self.0.range::<[u8], _>(before).next_back();
        let first = first.map_or(&hole.start, |(start, _)| start);
        for (start, span) in self.0.range(first.clone()..) {
            if hole.end.as_ref().is_some_and(|end| start >= end) {
                break;
            }
            let held = range(start, &span.end);
            if !held.overlaps(hole) {
                continue;
            }
            cut.gone.push((start.clone(), span.id));
            let mut inside = held.clone();
            if *start < hole.start {
                cut.left.push(range(start, &Some(hole.start.clone())));
                inside.start = hole.start.clone();
            }
            if let Some(end) = &hole.end
                && held.end.as_ref().is_none_or(|held| held > end)
            {
                cut.left.push(range(end, &held.end));
                inside.end = Some(end.clone());
            }
            cut.taken.push(inside);
        }
        cut
    }
}

fn range(start: &Key, end: &Option<Key>) -> KeyRange {
    KeyRange { start: start.clone(), end: end.clone() }
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

    fn hold(spans: &mut Spans, mut range: KeyRange, id: u64) -> usize {
        let absorbed = spans.absorb(&mut range).len();
        spans.insert(range, id);
        absorbed
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut spans = Spans::default();
        assert_eq!(hold(&mut spans, range("a", "c"), 1), 0);
        assert_eq!(hold(&mut spans, range("e", "g"), 2), 0);
        assert!(!spans.contains(b"d"));
        assert_eq!(hold(&mut spans, range("c", "e"), 3), 2);
        assert_eq!(spans.end_at(b"b"), Some(&Some(Key::from("g"))));
        assert!(spans.contains(b"f") && !spans.contains(b"g"));
        assert_eq!(hold(&mut spans, range("f", ""), 4), 1);
        assert_eq!(hold(&mut spans, range("x", "y"), 5), 1);
        assert_eq!(spans.end_at(b"a"), Some(&None));
        assert_eq!(spans.len(), 1);
    }

    #[test]
    fn a_hole_leaves_both_sides() {
        let mut spans = Spans::default();
        hold(&mut spans, range("a", "e"), 1);
        hold(&mut spans, range("f", "h"), 2);
        hold(&mut spans, range("k", ""), 3);
        let cut = spans.cut(&range("b", "c"));
        assert_eq!(cut.left, [range("a", "b"), range("c", "e")]);
        assert_eq!(cut.taken, [range("b", "c")]);
        let cut = spans.cut(&range("d", "m"));
        assert_eq!(cut.left, [range("a", "d"), range("m", "")]);
        assert_eq!(cut.taken, [range("d", "e"), range("f", "h"), range("k", "m")]);
        assert_eq!(cut.gone.len(), 3);
        assert!(spans.cut(&range("e", "f")).gone.is_empty());
    }
}
