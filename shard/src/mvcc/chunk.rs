//! Parts of a checkpoint.
//!
//! ```text
//!   chunk    = format (1 byte) · keys (u32, little-endian) · entry*
//!   entry    = key length · key · number of versions · version*
//!   version  = timestamp · (0 for a tombstone, else 1 + value length) · value
//! ```
//!
//! Numbers are LEB128 unless said otherwise. Keys ascend strictly, and so do the
//! versions of a key. A chunk stands alone: it holds whole keys. Damage is the
//! log's and checkpoint file's business (they carry checksums); here only what
//! cannot be meant is refused, so that no bytes whatever do harm.

use std::ops::Bound;

use synod_common::error::Corrupt;
use synod_common::key::{Escaped, Key};
use synod_common::limits::{check_key, check_value};
use synod_common::time::Timestamp;

use super::chain::Version;
use super::index::Versions;

const FORMAT: u8 = 1;
const HEADER: usize = 5;

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
        for (name, chain) in self.keys.range::<[u8], _>((from, Bound::Unbounded)) {
            if last.is_some() && out.len() - start >= max_bytes {
                more = true;
                break;
            }
            put_bytes(name.as_bytes(), out);
            put_number(chain.len() as u64, out);
            for version in chain.iter() {
                put_number(version.at.0, out);
                put_number(version.value.map_or(0, |value| value.len() as u64 + 1), out);
                out.extend_from_slice(version.value.unwrap_or_default());
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
        parse(chunk, |key, version| {
            let held = self.at(key, version.at).filter(|held| held.at == version.at);
            if held.is_some_and(|held| held != version) {
                return Err(corrupt(format!("two values of {} at {}", Escaped(key), version.at)));
            }
            Ok(())
        })?;
        parse(chunk, |key, version| {
            self.install(key, version.at, version.value);
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
    mut each: impl FnMut(&[u8], Version<'_>) -> Result<(), Corrupt>,
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
    each: &mut impl FnMut(&[u8], Version<'_>) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    let count = take_number(rest)?;
    if count == 0 {
        return Err(corrupt(format!("key {} without a version", Escaped(key))));
    }
    let mut last = None;
    for _ in 0..count {
        let at = Timestamp(take_number(rest)?);
        if last.is_some_and(|last| last >= at) {
            return Err(corrupt(format!("versions of {} out of order", Escaped(key))));
        }
        last = Some(at);
        let value = match take_number(rest)?.checked_sub(1) {
            None => None,
            Some(len) => Some(take(rest, len)?),
        };
        check_value(value.unwrap_or_default()).map_err(|limit| corrupt(limit.to_string()))?;
        each(key, Version { at, value })?;
    }
    Ok(())
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
    use super::*;

    fn sample() -> Versions {
        let mut versions = Versions::new();
        versions.install(b"a", Timestamp(300), Some(b"value"));
        versions.install(b"b", Timestamp(1), Some(b""));
        versions.install(b"b", Timestamp(u64::MAX), None);
        versions
    }

    #[test]
    fn golden_bytes() {
        let mut out = Vec::new();
        assert_eq!(sample().chunk(None, usize::MAX, &mut out), None);
        let mut golden = vec![1, 2, 0, 0, 0, 1, b'a', 1, 0xac, 2, 6];
        golden.extend_from_slice(b"value");
        golden.extend_from_slice(&[1, b'b', 2, 1, 1]);
        golden.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0]);
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
        let at = out.iter().position(|byte| *byte == b'v').unwrap();
        out[at] = b'V';
        assert!(held.restore(&out).is_err());
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
