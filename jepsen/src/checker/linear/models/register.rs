//! One value, that is read, written, and, if it has these, compared and set.

use super::super::{Model, only_linearizable};
use crate::checker::values::Values;
use crate::checker::{Checker, Options};
use crate::history::{Event, Form, Kind};

/// A register.
///
/// # Errors
///
/// A level that it does not know.
pub fn register(options: &Options) -> Result<Box<dyn Checker>, String> {
    only_linearizable(options, Register::new(options, false)?)
}

/// A register that can compare and set. One that failed has seen another value, unless
/// the options say that it then did not happen.
///
/// # Errors
///
/// A level that it does not know.
pub fn cas_register(options: &Options) -> Result<Box<dyn Checker>, String> {
    only_linearizable(options, Register::new(options, true)?)
}

struct Register {
    values: Values,
    initial: u32,
    /// Whether it can compare and set, and whether one that failed says nothing.
    cas: bool,
    cas_drop: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Op {
    key: u32,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    /// What it reads is known when it ended.
    Read(u32),
    Write(u32),
    Cas(u32, u32),
    /// A compare-and-set that found another value.
    Not(u32),
}

impl Register {
    fn new(options: &Options, cas: bool) -> Result<Register, String> {
        let mut values = Values::default();
        let initial =
            options.initial(|form| Ok(form.map_or(Values::NIL, |form| values.number(form))))?;
        Ok(Register { values, initial, cas, cas_drop: options.cas_drop })
    }
}

impl Model for Register {
    type Op = Op;
    type State = u32;

    fn begin(&mut self, event: &Event<'_>) -> Result<Op, String> {
        let key = event.key.map_or(Values::NIL, |key| self.values.number(key));
        let what = match event.f {
            "read" => What::Read(Values::NIL),
            "write" => What::Write(self.values.number(event.value)),
            "cas" if self.cas => match event.value.array() {
                Some([from, to]) => What::Cas(self.values.number(from), self.values.number(to)),
                None => return Err(format!("cas {}: [from to] is expected", event.value)),
            },
            other => return Err(format!("a register cannot {other}")),
        };
        Ok(Op { key, what })
    }

    fn end(&mut self, op: Op, kind: Kind, value: Form<'_>) -> Result<Option<Op>, String> {
        let what = match (op.what, kind) {
            // Where nothing is nil, nil is no value: what was read is not known.
            (What::Read(_), Kind::Ok) if value.is_nil() && self.initial != Values::NIL => {
                return Ok(None);
            }
            (What::Read(_), Kind::Ok) => What::Read(self.values.number(value)),
            // Only an answer that repeats what was asked says that the value was compared.
            (What::Cas(from, _), Kind::Fail) if !self.cas_drop && value.array::<2>().is_some() => {
                What::Not(from)
            }
            (What::Read(_), _) | (_, Kind::Fail) => return Ok(None),
            (what, _) => what,
        };
        Ok(Some(Op { what, ..op }))
    }

    fn part(&self, op: &Op) -> u32 {
        op.key
    }

    fn initial(&self) -> u32 {
        self.initial
    }

    fn step(&self, state: &u32, op: &Op) -> Option<u32> {
        match op.what {
            What::Read(value) => (value == *state).then_some(*state),
            What::Write(value) => Some(value),
            What::Cas(from, to) => (from == *state).then_some(to),
            What::Not(from) => (from != *state).then_some(*state),
        }
    }

    fn only_reads(&self, op: &Op) -> bool {
        matches!(op.what, What::Read(_) | What::Not(_))
    }

    fn needs(&self, op: &Op) -> Option<u32> {
        match op.what {
            What::Read(value) | What::Cas(value, _) => Some(value),
            What::Write(_) | What::Not(_) => None,
        }
    }

    fn leaves(&self, op: &Op) -> Option<u32> {
        match op.what {
            What::Write(value) | What::Cas(_, value) => Some(value),
            What::Read(_) | What::Not(_) => None,
        }
    }

    fn show(&self, op: &Op) -> String {
        let name = |value| self.values.name(value);
        let what = match op.what {
            What::Read(value) => format!("read {}", name(value)),
            What::Write(value) => format!("write {}", name(value)),
            What::Cas(from, to) => format!("cas {} to {}", name(from), name(to)),
            What::Not(from) => format!("cas that found no {}", name(from)),
        };
        if op.key == Values::NIL { what } else { format!("{what} at {}", name(op.key)) }
    }

    fn show_state(&self, state: &u32) -> String {
        self.values.name(*state).to_owned()
    }
}
