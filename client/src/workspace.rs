//! The workspace: what a transaction has written, until it commits.
//!
//! A plain value: it is cloned to remember how it was. Writing checks the limits,
//! so that a workspace can always be sent; a refused write leaves it as it was.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::{Bytes, BytesMut};
use synod_common::id::{Incarnation, ShardId};
use synod_common::key::{Key, KeyRange};
use synod_common::limits::{self, Limit};
use synod_common::message::bulk::WriteSet;
use synod_common::message::client::Part;
use synod_common::route::Router;

/// Writes that nobody else has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workspace {
    writes: BTreeMap<Key, Option<Bytes>>,
    /// What they take in a COMMIT.
    bytes: usize,
}

impl Workspace {
    /// Puts a value, or deletes the key if there is none.
    ///
    /// # Errors
    /// If a limit would be passed.
    pub(crate) fn write(&mut self, key: Key, value: Option<Bytes>) -> Result<(), Limit> {
        limits::check_key(&key)?;
        limits::check_value(value.as_deref().unwrap_or_default())?;
        let before = self.writes.get(&key).map(|old| size(&key, old));
        let total = self.bytes - before.unwrap_or(0) + size(&key, &value);
        if total > limits::TXN_BYTES {
            return Err(Limit::TxnBytes);
        }
        if before.is_none() && self.writes.len() >= limits::TXN_KEYS {
            return Err(Limit::TxnKeys);
        }
        self.bytes = total;
        self.writes.insert(key, value);
        Ok(())
    }

    /// What a read of the key finds here, if it was written: a value or none.
    pub(crate) fn written(&self, key: &Key) -> Option<Option<Bytes>> {
        self.writes.get(key).cloned()
    }

    /// The writes in a range.
    pub(crate) fn within(&self, range: &KeyRange) -> BTreeMap<Key, Option<Bytes>> {
        let from = (Bound::Included(range.start.as_bytes()), Bound::Unbounded);
        let from = self.writes.range::<[u8], _>(from);
        from.take_while(|(key, _)| range.contains(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The shards that take part, with their writes one behind another: those
    /// that gave an incarnation, and those that are written to.
    ///
    /// # Errors
    /// If the writes of one shard have no length that fits.
    pub(crate) fn parts(
        &self,
        router: &Router,
        used: &BTreeMap<ShardId, Option<Incarnation>>,
    ) -> Result<(Vec<Part>, Bytes), Limit> {
        let mut by_shard: BTreeMap<ShardId, WriteSet> = BTreeMap::new();
        for (shard, incarnation) in used {
            if incarnation.is_some() {
                by_shard.entry(*shard).or_default();
            }
        }
        for (key, value) in &self.writes {
            by_shard.entry(router.shard_of(key)).or_default().push(key, value.as_deref());
        }
        let mut parts = Vec::with_capacity(by_shard.len());
        let mut writes = BytesMut::new();
        for (shard, set) in by_shard {
            let incarnation = used.get(&shard).copied().flatten();
            let bytes = set.finish();
            let write_bytes = u32::try_from(bytes.len()).map_err(|_| Limit::TxnBytes)?;
            parts.push(Part { shard, incarnation, write_bytes });
            writes.extend_from_slice(&bytes);
        }
        Ok((parts, writes.freeze()))
    }
}

/// What a write takes in a COMMIT: both lengths, the key, the value.
fn size(key: &Key, value: &Option<Bytes>) -> usize {
    key.len() + value.as_ref().map_or(0, Bytes::len) + 8
}

#[cfg(test)]
mod tests {
    use synod_common::route::{Partition, Placement, ShardAddress};

    use super::*;

    fn value(len: usize) -> Option<Bytes> {
        Some(vec![7; len].into())
    }

    #[test]
    fn a_write_replaces_the_one_before() {
        let mut workspace = Workspace::default();
        workspace.write("k".into(), value(100)).unwrap();
        assert_eq!(workspace.bytes, 1 + 100 + 8);
        workspace.write("k".into(), None).unwrap();
        assert_eq!(workspace.bytes, 1 + 8);
        assert_eq!(workspace.written(&"k".into()), Some(None));
        assert_eq!(workspace.written(&"other".into()), None);
    }

    #[test]
    fn what_passes_a_limit_changes_nothing() {
        let mut workspace = Workspace::default();
        for n in 0..15_u8 {
            workspace.write(vec![n + 1].into(), value(limits::VALUE_BYTES)).unwrap();
        }
        let before = workspace.clone();
        let left = limits::TXN_BYTES - workspace.bytes - 8 - 1;
        assert!(left < limits::VALUE_BYTES);
        assert_eq!(workspace.write("k".into(), value(left + 1)), Err(Limit::TxnBytes));
        assert_eq!(
            workspace.write("k".into(), value(limits::VALUE_BYTES + 1)),
            Err(Limit::ValueBytes)
        );
        assert_eq!(workspace.write("".into(), None), Err(Limit::KeyBytes));
        assert_eq!(workspace, before);
        workspace.write("k".into(), value(left)).unwrap();
        assert_eq!(workspace.bytes, limits::TXN_BYTES);
        // Making room lets others in.
        workspace.write("k".into(), value(left - 9)).unwrap();
        workspace.write("l".into(), value(0)).unwrap();
    }

    #[test]
    fn the_number_of_keys_has_a_limit() {
        let mut workspace = Workspace::default();
        for n in 0..limits::TXN_KEYS {
            workspace.write(format!("{n}").as_bytes().into(), None).unwrap();
        }
        assert_eq!(workspace.write("new".into(), None), Err(Limit::TxnKeys));
        workspace.write("7".into(), value(1)).unwrap();
    }

    #[test]
    fn a_range_holds_its_start_and_not_its_end() {
        let mut workspace = Workspace::default();
        for key in ["a", "b", "c"] {
            workspace.write(key.into(), value(1)).unwrap();
        }
        let range = KeyRange { start: "a".into(), end: Some("c".into()) };
        let keys: Vec<Key> = workspace.within(&range).into_keys().collect();
        assert_eq!(keys, [Key::from("a"), Key::from("b")]);
    }

    #[test]
    fn parts_name_who_was_read_or_is_written_to() {
        let shard = |n: u16| ShardAddress { id: ShardId(n), address: String::new() };
        let partition = Partition::Range(vec![Key::from("h"), Key::from("p")]);
        let placement =
            Placement { epoch: 1, partition, shards: vec![shard(1), shard(2), shard(3)] };
        let router = Router::new(placement).unwrap();
        let mut workspace = Workspace::default();
        workspace.write("i".into(), value(2)).unwrap();
        workspace.write("z".into(), None).unwrap();
        // The answer of 1 came, that of 3 did not.
        let used = BTreeMap::from([(ShardId(1), Some(Incarnation(5))), (ShardId(3), None)]);
        let (parts, writes) = workspace.parts(&router, &used).unwrap();
        let part = |shard, incarnation, write_bytes| Part { shard, incarnation, write_bytes };
        assert_eq!(
            parts,
            [
                part(ShardId(1), Some(Incarnation(5)), 0),
                part(ShardId(2), None, 11),
                part(ShardId(3), None, 9),
            ]
        );
        assert_eq!(writes.len(), workspace.bytes);
        assert_eq!(WriteSet::read(&writes).count(), 2);
    }
}
