//! Histories that we write: what the harness saw, one event a line.
//!
//! ```text
//!   Entry ──▶ write_edn     {:type :invoke, :f :txn, :value [[:append 3 5]], :time 12, :process 0, :index 4}
//!         └─▶ write_jsonl   {"type":"invoke","f":"txn","value":[["append",3,5]],"time":12,"process":0,"index":4}
//! ```
//!
//! The first is Jepsen's own form, so that Elle and Knossos can be asked for a second opinion;
//! the second is for programs that read JSON. Both are read back by [`super::read`]. Between
//! them something is lost: JSON has neither names nor keys of maps that are no text, so that
//! `:x` becomes `"x"`, `{7 1}` becomes `{"7":1}`, and a list an array. Models take them so.

use std::io::{self, Write};

use super::Kind;

/// A value in a history, on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Value {
    /// Nothing: absent, or not known yet.
    #[default]
    Nil,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A keyword, without its colon: letters, digits and `-_./?!*`, no digit in front.
    Name(&'static str),
    /// Any text.
    Text(String),
    /// `[…]`
    Vector(Vec<Value>),
    /// `(…)`
    List(Vec<Value>),
    /// `{…}`, in the order in which it is written.
    Map(Vec<(Value, Value)>),
}

impl From<i64> for Value {
    fn from(int: i64) -> Value {
        Value::Int(int)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl<const N: usize> From<[Value; N]> for Value {
    fn from(items: [Value; N]) -> Value {
        Value::Vector(items.into())
    }
}

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// A client: a logical thread, which has at most one operation under way.
    Client(i64),
    /// Who injects faults. Checkers skip it.
    Nemesis,
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    /// Its place, from 0.
    pub index: u64,
    /// Nanoseconds since the run began.
    pub time_ns: u64,
    /// Whose it is.
    pub process: Process,
    /// What it says. Of the nemesis it is written as `info`, whatever stands here.
    pub kind: Kind,
    /// What is done; a name, as in [`Value::Name`].
    pub f: &'a str,
    /// Arguments of an invocation, result of a completion. Values in more than 60 others are
    /// not read back.
    pub value: Value,
    /// Why it failed, or why nobody knows.
    pub error: Option<&'a str>,
}

impl Entry<'_> {
    /// Writes it as Jepsen does, with a newline.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    ///
    /// # Panics
    ///
    /// If a name is none.
    pub fn write_edn(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{{:type :{}, :f :{}, :value ", self.kind_written(), name(self.f))?;
        edn(&self.value, out)?;
        write!(out, ", :time {}, :process ", self.time_ns)?;
        match self.process {
            Process::Client(process) => write!(out, "{process}")?,
            Process::Nemesis => out.write_all(b":nemesis")?,
        }
        if let Some(error) = self.error {
            out.write_all(b", :error ")?;
            edn_text(error, out)?;
        }
        writeln!(out, ", :index {}}}", self.index)
    }

    /// Writes it as a line of JSON.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    ///
    /// # Panics
    ///
    /// If a name is none.
    pub fn write_jsonl(&self, out: &mut impl Write) -> io::Result<()> {
        let (kind, f) = (self.kind_written(), name(self.f));
        write!(out, "{{\"type\":\"{kind}\",\"f\":\"{f}\",\"value\":")?;
        json(&self.value, out)?;
        write!(out, ",\"time\":{},\"process\":", self.time_ns)?;
        match self.process {
            Process::Client(process) => write!(out, "{process}")?,
            Process::Nemesis => out.write_all(b"\"nemesis\"")?,
        }
        if let Some(error) = self.error {
            out.write_all(b",\"error\":")?;
            json_text(error, out)?;
        }
        writeln!(out, ",\"index\":{}}}", self.index)
    }

    fn kind_written(&self) -> &'static str {
        match self.process {
            Process::Client(_) => self.kind.name(),
            Process::Nemesis => Kind::Info.name(),
        }
    }
}

/// Names come from programs: one that a reader would take for something else is a bug.
fn name(name: &str) -> &str {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "-_./?!*".contains(letter);
    let sound = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit());
    assert!(sound && name.chars().all(letter), "{name:?} is no name");
    name
}

fn edn(value: &Value, out: &mut impl Write) -> io::Result<()> {
    match value {
        Value::Nil => out.write_all(b"nil"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        Value::Name(value) => write!(out, ":{}", name(value)),
        Value::Text(value) => edn_text(value, out),
        Value::Vector(items) => edn_items(items, (b"[", b"]"), out),
        Value::List(items) => edn_items(items, (b"(", b")"), out),
        Value::Map(pairs) => {
            out.write_all(b"{")?;
            for (place, (key, value)) in pairs.iter().enumerate() {
                if place > 0 {
                    out.write_all(b", ")?;
                }
                edn(key, out)?;
                out.write_all(b" ")?;
                edn(value, out)?;
            }
            out.write_all(b"}")
        }
    }
}

fn edn_items(
    items: &[Value],
    (open, close): (&[u8], &[u8]),
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(open)?;
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.write_all(b" ")?;
        }
        edn(item, out)?;
    }
    out.write_all(close)
}

