//! A key as the index stores it.

use std::borrow::Borrow;
use std::cmp::Ordering;

/// Longest key that is kept inline. With it a name takes 24 bytes, which is what
/// a boxed slice and a tag take anyway.
const INLINE: usize = 22;

/// An owned key, ordered bytewise.
#[derive(Clone, Debug)]
pub(super) enum Name {
    /// Short: the bytes stand in the tree node itself.
    Inline {
        /// How many of the bytes count.
        len: u8,
        /// The bytes, zeros behind them.
        bytes: [u8; INLINE],
    },
    /// Long: the bytes stand in a heap block.
    Heap(Box<[u8]>),
}

impl Name {
    /// The bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Name::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Name::Heap(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Name {
    fn from(key: &[u8]) -> Name {
        if key.len() > INLINE {
            return Name::Heap(key.into());
        }
        let mut bytes = [0; INLINE];
        bytes[..key.len()].copy_from_slice(key);
        Name::Inline { len: key.len() as u8, bytes }
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_and_heap_names_order_alike() {
        assert_eq!(size_of::<Name>(), 24);
        let mut keys: Vec<Vec<u8>> = (0..60).map(|n| vec![b'a'; n]).collect();
        keys.extend((0..60).map(|n| [vec![b'a'; n], vec![0]].concat()));
        keys.push(vec![0xff; 3]);
        for a in &keys {
            for b in &keys {
                assert_eq!(Name::from(&a[..]).cmp(&Name::from(&b[..])), a.cmp(b));
            }
            assert_eq!(Name::from(&a[..]).as_bytes(), &a[..]);
        }
    }
}
