//! Texts by key, that are read, replaced, and appended to.

use super::super::{Model, only_linearizable};
use crate::checker::values::Values;
use crate::checker::{Checker, Options};
use crate::history::{Event, Form, Kind};

/// Keys with texts; each is empty at first, and an object of its own.
///
/// # Errors
///
/// A level that it does not know, or an initial state that is no text.
pub fn kv(options: &Options) -> Result<Box<dyn Checker>, String> {
    let initial = options.initial(|form| form.map_or(Ok(String::new()), text))?;
    only_linearizable(options, Texts { keys: Values::default(), initial })
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
    keys: Values,
    initial: String,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Op {
    key: u32,
    what: What,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum What {
    Get(String),
    Put(String),
    Append(String),
}

impl Model for Texts {
    type Op = Op;
    type State = String;

    fn begin(&mut self, event: &Event<'_>) -> Result<Op, String> {
        let key = event.key.map_or(Values::NIL, |key| self.keys.number(key));
        let what = match event.f {
            "get" => What::Get(String::new()),
            "put" => What::Put(text(event.value)?),
            "append" => What::Append(text(event.value)?),
            other => return Err(format!("a key cannot {other}")),
        };
        Ok(Op { key, what })
    }

    fn end(&mut self, op: Op, kind: Kind, value: Form<'_>) -> Result<Option<Op>, String> {
        match (&op.what, kind) {
            (What::Get(_), Kind::Ok) => Ok(Some(Op { what: What::Get(text(value)?), ..op })),
            (What::Get(_), _) | (_, Kind::Fail) => Ok(None),
            _ => Ok(Some(op)),
        }
    }

    fn part(&self, op: &Op) -> u32 {
        op.key
    }

    fn initial(&self) -> String {
        self.initial.clone()
    }

    fn step(&self, state: &String, op: &Op) -> Option<String> {
        match &op.what {
            What::Get(text) => (text == state).then(|| state.clone()),
            What::Put(text) => Some(text.clone()),
            What::Append(text) => Some(format!("{state}{text}")),
        }
    }

    fn only_reads(&self, op: &Op) -> bool {
        matches!(op.what, What::Get(_))
    }

    fn needs(&self, op: &Op) -> Option<String> {
        match &op.what {
            What::Get(text) => Some(text.clone()),
            What::Put(_) | What::Append(_) => None,
        }
    }

    fn leaves(&self, op: &Op) -> Option<String> {
        match &op.what {
            What::Put(text) => Some(text.clone()),
            What::Get(_) | What::Append(_) => None,
        }
    }

    fn show(&self, op: &Op) -> String {
        let key = self.keys.name(op.key);
        match &op.what {
            What::Get(text) => format!("get {key}: {text:?}"),
            What::Put(text) => format!("put {key} {text:?}"),
            What::Append(text) => format!("append {key} {text:?}"),
        }
    }

    fn show_state(&self, state: &String) -> String {
        format!("{state:?}")
    }
}
