//! Histories: what clients asked, when, and what they were told.
//!
//! ```text
//!   file ──▶ reader of its format ──▶ Event, Event, Event … ──▶ Sink of a model
//!            edn json jepsen_log …    (borrowed from a tape)    keeps what it needs
//! ```
//!
//! Readers push one event after the other, in the order of the file, and keep none; so a
//! history may be longer than memory, as far as its model can do without all of it.
//!
//! An operation is an `invoke` and, some time later, how it ended: `ok` (it happened, and
//! the value is its result), `fail` (it certainly did not happen), `info` (nobody knows:
//! it may have happened, may still happen, or never will). What faults were injected
//! stands in the same file under a process that is no number, and is skipped here.
//!
//! Formats that have transactions and no times (`plume-text`, `awdit-text`,
//! `dbcop-bincode`, `cobra-binary`) become completions without an invocation: then there
//! is the order within each session, and no order in real time.

pub mod edn;
pub mod form;
mod formats;
mod json;
mod sessions;
pub mod write;

use thiserror::Error;

pub use form::{Form, Shape, Tape, Text};
pub use formats::{Format, read, read_text};
pub use write::{Entry, Process, Value};

/// How deep forms may be nested.
pub const MAX_DEPTH: usize = 64;
/// How long an operation may be, in bytes.
pub const MAX_FORM_BYTES: usize = 1 << 26;

/// A history that cannot be read: nothing is concluded from it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct Malformed {
    /// Where, from 1; of a binary file the byte, from 0.
    pub line: u64,
    /// Why.
    pub reason: String,
}

impl Malformed {
    /// Refuses what stands at `line`.
    pub fn new(line: u64, reason: impl Into<String>) -> Malformed {
        Malformed { line, reason: reason.into() }
    }
}

/// What an event says of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It begins.
    Invoke,
    /// It happened.
    Ok,
    /// It did not happen.
    Fail,
    /// Nobody knows.
    Info,
}

impl Kind {
    /// Its name in histories.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invoke => "invoke",
            Kind::Ok => "ok",
            Kind::Fail => "fail",
            Kind::Info => "info",
        }
    }

    fn of_name(name: &str) -> Option<Kind> {
        [Kind::Invoke, Kind::Ok, Kind::Fail, Kind::Info]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// One line of a history.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What it says.
    pub kind: Kind,
    /// Of whom: who has at most one operation under way.
    pub process: i64,
    /// What is done; `txn` where the history does not say.
    pub f: &'a str,
    /// On which of many objects, in formats that say so beside the value.
    pub key: Option<Form<'a>>,
    /// Arguments of an invocation, result of a completion.
    pub value: Form<'a>,
    /// Where it stands, from 1; of a binary file its place among the transactions.
    pub line: u64,
}

/// Takes the events of a history.
pub trait Sink {
    /// The next one.
    ///
    /// # Errors
    ///
    /// What a history of its model cannot have.
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed>;
}

impl<F: FnMut(&Event<'_>) -> Result<(), Malformed>> Sink for F {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        self(event)
    }
}