fn edn_text(text: &str, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\"")?;
    for letter in text.chars() {
        match letter {
            '"' => out.write_all(b"\\\"")?,
            '\\' => out.write_all(b"\\\\")?,
            '\n' => out.write_all(b"\\n")?,
            '\t' => out.write_all(b"\\t")?,
            '\r' => out.write_all(b"\\r")?,
            control if control.is_control() => write!(out, "\\u{:04x}", u32::from(control))?,
            letter => write!(out, "{letter}")?,
        }
    }
    out.write_all(b"\"")
}

fn json(value: &Value, out: &mut impl Write) -> io::Result<()> {
    match value {
        Value::Nil => out.write_all(b"null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        Value::Name(value) => write!(out, "\"{}\"", name(value)),
        Value::Text(value) => json_text(value, out),
        Value::Vector(items) | Value::List(items) => {
            out.write_all(b"[")?;
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.write_all(b",")?;
                }
                json(item, out)?;
            }
            out.write_all(b"]")
        }
        Value::Map(pairs) => {
            out.write_all(b"{")?;
            for (place, (key, value)) in pairs.iter().enumerate() {
                if place > 0 {
                    out.write_all(b",")?;
                }
                json_key(key, out)?;
                out.write_all(b":")?;
                json(value, out)?;
            }
            out.write_all(b"}")
        }
    }
}

/// A key that is no text is the text of it.
fn json_key(key: &Value, out: &mut impl Write) -> io::Result<()> {
    match key {
        Value::Name(_) | Value::Text(_) => json(key, out),
        key => {
            let mut text = Vec::new();
            edn(key, &mut text)?;
            json_text(&String::from_utf8_lossy(&text), out)
        }
    }
}

