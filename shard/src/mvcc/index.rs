//! The index: key to versions, in key order.

use std::collections::BTreeSet;

use synod_common::operation::Operation;
use synod_common::time::Timestamp;

use super::chain::{By, Chain, Content, Version};
use super::name::Name;
use super::tree::Tree;

/// Every committed version of every key of a shard. See the module's essay.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    pub(super) keys: Tree,
    /// Keys with something to drop some day, by the safe point that allows it.
    /// Holds exactly the keys whose chain has a `due`.
    pub(super) due: BTreeSet<(Timestamp, Name)>,
    pub(super) versions: usize,
    pub(super) bytes: usize,
}

/// How much an index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys with at least one version, be it a tombstone.
    pub keys: usize,
    /// Versions, tombstones included.
    pub versions: usize,
    /// Bytes of all keys and of the values and operands of all versions.
    pub bytes: usize,
    /// Keys that wait for the safe point to move on before something is dropped.
    pub unpruned: usize,
}

impl Versions {
    /// An empty index.
    pub fn new() -> Versions {
        Versions::default()
    }

    /// Installs what a commit wrote to a key; no value is a deletion.
    ///
    /// The same version again is a no-op, and a version may arrive below newer
    /// ones: replaying a log over a fuzzy checkpoint does both.
    pub fn install(&mut self, key: &[u8], at: Timestamp, value: Option<&[u8]>) {
        self.add(key, at, Content::Complete(value));
    }

    /// Installs what a commit did to the value of a key. Operands may arrive in
    /// any order; else as [`Versions::install`].
    pub fn operate(&mut self, key: &[u8], at: Timestamp, by: By, operation: Operation<'_>) {
        self.add(key, at, Content::Operand(by, operation));
    }

    pub(super) fn add(&mut self, key: &[u8], at: Timestamp, content: Content<'_>) {
        let due = if let Some(chain) = self.keys.get_mut(key) {
            let before = chain.due();
            if !chain.install(at, content) {
                debug_assert_eq!(chain.find(at, content.rank()), Some(content), "{at}, twice");
                return;
            }
            (before, chain.due())
        } else {
            let chain = Chain::new(at, content);
            let due = chain.due();
            self.bytes += key.len();
            self.keys.insert(Name::from(key), chain);
            (None, due)
        };
        self.versions += 1;
        self.bytes += content.size();
        self.reschedule(key, due.0, due.1);
    }

    /// The newest version of a key.
    pub fn newest(&self, key: &[u8]) -> Option<Version<'_>> {
        self.keys.get(key).map(Chain::newest)
    }

    /// The newest version of a key at or below a timestamp.
    pub fn at(&self, key: &[u8], at: Timestamp) -> Option<Version<'_>> {
        self.keys.get(key)?.at(at)
    }

    /// How long the newest value of a key is, if it has one.
    pub fn newest_len(&self, key: &[u8]) -> Option<usize> {
        self.keys.get(key)?.newest_len()
    }

    /// All versions of a key, oldest first.
    pub fn history(&self, key: &[u8]) -> impl Iterator<Item = Version<'_>> {
        self.keys.get(key).into_iter().flat_map(Chain::iter)
    }

    /// How much it holds, without walking it.
    pub fn stats(&self) -> Stats {
        Stats {
            keys: self.keys.len(),
            versions: self.versions,
            bytes: self.bytes,
            unpruned: self.due.len(),
        }
    }

    /// Keeps the queue of prunable keys in step with a chain that changed.
    pub(super) fn reschedule(
        &mut self,
        key: &[u8],
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) {
        if before == after {
            return;
        }
        let name = Name::from(key);
        let name = if let Some(before) = before {
            let entry = (before, name);
            self.due.remove(&entry);
            entry.1
        } else {
            name
        };
        if let Some(after) = after {
            self.due.insert((after, name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_is_idempotent_and_counts_once() {
        let mut versions = Versions::new();
        for _ in 0..2 {
            versions.install(b"a", Timestamp(7), Some(b"seven"));
            versions.install(b"a", Timestamp(3), None);
        }
        assert_eq!(versions.stats(), Stats { keys: 1, versions: 2, bytes: 6, unpruned: 1 });
        assert_eq!(versions.newest(b"a").map(|v| v.at), Some(Timestamp(7)));
        assert_eq!(
            versions.at(b"a", Timestamp(6)),
            Some(Version { at: Timestamp(3), value: None })
        );
        assert_eq!(versions.at(b"a", Timestamp(2)), None);
        assert_eq!(versions.newest(b"b"), None);
    }

    #[test]
    fn an_empty_value_is_no_tombstone() {
        let mut versions = Versions::new();
        versions.install(b"a", Timestamp(1), Some(b""));
        assert_eq!(versions.newest(b"a").and_then(|v| v.value), Some(b""[..].into()));
        assert_eq!(versions.stats().unpruned, 0);
    }
}
