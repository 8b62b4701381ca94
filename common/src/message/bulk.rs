//! The layouts of bulk: keys, values, rows and writes as raw bytes.
//!
//! Every piece of bytes stands behind its length as 4 bytes little-endian;
//! a length of `u32::MAX` stands for "absent". Readers are iterators that borrow
//! and end with an error at the first thing that does not fit.
//!
//! ```text
//!   Keys       key*
//!   Values     value?*                 absent keys have absent values
//!   Found      value?*                 likewise; a length of `u32::MAX - 1` stands
//!                                      for a key that was passed over
//!   Rows       (key value)*
//!   WriteSet   (key value?)*           an absent value deletes
//!   ReadSet    (start end?)*           an empty end stands for one key, an absent
//!                                      one for a range without end
//! ```
//!
//! In a `WriteSet` the top byte of a value's length says what it is for, which
//! leaves it alone for puts, as values are much shorter than that: 0 put, 1 add,
//! 2 min, 3 max (the operand as an integer cell), 4 append.
//!
//! A [`List`] holds records that postcard encodes, one behind another.

use std::marker::PhantomData;

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Reason;
use crate::id::TxnId;
use crate::limits;
use crate::operation::Operation;
use crate::time::Timestamp;

const ABSENT: u32 = u32::MAX;

/// The bytes do not follow the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed bulk")]
pub struct Malformed;

impl From<Malformed> for Reason {
    fn from(_: Malformed) -> Reason {
        Reason::Malformed
    }
}

/// What the first piece of a list makes room for: most lists never need more.
const ROOM: usize = 64;

fn put(out: &mut BytesMut, piece: Option<&[u8]>) {
    if out.capacity() == 0 {
        // As one allocation: to grow takes several times as long.
        *out = BytesMut::with_capacity(ROOM.max(4 + piece.map_or(0, <[u8]>::len)));
    }
    match piece {
        Some(bytes) => {
            out.put_u32_le(u32::try_from(bytes.len()).expect("pieces are below the frame limit"));
            out.put_slice(bytes);
        }
        None => out.put_u32_le(ABSENT),
    }
}

/// Takes one piece off the front: `Some(None)` is an absent one.
fn take<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let (len, tail) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
    let len = u32::from_le_bytes(*len);
    if len == ABSENT {
        *rest = tail;
        return Ok(None);
    }
    let (piece, tail) = tail.split_at_checked(len as usize).ok_or(Malformed)?;
    *rest = tail;
    Ok(Some(piece))
}

fn take_key<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let key = take(rest)?.ok_or(Malformed)?;
    limits::check_key(key).map_err(|_| Malformed)?;
    Ok(key)
}

fn take_value<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let value = take(rest)?;
    limits::check_value(value.unwrap_or_default()).map_err(|_| Malformed)?;
    Ok(value)
}

/// Iterates with `next` until the bytes are used up or do not fit.
fn pieces<'a, T>(
    bytes: &'a [u8],
    mut next: impl FnMut(&mut &'a [u8]) -> Result<T, Malformed>,
) -> impl Iterator<Item = Result<T, Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let piece = next(&mut rest);
        if piece.is_err() {
            rest = &[];
        }
        Some(piece)
    })
}

/// A list of keys.
#[derive(Debug, Default)]
pub struct Keys(BytesMut);

impl Keys {
    /// Of one key.
    pub fn one(key: &[u8]) -> Bytes {
        let mut keys = Keys(BytesMut::with_capacity(4 + key.len()));
        keys.push(key);
        keys.finish()
    }

    /// Adds a key.
    pub fn push(&mut self, key: &[u8]) {
        put(&mut self.0, Some(key));
    }

    /// The bytes.
    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }

    /// Reads a list.
    pub fn read(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], Malformed>> {
        pieces(bytes, take_key)
    }
}

/// A list of values, some absent.
#[derive(Debug, Default)]
pub struct Values(BytesMut);

impl Values {
    /// Adds a value, or its absence.
    pub fn push(&mut self, value: Option<&[u8]>) {
        put(&mut self.0, value);
    }

