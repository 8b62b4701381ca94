//! The versions of one key.

use synod_common::time::Timestamp;

/// A version, borrowed from the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version<'a> {
    /// The commit that installed it.
    pub at: Timestamp,
    /// Its value; none if the commit deleted the key (a tombstone).
    pub value: Option<&'a [u8]>,
}

/// All versions of one key, at least one, oldest first.
///
/// Two variants and not three (a lone tombstone is a `Stack` of one), because a
/// box has room for one tag value: so a chain takes 24 bytes and not 32.
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "a vector takes 24 bytes, its box 8")]
pub(super) enum Chain {
    /// Exactly one version, and it is no tombstone.
    One(Timestamp, Box<[u8]>),
    /// Anything else: the chains that `gc` cares for.
    Stack(Box<Vec<Stored>>),
}

/// A version as a stack stores it.
#[derive(Debug)]
pub(super) struct Stored {
    at: Timestamp,
    value: Option<Box<[u8]>>,
}

impl Stored {
    fn new(at: Timestamp, value: Option<&[u8]>) -> Stored {
        Stored { at, value: value.map(Box::from) }
    }

    fn view(&self) -> Version<'_> {
        Version { at: self.at, value: self.value.as_deref() }
    }
}

/// What pruning a chain took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Versions.
    pub(super) versions: usize,
    /// Bytes of their values.
    pub(super) bytes: usize,
    /// Whether no version is left: the key itself must go.
    pub(super) emptied: bool,
}

impl Chain {
    /// A chain with one version.
    pub(super) fn new(at: Timestamp, value: Option<&[u8]>) -> Chain {
        match value {
            Some(value) => Chain::One(at, value.into()),
            None => Chain::Stack(Box::new(vec![Stored::new(at, None)])),
        }
    }

    /// How many versions.
    pub(super) fn len(&self) -> usize {
        match self {
            Chain::One(..) => 1,
            Chain::Stack(stack) => stack.len(),
        }
    }

    /// The version at a position, oldest first.
    fn get(&self, index: usize) -> Option<Version<'_>> {
        match self {
            Chain::One(at, value) => {
                (index == 0).then_some(Version { at: *at, value: Some(value) })
            }
            Chain::Stack(stack) => stack.get(index).map(Stored::view),
        }
    }

    /// All versions, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Version<'_>> {
        (0..self.len()).map_while(|index| self.get(index))
    }

    /// The newest version.
    pub(super) fn newest(&self) -> Version<'_> {
        self.get(self.len() - 1).expect("a chain has a version")
    }

    /// The newest version at or below `at`.
    pub(super) fn at(&self, at: Timestamp) -> Option<Version<'_>> {
        match self {
            Chain::One(..) => self.get(0).filter(|version| version.at <= at),
            Chain::Stack(stack) => {
                let above = stack.partition_point(|version| version.at <= at);
                above.checked_sub(1).and_then(|index| self.get(index))
            }
        }
    }

    /// Adds a version where it belongs. False if there is one with this
    /// timestamp: the chain is left as it was.
    pub(super) fn install(&mut self, at: Timestamp, value: Option<&[u8]>) -> bool {
        if self.at(at).is_some_and(|version| version.at == at) {
            return false;
        }
        let stack = match self {
            Chain::Stack(stack) => stack,
            Chain::One(first, bytes) => {
                let first = Stored { at: *first, value: Some(std::mem::take(bytes)) };
                *self = Chain::Stack(Box::new(Vec::with_capacity(2)));
                let Chain::Stack(stack) = self else { unreachable!("just made") };
                stack.push(first);
                stack
            }
        };
        let index = stack.partition_point(|version| version.at < at);
        stack.insert(index, Stored::new(at, value));
        true
    }

    /// The safe point from which on something can be dropped, if ever: the
    /// second version's commit, or that of a tombstone with nothing below.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let oldest = self.get(0)?;
        if oldest.value.is_none() { Some(oldest.at) } else { self.get(1).map(|second| second.at) }
    }

    /// Drops all but the newest of the versions at or below the safe point, and
    /// that one too if it is a tombstone: nothing is left for it to hide.
    pub(super) fn prune(&mut self, safe_point: Timestamp) -> Dropped {
        let Chain::Stack(stack) = self else { return Dropped::default() };
        let seen = stack.partition_point(|version| version.at <= safe_point);
        let Some(newest) = seen.checked_sub(1) else { return Dropped::default() };
        let versions = if stack[newest].value.is_none() { seen } else { newest };
        let bytes = stack.drain(..versions).filter_map(|v| v.value).map(|v| v.len()).sum();
        let emptied = stack.is_empty();
        self.shrink();
        Dropped { versions, bytes, emptied }
    }

    /// Back to the small form where possible; gives back memory of a burst.
    fn shrink(&mut self) {
        let Chain::Stack(stack) = self else { return };
        if let [Stored { at, value: value @ Some(_) }] = &mut stack[..] {
            *self = Chain::One(*at, value.take().unwrap_or_default());
        } else if stack.capacity() > 4 * stack.len() {
            stack.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(chain: &Chain) -> Vec<u64> {
        chain.iter().map(|version| version.at.0).collect()
    }

    #[test]
    fn a_chain_is_as_small_as_promised() {
        assert_eq!(size_of::<Chain>(), 24);
        assert_eq!(size_of::<Stored>(), 24);
    }

    #[test]
    fn versions_are_ordered_however_they_arrive() {
        let mut chain = Chain::new(Timestamp(5), Some(b"five"));
        assert!(chain.install(Timestamp(9), None));
        assert!(chain.install(Timestamp(2), Some(b"two")));
        assert!(!chain.install(Timestamp(5), Some(b"five")));
        assert_eq!(times(&chain), [2, 5, 9]);
        assert_eq!(chain.at(Timestamp(1)), None);
        assert_eq!(chain.at(Timestamp(8)).and_then(|v| v.value), Some(&b"five"[..]));
        assert_eq!(chain.newest(), Version { at: Timestamp(9), value: None });
    }

    #[test]
    fn pruning_keeps_what_the_safe_point_sees() {
        let mut chain = Chain::new(Timestamp(2), Some(b"two"));
        chain.install(Timestamp(5), None);
        chain.install(Timestamp(9), Some(b"nine"));
        assert_eq!(chain.due(), Some(Timestamp(5)));
        assert_eq!(chain.prune(Timestamp(4)), Dropped::default());
        // The tombstone goes together with what it hid.
        assert_eq!(chain.prune(Timestamp(5)), Dropped { versions: 2, bytes: 3, emptied: false });
        assert_eq!(times(&chain), [9]);
        assert_eq!(chain.due(), None);

        let mut gone = Chain::new(Timestamp(3), None);
        assert_eq!(gone.due(), Some(Timestamp(3)));
        assert!(!gone.prune(Timestamp(2)).emptied);
        assert!(gone.prune(Timestamp(3)).emptied);
    }
}
