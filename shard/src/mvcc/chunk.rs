//! Parts of a checkpoint.
//!
//! ```text
//!   chunk    = format (1 byte) · keys (u32, little-endian) · entry*
//!   entry    = key length · key · number of versions · version*
//!   version  = timestamp · 0                                     a tombstone
//!            | timestamp · 1 + length · value
//!            | timestamp · 1 + (tag << 24 | length) · by · operand
//!   by       = epoch · session · sequence · step
//! ```
//!
//! The tag tells the operation, as it does in a write set; values are shorter.
//! Numbers are LEB128 unless said otherwise. Keys ascend strictly, and so do the
//! versions of a key. A chunk stands alone: it holds whole keys. Damage is the
//! log's and checkpoint file's business (they carry checksums); here only what
//! cannot be meant is refused, so that no bytes whatever do harm.

use std::ops::Bound;

use synod_common::error::Corrupt;
use synod_common::id::{Epoch, SessionId, TxnId};
use synod_common::key::{Escaped, Key};
use synod_common::limits::{VALUE_BYTES, check_key};
use synod_common::operation::Operation;
use synod_common::time::Timestamp;

use super::chain::{By, Content};
use super::index::Versions;

const FORMAT: u8 = 1;
const HEADER: usize = 5;
/// Where the tag of an operation begins, above every length.
const TAG: u32 = 24;

impl Versions {
    /// Appends to `out` a chunk with the keys that follow `after`, all their
    /// versions included, up to about `max_bytes` but at least one key. Returns
    /// the key to go on after, or none if the chunk was the last.
    pub fn chunk(&self, after: Option<&[u8]>, max_bytes: usize, out: &mut Vec<u8>) -> Option<Key> {
        let start = out.len();
        out.push(FORMAT);
        out.extend_from_slice(&[0; 4]);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut count = 0_u32;
        let mut last = None;
        let mut more = false;
        for (name, chain) in self.keys.range(from, Bound::Unbounded) {
            if last.is_some() && out.len() - start >= max_bytes {
                more = true;
                break;
            }
            put_bytes(name.as_bytes(), out);
            put_number(chain.len() as u64, out);
            for (at, content) in chain.contents() {
                put_version(at, content, out);
            }
            count += 1;
            last = Some(name);
        }
        out[start + 1..start + HEADER].copy_from_slice(&count.to_le_bytes());
        if more { last.map(|name| Key::from(name.as_bytes())) } else { None }
    }

    /// Installs a chunk: all of it or, if it is corrupt, nothing.
    ///
    /// # Errors
    /// If the bytes are not a chunk, or contradict what the index holds.
    pub fn restore(&mut self, chunk: &[u8]) -> Result<(), Corrupt> {
        parse(chunk, |key, at, content| {
            let held = self.keys.get(key).and_then(|chain| chain.find(at, content.rank()));
            if held.is_some_and(|held| held != content) {
                return Err(corrupt(format!("two versions of {} at {at}", Escaped(key))));
            }
            Ok(())
        })?;
        parse(chunk, |key, at, content| {
            self.add(key, at, content);
            Ok(())
        })
    }
}

fn corrupt(what: impl Into<String>) -> Corrupt {
    Corrupt(format!("checkpoint chunk: {}", what.into()))
}

