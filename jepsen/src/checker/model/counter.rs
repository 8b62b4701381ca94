//! A sum that is added to: a read lies between what was surely added and what may have
//! been. What is taken away may have been where it makes the lower bound lower, and surely
//! was where it makes the upper one lower.

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
        initial,
        sure: [Vec::new(), Vec::new()],
        possible: [Vec::new(), Vec::new()],
        reads: Vec::new(),
    }))
}

struct Counter {
    /// Of an add what is added, and the event where it began.
    pairs: Pairs<Option<(i64, u64)>>,
    initial: i64,
    /// By how much the sum changes, and from which event on: what is added, and what is
    /// taken away.
    sure: [Vec<(u64, i64)>; 2],
    possible: [Vec<(u64, i64)>; 2],
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
        let less = usize::from(added < 0);
        self.possible[less].push((began, added));
        self.sure[less].extend(ended.map(|ended| (ended, added)));
    }
}

impl Sink for Counter {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        let began = self.pairs.now + 1;
        let ask = || match event.f {
            "add" => Ok(Some((integer(event.value)?, began))),
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
                        None => number(event)?,
                    };
                    self.add(added, ended.began, (kind == Kind::Ok).then_some(ended.ended));
                }
                ("read", _) => {
                    // One that was never added to may be nil.
                    let value = match event.value.is_nil() {
                        true => self.initial,
                        false => number(event)?,
                    };
                    let (began, ended) = (ended.began, ended.ended);
                    self.reads.push(Read { began, ended, value, line: event.line });
                }
                (other, _) => return refuse(event, format!("a counter cannot {other}")),
            },
        }
        Ok(())
    }
}

fn number(event: &Event<'_>) -> Result<i64, Malformed> {
    integer(event.value).map_err(|reason| Malformed::new(event.line, reason))
}

/// The sums of what changes, by event.
fn sums(mut changes: Vec<(u64, i64)>) -> Vec<(u64, i128)> {
    changes.sort_unstable_by_key(|(event, _)| *event);
    let mut sum = 0;
    let sums = changes.into_iter().map(|(event, change)| {
        sum += i128::from(change);
        (event, sum)
    });
    sums.collect()
}

/// The sum before that event.
fn before(sums: &[(u64, i128)], event: u64) -> i128 {
    let place = sums.partition_point(|(other, _)| *other < event);
    place.checked_sub(1).map_or(0, |place| sums[place].1)
}

impl Checker for Counter {
    fn finish(mut self: Box<Self>, _: &mut Budget) -> Finding {
        for (added, began) in self.pairs.left().into_iter().flatten() {
            self.add(added, began, None);
        }
        let initial = i128::from(self.initial);
        let [sure_more, sure_less] = self.sure.map(sums);
        let [possible_more, possible_less] = self.possible.map(sums);
        let wrong: Vec<String> = self
            .reads
            .iter()
            .filter_map(|read| {
                let (began, ended) = (read.began, read.ended);
                let low = initial + before(&sure_more, began) + before(&possible_less, ended);
                let high = initial + before(&possible_more, ended) + before(&sure_less, began);
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
