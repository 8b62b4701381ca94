//! The versions of one key.
//!
//! A version is *complete*, a value or a tombstone, or an *operand*: what a
//! transaction did to whatever lies below. They stand in the order of their
//! timestamps, operands of one timestamp in the order of their transactions. A
//! complete version stands above the operands of its timestamp: it holds them.

use std::borrow::Cow;
use std::collections::VecDeque;

use synod_common::id::TxnId;
use synod_common::operation::{self, IntegerOp, Operation};
use synod_common::time::Timestamp;

/// A version as it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version<'a> {
    /// The commit that installed it.
    pub at: Timestamp,
    /// Its value; none if the commit deleted the key (a tombstone).
    pub value: Option<Cow<'a, [u8]>>,
}

/// Whose operation, and which of his on this shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct By {
    /// The transaction.
    pub txn: TxnId,
    /// Its place among the writes of the transaction.
    pub step: u32,
}

/// What a commit installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// A value, or none: a tombstone.
    Complete(Option<&'a [u8]>),
    /// An operation.
    Operand(By, Operation<'a>),
}

/// The place of a version among those of its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Operand(By),
    Complete,
}

impl Content<'_> {
    pub(super) fn rank(&self) -> Rank {
        match self {
            Content::Complete(_) => Rank::Complete,
            Content::Operand(by, _) => Rank::Operand(*by),
        }
    }

    /// Bytes of its value or operand.
    pub(super) fn size(&self) -> usize {
        match self {
            Content::Complete(value) => value.map_or(0, <[u8]>::len),
            Content::Operand(_, Operation::Integer(_)) => size_of::<i64>(),
            Content::Operand(_, Operation::Append(bytes)) => bytes.len(),
        }
    }
}

/// All versions of one key, at least one, oldest first.
///
/// Two variants and not three (a lone tombstone is a `Stack` of one), because a
/// box has room for one tag value: so a chain takes 24 bytes and not 32.
#[derive(Clone, Debug)]
#[expect(clippy::box_collection, reason = "a queue takes 32 bytes, its box 8")]
pub(super) enum Chain {
    /// Exactly one version, and it is a value.
    One(Timestamp, Box<[u8]>),
    /// Anything else: the chains that `gc` cares for. Versions come at the end or
    /// close to it, and go at the front.
    Stack(Box<VecDeque<Stored>>),
}

/// A version as a stack stores it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    at: Timestamp,
    entry: Entry,
}

/// Two variants for the same reason: 16 bytes and not 24.
#[derive(Clone, Debug)]
enum Entry {
    Value(Box<[u8]>),
    /// A tombstone if there is none.
    Operand(Option<Box<Operand>>),
}

#[derive(Clone, Debug)]
struct Operand {
    by: By,
    effect: Effect,
}

#[derive(Clone, Debug)]
enum Effect {
    /// With what has become of the cell, so that a read need not go back.
    Integer { op: IntegerOp, cell: [u8; 8] },
    /// With how long the value has become. The value itself is put together when
    /// it is read.
    Append { bytes: Box<[u8]>, total: usize },
}

impl Stored {
    fn new(at: Timestamp, content: Content<'_>) -> Stored {
        let entry = match content {
            Content::Complete(Some(value)) => Entry::Value(value.into()),
            Content::Complete(None) => Entry::Operand(None),
            Content::Operand(by, Operation::Integer(op)) => {
                let effect = Effect::Integer { op, cell: [0; 8] };
                Entry::Operand(Some(Box::new(Operand { by, effect })))
            }
            Content::Operand(by, Operation::Append(bytes)) => {
                let effect = Effect::Append { bytes: bytes.into(), total: 0 };
                Entry::Operand(Some(Box::new(Operand { by, effect })))
            }
        };
        Stored { at, entry }
    }

