//! Keys and values as a person types them: text, with `\xNN` for any byte and
//! `\\` for a backslash. Other backslashes stand for themselves.

use anyhow::{Result, bail};
use synod_common::key::{Key, KeyRange};

/// The bytes that were meant.
///
/// # Errors
/// If `\x` is not followed by two hexadecimal digits.
pub fn unescape(text: &str) -> Result<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, bytes.get(at + 1)) {
            (b'\\', Some(b'\\')) => {
                out.push(b'\\');
                at += 2;
            }
            (b'\\', Some(b'x')) => {
                let Some(escaped) = bytes.get(at + 2..at + 4).and_then(hex) else {
                    bail!("'\\x' in '{text}' must be followed by two hexadecimal digits");
                };
                out.push(escaped);
                at += 4;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(out)
}

fn hex(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0u8, |value, digit| {
        let digit = char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())?;
        Some(value << 4 | digit)
    })
}

/// A key, of whatever length.
///
/// # Errors
/// If it is badly escaped.
pub fn key(text: &str) -> Result<Key> {
    Ok(Key::from(unescape(text)?))
}

/// The keys from `start` up to, not including, `end`. An empty text means from
/// the first key, or to the last one.
///
/// # Errors
/// If one is badly escaped.
pub fn range(start: &str, end: &str) -> Result<KeyRange> {
    let (start, end) = (unescape(start)?, unescape(end)?);
    Ok(KeyRange { start: Key::from(start), end: (!end.is_empty()).then(|| Key::from(end)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_back() {
        assert_eq!(unescape(r"a\x00\xFFb").unwrap(), b"a\x00\xffb");
        assert_eq!(unescape(r"\\x00 \n \").unwrap(), br"\x00 \n \");
        assert_eq!(unescape("é").unwrap(), "é".as_bytes());
        for bad in [r"\x", r"\x0", r"\xg0", r"\x0é"] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&Key::from(all.clone()).to_string()).unwrap(), all);
    }

    #[test]
    fn a_range_may_be_open() {
        assert!(key(r"\x").is_err());
        assert_eq!(range("", "").unwrap(), KeyRange::all());
        assert_eq!(range("a", "b").unwrap().to_string(), "a..b");
    }
}
