//! A sum, to which is added, and that is read.

use super::super::{Linear, Model};
use crate::checker::{Checker, Options};
use crate::history::{Event, Form, Kind};

/// A counter, as an object that is linearizable.
///
/// # Errors
///
/// An initial state that is no integer.
pub fn counter(options: &Options) -> Result<Box<dyn Checker>, String> {
    let initial = options.initial(|form| match form {
        None => Ok(0),
        Some(form) if form.is_nil() => Ok(0),
        Some(form) => form.as_int().ok_or_else(|| format!("{form} is no integer")),
    })?;
    Ok(Box::new(Linear::new(Sum { initial, shrinks: false })))
}

struct Sum {
    initial: i64,
    /// Whether something is taken away.
    shrinks: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Op {
    Add(i64),
    Read(i64),
}

impl Model for Sum {
    type Op = Op;
    type State = i128;

    fn begin(&mut self, event: &Event<'_>) -> Result<Op, String> {
        match event.f {
            "add" => match event.value.as_int() {
                Some(added) => {
                    self.shrinks |= added < 0;
                    Ok(Op::Add(added))
                }
                None => Err(format!("add {}: an integer is expected", event.value)),
            },
            "read" => Ok(Op::Read(0)),
            other => Err(format!("a counter cannot {other}")),
        }
    }

    fn end(&mut self, op: Op, kind: Kind, value: Form<'_>) -> Result<Option<Op>, String> {
        match (op, kind) {
            // One that was never added to may be nil.
            (Op::Read(_), Kind::Ok) if value.is_nil() => Ok(Some(Op::Read(self.initial))),
            (Op::Read(_), Kind::Ok) => match value.as_int() {
                Some(sum) => Ok(Some(Op::Read(sum))),
                None => Err(format!("read {value}: an integer is expected")),
            },
            (Op::Read(_), _) | (_, Kind::Fail) => Ok(None),
            _ => Ok(Some(op)),
        }
    }

    fn initial(&self) -> i128 {
        self.initial.into()
    }

    fn step(&self, state: &i128, op: &Op) -> Option<i128> {
        match op {
            Op::Add(added) => Some(state + i128::from(*added)),
            Op::Read(sum) => (i128::from(*sum) == *state).then_some(*state),
        }
    }

    fn only_reads(&self, op: &Op) -> bool {
        matches!(op, Op::Read(_))
    }

    fn too_late(&self, state: &i128, op: &Op) -> bool {
        matches!(op, Op::Read(sum) if !self.shrinks && i128::from(*sum) < *state)
    }

    fn show(&self, op: &Op) -> String {
        match op {
            Op::Add(added) => format!("add {added}"),
            Op::Read(sum) => format!("read {sum}"),
        }
    }

    fn show_state(&self, state: &i128) -> String {
        state.to_string()
    }
}