    fn content(&self) -> Content<'_> {
        match &self.entry {
            Entry::Value(value) => Content::Complete(Some(value)),
            Entry::Operand(None) => Content::Complete(None),
            Entry::Operand(Some(operand)) => {
                let operation = match &operand.effect {
                    Effect::Integer { op, .. } => Operation::Integer(*op),
                    Effect::Append { bytes, .. } => Operation::Append(bytes),
                };
                Content::Operand(operand.by, operation)
            }
        }
    }

    fn place(&self) -> (Timestamp, Rank) {
        (self.at, self.content().rank())
    }

    /// How long the value is at this version, if there is one.
    fn total(&self) -> Option<usize> {
        match &self.entry {
            Entry::Value(value) => Some(value.len()),
            Entry::Operand(None) => None,
            Entry::Operand(Some(operand)) => match &operand.effect {
                Effect::Integer { cell, .. } => Some(cell.len()),
                Effect::Append { total, .. } => Some(*total),
            },
        }
    }
}

/// What pruning a chain took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Versions.
    pub(super) versions: usize,
    /// Bytes of their values and operands.
    pub(super) bytes: usize,
    /// Whether no version is left: the key itself must go.
    pub(super) emptied: bool,
}

impl Chain {
    /// A chain with one version.
    pub(super) fn new(at: Timestamp, content: Content<'_>) -> Chain {
        match content {
            Content::Complete(Some(value)) => Chain::One(at, value.into()),
            Content::Complete(None) | Content::Operand(..) => {
                let mut stack = VecDeque::from([Stored::new(at, content)]);
                refold(&mut stack, 0);
                Chain::Stack(Box::new(stack))
            }
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
                (index == 0).then(|| Version { at: *at, value: Some(Cow::Borrowed(&value[..])) })
            }
            Chain::Stack(stack) => {
                let at = stack.get(index)?.at;
                Some(Version { at, value: value(stack, index) })
            }
        }
    }

    /// All versions, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Version<'_>> {
        (0..self.len()).map_while(|index| self.get(index))
    }

    /// All versions as they were installed, oldest first.
    pub(super) fn contents(&self) -> impl Iterator<Item = (Timestamp, Content<'_>)> {
        (0..self.len()).map_while(|index| match self {
            Chain::One(at, value) => Some((*at, Content::Complete(Some(value)))),
            Chain::Stack(stack) => stack.get(index).map(|stored| (stored.at, stored.content())),
        })
    }

    /// The newest version.
    pub(super) fn newest(&self) -> Version<'_> {
        self.get(self.len() - 1).expect("a chain has a version")
    }

    /// How long the newest value is, if there is one.
    pub(super) fn newest_len(&self) -> Option<usize> {
        match self {
            Chain::One(_, value) => Some(value.len()),
            Chain::Stack(stack) => stack.back()?.total(),
        }
    }

    /// The newest version at or below `at`.
    pub(super) fn at(&self, at: Timestamp) -> Option<Version<'_>> {
        match self {
            Chain::One(first, _) => {
                if *first <= at {
                    self.get(0)
                } else {
                    None
                }
            }
            Chain::Stack(stack) => {
                let seen = seen(stack.len(), at, |index| stack[index].at);
                seen.checked_sub(1).and_then(|index| self.get(index))
            }
        }
    }

    /// What is installed at a place.
    pub(super) fn find(&self, at: Timestamp, rank: Rank) -> Option<Content<'_>> {
        match self {
            Chain::One(first, value) => {
                ((*first, Rank::Complete) == (at, rank)).then_some(Content::Complete(Some(value)))
            }
            Chain::Stack(stack) => {
                let index = stack.binary_search_by_key(&(at, rank), Stored::place).ok()?;
                stack.get(index).map(Stored::content)
            }
        }
    }

    /// Adds a version where it belongs. False if there is one at its place: the
    /// chain is left as it was.
    pub(super) fn install(&mut self, at: Timestamp, content: Content<'_>) -> bool {
        let place = (at, content.rank());
        let stack = match self {
            Chain::Stack(stack) => stack,
            Chain::One(first, _) if (*first, Rank::Complete) == place => return false,
            Chain::One(first, bytes) => {
                let entry = Entry::Value(std::mem::take(bytes));
                let first = Stored { at: *first, entry };
                *self = Chain::Stack(Box::new(VecDeque::with_capacity(2)));
                let Chain::Stack(stack) = self else { unreachable!("just made") };
                stack.push_back(first);
                stack
            }
        };
        let Err(index) = stack.binary_search_by_key(&place, Stored::place) else { return false };
        stack.insert(index, Stored::new(at, content));
        refold(stack, index);
        true
    }

    /// The safe point from which on something can be dropped or folded, if ever:
    /// the second version's commit, or that of an operand or of a tombstone with
    /// nothing below.
    pub(super) fn due(&self) -> Option<Timestamp> {
        match self {
            Chain::One(..) => None,
            Chain::Stack(stack) => match &stack.front()?.entry {
                Entry::Value(_) => stack.get(1).map(|second| second.at),
                Entry::Operand(_) => stack.front().map(|oldest| oldest.at),
            },
        }
    }

    /// Makes the newest of the versions at or below the safe point a plain value
    /// and drops the others, and that one too if it is a tombstone: nothing is
    /// left for it to hide.
    pub(super) fn prune(&mut self, safe_point: Timestamp) -> Dropped {
        let Chain::Stack(stack) = self else { return Dropped::default() };
        let seen = stack.partition_point(|stored| stored.at <= safe_point);
        let Some(newest) = seen.checked_sub(1) else { return Dropped::default() };
        let mut bytes: usize = stack.range(..seen).map(|stored| stored.content().size()).sum();
        let versions = match value(stack, newest) {
            None => seen,
            Some(value) => {
                bytes -= value.len();
                if let Entry::Operand(_) = stack[newest].entry {
                    stack[newest].entry = Entry::Value(value.into_owned().into());
                }
                newest
            }
        };
        stack.drain(..versions);
        let emptied = stack.is_empty();
        self.shrink();
        Dropped { versions, bytes, emptied }
    }

    /// Back to the small form where possible; gives back memory of a burst.
    fn shrink(&mut self) {
        let Chain::Stack(stack) = self else { return };
        if stack.len() == 1
            && let Some(Stored { at, entry: Entry::Value(value) }) = stack.front_mut()
        {
            *self = Chain::One(*at, std::mem::take(value));
        } else if stack.capacity() > 4 * stack.len() {
            stack.shrink_to_fit();
        }
    }
}

