//! The workspace: what a transaction has written, until it commits.
//!
//! A plain value: it is cloned to remember how it was. Writing checks the limits,
//! so that a workspace can always be sent; a refused write leaves it as it was.
//!
//! Operations wait here in their order. Those on a key that was written before
//! are done at once, as its value is known; the others are for the shard to do.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::{Bytes, BytesMut};
use synod_common::error::Reason;
use synod_common::id::{Incarnation, ShardId};
use synod_common::key::{Key, KeyRange};
use synod_common::limits::{self, Limit};
use synod_common::message::bulk::{Write, WriteSet};
use synod_common::message::client::Part;
use synod_common::operation::{self, IntegerOp, Operation};
use synod_common::route::Router;

use crate::Error;

/// Writes that nobody else has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workspace {
    writes: BTreeMap<Key, Written>,
    /// What they take in a COMMIT.
    bytes: usize,
}

/// What was written to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A value, or none if the key was deleted.
    Value(Option<Bytes>),
    /// What is to be done to the value that is there, one after another.
    Operations(Vec<Operand>),
}

/// An operation with its operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// On an integer cell.
    Integer(IntegerOp),
    /// Of bytes.
    Append(Vec<u8>),
}

impl Workspace {
    /// Puts a value, or deletes the key if there is none.
    ///
    /// # Errors
    /// If a limit would be passed.
    pub(crate) fn write(&mut self, key: Key, value: Option<Bytes>) -> Result<(), Limit> {
        limits::check_key(&key)?;
        limits::check_value(value.as_deref().unwrap_or_default())?;
        self.set(key, Written::Value(value))
    }

    /// Does something to the value of a key.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if a limit would be passed, [`Error::Misuse`] for an
    /// integer operation on a value that was written and is no integer cell.
    pub(crate) fn operate(&mut self, key: Key, operand: Operand) -> Result<(), Error> {
        limits::check_key(&key)?;
        limits::check_value(operand.appended())?;
        let written = match self.writes.get_mut(&key) {
            Some(Written::Operations(list)) => {
                let merges = list.last().is_some_and(|last| last.takes(&operand));
                let more =
                    if merges { operand.appended().len() } else { size_of_one(&key, &operand) };
                let before = list.iter().map(|operand| operand.appended().len()).sum::<usize>();
                if before + operand.appended().len() > limits::VALUE_BYTES {
                    return Err(Error::TooLarge(Limit::ValueBytes));
                }
                if self.bytes + more > limits::TXN_BYTES {
                    return Err(Error::TooLarge(Limit::TxnBytes));
                }
                self.bytes += more;
                match list.last_mut() {
                    Some(last) if merges => last.take(&operand),
                    Some(_) | None => list.push(operand),
                }
                return Ok(());
            }
            Some(Written::Value(value)) => Written::Value(Some(operand.on(&key, value.clone())?)),
            None => Written::Operations(vec![operand]),
        };
        Ok(self.set(key, written)?)
    }

    fn set(&mut self, key: Key, written: Written) -> Result<(), Limit> {
        let before = self.writes.get(&key).map(|old| size(&key, old));
        let total = self.bytes - before.unwrap_or(0) + size(&key, &written);
        if total > limits::TXN_BYTES {
            return Err(Limit::TxnBytes);
        }
        if before.is_none() && self.writes.len() >= limits::TXN_KEYS {
            return Err(Limit::TxnKeys);
        }
        self.bytes = total;
        self.writes.insert(key, written);
        Ok(())
    }

    /// What was written to the key, if something was.
    pub(crate) fn written(&self, key: &Key) -> Option<Written> {
        self.writes.get(key).cloned()
    }

