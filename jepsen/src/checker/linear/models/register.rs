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
enum Op {
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
        match event.f {
            "read" => Ok(Op::Read(Values::NIL)),
            "write" => Ok(Op::Write(self.values.number(event.value))),
            "cas" if self.cas => match event.value.array() {
                Some([from, to]) => Ok(Op::Cas(self.values.number(from), self.values.number(to))),
                None => Err(format!("cas {}: [from to] is expected", event.value)),
            },
            other => Err(format!("a register cannot {other}")),
        }
    }

    fn end(&mut self, op: Op, kind: Kind, value: Form<'_>) -> Result<Option<Op>, String> {
        Ok(Some(match (op, kind) {
            // Where nothing is nil, nil is no value: what was read is not known.
            (Op::Read(_), Kind::Ok) if value.is_nil() && self.initial != Values::NIL => {
                return Ok(None);
            }
            (Op::Read(_), Kind::Ok) => Op::Read(self.values.number(value)),
            // Only an answer that repeats what was asked says that the value was compared.
            (Op::Cas(from, _), Kind::Fail) if !self.cas_drop && value.array::<2>().is_some() => {
                Op::Not(from)
            }
            (Op::Read(_), _) | (_, Kind::Fail) => return Ok(None),
            (op, _) => op,
        }))
    }

    fn initial(&self) -> u32 {
        self.initial
    }

    fn step(&self, state: &u32, op: &Op) -> Option<u32> {
        match *op {
            Op::Read(value) => (value == *state).then_some(*state),
            Op::Write(value) => Some(value),
            Op::Cas(from, to) => (from == *state).then_some(to),
            Op::Not(from) => (from != *state).then_some(*state),
        }
    }

    fn only_reads(&self, op: &Op) -> bool {
        matches!(*op, Op::Read(_) | Op::Not(_))
    }

    fn needs(&self, op: &Op) -> Option<u32> {
        match *op {
            Op::Read(value) | Op::Cas(value, _) => Some(value),
            Op::Write(_) | Op::Not(_) => None,
        }
    }

    fn leaves(&self, op: &Op) -> Option<u32> {
        match *op {
            Op::Write(value) | Op::Cas(_, value) => Some(value),
            Op::Read(_) | Op::Not(_) => None,
        }
    }

    fn show(&self, op: &Op) -> String {
        let name = |value| self.values.name(value);
        match *op {
            Op::Read(value) => format!("read {}", name(value)),
            Op::Write(value) => format!("write {}", name(value)),
            Op::Cas(from, to) => format!("cas {} to {}", name(from), name(to)),
            Op::Not(from) => format!("cas that found no {}", name(from)),
        }
    }

    fn show_state(&self, state: &u32) -> String {
        self.values.name(*state).to_owned()
    }
}