/// How many of so many versions, oldest first, are at or below `at`. Most readers want
/// the newest, and find it at once, however many there are.
fn seen(len: usize, at: Timestamp, time: impl Fn(usize) -> Timestamp) -> usize {
    if len > 0 && time(len - 1) <= at {
        return len;
    }
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low.midpoint(high);
        if time(middle) <= at {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The value at a position: what the operands make of the complete version below.
fn value(stack: &VecDeque<Stored>, index: usize) -> Option<Cow<'_, [u8]>> {
    let stored = stack.get(index)?;
    let total = match &stored.entry {
        Entry::Value(value) => return Some(Cow::Borrowed(value)),
        Entry::Operand(None) => return None,
        Entry::Operand(Some(operand)) => match &operand.effect {
            Effect::Integer { cell, .. } => return Some(Cow::Borrowed(cell)),
            Effect::Append { total, .. } => *total,
        },
    };
    let mut bytes = Vec::with_capacity(total);
    let first = (0..index).rev().find(|at| appended(&stack[*at]).is_none());
    bytes.extend_from_slice(&first.and_then(|at| value(stack, at)).unwrap_or_default());
    for stored in stack.range(first.map_or(0, |at| at + 1)..=index) {
        bytes.extend_from_slice(appended(stored).unwrap_or_default());
    }
    Some(Cow::Owned(bytes))
}

/// What a version appends, if it does.
fn appended(stored: &Stored) -> Option<&[u8]> {
    match stored.content() {
        Content::Operand(_, Operation::Append(bytes)) => Some(bytes),
        Content::Operand(_, Operation::Integer(_)) | Content::Complete(_) => None,
    }
}

/// A version was put in at `from`: what operands on top of it make is new.
///
/// An integer operation on a value that is no integer cell counts as one on an
/// absent key. Votes refuse it; only below a complete version that hides it may a
/// replay bring it about.
fn refold(stack: &mut VecDeque<Stored>, from: usize) {
    for index in from..stack.len() {
        let below = index.checked_sub(1);
        let length = below.and_then(|below| stack[below].total()).unwrap_or(0);
        let number = match &stack[index].entry {
            Entry::Operand(Some(operand)) if matches!(operand.effect, Effect::Integer { .. }) => {
                below.and_then(|below| value(stack, below)).and_then(|v| operation::number(&v))
            }
            Entry::Value(_) | Entry::Operand(_) => None,
        };
        match &mut stack[index].entry {
            Entry::Value(_) | Entry::Operand(None) if index > from => return,
            Entry::Value(_) | Entry::Operand(None) => {}
            Entry::Operand(Some(operand)) => match &mut operand.effect {
                Effect::Integer { op, cell } => *cell = operation::cell(op.apply(number)),
                Effect::Append { bytes, total } => *total = length + bytes.len(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use synod_common::id::{Epoch, SessionId};

    use super::*;

    fn times(chain: &Chain) -> Vec<u64> {
        chain.iter().map(|version| version.at.0).collect()
    }

    fn put(value: &[u8]) -> Content<'_> {
        Content::Complete(Some(value))
    }

    fn by(sequence: u64) -> By {
        let session = SessionId { epoch: Epoch(1), number: 1 };
        By { txn: TxnId { session, sequence }, step: 0 }
    }

    fn add(sequence: u64, n: i64) -> Content<'static> {
        Content::Operand(by(sequence), Operation::Integer(IntegerOp::Add(n)))
    }

    fn min(sequence: u64, n: i64) -> Content<'static> {
        Content::Operand(by(sequence), Operation::Integer(IntegerOp::Min(n)))
    }

    fn append(sequence: u64, bytes: &[u8]) -> Content<'_> {
        Content::Operand(by(sequence), Operation::Append(bytes))
    }

    fn number(chain: &Chain, at: u64) -> Option<i64> {
        operation::number(&chain.at(Timestamp(at))?.value?)
    }

    #[test]
    fn a_chain_is_as_small_as_promised() {
        assert_eq!(size_of::<Chain>(), 24);
        assert_eq!(size_of::<Stored>(), 24);
        assert_eq!(size_of::<Operand>(), 64);
    }

    #[test]
    fn versions_are_ordered_however_they_arrive() {
        let mut chain = Chain::new(Timestamp(5), put(b"five"));
        assert!(chain.install(Timestamp(9), Content::Complete(None)));
        assert!(chain.install(Timestamp(2), put(b"two")));
        assert!(!chain.install(Timestamp(5), put(b"five")));
        assert_eq!(times(&chain), [2, 5, 9]);
        assert_eq!(chain.at(Timestamp(1)), None);
        assert_eq!(chain.at(Timestamp(8)).and_then(|v| v.value), Some(b"five"[..].into()));
        assert_eq!(chain.newest(), Version { at: Timestamp(9), value: None });
    }

    #[test]
    fn the_newest_of_many_versions_is_found_by_one_look() {
        const MANY: usize = 100_000;
        let looks = |len: usize, at: usize| {
            let count = std::cell::Cell::new(0);
            let time = |index: usize| {
                count.set(count.get() + 1);
                Timestamp(index as u64 + 1)
            };
            assert_eq!(seen(len, Timestamp(at as u64), time), at.min(len));
            count.get()
        };
        for len in [1, 2, MANY] {
            assert_eq!(looks(len, len), 1);
            assert_eq!(looks(len, len + 1), 1);
        }
        assert!((0..MANY).step_by(997).all(|at| looks(MANY, at) <= 18));
    }

    #[test]
    fn operands_are_folded_in_the_order_of_time_and_not_of_arrival() {
        let mut chain = Chain::new(Timestamp(2), put(&operation::cell(100)));
        assert!(chain.install(Timestamp(8), add(1, 5)));
        assert!(chain.install(Timestamp(4), min(2, 50)));
        assert!(!chain.install(Timestamp(8), add(1, 5)), "once is enough");
        assert_eq!([2, 3, 4, 7, 8].map(|at| number(&chain, at)), [100, 100, 50, 50, 55].map(Some));
        // A complete version above shields what comes later.
        assert!(chain.install(Timestamp(9), Content::Complete(None)));
        assert!(chain.install(Timestamp(6), add(3, 1)));
        assert_eq!([6, 8].map(|at| number(&chain, at)), [51, 56].map(Some));
        assert_eq!(number(&chain, 9), None);
    }

    #[test]
    fn at_one_timestamp_the_smaller_transaction_comes_first() {
        let mut chain = Chain::new(Timestamp(5), add(7, 10));
        chain.install(Timestamp(5), min(3, 4));
        assert_eq!(number(&chain, 5), Some(14));
        chain.install(Timestamp(5), min(9, 4));
        assert_eq!(number(&chain, 5), Some(4));
    }

    #[test]
    fn appended_bytes_stand_behind_one_another() {
        let mut chain = Chain::new(Timestamp(3), append(1, b"c"));
        chain.install(Timestamp(4), append(2, b""));
        chain.install(Timestamp(1), put(b"ab"));
        chain.install(Timestamp(2), append(3, b"_"));
        let text = |at| chain.at(Timestamp(at)).and_then(|v| v.value).unwrap_or_default();
        assert_eq!([1, 2, 3, 4].map(text), [&b"ab"[..], b"ab_", b"ab_c", b"ab_c"]);
        assert_eq!(chain.newest_len(), Some(4));
    }

    #[test]
    fn pruning_keeps_what_the_safe_point_sees() {
        let mut chain = Chain::new(Timestamp(2), put(b"two"));
        chain.install(Timestamp(5), Content::Complete(None));
        chain.install(Timestamp(9), put(b"nine"));
        assert_eq!(chain.due(), Some(Timestamp(5)));
        assert_eq!(chain.prune(Timestamp(4)), Dropped::default());
        // The tombstone goes together with what it hid.
        assert_eq!(chain.prune(Timestamp(5)), Dropped { versions: 2, bytes: 3, emptied: false });
        assert_eq!(times(&chain), [9]);
        assert_eq!(chain.due(), None);

        let mut gone = Chain::new(Timestamp(3), Content::Complete(None));
        assert_eq!(gone.due(), Some(Timestamp(3)));
        assert!(!gone.prune(Timestamp(2)).emptied);
        assert!(gone.prune(Timestamp(3)).emptied);
    }

    #[test]
    fn pruning_folds_operands_into_a_value() {
        let mut chain = Chain::new(Timestamp(3), add(1, 1));
        assert_eq!(chain.due(), Some(Timestamp(3)));
        chain.install(Timestamp(5), add(2, 2));
        chain.install(Timestamp(5), add(3, 3));
        chain.install(Timestamp(7), add(4, 4));
        assert_eq!(chain.prune(Timestamp(6)), Dropped { versions: 2, bytes: 16, emptied: false });
        assert_eq!(chain.find(Timestamp(5), Rank::Complete), Some(put(&operation::cell(6))));
        // What is folded in comes again, and changes nothing that can be seen.
        for (at, content) in [(3, add(1, 1)), (5, add(2, 2)), (5, add(3, 3)), (7, add(4, 4))] {
            chain.install(Timestamp(at), content);
        }
        assert_eq!([6, 7].map(|at| number(&chain, at)), [6, 10].map(Some));
        chain.prune(Timestamp(7));
        assert!(matches!(chain, Chain::One(..)));
        assert_eq!(number(&chain, 7), Some(10));
    }
}