    /// The writes in a range.
    pub(crate) fn within(&self, range: &KeyRange) -> BTreeMap<Key, Written> {
        let from = (Bound::Included(range.start.as_bytes()), Bound::Unbounded);
        let from = self.writes.range::<[u8], _>(from);
        from.take_while(|(key, _)| range.contains(key))
            .map(|(key, written)| (key.clone(), written.clone()))
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
        for (key, written) in &self.writes {
            let set = by_shard.entry(router.shard_of(key)).or_default();
            match written {
                Written::Value(value) => set.push(key, value.as_deref()),
                Written::Operations(list) => list
                    .iter()
                    .for_each(|operand| set.push(key, Write::Operate(operand.operation()))),
            }
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

impl Written {
    /// What a read finds, if `below` is what the shard holds.
    ///
    /// # Errors
    /// [`Error::Misuse`] for an integer operation on what is no integer cell.
    pub(crate) fn on(self, key: &Key, below: Option<Bytes>) -> Result<Option<Bytes>, Error> {
        match self {
            Written::Value(value) => Ok(value),
            Written::Operations(list) => {
                let mut value = below;
                for operand in list {
                    value = Some(operand.on(key, value)?);
                }
                Ok(value)
            }
        }
    }
}

impl Operand {
    fn operation(&self) -> Operation<'_> {
        match self {
            Operand::Integer(op) => Operation::Integer(*op),
            Operand::Append(bytes) => Operation::Append(bytes),
        }
    }

    fn appended(&self) -> &[u8] {
        match self {
            Operand::Integer(_) => &[],
            Operand::Append(bytes) => bytes,
        }
    }

    /// What it makes of a value.
    fn on(&self, key: &Key, value: Option<Bytes>) -> Result<Bytes, Error> {
        match self {
            Operand::Integer(op) => {
                let cell = value.map(|value| number(key, &value)).transpose()?;
                Ok(Bytes::copy_from_slice(&operation::cell(op.apply(cell))))
            }
            Operand::Append(bytes) => {
                let mut value = BytesMut::from(value.unwrap_or_default());
                value.extend_from_slice(bytes);
                limits::check_value(&value)?;
                Ok(value.freeze())
            }
        }
    }

    /// Whether both can be done in one.
    fn takes(&self, next: &Operand) -> bool {
        match (self, next) {
            (Operand::Integer(one), Operand::Integer(next)) => one.then(*next).is_some(),
            (Operand::Append(_), Operand::Append(_)) => true,
            (Operand::Integer(_), Operand::Append(_))
            | (Operand::Append(_), Operand::Integer(_)) => false,
        }
    }

    /// Becomes both in one, if it takes the other.
    fn take(&mut self, next: &Operand) {
        match (self, next) {
            (Operand::Integer(one), Operand::Integer(next)) => {
                *one = one.then(*next).expect("only what it takes");
            }
            (Operand::Append(bytes), Operand::Append(more)) => bytes.extend_from_slice(more),
            (Operand::Integer(_), Operand::Append(_))
            | (Operand::Append(_), Operand::Integer(_)) => panic!("only what it takes"),
        }
    }
}

/// The number in an integer cell.
///
/// # Errors
/// [`Error::Misuse`] if it is none; names the key.
pub(crate) fn number(key: &Key, value: &[u8]) -> Result<i64, Error> {
    operation::number(value)
        .ok_or_else(|| Error::from_reason(Reason::NotAnInteger(key.clone()), None))
}

/// What a write takes in a COMMIT: both lengths, the key, the value.
fn size(key: &Key, written: &Written) -> usize {
    match written {
        Written::Value(value) => key.len() + value.as_ref().map_or(0, Bytes::len) + 8,
        Written::Operations(list) => list.iter().map(|operand| size_of_one(key, operand)).sum(),
    }
}

fn size_of_one(key: &Key, operand: &Operand) -> usize {
    operand.operation().encode(|_, operand| key.len() + operand.len() + 8)
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
        assert_eq!(workspace.written(&"k".into()), Some(Written::Value(None)));
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

    fn add(n: i64) -> Operand {
        Operand::Integer(IntegerOp::Add(n))
    }

    fn min(n: i64) -> Operand {
        Operand::Integer(IntegerOp::Min(n))
    }

    fn append(bytes: &[u8]) -> Operand {
        Operand::Append(bytes.to_vec())
    }

    fn cell(n: i64) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(&operation::cell(n)))
    }

