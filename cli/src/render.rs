//! What is printed: rows, outcomes, tables; as text or as JSON.

use std::io::{self, BufWriter, Write};

use anyhow::Result;
use serde::Serialize;
use synod_client::{Escaped, Outcome, Scan, TxnId};

/// A key with its value as a line of JSON: text where it is UTF-8, base64 under
/// `key_b64` and `value_b64` where it is not. An absent value is `null`.
#[derive(Serialize)]
struct JsonRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_b64: Option<String>,
}

/// Prints a key and its value as a line of JSON.
///
/// # Errors
/// If it can not be written.
pub fn json_row(out: &mut impl Write, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
    let (key, key_b64) = text_or_base64(key);
    let (value, value_b64) = match value.map(text_or_base64) {
        None => (Some(None), None),
        Some((text, base64)) => (text.map(Some), base64),
    };
    json(out, &JsonRow { key, key_b64, value, value_b64 })
}

/// Prints a row of a scan: `KEY<TAB>VALUE`, or JSON.
///
/// # Errors
/// If it can not be written.
pub fn row(out: &mut impl Write, as_json: bool, key: &[u8], value: &[u8]) -> io::Result<()> {
    match as_json {
        true => json_row(out, key, Some(value)),
        false => writeln!(out, "{}\t{}", Escaped(key), Escaped(value)),
    }
}

/// Prints the rows of a scan, as they come.
///
/// # Errors
/// If they can not be read or written.
pub async fn rows(
    mut rows: Scan<'_>,
    limit: Option<usize>,
    reverse: bool,
    as_json: bool,
) -> Result<()> {
    if let Some(limit) = limit {
        rows = rows.limit(limit);
    }
    if reverse {
        rows = rows.reverse();
    }
    let mut out = BufWriter::new(io::stdout());
    while let Some(found) = rows.next().await {
        let found = found?;
        row(&mut out, as_json, &found.key, &found.value)?;
    }
    Ok(out.flush()?)
}

/// What became of a transaction, for JSON.
#[derive(Serialize)]
struct JsonOutcome {
    txn: String,
    state: &'static str,
    timestamp: Option<u64>,
    reason: Option<String>,
}

/// Prints what became of a transaction.
///
/// # Errors
/// If it can not be written.
pub fn outcome(
    out: &mut impl Write,
    as_json: bool,
    txn: TxnId,
    outcome: &Outcome,
) -> io::Result<()> {
    if !as_json {
        return writeln!(out, "{outcome}");
    }
    let (state, timestamp, reason) = match outcome {
        Outcome::Committed(at) => ("committed", Some(at.0), None),
        Outcome::Aborted(reason) => ("aborted", None, Some(reason.to_string())),
        Outcome::Undecided => ("undecided", None, None),
        Outcome::Unknown => ("unknown", None, None),
    };
    json(out, &JsonOutcome { txn: txn.to_string(), state, timestamp, reason })
}

/// Prints a line of JSON.
///
/// # Errors
/// If it can not be written.
pub fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Prints rows under a heading, in columns as wide as they need to be.
///
/// # Errors
/// If it can not be written.
pub fn table<const N: usize>(
    out: &mut impl Write,
    heading: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line: Vec<String> = cells.collect();
        line.join("  ").trim_end().to_owned()
    };
    writeln!(out, "{}", line(heading))?;
    for row in rows {
        writeln!(out, "{}", line(row.each_ref().map(String::as_str)))?;
    }
    Ok(())
}

/// Bytes as text, or where they are none as base64.
pub fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(base64(bytes))),
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let [a, b, c] = three.map(usize::from);
        let bits = a << 16 | b << 8 | c;
        for i in 0..4 {
            let digit = bits >> (18 - 6 * i) & 63;
            out.push(if i <= chunk.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(print: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        let known = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (i, text) in known.iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..i]), *text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn rows_are_text_or_base64() {
        let line = printed(|out| json_row(out, b"k", Some(b"v\n")));
        assert_eq!(line, "{\"key\":\"k\",\"value\":\"v\\n\"}\n");
        let line = printed(|out| json_row(out, b"\xff", Some(b"\xfe")));
        assert_eq!(line, "{\"key_b64\":\"/w==\",\"value_b64\":\"/g==\"}\n");
        let line = printed(|out| json_row(out, b"k", None));
        assert_eq!(line, "{\"key\":\"k\",\"value\":null}\n");
        assert_eq!(printed(|out| row(out, false, b"k\n", b"\x00")), "k\\x0a\t\\x00\n");
    }

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let rows = [["s1".to_owned(), "up".to_owned()], ["s10".to_owned(), String::new()]];
        let text = printed(|out| table(out, ["id", "state"], &rows));
        assert_eq!(text, "id   state\ns1   up\ns10\n");
    }
}