    /// How many bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes.
    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }

    /// Reads a list.
    pub fn read(bytes: &[u8]) -> impl Iterator<Item = Result<Option<&[u8]>, Malformed>> {
        pieces(bytes, take_value)
    }
}

/// A list of values, some absent, and some of keys that were passed over because
/// somebody else holds them.
#[derive(Debug, Default)]
pub struct Found(BytesMut);

const PASSED_OVER: u32 = u32::MAX - 1;

impl Found {
    /// Adds a value, or its absence.
    pub fn push(&mut self, value: Option<&[u8]>) {
        put(&mut self.0, value);
    }

    /// Adds a key that was passed over.
    pub fn pass_over(&mut self) {
        self.0.put_u32_le(PASSED_OVER);
    }

    /// How many bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes.
    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }

    /// Reads a list; `None` was passed over.
    pub fn read(bytes: &[u8]) -> impl Iterator<Item = Result<Option<Option<&[u8]>>, Malformed>> {
        pieces(bytes, |rest| match rest.strip_prefix(&PASSED_OVER.to_le_bytes()) {
            Some(tail) => {
                *rest = tail;
                Ok(None)
            }
            None => take_value(rest).map(Some),
        })
    }
}

/// A list of keys with their values.
#[derive(Debug, Default)]
pub struct Rows {
    bytes: BytesMut,
    count: usize,
}

impl Rows {
    /// Adds a row.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        put(&mut self.bytes, Some(key));
        put(&mut self.bytes, Some(value));
        self.count += 1;
    }

    /// How many rows so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether a page is full and the next row must wait for the next one.
    pub fn is_full(&self, limit: usize) -> bool {
        self.count >= limit.min(limits::SCAN_PAGE_ROWS)
            || self.bytes.len() >= limits::SCAN_PAGE_BYTES
    }

    /// The bytes.
    pub fn finish(self) -> Bytes {
        self.bytes.freeze()
    }

    /// Reads a list.
    pub fn read(bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Malformed>> {
        pieces(bytes, |rest| Ok((take_key(rest)?, take_value(rest)?.ok_or(Malformed)?)))
    }
}

/// What a transaction does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// It gets this value.
    Put(&'a [u8]),
    /// It goes.
    Delete,
    /// Something is done to its value, whatever that is by then.
    Operate(Operation<'a>),
}

impl<'a> From<Option<&'a [u8]>> for Write<'a> {
    fn from(value: Option<&'a [u8]>) -> Write<'a> {
        value.map_or(Write::Delete, Write::Put)
    }
}

/// The writes of a transaction on one shard, in key order. No key stands there
/// twice, except that operations on one key follow each other in their order.
#[derive(Debug, Default)]
pub struct WriteSet(BytesMut);

impl WriteSet {
    /// Adds a write.
    pub fn push<'a>(&mut self, key: &[u8], write: impl Into<Write<'a>>) {
        put(&mut self.0, Some(key));
        match write.into() {
            Write::Put(value) => put(&mut self.0, Some(value)),
            Write::Delete => put(&mut self.0, None),
            Write::Operate(operation) => operation.encode(|tag, operand| {
                let len = u32::try_from(operand.len()).ok().filter(|len| len >> 24 == 0);
                let len = len.expect("operands are below the limit of values");
                self.0.put_u32_le(u32::from(tag) << 24 | len);
                self.0.put_slice(operand);
            }),
        }
    }

    /// How many bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes.
    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }

    /// Reads the writes.
    pub fn read(bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8], Write<'_>), Malformed>> {
        pieces(bytes, |rest| Ok((take_key(rest)?, take_write(rest)?)))
    }
}

/// What a transaction read on one shard without locks.
#[derive(Debug, Default)]
pub struct ReadSet(BytesMut);

/// A piece of a [`ReadSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPiece<'a> {
    /// One key.
    Key(&'a [u8]),
    /// From a start to before an end, or to the last key.
    Range(&'a [u8], Option<&'a [u8]>),
}

impl ReadSet {
    /// Adds a key.
    pub fn push_key(&mut self, key: &[u8]) {
        put(&mut self.0, Some(key));
        put(&mut self.0, Some(&[]));
    }

