//! The formats, by name, and those that have one operation a line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::edn::{self, Next};
use super::form::{Form, Mark, Tape, Text};
use super::{Event, Kind, MAX_FORM_BYTES, Malformed, Sink, json, sessions};

/// How a history is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Operations as EDN maps, one behind the other or in one vector.
    Edn,
    /// The same as JSON.
    Json,
    /// Lines of Jepsen's console.
    JepsenLog,
    /// Maps with a key beside the value.
    KvLog,
    /// `w(KEY,VALUE,SESSION,TXN)` and `r(…)`.
    PlumeText,
    /// `w KEY VALUE`, `-----` between transactions, `=====` between sessions.
    AwditText,
    /// Sessions of transactions, as dbcop has them encoded.
    DbcopBincode,
    /// A folder with one file for each session.
    CobraBinary,
}

impl Format {
    /// All, with the names by which they are called.
    pub const ALL: [(&'static str, Format); 10] = [
        ("edn", Format::Edn),
        ("edn-transcribed", Format::Edn),
        ("json", Format::Json),
        ("jsonl", Format::Json),
        ("jepsen-log", Format::JepsenLog),
        ("kv-log", Format::KvLog),
        ("plume-text", Format::PlumeText),
        ("awdit-text", Format::AwditText),
        ("dbcop-bincode", Format::DbcopBincode),
        ("cobra-binary", Format::CobraBinary),
    ];

    /// The format of that name.
    pub fn of_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, format)| format)
    }

    /// Whether it has sessions of transactions and nothing else.
    pub fn is_sessions(self) -> bool {
        self.begins_with_zero() || self == Format::CobraBinary
    }

    /// Whether it writes 0 where others write `nil`: what a register has that nobody wrote.
    pub fn begins_with_zero(self) -> bool {
        matches!(self, Format::PlumeText | Format::AwditText | Format::DbcopBincode)
    }
}

/// Reads the history at `path`.
///
/// # Errors
///
/// What is malformed, or what `sink` refused, with its line.
pub fn read(path: &Path, format: Format, sink: &mut dyn Sink) -> Result<(), Malformed> {
    if format == Format::CobraBinary {
        return sessions::cobra(path, sink);
    }
    let file = File::open(path).map_err(|error| Malformed::new(0, error.to_string()))?;
    match format {
        Format::Edn | Format::KvLog => operations(file, sink),
        Format::Json => json::read(BufReader::new(file), sink),
        Format::JepsenLog => jepsen_log(BufReader::new(file), sink),
        Format::PlumeText => sessions::plume(BufReader::new(file), sink),
        Format::AwditText => sessions::awdit(BufReader::new(file), sink),
        Format::DbcopBincode => sessions::dbcop(BufReader::new(file), sink),
        Format::CobraBinary => unreachable!("a folder, see above"),
    }
}

/// Reads a history that is EDN.
///
/// # Errors
///
/// As [`read`].
pub fn read_text(text: &str, sink: &mut dyn Sink) -> Result<(), Malformed> {
    operations(text.as_bytes(), sink)
}

fn operations(input: impl Read, sink: &mut dyn Sink) -> Result<(), Malformed> {
    let mut reader = edn::Reader::new(input);
    let mut tape = Tape::new();
    let (mut inside, mut ended) = (false, false);
    loop {
        tape.clear();
        match reader.next(&mut tape)? {
            Next::Form(mark, line) if ended => {
                let reason = format!("{} behind the end of the history", tape.form(mark));
                return Err(Malformed::new(line, reason));
            }
            Next::Form(mark, line) => operation(tape.form(mark), line, sink)?,
            Next::Begin if !inside && !ended => inside = true,
            Next::End if inside => (inside, ended) = (false, true),
            Next::Begin => return Err(Malformed::new(0, "a vector in place of an operation")),
            Next::End => return Err(Malformed::new(0, "a bracket that closes nothing")),
            Next::EndOfFile if inside => {
                return Err(Malformed::new(0, "the vector of operations does not end"));
            }
            Next::EndOfFile => return Ok(()),
        }
    }
}