/// Reads a chunk and hands out its versions in order.
fn parse(
    chunk: &[u8],
    mut each: impl FnMut(&[u8], Timestamp, Content<'_>) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    let (header, mut rest) =
        chunk.split_first_chunk::<HEADER>().ok_or_else(|| corrupt("shorter than its header"))?;
    let [format, count @ ..] = *header;
    if format != FORMAT {
        return Err(corrupt(format!("format {format}, not {FORMAT}")));
    }
    let mut last: Option<&[u8]> = None;
    for _ in 0..u32::from_le_bytes(count) {
        let key = take_bytes(&mut rest)?;
        check_key(key).map_err(|limit| corrupt(limit.to_string()))?;
        if last.is_some_and(|last| last >= key) {
            return Err(corrupt(format!("key {} out of order", Escaped(key))));
        }
        last = Some(key);
        parse_versions(key, &mut rest, &mut each)?;
    }
    if rest.is_empty() { Ok(()) } else { Err(corrupt(format!("{} bytes too many", rest.len()))) }
}

fn parse_versions(
    key: &[u8],
    rest: &mut &[u8],
    each: &mut impl FnMut(&[u8], Timestamp, Content<'_>) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    let count = take_number(rest)?;
    if count == 0 {
        return Err(corrupt(format!("key {} without a version", Escaped(key))));
    }
    let mut last = None;
    let mut length = 0;
    for _ in 0..count {
        let (at, content) = take_version(rest)?;
        let place = (at, content.rank());
        if last.is_some_and(|last| last >= place) {
            return Err(corrupt(format!("versions of {} out of order", Escaped(key))));
        }
        last = Some(place);
        length = match content {
            Content::Operand(_, Operation::Append(bytes)) => length + bytes.len(),
            Content::Operand(_, Operation::Integer(_)) | Content::Complete(_) => content.size(),
        };
        if length > VALUE_BYTES {
            return Err(corrupt(format!("the value of {} is too long", Escaped(key))));
        }
        each(key, at, content)?;
    }
    Ok(())
}

fn put_version(at: Timestamp, content: Content<'_>, out: &mut Vec<u8>) {
    put_number(at.0, out);
    match content {
        Content::Complete(None) => put_number(0, out),
        Content::Complete(Some(value)) => {
            put_number(value.len() as u64 + 1, out);
            out.extend_from_slice(value);
        }
        Content::Operand(By { txn, step }, operation) => operation.encode(|tag, operand| {
            put_number((u64::from(tag) << TAG | operand.len() as u64) + 1, out);
            put_number(u64::from(txn.session.epoch.0), out);
            put_number(txn.session.number, out);
            put_number(txn.sequence, out);
            put_number(u64::from(step), out);
            out.extend_from_slice(operand);
        }),
    }
}

fn take_version<'a>(rest: &mut &'a [u8]) -> Result<(Timestamp, Content<'a>), Corrupt> {
    let at = Timestamp(take_number(rest)?);
    let Some(word) = take_number(rest)?.checked_sub(1) else {
        return Ok((at, Content::Complete(None)));
    };
    let (tag, length) = (word >> TAG, word & ((1 << TAG) - 1));
    if tag == 0 {
        return Ok((at, Content::Complete(Some(take(rest, length)?))));
    }
    let epoch = Epoch(take_small(rest)?);
    let session = SessionId { epoch, number: take_number(rest)? };
    let txn = TxnId { session, sequence: take_number(rest)? };
    let by = By { txn, step: take_small(rest)? };
    let operand = take(rest, length)?;
    let tag = u8::try_from(tag).map_err(|_| corrupt("an unknown operation"))?;
    let operation = Operation::decode(tag, operand).ok_or_else(|| corrupt("no operation"))?;
    Ok((at, Content::Operand(by, operation)))
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], Corrupt> {
    let len = usize::try_from(len).ok();
    let (head, tail) =
        len.and_then(|len| rest.split_at_checked(len)).ok_or_else(|| corrupt("cut short"))?;
    *rest = tail;
    Ok(head)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Corrupt> {
    let len = take_number(rest)?;
    take(rest, len)
}

fn take_small(rest: &mut &[u8]) -> Result<u32, Corrupt> {
    u32::try_from(take_number(rest)?).map_err(|_| corrupt("a number that is too large"))
}

fn take_number(rest: &mut &[u8]) -> Result<u64, Corrupt> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or_else(|| corrupt("cut short"))?;
        *rest = tail;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
            break;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(corrupt("a number that we would not write"))
}

#[cfg(test)]
mod tests {
    use synod_common::operation::IntegerOp;

    use super::*;

    fn sample() -> Versions {
        let mut versions = Versions::new();
        versions.install(b"a", Timestamp(300), Some(b"value"));
        versions.install(b"b", Timestamp(1), Some(b""));
        versions.install(b"b", Timestamp(u64::MAX), None);
        let session = SessionId { epoch: Epoch(1), number: 200 };
        let by = By { txn: TxnId { session, sequence: 3 }, step: 4 };
        let add = Operation::Integer(IntegerOp::Add(-1));
        versions.operate(b"c", Timestamp(5), by, add);
        versions.operate(b"d", Timestamp(6), by, Operation::Append(b"xyz"));
        versions
    }

    #[test]
    fn golden_bytes() {
        let mut out = Vec::new();
        assert_eq!(sample().chunk(None, usize::MAX, &mut out), None);
        let mut golden = vec![1, 4, 0, 0, 0, 1, b'a', 1, 0xac, 2, 6];
        golden.extend_from_slice(b"value");
        golden.extend_from_slice(&[1, b'b', 2, 1, 1]);
        golden.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0]);
        golden.extend_from_slice(&[1, b'c', 1, 5, 0x89, 0x80, 0x80, 8, 1, 0xc8, 1, 3, 4]);
        golden.extend_from_slice(&[0xff; 8]);
        golden.extend_from_slice(&[1, b'd', 1, 6, 0x84, 0x80, 0x80, 32, 1, 0xc8, 1, 3, 4]);
        golden.extend_from_slice(b"xyz");
        assert_eq!(out, golden);
    }

    #[test]
    fn every_cut_and_every_tail_is_refused_and_nothing_is_taken() {
        let mut out = Vec::new();
        sample().chunk(None, usize::MAX, &mut out);
        for len in 0..out.len() {
            let mut target = Versions::new();
            assert!(target.restore(&out[..len]).is_err(), "{len}");
            assert_eq!(target.stats().keys, 0);
        }
        out.push(0);
        assert!(Versions::new().restore(&out).is_err());
    }

    #[test]
    fn disorder_and_contradiction_are_refused() {
        let one = |key: u8, at: u8| [1, key, 1, at, 1];
        let chunk = |a: [u8; 5], b: [u8; 5]| [&[1, 2, 0, 0, 0][..], &a, &b].concat();
        assert!(Versions::new().restore(&chunk(one(1, 1), one(2, 1))).is_ok());
        assert!(Versions::new().restore(&chunk(one(2, 1), one(1, 1))).is_err());
        assert!(Versions::new().restore(&chunk(one(1, 1), one(1, 2))).is_err());
        let mut held = sample();
        let mut out = Vec::new();
        held.chunk(None, usize::MAX, &mut out);
        assert_eq!(held.restore(&out), Ok(()), "the same again");
        for byte in [b'v', b'x'] {
            let mut out = out.clone();
            let at = out.iter().position(|found| *found == byte).unwrap();
            out[at] += 1;
            assert!(held.restore(&out).is_err());
        }
    }

    #[test]
    fn appended_bytes_that_make_a_value_too_long_are_refused() {
        let mut versions = Versions::new();
        versions.install(b"a", Timestamp(1), Some(&vec![0; VALUE_BYTES]));
        let session = SessionId { epoch: Epoch(1), number: 1 };
        let by = By { txn: TxnId { session, sequence: 1 }, step: 0 };
        versions.operate(b"a", Timestamp(2), by, Operation::Append(b"x"));
        let mut out = Vec::new();
        versions.chunk(None, usize::MAX, &mut out);
        assert!(Versions::new().restore(&out).is_err());
    }

    #[test]
    fn a_cursor_walks_all_keys_once() {
        let mut versions = Versions::new();
        for key in 0..100_u8 {
            versions.install(&[b'k', key], Timestamp(1), Some(&[key; 10]));
        }
        let mut copy = Versions::new();
        let mut after: Option<Key> = None;
        let mut chunks = 0;
        loop {
            let mut out = Vec::new();
            after = versions.chunk(after.as_deref(), 64, &mut out);
            copy.restore(&out).unwrap();
            chunks += 1;
            if after.is_none() {
                break;
            }
        }
        assert!(chunks > 10);
        assert_eq!(copy.stats(), versions.stats());
    }
}
