//! Ordered reads of a range at a timestamp.

use std::borrow::Cow;
use std::ops::Bound;

use synod_common::key::KeyRange;
use synod_common::time::Timestamp;

use super::index::Versions;
use super::tree::Range;

/// Keys and values of a range as a timestamp sees them; deleted keys and those
/// that did not exist yet are skipped. Ascending, or descending if so asked.
#[derive(Debug)]
pub struct Scan<'a> {
    /// None for an empty range, which a tree would refuse.
    keys: Option<Range<'a>>,
    at: Timestamp,
    reverse: bool,
}

impl Versions {
    /// What `range` held at a timestamp.
    pub fn scan(&self, range: &KeyRange, at: Timestamp, reverse: bool) -> Scan<'_> {
        let keys = (!range.is_empty()).then(|| {
            let start = Bound::Included(range.start.as_bytes());
            let end =
                range.end.as_ref().map_or(Bound::Unbounded, |e| Bound::Excluded(e.as_bytes()));
            self.keys.range(start, end)
        });
        Scan { keys, at, reverse }
    }

    /// Whether anything in `range` has a version above a timestamp; tombstones count.
    pub fn has_changed(&self, range: &KeyRange, since: Timestamp) -> bool {
        let keys = self.scan(range, Timestamp::MAX, false).keys;
        keys.into_iter().flatten().any(|(_, chain)| chain.newest().at > since)
    }

    /// What `range` holds now.
    pub fn newest_scan(&self, range: &KeyRange, reverse: bool) -> Scan<'_> {
        self.scan(range, Timestamp::MAX, reverse)
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = (&'a [u8], Cow<'a, [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let keys = self.keys.as_mut()?;
        loop {
            let (name, chain) = if self.reverse { keys.next_back() } else { keys.next() }?;
            if let Some(value) = chain.at(self.at).and_then(|version| version.value) {
                return Some((name.as_bytes(), value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use synod_common::key::Key;

    use super::*;

    #[test]
    fn scans_skip_what_the_timestamp_does_not_see() {
        let mut versions = Versions::new();
        versions.install(b"a", Timestamp(1), Some(b"1"));
        versions.install(b"b", Timestamp(2), Some(b"2"));
        versions.install(b"c", Timestamp(3), Some(b"3"));
        versions.install(b"b", Timestamp(4), None);
        let keys = |at, reverse| -> Vec<&[u8]> {
            versions.scan(&KeyRange::all(), Timestamp(at), reverse).map(|(key, _)| key).collect()
        };
        assert_eq!(keys(3, false), [b"a", b"b", b"c"]);
        assert_eq!(keys(4, true), [b"c", b"a"]);
        assert_eq!(keys(0, false).len(), 0);
        let none = KeyRange { start: Key::from("b"), end: Some(Key::from("a")) };
        assert_eq!(versions.newest_scan(&none, false).next(), None);
    }
}
