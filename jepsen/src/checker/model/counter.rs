//! A sum that is only added to: a read lies between what was surely added and what may
//! have been.

use super::{Pairs, Step, integer, level, refuse};
use crate::budget::Budget;
use crate::checker::{Anomaly, Checker, Finding, Options, linear};
use crate::history::{Event, Kind, Malformed, Sink};
use crate::level::Level;

/// Adds and reads.
///
/// # Errors
///
/// A level that it does not know, or an initial state that is no integer.
pub fn counter(options: &Options) -> Result<Box<dyn Checker>, String> {
    let level = level(options, &[Level::Model, Level::Linearizable])?;
    if level == Level::Linearizable {
        return linear::counter(options);
    }
    let initial = options.initial(|form| match form {
        Some(form) if !form.is_nil() => integer(form),
        _ => Ok(0),
    })?;
    Ok(Box::new(Counter {
        pairs: Pairs::new(),
        initial: initial.into(),
        lower: Vec::new(),
        upper: Vec::new(),
        reads: Vec::new(),
    }))
}

struct Counter {
    /// Of an add what is added, and the event where it began.
    pairs: Pairs<Option<(i64, u64)>>,
    initial: i128,
    /// By how much the bounds change, and with which event.
    lower: Vec<(u64, i64)>,
    upper: Vec<(u64, i64)>,
    reads: Vec<Read>,
}

struct Read {
    began: u64,
    ended: u64,
    value: i64,
    line: u64,
}

impl Counter {
    /// An add that may happen from `began` on, and if `ended` is known has by then.
    fn add(&mut self, added: i64, began: u64, ended: Option<u64>) {
        self.upper.push((began, added));
        self.lower.extend(ended.map(|ended| (ended, added)));
    }
}

impl Sink for Counter {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        let began = self.pairs.now + 1;
        let ask = || match event.f {
            "add" => Ok(Some((growth(event)?, began))),
            "read" => Ok(None),
            other => Err(format!("a counter cannot {other}")),
        };
        match self.pairs.next(event, ask)? {
            Step::Began(Some(Some((added, began)))) => self.add(added, began, None),
            Step::Began(_) => {}
            Step::Ended(ended) => match (event.f, event.kind) {
                ("add", Kind::Fail) | ("read", Kind::Fail | Kind::Info) => {}
                ("add", kind) => {
                    let added = match ended.asked.flatten() {
                        Some((added, _)) => added,
                        None => {
                            growth(event).map_err(|reason| Malformed::new(event.line, reason))?
                        }
                    };
                    self.add(added, ended.began, (kind == Kind::Ok).then_some(ended.ended));
                }
                ("read", _) => {
                    let value = integer(event.value)
                        .map_err(|reason| Malformed::new(event.line, reason))?;
                    let (began, ended) = (ended.began, ended.ended);
                    self.reads.push(Read { began, ended, value, line: event.line });
                }
                (other, _) => return refuse(event, format!("a counter cannot {other}")),
            },
        }
        Ok(())
    }
}

fn growth(event: &Event<'_>) -> Result<i64, String> {
    match integer(event.value)? {
        less @ ..0 => Err(format!("add {less}: this counter only grows")),
        more => Ok(more),
    }
}

/// The sums of what changes, by event.
fn sums(initial: i128, mut changes: Vec<(u64, i64)>) -> Vec<(u64, i128)> {
    changes.sort_unstable_by_key(|(event, _)| *event);
    let mut sum = initial;
    let sums = changes.into_iter().map(|(event, change)| {
        sum += i128::from(change);
        (event, sum)
    });
    sums.collect()
}

/// The sum before that event.
fn before(sums: &[(u64, i128)], event: u64, initial: i128) -> i128 {
    let place = sums.partition_point(|(other, _)| *other < event);
    place.checked_sub(1).map_or(initial, |place| sums[place].1)
}

impl Checker for Counter {
    fn finish(mut self: Box<Self>, _: &mut Budget) -> Finding {
        for (added, began) in self.pairs.left().into_iter().flatten() {
            self.add(added, began, None);
        }
        let lower = sums(self.initial, self.lower);
        let upper = sums(self.initial, self.upper);
        let wrong: Vec<String> = self
            .reads
            .iter()
            .filter_map(|read| {
                let low = before(&lower, read.began, self.initial);
                let high = before(&upper, read.ended, self.initial);
                let value = i128::from(read.value);
                (value < low || value > high).then(|| {
                    format!("line {} reads [{low} {value} {high}]: [low read high]", read.line)
                })
            })
            .collect();
        let anomaly = (!wrong.is_empty()).then(|| Anomaly {
            name: "read-out-of-bounds".to_owned(),
            words: wrong.join("\n"),
            breaks: vec![Level::Model, Level::Linearizable],
            picture: None,
        });
        Finding::new(Level::Model, anomaly.into_iter().collect(), self.pairs.ops, None)
    }
}
