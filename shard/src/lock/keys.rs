//! All keys that are held or waited for, in order.

use synod_common::key::{Key, KeyRange};

use super::queue::Queue;
use super::tree::Tree;

/// Keys with their queues. Those that are held in a mode which keeps readers
/// away are apart, so that who reads a range does not pass what is read in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    read: Tree<Queue>,
    written: Tree<Queue>,
}

impl Keys {
    /// The queue of a key, with the key that lives as long.
    pub(super) fn get(&self, key: &Key) -> Option<(&Key, &Queue)> {
        self.read.get(key).or_else(|| self.written.get(key))
    }

    /// Changes a key's queue, which is there only while it is of use.
    pub(super) fn change(&mut self, key: &Key, change: impl FnOnce(&mut Queue)) {
        let written = self.written.get(key).is_some();
        let mut moved = None;
        self.tree(written).change(key, |queue| {
            let mut queue = queue.unwrap_or_default();
            change(&mut queue);
            if queue.is_idle() {
                None
            } else if queue.is_written() == written {
                Some(queue)
            } else {
                moved = Some(queue);
                None
            }
        });
        if moved.is_some() {
            self.tree(!written).change(key, |_| moved);
        }
    }

    fn tree(&mut self, written: bool) -> &mut Tree<Queue> {
        if written { &mut self.written } else { &mut self.read }
    }

    /// The queues of the keys in a range that are held so that nobody else may
    /// read.
    pub(super) fn written(&self, range: &KeyRange) -> impl Iterator<Item = (&Key, &Queue)> {
        self.written.range(range)
    }

    /// The queues of all keys in a range, in no order that matters.
    pub(super) fn all(&self, range: &KeyRange) -> impl Iterator<Item = (&Key, &Queue)> {
        self.read.range(range).chain(self.written.range(range))
    }

    /// The first so many keys of a range, and perhaps some more.
    pub(super) fn first(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> impl Iterator<Item = (&Key, &Queue)> {
        self.read.range(range).take(limit).chain(self.written.range(range).take(limit))
    }

    /// Whether nothing is held or waited for.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.read.is_empty() && self.written.is_empty()
    }
}
