//! Texts by key, that are read, replaced, and appended to.

use super::super::{Model, only_linearizable};
use crate::checker::{Checker, Options};
use crate::history::{Event, Form, Kind};

/// Keys with texts; each is empty at first, and an object of its own.
///
/// # Errors
///
/// A level that it does not know, or an initial state that is no text.
pub fn kv(options: &Options) -> Result<Box<dyn Checker>, String> {
    let initial = options.initial(|form| form.map_or(Ok(String::new()), text))?;
    only_linearizable(options, Texts { initial })
}

fn text(form: Form<'_>) -> Result<String, String> {
    if form.is_nil() {
        return Ok(String::new());
    }
    match form.as_text() {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("{form} is no text")),
    }
}

struct Texts {
    initial: String,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Op {
    Get(String),
    Put(String),
    Append(String),
}

impl Model for Texts {
    type Op = Op;
    type State = String;

    fn begin(&mut self, event: &Event<'_>) -> Result<Op, String> {
        match event.f {
            "get" => Ok(Op::Get(String::new())),
            "put" => Ok(Op::Put(text(event.value)?)),
            "append" => Ok(Op::Append(text(event.value)?)),
            other => Err(format!("a key cannot {other}")),
        }
    }

    fn end(&mut self, op: Op, kind: Kind, value: Form<'_>) -> Result<Option<Op>, String> {
        match (&op, kind) {
            (Op::Get(_), Kind::Ok) => Ok(Some(Op::Get(text(value)?))),
            (Op::Get(_), _) | (_, Kind::Fail) => Ok(None),
            _ => Ok(Some(op)),
        }
    }

    fn initial(&self) -> String {
        self.initial.clone()
    }

    fn step(&self, state: &String, op: &Op) -> Option<String> {
        match op {
            Op::Get(text) => (text == state).then(|| state.clone()),
            Op::Put(text) => Some(text.clone()),
            Op::Append(text) => Some(format!("{state}{text}")),
        }
    }

    fn only_reads(&self, op: &Op) -> bool {
        matches!(op, Op::Get(_))
    }

    fn needs(&self, op: &Op) -> Option<String> {
        match op {
            Op::Get(text) => Some(text.clone()),
            Op::Put(_) | Op::Append(_) => None,
        }
    }

    fn leaves(&self, op: &Op) -> Option<String> {
        match op {
            Op::Put(text) => Some(text.clone()),
            Op::Get(_) | Op::Append(_) => None,
        }
    }

    fn show(&self, op: &Op) -> String {
        match op {
            Op::Get(text) => format!("get {text:?}"),
            Op::Put(text) => format!("put {text:?}"),
            Op::Append(text) => format!("append {text:?}"),
        }
    }

    fn show_state(&self, state: &String) -> String {
        format!("{state:?}")
    }
}
