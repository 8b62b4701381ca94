//! A lock that one has at a time, whoever releases it.

use super::super::{Model, only_linearizable};
use crate::checker::{Checker, Options};
use crate::history::{Event, Form, Kind};

/// A mutex; its initial state is `locked` or `unlocked`.
///
/// # Errors
///
/// A level that it does not know, or another initial state.
pub fn mutex(options: &Options) -> Result<Box<dyn Checker>, String> {
    let locked = options.initial(|form| match form {
        None => Ok(false),
        Some(form) => match form.as_text() {
            Some("unlocked") => Ok(false),
            Some("locked") => Ok(true),
            None if form.is_nil() => Ok(false),
            _ => Err(format!("{form}: a mutex is locked or unlocked")),
        },
    })?;
    only_linearizable(options, Mutex { locked })
}

struct Mutex {
    /// At the beginning.
    locked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Op {
    Acquire,
    Release,
}

impl Model for Mutex {
    type Op = Op;
    type State = bool;

    fn begin(&mut self, event: &Event<'_>) -> Result<Op, String> {
        match event.f {
            "acquire" => Ok(Op::Acquire),
            "release" => Ok(Op::Release),
            other => Err(format!("a mutex cannot {other}")),
        }
    }

    fn end(&mut self, op: Op, kind: Kind, _: Form<'_>) -> Result<Option<Op>, String> {
        Ok((kind != Kind::Fail).then_some(op))
    }

    fn initial(&self) -> bool {
        self.locked
    }

    fn step(&self, locked: &bool, op: &Op) -> Option<bool> {
        match op {
            Op::Acquire => (!*locked).then_some(true),
            Op::Release => locked.then_some(false),
        }
    }

    fn only_reads(&self, _: &Op) -> bool {
        false
    }

    fn needs(&self, op: &Op) -> Option<bool> {
        Some(*op == Op::Release)
    }

    fn leaves(&self, op: &Op) -> Option<bool> {
        Some(*op == Op::Acquire)
    }

    fn show(&self, op: &Op) -> String {
        match op {
            Op::Acquire => "acquire".to_owned(),
            Op::Release => "release".to_owned(),
        }
    }

    fn show_state(&self, locked: &bool) -> String {
        if *locked { "locked".to_owned() } else { "unlocked".to_owned() }
    }
}
