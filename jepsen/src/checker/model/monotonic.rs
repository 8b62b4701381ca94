//! What only grows is never seen to shrink.

use std::collections::HashMap;

use super::{Pairs, Step, integer, level, refuse};
use crate::budget::Budget;
use crate::checker::values::Values;
use crate::checker::{Anomaly, Checker, Finding, Options};
use crate::history::{Event, Form, Kind, Malformed, Sink};
use crate::level::Level;

/// Reads of integers that only grow: of one, of a map of them, or `[[:r k v] …]`. A read
/// has at least what any read had that ended before it began; nil is less than all.
///
/// # Errors
///
/// A level that it does not know.
pub fn monotonic(options: &Options) -> Result<Box<dyn Checker>, String> {
    level(options, &[Level::Model])?;
    Ok(Box::new(Monotonic {
        pairs: Pairs::new(),
        keys: Values::default(),
        most: HashMap::new(),
        anomalies: Vec::new(),
    }))
}

/// The most that was read by an event, and on which line.
#[derive(Clone, Copy)]
struct Most {
    event: u64,
    value: i64,
    line: u64,
}

struct Monotonic {
    pairs: Pairs<()>,
    keys: Values,
    /// Of each key, both ascending.
    most: HashMap<u32, Vec<Most>>,
    anomalies: Vec<Anomaly>,
}

impl Monotonic {
    fn reads(&mut self, event: &Event<'_>) -> Result<Vec<(u32, Option<i64>)>, String> {
        let number = |form: Form<'_>| {
            if form.is_nil() { Ok(None) } else { integer(form).map(Some) }
        };
        let mut reads = Vec::new();
        if let Some(pairs) = event.value.pairs() {
            for (key, value) in pairs {
                reads.push((self.keys.number(key), number(value)?));
            }
        } else if let Some(mops) = event.value.items() {
            for mop in mops {
                let Some([name, key, value]) = mop.array() else {
                    return Err(format!("{mop}: [:r k v] is expected"));
                };
                if matches!(name.as_text(), Some("r" | "read")) {
                    reads.push((self.keys.number(key), number(value)?));
                }
            }
        } else {
            let key = event.key.map_or(Values::NIL, |key| self.keys.number(key));
            reads.push((key, number(event.value)?));
        }
        Ok(reads)
    }

    fn read(&mut self, key: u32, value: Option<i64>, began: u64, event: u64, line: u64) {
        let most = self.most.entry(key).or_default();
        let before = most.partition_point(|most| most.event < began);
        if let Some(most) = before.checked_sub(1).map(|place| most[place])
            && value.is_none_or(|value| value < most.value)
        {
            let value = value.map_or_else(|| "nil".to_owned(), |value| value.to_string());
            let of = if key == Values::NIL { "" } else { self.keys.name(key) };
            self.anomalies.push(Anomaly {
                name: "nonmonotonic".to_owned(),
                words: format!(
                    "line {line} reads {of} {value}, line {} had read {} before",
                    most.line, most.value
                ),
                breaks: vec![Level::Model],
                picture: None,
            });
        }
        if let Some(value) = value
            && most.last().is_none_or(|most| most.value < value)
        {
            most.push(Most { event, value, line });
        }
    }
}

impl Sink for Monotonic {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        let step = self.pairs.next(event, || Ok(()))?;
        let Step::Ended(ended) = step else { return Ok(()) };
        match event.f {
            "read" | "txn" if event.kind == Kind::Ok => {
                let reads = self.reads(event);
                let reads = reads.map_err(|reason| Malformed::new(event.line, reason))?;
                for (key, value) in reads {
                    self.read(key, value, ended.began, ended.ended, event.line);
                }
                Ok(())
            }
            "read" | "txn" | "write" | "add" | "inc" => Ok(()),
            other => refuse(event, format!("what only grows cannot {other}")),
        }
    }
}

impl Checker for Monotonic {
    fn finish(self: Box<Self>, _: &mut Budget) -> Finding {
        Finding::new(Level::Model, self.anomalies, self.pairs.ops, None)
    }
}