    /// Adds a range that is not empty.
    pub fn push_range(&mut self, start: &[u8], end: Option<&[u8]>) {
        put(&mut self.0, Some(start));
        put(&mut self.0, end);
    }

    /// The bytes.
    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }

    /// Reads the pieces.
    pub fn read(bytes: &[u8]) -> impl Iterator<Item = Result<ReadPiece<'_>, Malformed>> {
        pieces(bytes, |rest| {
            let start = take(rest)?.ok_or(Malformed)?;
            let end = take(rest)?;
            if start.len().max(end.unwrap_or_default().len()) > limits::KEY_BYTES + 1 {
                return Err(Malformed);
            }
            match end {
                Some([]) => limits::check_key(start).map_err(|_| Malformed)?,
                Some(end) if end <= start => return Err(Malformed),
                Some(_) | None => {}
            }
            Ok(if end == Some(&[]) { ReadPiece::Key(start) } else { ReadPiece::Range(start, end) })
        })
    }
}

fn take_write<'a>(rest: &mut &'a [u8]) -> Result<Write<'a>, Malformed> {
    let (word, tail) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
    let word = u32::from_le_bytes(*word);
    let (tag, len) = (word >> 24, word & 0x00ff_ffff);
    if tag == 0 || word == ABSENT {
        return Ok(take_value(rest)?.into());
    }
    let (operand, tail) = tail.split_at_checked(len as usize).ok_or(Malformed)?;
    let tag = u8::try_from(tag).map_err(|_| Malformed)?;
    let operation = Operation::decode(tag, operand).ok_or(Malformed)?;
    *rest = tail;
    Ok(Write::Operate(operation))
}

/// One remembered one-phase transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnePhaseOutcome {
    /// Its name.
    pub txn: TxnId,
    /// The timestamp under which it was sent.
    pub h: Timestamp,
    /// Its commit timestamp, or `None` if it was aborted.
    pub committed: Option<Timestamp>,
}

