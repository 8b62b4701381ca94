//! What a workload itself must keep: sums, sets, queues, and what reads may see together.
//!
//! ```text
//!   events ──▶ Pairs: begin and end ──▶ a model's checker ──▶ lost, unexpected, …
//! ```
//!
//! These are the checks of Jepsen's workloads, <https://github.com/jepsen-io/jepsen>. They
//! need no search: each looks for one thing that is wrong under any order. So what they
//! find is an anomaly for certain, and what they let pass need not be linearizable.

mod bank;
mod causal_reverse;
mod counter;
mod long_fork;
mod monotonic;
mod queue;
mod set;
mod set_full;
mod total_queue;
mod unique_ids;

use std::collections::HashMap;

pub use self::bank::bank;
pub use self::causal_reverse::causal_reverse;
pub use self::counter::counter;
pub use self::long_fork::long_fork;
pub use self::monotonic::monotonic;
pub use self::queue::queue;
pub use self::set::set;
pub use self::set_full::set_full;
pub use self::total_queue::total_queue;
pub use self::unique_ids::unique_ids;

use super::values::Values;
use super::{Anomaly, Options};
use crate::history::{Event, Form, Kind, Malformed};
use crate::level::Level;

/// So many elements are named.
const NAMED: usize = 20;

/// Operations that are under way.
struct Pairs<T> {
    open: HashMap<i64, (u64, T)>,
    /// The last event of each process.
    last: HashMap<i64, u64>,
    /// How many events there were, and how many operations.
    now: u64,
    ops: u64,
}

/// An operation that ended.
struct Ended<T> {
    /// Its events, from 1.
    began: u64,
    ended: u64,
    /// What was kept of its begin; none if it has none.
    asked: Option<T>,
}

/// What an event is in its operation.
enum Step<T> {
    /// It began with the last event; one that was open before remains so.
    Began(Option<T>),
    /// It ended.
    Ended(Ended<T>),
}

impl<T> Pairs<T> {
    fn new() -> Pairs<T> {
        Pairs { open: HashMap::new(), last: HashMap::new(), now: 0, ops: 0 }
    }

    /// Takes the next event; `ask` says what is kept of a begin.
    fn next(
        &mut self,
        event: &Event<'_>,
        ask: impl FnOnce() -> Result<T, String>,
    ) -> Result<Step<T>, Malformed> {
        self.now += 1;
        // One without a begin began at any time after what the process did before.
        let before = self.last.insert(event.process, self.now).unwrap_or(0);
        let open = self.open.remove(&event.process);
        if event.kind == Kind::Invoke {
            self.ops += 1;
            let asked = ask().map_err(|reason| Malformed::new(event.line, reason))?;
            self.open.insert(event.process, (self.now, asked));
            return Ok(Step::Began(open.map(|(_, asked)| asked)));
        }
        self.ops += u64::from(open.is_none());
        let (began, asked) = match open {
            Some((began, asked)) => (began, Some(asked)),
            None => (before, None),
        };
        Ok(Step::Ended(Ended { began, ended: self.now, asked }))
    }

    /// What is open when nothing comes any more.
    fn left(&mut self) -> Vec<T> {
        let mut left: Vec<(u64, T)> = self.open.drain().map(|(_, open)| open).collect();
        left.sort_unstable_by_key(|(began, _)| *began);
        left.into_iter().map(|(_, asked)| asked).collect()
    }
}

/// The level that is asked for, one of those that the model knows, of which the first is
/// its own.
fn level(options: &Options, known: &[Level]) -> Result<Level, String> {
    let level = options.level.unwrap_or(known[0]);
    if known.contains(&level) {
        return Ok(level);
    }
    let names: Vec<&str> = known.iter().map(|level| level.name()).collect();
    Err(format!("{} says {}, not {level}", options.model, names.join(" and ")))
}

/// Refuses an initial state: the model begins empty.
fn begins_empty(options: &Options) -> Result<(), String> {
    options.initial(|form| match form {
        Some(form)
            if !form.is_nil()
                && form.as_text() != Some("empty")
                && form.items().is_none_or(|mut items| items.next().is_some()) =>
        {
            Err(format!("{} is empty at first, not {form}", options.model))
        }
        _ => Ok(()),
    })
}

fn refuse<T>(event: &Event<'_>, reason: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed::new(event.line, reason))
}

/// The elements that a read returned.
fn elements(event: &Event<'_>, values: &mut Values) -> Result<Vec<u32>, Malformed> {
    match event.value.items() {
        Some(items) => Ok(items.map(|item| values.number(item)).collect()),
        None if event.value.is_nil() => Ok(Vec::new()),
        None => refuse(event, format!("{}: elements are expected", event.value)),
    }
}

fn integer(form: Form<'_>) -> Result<i64, String> {
    form.as_int().ok_or_else(|| format!("{form} is no integer"))
}

/// That `elements` have something wrong, if there are any.
fn anomaly(
    name: &str,
    why: &str,
    elements: &[u32],
    values: &Values,
    breaks: &[Level],
) -> Option<Anomaly> {
    if elements.is_empty() {
        return None;
    }
    let named: Vec<&str> =
        elements.iter().take(NAMED).map(|element| values.name(*element)).collect();
    let more = match elements.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Some(Anomaly {
        name: name.to_owned(),
        words: format!("{why}: {}{more}", named.join(" ")),
        breaks: breaks.to_vec(),
        picture: None,
    })
}
