//! Dropping what no read can see any more.
//!
//! No read happens below the safe point. So of each key's versions at or below
//! it only the newest is kept, and if that is a tombstone, not even that: once
//! nothing older is left, an absent key and a deleted one read alike. An operand
//! that is kept becomes the value that it made.
//!
//! A key has nothing to drop unless it has two versions, a tombstone or an
//! operand, and even then not before the safe point reaches a certain timestamp,
//! its `due`. The index keeps such keys in a set ordered by it. So pruning needs
//! no cursor and walks nothing in vain: each key it takes up gives at least one
//! version back or becomes smaller, and a key that cannot be pruned yet costs
//! nothing, however often it is called.

use synod_common::time::Timestamp;

use super::index::Versions;

impl Versions {
    /// Prunes up to `budget` keys. True once nothing is left to drop at this
    /// safe point; else call again.
    pub fn prune(&mut self, safe_point: Timestamp, budget: usize) -> bool {
        for _ in 0..budget {
            if self.pruned(safe_point) {
                return true;
            }
            let Some((_, name)) = self.due.pop_first() else { return true };
            let chain =
                self.keys.get_mut(name.as_bytes()).expect("a key that is due is in the index");
            let dropped = chain.prune(safe_point);
            let due = chain.due();
            self.versions -= dropped.versions;
            self.bytes -= dropped.bytes;
            if dropped.emptied {
                self.bytes -= name.as_bytes().len();
                self.keys.remove(name.as_bytes());
            } else if let Some(due) = due {
                self.due.insert((due, name));
            }
        }
        self.pruned(safe_point)
    }

    /// Whether nothing can be dropped at this safe point.
    fn pruned(&self, safe_point: Timestamp) -> bool {
        self.due.first().is_none_or(|(due, _)| *due > safe_point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mvcc::Stats;

    #[test]
    fn pruning_goes_in_steps_and_ends() {
        let mut versions = Versions::new();
        for key in [b"a", b"b", b"c"] {
            versions.install(key, Timestamp(1), Some(b"old"));
            versions.install(key, Timestamp(5), Some(b"new"));
        }
        versions.install(b"c", Timestamp(6), None);
        assert!(versions.prune(Timestamp(4), 1), "nothing is due yet");
        assert!(!versions.prune(Timestamp(5), 2));
        assert!(versions.prune(Timestamp(5), 2));
        assert_eq!(versions.stats(), Stats { keys: 3, versions: 4, bytes: 12, unpruned: 1 });
        assert!(versions.prune(Timestamp(6), 1));
        assert_eq!(versions.stats(), Stats { keys: 2, versions: 2, bytes: 8, unpruned: 0 });
        assert_eq!(versions.newest(b"c"), None);
    }

    #[test]
    fn a_tombstone_stays_while_it_hides_something() {
        let mut versions = Versions::new();
        versions.install(b"a", Timestamp(1), Some(b"1"));
        versions.install(b"a", Timestamp(9), None);
        assert!(versions.prune(Timestamp(8), 9));
        assert_eq!(versions.at(b"a", Timestamp(8)).and_then(|v| v.value), Some(b"1"[..].into()));
        assert_eq!(versions.newest(b"a").and_then(|v| v.value), None);
    }
}