/// A list of records, each encoded by postcard.
#[derive(Debug)]
pub struct List<T> {
    bytes: Vec<u8>,
    of: PhantomData<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List { bytes: Vec::new(), of: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned> List<T> {
    /// Of these.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a T>) -> Bytes
    where
        T: 'a,
    {
        let mut list = List::default();
        records.into_iter().for_each(|record| list.push(record));
        list.finish()
    }

    /// Adds a record.
    pub fn push(&mut self, record: &T) {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(record, bytes).expect("our own records can be serialized");
    }

    /// How many bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes.
    pub fn finish(self) -> Bytes {
        self.bytes.into()
    }

    /// Reads them.
    pub fn read(bytes: &[u8]) -> impl Iterator<Item = Result<T, Malformed>> {
        pieces(bytes, |rest| {
            let (record, tail) = postcard::take_from_bytes(rest).map_err(|_| Malformed)?;
            // Nothing takes no bytes, so that reading comes to an end.
            if tail.len() == rest.len() {
                return Err(Malformed);
            }
            *rest = tail;
            Ok(record)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::IntegerOp;

    #[test]
    fn writes_come_back_and_every_truncation_is_refused() {
        let writes: [(&[u8], Write<'_>); 7] = [
            (b"a", Write::Put(b"1")),
            (b"bb", Write::Delete),
            (b"c", Write::Put(b"")),
            (b"d", Write::Operate(Operation::Integer(IntegerOp::Add(-1)))),
            (b"d", Write::Operate(Operation::Integer(IntegerOp::Min(2)))),
            (b"e", Write::Operate(Operation::Integer(IntegerOp::Max(i64::MIN)))),
            (b"f", Write::Operate(Operation::Append(b"xyz"))),
        ];
        let mut set = WriteSet::default();
        let mut boundaries = vec![0];
        for (key, write) in writes {
            set.push(key, write);
            boundaries.push(set.len());
        }
        let bytes = set.finish();
        let all: Result<Vec<_>, _> = WriteSet::read(&bytes).collect();
        assert_eq!(all, Ok(writes.to_vec()));
        for cut in (0..bytes.len()).filter(|cut| !boundaries.contains(cut)) {
            assert!(WriteSet::read(&bytes[..cut]).any(|piece| piece.is_err()), "cut at {cut}");
        }
    }

    #[test]
    fn reads_come_back_and_what_makes_no_sense_is_refused() {
        let mut set = ReadSet::default();
        set.push_key(b"a");
        set.push_range(b"", Some(b"c"));
        set.push_range(b"x", None);
        let expected = vec![
            ReadPiece::Key(b"a"),
            ReadPiece::Range(b"", Some(b"c")),
            ReadPiece::Range(b"x", None),
        ];
        let bytes = set.finish();
        assert_eq!(ReadSet::read(&bytes).collect::<Result<Vec<_>, _>>(), Ok(expected));
        for (start, end) in [(&b""[..], Some(&b""[..])), (b"c", Some(b"b")), (b"c", Some(b"c"))] {
            let mut set = ReadSet::default();
            set.push_range(start, end);
            assert_eq!(ReadSet::read(&set.finish()).next(), Some(Err(Malformed)));
        }
    }

    #[test]
    fn writes_are_golden() {
        let mut set = WriteSet::default();
        set.push(b"a", Some(&b"1"[..]));
        set.push(b"b", None);
        set.push(b"c", Write::Operate(Operation::Integer(IntegerOp::Max(-2))));
        set.push(b"d", Write::Operate(Operation::Append(b"xy")));
        let mut golden = vec![1, 0, 0, 0, b'a', 1, 0, 0, 0, b'1'];
        golden.extend([1, 0, 0, 0, b'b', 255, 255, 255, 255]);
        golden.extend([1, 0, 0, 0, b'c', 8, 0, 0, 3, 255, 255, 255, 255, 255, 255, 255, 254]);
        golden.extend([1, 0, 0, 0, b'd', 2, 0, 0, 4, b'x', b'y']);
        assert_eq!(set.finish(), golden);
    }

    #[test]
    fn operands_that_are_none_are_refused() {
        let with = |word: u32, operand: &[u8]| {
            [&[1, 0, 0, 0, b'k'], &word.to_le_bytes()[..], operand].concat()
        };
        let refused = |bytes: &[u8]| WriteSet::read(bytes).any(|write| write.is_err());
        assert!(!refused(&with(1 << 24 | 8, &[0; 8])));
        assert!(refused(&with(1 << 24 | 7, &[0; 7])), "no integer cell");
        assert!(refused(&with(3 << 24 | 9, &[0; 9])), "no integer cell");
        assert!(refused(&with(5 << 24, &[])), "unknown");
        let long = vec![0; limits::VALUE_BYTES + 1];
        assert!(refused(&with(4 << 24 | long.len() as u32, &long)), "too long");
        assert!(!refused(&with(4 << 24 | limits::VALUE_BYTES as u32, &long[1..])));
    }

    #[test]
    fn keys_are_checked() {
        let mut keys = Keys::default();
        keys.push(b"");
        assert_eq!(Keys::read(&keys.finish()).next(), Some(Err(Malformed)));
        let long = Keys::one(&[0; limits::KEY_BYTES + 1]);
        assert_eq!(Keys::read(&long).next(), Some(Err(Malformed)));
        let most = Keys::one(&[0; limits::KEY_BYTES]);
        assert!(Keys::read(&most).all(|key| key.is_ok()));
    }

    #[test]
    fn records_come_back_and_every_truncation_is_refused() {
        let records = [(1_u64, "a".to_owned()), (300, String::new())];
        let bytes = List::of(&records);
        let read = |bytes: &[u8]| List::<(u64, String)>::read(bytes).collect::<Result<Vec<_>, _>>();
        assert_eq!(read(&bytes), Ok(records.to_vec()));
        for cut in (1..bytes.len()).filter(|cut| *cut != 3) {
            assert_eq!(read(&bytes[..cut]), Err(Malformed), "cut at {cut}");
        }
        assert_eq!(List::<()>::read(&[0]).next(), Some(Err(Malformed)));
    }
}
