//! Elements that are added while the set is read again and again.
//!
//! An element is known from the completion of its add, or of the first read that has it.
//! From then on a read that begins has to have it:
//!
//! ```text
//!   add e ──▶ known ──▶ … absent … ──▶ present in all that began later    stale
//!                └────▶ … absent in all that began later                  lost
//! ```

use std::collections::{HashMap, HashSet};

use super::{Pairs, Step, anomaly, begins_empty, elements, level, refuse};
use crate::budget::Budget;
use crate::checker::values::Values;
use crate::checker::{Checker, Finding, Options};
use crate::history::{Event, Kind, Malformed, Sink};
use crate::level::Level;

/// Adds and reads. At the level `linearizable` elements may not be stale.
///
/// # Errors
///
/// A level that it does not know.
pub fn set_full(options: &Options) -> Result<Box<dyn Checker>, String> {
    let level = level(options, &[Level::Model, Level::Linearizable])?;
    begins_empty(options)?;
    Ok(Box::new(SetFull {
        level,
        allow_unwritten: options.allow_unwritten,
        pairs: Pairs::new(),
        values: Values::default(),
        added: Vec::new(),
        known: HashMap::new(),
        reads: Vec::new(),
        duplicated: Vec::new(),
    }))
}

struct SetFull {
    level: Level,
    allow_unwritten: bool,
    pairs: Pairs<Option<u32>>,
    values: Values,
    /// In the order in which that was tried first, and where that began.
    added: Vec<(u32, u64)>,
    known: HashMap<u32, u64>,
    reads: Vec<Read>,
    duplicated: Vec<u32>,
}

struct Read {
    began: u64,
    ended: u64,
    /// Ascending.
    has: Vec<u32>,
}

impl SetFull {
    fn read(&mut self, event: &Event<'_>, began: u64, ended: u64) -> Result<(), Malformed> {
        let mut read = elements(event, &mut self.values)?;
        read.sort_unstable();
        for pair in read.windows(2) {
            if pair[0] == pair[1] {
                self.duplicated.push(pair[0]);
            }
        }
        read.dedup();
        for element in &read {
            self.known.entry(*element).or_insert(ended);
        }
        self.reads.push(Read { began, ended, has: read });
        Ok(())
    }
}

impl Sink for SetFull {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        let added = match event.f {
            "add" if event.kind == Kind::Invoke => Some(self.values.number(event.value)),
            "add" | "read" => None,
            other => return refuse(event, format!("a set cannot {other}")),
        };
        let now = self.pairs.now + 1;
        self.added.extend(added.map(|element| (element, now)));
        let Step::Ended(ended) = self.pairs.next(event, || Ok(added))? else { return Ok(()) };
        match (event.f, event.kind) {
            ("add", kind) => {
                let added = match ended.asked.flatten() {
                    Some(added) => added,
                    None => {
                        let added = self.values.number(event.value);
                        self.added.push((added, ended.began));
                        added
                    }
                };
                if kind == Kind::Ok {
                    self.known.entry(added).or_insert(ended.ended);
                }
                Ok(())
            }
            (_, Kind::Ok) => self.read(event, ended.began, ended.ended),
            _ => Ok(()),
        }
    }
}

/// The begin of the last read that has an element, and of the last that has it not.
#[derive(Clone, Copy, Default)]
struct Last {
    present: Option<u64>,
    absent: Option<u64>,
}

impl SetFull {
    fn last(&self, budget: &mut Budget) -> Option<HashMap<u32, Last>> {
        let mut last: HashMap<u32, Last> = HashMap::new();
        for read in &self.reads {
            for element in &read.has {
                if !budget.step() {
                    return None;
                }
                let last = last.entry(*element).or_default();
                last.present = last.present.max(Some(read.began));
            }
        }
        // The last that has it not: looked for from the end, where most have it. What ended
        // before its add began could not have it.
        let mut latest: Vec<&Read> = self.reads.iter().collect();
        latest.sort_unstable_by_key(|read| std::cmp::Reverse(read.began));
        for (element, tried) in &self.added {
            let last = last.entry(*element).or_default();
            for read in &latest {
                if !budget.step() {
                    return None;
                }
                if read.ended > *tried && read.has.binary_search(element).is_err() {
                    last.absent = Some(read.began);
                    break;
                }
            }
        }
        Some(last)
    }
}

impl Checker for SetFull {
    fn finish(mut self: Box<Self>, budget: &mut Budget) -> Finding {
        let mut tried = HashSet::new();
        self.added.retain(|(element, _)| tried.insert(*element));
        let ops = self.pairs.ops;
        let Some(last) = self.last(budget) else {
            let spent = budget.spent().map(str::to_owned);
            return Finding::new(self.level, Vec::new(), ops, spent);
        };
        let (mut lost, mut stale, mut never_read) = (Vec::new(), Vec::new(), Vec::new());
        let mut stable = false;
        for (element, _) in &self.added {
            let Last { present, absent } = last[element];
            let known = self.known.get(element).copied();
            let missed = known.is_some() && known < absent;
            match (present > absent, missed) {
                (true, missed) => {
                    stable = true;
                    stale.extend(missed.then_some(*element));
                }
                (false, true) => lost.push(*element),
                (false, false) => never_read.push(*element),
            }
        }
        let mut unexpected: Vec<u32> =
            self.known.keys().filter(|element| !tried.contains(element)).copied().collect();
        unexpected.sort_unstable();
        if self.allow_unwritten {
            unexpected.clear();
        }
        let (values, both) = (&self.values, [Level::Model, Level::Linearizable]);
        let mut anomalies = vec![
            anomaly("lost", "known, and then absent for ever", &lost, values, &both),
            anomaly("unexpected", "nobody added it", &unexpected, values, &both),
            anomaly("duplicated", "twice in one read", &self.duplicated, values, &both),
            anomaly("stale", "known, absent, and back", &stale, values, &[Level::Linearizable]),
        ];
        if !stable {
            let why = "no read that began after it was known could tell";
            anomalies.push(anomaly("never-read", why, &never_read, values, &[]));
        }
        let unknown = (!stable).then(|| "no element is stable".to_owned());
        Finding::new(self.level, anomalies.into_iter().flatten().collect(), ops, unknown)
    }
}