    #[test]
    fn operations_of_one_kind_become_one_and_others_keep_their_order() {
        let key = Key::from("k");
        let mut workspace = Workspace::default();
        for operand in [add(1), add(2), min(5), min(4), add(-1)] {
            workspace.operate(key.clone(), operand).unwrap();
        }
        let written = workspace.written(&key).unwrap();
        assert_eq!(written, Written::Operations(vec![add(3), min(4), add(-1)]));
        assert_eq!(written.clone().on(&key, cell(100)), Ok(cell(3)));
        assert_eq!(written.clone().on(&key, None), Ok(cell(2)));
        assert!(
            matches!(written.on(&key, value(3)), Err(Error::Misuse(why)) if why.contains("key k"))
        );
        assert_eq!(workspace.bytes, 3 * (1 + 8 + 8));
    }

    #[test]
    fn what_is_known_is_done_at_once() {
        let key = Key::from("k");
        let mut workspace = Workspace::default();
        workspace.write(key.clone(), Some(Bytes::from_static(b"ab"))).unwrap();
        workspace.operate(key.clone(), append(b"c")).unwrap();
        let abc = Written::Value(Some(Bytes::from_static(b"abc")));
        assert_eq!(workspace.written(&key), Some(abc.clone()));
        assert!(matches!(workspace.operate(key.clone(), add(1)), Err(Error::Misuse(_))));
        assert_eq!(workspace.written(&key), Some(abc));
        workspace.write(key.clone(), None).unwrap();
        workspace.operate(key.clone(), add(7)).unwrap();
        assert_eq!(workspace.written(&key), Some(Written::Value(cell(7))));
        // A put takes the place of operations.
        workspace.operate("l".into(), add(7)).unwrap();
        workspace.write("l".into(), None).unwrap();
        assert_eq!(workspace.written(&"l".into()), Some(Written::Value(None)));
    }

    #[test]
    fn operations_that_pass_a_limit_change_nothing() {
        let key = Key::from("k");
        let mut workspace = Workspace::default();
        let most = append(&vec![0; limits::VALUE_BYTES]);
        workspace.operate(key.clone(), most.clone()).unwrap();
        let before = workspace.clone();
        let too_large = |limit| Err(Error::TooLarge(limit));
        assert_eq!(workspace.operate(key, append(b"x")), too_large(Limit::ValueBytes));
        workspace.write("v".into(), value(limits::VALUE_BYTES)).unwrap();
        assert_eq!(workspace.operate("v".into(), append(b"x")), too_large(Limit::ValueBytes));
        workspace.writes.remove(&Key::from("v"));
        workspace.bytes = before.bytes;
        assert_eq!(workspace, before);
        for n in 0..14_u8 {
            workspace.operate(vec![n + 1].into(), most.clone()).unwrap();
        }
        let left = limits::TXN_BYTES - workspace.bytes - 1 - 8;
        workspace.operate("l".into(), append(&vec![0; left])).unwrap();
        assert_eq!(workspace.bytes, limits::TXN_BYTES);
        let before = workspace.clone();
        assert_eq!(workspace.operate("l".into(), append(b"x")), too_large(Limit::TxnBytes));
        assert_eq!(workspace.operate("m".into(), add(1)), too_large(Limit::TxnBytes));
        assert_eq!(workspace, before);
    }

    #[test]
    fn what_is_sent_takes_as_much_as_was_counted() {
        let placement = Placement {
            epoch: 1,
            partition: Partition::Hash,
            shards: vec![ShardAddress { id: ShardId(1), address: String::new() }],
        };
        let router = Router::new(placement).unwrap();
        let mut workspace = Workspace::default();
        for operand in [add(1), min(2), append(b"three"), append(b"four"), add(5)] {
            workspace.operate("key".into(), operand).unwrap();
        }
        let (_, writes) = workspace.parts(&router, &BTreeMap::new()).unwrap();
        assert_eq!(writes.len(), workspace.bytes);
        assert_eq!(WriteSet::read(&writes).count(), 4);
    }
}
