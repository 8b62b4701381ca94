//! Ranges of keys, from what programs write: `"a".."b"`, `"a"..`, `..`.

use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo};

use synod_common::key::{Key, KeyRange};

use crate::AsKey;

/// Whatever can be a range of keys.
pub trait AsRange {
    /// The range.
    fn into_range(self) -> KeyRange;
}

impl AsRange for KeyRange {
    fn into_range(self) -> KeyRange {
        self
    }
}

impl<K: AsKey> AsRange for Range<K> {
    fn into_range(self) -> KeyRange {
        KeyRange { start: self.start.as_key(), end: Some(self.end.as_key()) }
    }
}

impl<K: AsKey> AsRange for RangeInclusive<K> {
    fn into_range(self) -> KeyRange {
        KeyRange { start: self.start().as_key(), end: Some(self.end().as_key().successor()) }
    }
}

impl<K: AsKey> AsRange for RangeFrom<K> {
    fn into_range(self) -> KeyRange {
        KeyRange { start: self.start.as_key(), end: None }
    }
}

impl<K: AsKey> AsRange for RangeTo<K> {
    fn into_range(self) -> KeyRange {
        KeyRange { end: Some(self.end.as_key()), ..KeyRange::all() }
    }
}

impl AsRange for RangeFull {
    fn into_range(self) -> KeyRange {
        KeyRange::all()
    }
}

/// All keys that begin with these bytes.
pub fn prefix(start: impl AsKey) -> KeyRange {
    let start = start.as_key();
    let mut end = start.to_vec();
    // The first key behind: the last byte that can grow, grown by one.
    while end.pop_if(|byte| *byte == 0xff).is_some() {}
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    KeyRange { end: (!end.is_empty()).then(|| Key::from(end)), start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_behind_its_last_key() {
        assert_eq!(prefix("ab").to_string(), "ab..ac");
        assert_eq!(prefix(&[b'a', 0xff][..]).to_string(), "a\\xff..b");
        assert_eq!(prefix(&[0xff, 0xff][..]).end, None);
        assert_eq!(prefix(""), KeyRange::all());
    }
}
