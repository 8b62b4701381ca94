//! Reads that see writes in different orders: Bailis, Fekete et al. call it a long fork.
//!
//! ```text
//!   write x, write y          one read sees x and no y, another one y and no x
//! ```
//!
//! Keys are written once: where one is written twice, nothing is concluded. Keys are read
//! in groups, and of two reads of a group one must have seen all that the other has. Who
//! writes, too, sees what is its own before others do, and is left out.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Pairs, Step, level, refuse};
use crate::budget::Budget;
use crate::checker::values::Values;
use crate::checker::{Anomaly, Checker, Finding, Options};
use crate::history::{Event, Kind, Malformed, Sink};
use crate::level::Level;

/// Writes `[:w k v]`, and reads `[[:r k v] …]` of groups of keys.
///
/// # Errors
///
/// A level that it does not know.
pub fn long_fork(options: &Options) -> Result<Box<dyn Checker>, String> {
    let known = [Level::Model, Level::SnapshotIsolation, Level::Prefix];
    Ok(Box::new(LongFork {
        level: level(options, &known)?,
        pairs: Pairs::new(),
        values: Values::default(),
        written: HashSet::new(),
        seen: HashMap::new(),
        twice: None,
        groups: BTreeMap::new(),
    }))
}

struct LongFork {
    level: Level,
    pairs: Pairs<()>,
    values: Values,
    written: HashSet<u32>,
    /// The value that a key has once it is written.
    seen: HashMap<u32, u32>,
    /// A key that was written twice, or has two.
    twice: Option<u32>,
    /// By the keys of a group, ascending: what reads saw of them, and the line of the
    /// first that saw that.
    groups: BTreeMap<Vec<u32>, BTreeMap<Vec<bool>, u64>>,
}

impl Sink for LongFork {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        let asked = match self.pairs.next(event, || Ok(()))? {
            Step::Began(_) => true,
            // Its writes were met when it began, if that is there.
            Step::Ended(ended) => ended.asked.is_none() && event.kind != Kind::Fail,
        };
        let Some(mops) = event.value.items() else { return Ok(()) };
        let (mut reads, mut writes) = (BTreeMap::new(), false);
        for mop in mops {
            let Some([name, key, value]) = mop.array() else {
                return refuse(event, format!("{mop}: [:r k v] or [:w k v] is expected"));
            };
            let (key, value) = (self.values.number(key), self.values.number(value));
            match name.as_text() {
                Some("w" | "write") => {
                    writes = true;
                    if asked && !self.written.insert(key) {
                        self.twice.get_or_insert(key);
                    }
                }
                Some("r" | "read") => drop(reads.insert(key, value)),
                _ => return refuse(event, format!("a register cannot {name}")),
            }
        }
        if event.kind != Kind::Ok || reads.is_empty() || writes {
            return Ok(());
        }
        for (key, value) in reads.iter().filter(|(_, value)| **value != Values::NIL) {
            if *self.seen.entry(*key).or_insert(*value) != *value {
                self.twice.get_or_insert(*key);
            }
        }
        let there = reads.values().map(|value| *value != Values::NIL).collect();
        let group = self.groups.entry(reads.into_keys().collect()).or_default();
        group.entry(there).or_insert(event.line);
        Ok(())
    }
}

impl LongFork {
    /// The first fork of each group; none if the budget is spent.
    fn forks(&self, budget: &mut Budget) -> Option<Vec<Anomaly>> {
        let mut forks = Vec::new();
        for (keys, reads) in &self.groups {
            // If of each two the one with fewer is part of the other, all are in a row.
            let mut row: Vec<(&Vec<bool>, &u64)> = reads.iter().collect();
            row.sort_by_key(|(there, _)| there.iter().filter(|there| **there).count());
            for pair in row.windows(2) {
                if !budget.step() {
                    return None;
                }
                let (few, many) = (pair[0], pair[1]);
                let missed = |have: &[bool], lack: &[bool]| {
                    (0..keys.len()).find(|place| have[*place] && !lack[*place])
                };
                if let Some(first) = missed(few.0, many.0)
                    && let Some(second) = missed(many.0, few.0)
                {
                    let name = |place: usize| self.values.name(keys[place]);
                    forks.push(Anomaly {
                        name: "long-fork".to_owned(),
                        words: format!(
                            "line {} saw {} and not {}, line {} saw {} and not {}",
                            few.1,
                            name(first),
                            name(second),
                            many.1,
                            name(second),
                            name(first)
                        ),
                        breaks: vec![Level::Model, Level::Prefix, Level::SnapshotIsolation],
                        picture: None,
                    });
                    break;
                }
            }
        }
        Some(forks)
    }
}

impl Checker for LongFork {
    fn finish(self: Box<Self>, budget: &mut Budget) -> Finding {
        let ops = self.pairs.ops;
        if let Some(key) = self.twice {
            let reason = format!("key {} was written twice", self.values.name(key));
            return Finding::new(self.level, Vec::new(), ops, Some(reason));
        }
        match self.forks(budget) {
            None => {
                let spent = budget.spent().map(str::to_owned);
                Finding::new(self.level, Vec::new(), ops, spent)
            }
            Some(forks) => {
                // That there is no fork says nothing of what else a level promises.
                let unknown = (self.level != Level::Model)
                    .then(|| "no long fork, and no more is looked for".to_owned());
                Finding::new(self.level, forks, ops, unknown)
            }
        }
    }
}
