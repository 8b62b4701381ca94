//! What a person types. Keys and values: text, with `\xNN` for any byte and `\\` for a
//! backslash; other backslashes stand for themselves. Spans of time: `1500ms`, `1.5s`, `2m`.

use std::time::Duration;

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

/// A span of time, such as `1500ms`, `1.5s`, `2m` or `1h`.
///
/// # Errors
/// If it is none, or too long to be meant.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("'{text}' is no span of time; write 500ms, 1.5s, 2m or 1h");
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(bad()),
    };
    let number: f64 = number.parse().map_err(|_| bad())?;
    let seconds = Some(number * unit).filter(|seconds| *seconds <= 1e9);
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(bad)
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

    #[test]
    fn spans_have_units() {
        let ms = |text| duration(text).unwrap().as_millis();
        assert_eq!(
            ["500ms", "1.5s", "2m", "1h", "0s"].map(ms),
            [500, 1_500, 120_000, 3_600_000, 0]
        );
        for bad in ["", "5", "s", "-1s", "1d", "1 s", "NaNs", "infs", "1e300h", "5sec"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