fn json_text(text: &str, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(out, text).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Event, Form, Malformed, Shape, Sink, Tape, Text, json, read_text};
    use super::*;

    /// What a reader makes of a value: on a tape, as it stands there.
    fn on_tape(value: &Value, as_json: bool, tape: &mut Tape) {
        let items = |shape, items: &[Value], tape: &mut Tape| {
            let mark = tape.open(shape);
            for item in items {
                on_tape(item, as_json, tape);
            }
            tape.close(mark);
        };
        match value {
            Value::Nil => tape.nil(),
            Value::Bool(value) => tape.bool(*value),
            Value::Int(value) => tape.int(*value),
            Value::Name(name) => {
                tape.text(if as_json { Text::Str } else { Text::Keyword }, name);
            }
            Value::Text(text) => tape.text(Text::Str, text),
            Value::Vector(of) => items(Shape::Vector, of, tape),
            Value::List(of) if as_json => items(Shape::Vector, of, tape),
            Value::List(of) => items(Shape::List, of, tape),
            Value::Map(pairs) => {
                let mark = tape.open(Shape::Map);
                for (key, value) in pairs {
                    match key {
                        Value::Int(int) if as_json => tape.text(Text::Str, &int.to_string()),
                        key => on_tape(key, as_json, tape),
                    }
                    on_tape(value, as_json, tape);
                }
                tape.close(mark);
            }
        }
    }

    /// Compares events with what was written.
    struct Same<'a> {
        entries: &'a [Entry<'a>],
        as_json: bool,
        seen: usize,
    }

    impl Sink for Same<'_> {
        fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
            let entry = &self.entries[self.seen];
            let mut tape = Tape::new();
            let mark = tape.mark();
            on_tape(&entry.value, self.as_json, &mut tape);
            let expected: Form<'_> = tape.form(mark);
            assert_eq!(event.value, expected);
            assert_eq!((event.kind, event.f, event.key), (entry.kind, entry.f, None));
            assert_eq!(Process::Client(event.process), entry.process);
            self.seen += 1;
            assert_eq!(event.line, self.seen as u64, "an event a line");
            Ok(())
        }
    }

    fn written(entries: &[Entry<'_>], as_json: bool) -> String {
        let mut out = Vec::new();
        for entry in entries {
            let result =
                if as_json { entry.write_jsonl(&mut out) } else { entry.write_edn(&mut out) };
            result.unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    fn is_read_back(entries: &[Entry<'_>]) {
        for as_json in [false, true] {
            let text = written(entries, as_json);
            let mut same = Same { entries, as_json, seen: 0 };
            match as_json {
                true => json::read(text.as_bytes(), &mut same).unwrap(),
                false => read_text(&text, &mut same).unwrap(),
            }
            assert_eq!(same.seen, entries.len(), "{text}");
        }
    }

    fn names() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["r", "append", "read", "x-1", "a_b", "net/timeout", "nil?"])
    }

    /// Letters that mean something to somebody, and any others.
    fn texts() -> impl Strategy<Value = String> {
        let hard = prop::sample::select(vec![
            "\"", "\\", "\n", "\r", "\t", "\u{8}", "\u{0}", "\u{7f}", "\u{85}", ";", "}", "#_",
            "é", "\u{2028}", "𝄞", "</", "nil", ":a", " ",
        ]);
        let hard = prop::collection::vec(hard, 0..6).prop_map(|parts| parts.concat());
        prop_oneof![hard, any::<String>()]
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            prop::sample::select(vec![i64::MIN, -1, 0, 1, i64::MAX]).prop_map(Value::Int),
            names().prop_map(Value::Name),
            texts().prop_map(Value::Text),
        ];
        let key = prop_oneof![
            any::<i64>().prop_map(Value::Int),
            names().prop_map(Value::Name),
            texts().prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Vector),
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::vec((key.clone(), inner), 0..4).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            events in prop::collection::vec(
                (values(), any::<i64>(), names(), 0..4_usize, prop::option::of(texts())), 0..8)
        ) {
            let kinds = [Kind::Invoke, Kind::Ok, Kind::Fail, Kind::Info];
            let entries: Vec<Entry<'_>> = (0..)
                .zip(&events)
                .map(|(index, (value, process, f, kind, error))| Entry {
                    index,
                    time_ns: u64::MAX - index,
                    process: Process::Client(*process),
                    kind: kinds[*kind],
                    f,
                    value: value.clone(),
                    error: error.as_deref(),
                })
                .collect();
            is_read_back(&entries);
        }
    }

    fn a_few() -> [Entry<'static>; 5] {
        let entry = |index, process, kind, f, value, error| Entry {
            index,
            time_ns: 1_000 * index,
            process,
            kind,
            f,
            value,
            error,
        };
        let append = || Value::from([Value::Name("append"), 3.into(), 5.into()]);
        let read = |seen| Value::from([[Value::Name("r"), 3.into(), seen].into(), append()]);
        let balances = [(0, 10), (7, -1)].map(|(key, value)| (Value::Int(key), Value::Int(value)));
        let client = Process::Client;
        let began = Value::Map(vec![(Value::Name("target"), "shard s2".into())]);
        [
            entry(0, client(0), Kind::Invoke, "txn", read(Value::Nil), None),
            entry(1, Process::Nemesis, Kind::Invoke, "kill", began, None),
            entry(2, client(0), Kind::Ok, "txn", read(Value::from([1.into()])), None),
            entry(3, client(1), Kind::Ok, "read", Value::Map(balances.into()), None),
            entry(4, client(2), Kind::Info, "write", "a \"b\"\n".into(), Some("C:\\ \"gone\"")),
        ]
    }

    #[test]
    fn it_looks_like_a_history_of_jepsen() {
        assert_eq!(
            written(&a_few(), false),
            r#"{:type :invoke, :f :txn, :value [[:r 3 nil] [:append 3 5]], :time 0, :process 0, :index 0}
{:type :info, :f :kill, :value {:target "shard s2"}, :time 1000, :process :nemesis, :index 1}
{:type :ok, :f :txn, :value [[:r 3 [1]] [:append 3 5]], :time 2000, :process 0, :index 2}
{:type :ok, :f :read, :value {0 10, 7 -1}, :time 3000, :process 1, :index 3}
{:type :info, :f :write, :value "a \"b\"\n", :time 4000, :process 2, :error "C:\\ \"gone\"", :index 4}
"#
        );
        assert_eq!(
            written(&a_few(), true),
            r#"{"type":"invoke","f":"txn","value":[["r",3,null],["append",3,5]],"time":0,"process":0,"index":0}
{"type":"info","f":"kill","value":{"target":"shard s2"},"time":1000,"process":"nemesis","index":1}
{"type":"ok","f":"txn","value":[["r",3,[1]],["append",3,5]],"time":2000,"process":0,"index":2}
{"type":"ok","f":"read","value":{"0":10,"7":-1},"time":3000,"process":1,"index":3}
{"type":"info","f":"write","value":"a \"b\"\n","time":4000,"process":2,"error":"C:\\ \"gone\"","index":4}
"#
        );
    }

    #[test]
    fn the_nemesis_is_skipped() {
        for as_json in [false, true] {
            let text = written(&a_few(), as_json);
            let mut lines = Vec::new();
            let mut sink = |event: &Event<'_>| {
                lines.push(event.line);
                Ok(())
            };
            match as_json {
                true => json::read(text.as_bytes(), &mut sink).unwrap(),
                false => read_text(&text, &mut sink).unwrap(),
            }
            assert_eq!(lines, [1, 3, 4, 5]);
        }
    }

    #[test]
    #[should_panic(expected = "is no name")]
    fn a_name_that_is_none_is_a_bug() {
        let mut entry = a_few()[0].clone();
        entry.value = Value::Name("a b");
        let _ = entry.write_edn(&mut Vec::new());
    }
}