/// An operation, from the map that it is.
pub(super) fn operation(form: Form<'_>, line: u64, sink: &mut dyn Sink) -> Result<(), Malformed> {
    let refuse = |reason: String| Err(Malformed::new(line, reason));
    let Some(pairs) = form.pairs() else {
        return refuse(format!("{form} is no operation: a map is expected"));
    };
    let (mut kind, mut process, mut f, mut key, mut value) =
        (None, None, Form::nil(), None, Form::nil());
    for (name, form) in pairs {
        match name.as_text() {
            Some("type") => kind = Some(form),
            Some("process") => process = Some(form),
            Some("f") => f = form,
            Some("key") => key = Some(form),
            Some("value") => value = form,
            _ => {}
        }
    }
    let Some(process) = process else { return refuse("an operation of no process".to_owned()) };
    // Anything but a number is who injects faults.
    let Some(process) = process.as_int() else { return Ok(()) };
    let f = match f.as_text() {
        Some(name) => name,
        None if f.is_nil() => "txn",
        None => return refuse(format!("{f} is no function")),
    };
    let Some(kind) = kind.and_then(|kind| Kind::of_name(kind.as_text()?)) else {
        let kind = kind.map_or_else(|| "none".to_owned(), |kind| kind.to_string());
        return refuse(format!("type {kind}: invoke, ok, fail or info is expected"));
    };
    sink.event(&Event { kind, process, f, key, value, line })
}

/// `INFO  jepsen.util - 4⇥:invoke⇥:cas⇥[1 2]`; other lines are somebody else's.
fn jepsen_log(input: impl BufRead, sink: &mut dyn Sink) -> Result<(), Malformed> {
    let mut tape = Tape::new();
    let (mut lines, mut operations) = (0, 0_u64);
    for_each_line(input, |text, line| {
        lines = line;
        let mut words = text.split_whitespace();
        let said = ["INFO", "jepsen.util", "-"];
        if !said.iter().all(|word| words.next() == Some(word)) {
            return Ok(());
        }
        let Some(process) = words.next().and_then(|word| word.parse().ok()) else { return Ok(()) };
        let kind = words.next().and_then(|word| Kind::of_name(word.strip_prefix(':')?));
        let f = words.next().and_then(|word| word.strip_prefix(':'));
        let (Some(kind), Some(f)) = (kind, f) else { return Ok(()) };
        tape.clear();
        // Why it did not happen, or nobody knows, may be said in any words.
        let told = matches!(kind, Kind::Invoke | Kind::Ok);
        let mark = written(&mut tape, words, line, told)?;
        operations += 1;
        sink.event(&Event { kind, process, f, key: None, value: tape.form(mark), line })
    })?;
    // Another format, as likely as not.
    if lines > 0 && operations == 0 {
        return Err(Malformed::new(lines, "no line is an operation of a Jepsen console"));
    }
    Ok(())
}

fn written<'a>(
    tape: &mut Tape,
    words: impl Iterator<Item = &'a str>,
    line: u64,
    told: bool,
) -> Result<Mark, Malformed> {
    let text = words.collect::<Vec<_>>().join(" ");
    match edn::one(&text, tape) {
        Ok(Some(mark)) => Ok(mark),
        Err(reason) if told => Err(Malformed::new(line, reason)),
        Ok(None) | Err(_) => {
            tape.clear();
            let mark = tape.mark();
            tape.text(Text::Symbol, &text);
            Ok(mark)
        }
    }
}

/// Calls `take` with each line and its number.
pub(super) fn for_each_line(
    mut input: impl BufRead,
    mut take: impl FnMut(&str, u64) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let (mut line, mut text) = (0, String::new());
    loop {
        line += 1;
        text.clear();
        let longest = MAX_FORM_BYTES as u64;
        let read = (&mut input).take(longest).read_line(&mut text);
        match read {
            Ok(0) => return Ok(()),
            Ok(bytes) if bytes as u64 == longest => {
                return Err(Malformed::new(line, format!("more than {longest} bytes")));
            }
            Ok(_) => take(text.trim_end_matches(['\n', '\r']), line)?,
            Err(error) => return Err(Malformed::new(line, error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(log: &str) -> Result<Vec<u64>, Malformed> {
        let mut lines = Vec::new();
        jepsen_log(log.as_bytes(), &mut |event: &Event<'_>| {
            lines.push(event.line);
            Ok(())
        })?;
        Ok(lines)
    }

    #[test]
    fn why_something_failed_may_be_said_in_any_words() {
        let log = "INFO  jepsen.util - 1 :invoke :write 1\nsomebody else's\n\
                   INFO  jepsen.util - 1\t:info\t:write\t#<Timeout: ]>\n";
        assert_eq!(lines_of(log).unwrap(), [1, 3]);
        let log = log.replace(":info", ":ok");
        assert!(lines_of(&log).is_err(), "what happened is to be known");
    }

    #[test]
    fn a_log_of_nothing_is_none() {
        assert!(lines_of("").unwrap().is_empty());
        assert_eq!(lines_of("{:type :ok}\n\n").unwrap_err().line, 2);
    }
}
