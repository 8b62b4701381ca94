//! Elements that are added, and read once at the end.

use std::collections::HashSet;

use super::{Pairs, Step, anomaly, begins_empty, elements, level, refuse};
use crate::budget::Budget;
use crate::checker::values::Values;
use crate::checker::{Checker, Finding, Options, linear};
use crate::history::{Event, Kind, Malformed, Sink};
use crate::level::Level;

/// Adds, and a final read; if there are more reads it is the last.
///
/// # Errors
///
/// A level that it does not know.
pub fn set(options: &Options) -> Result<Box<dyn Checker>, String> {
    if level(options, &[Level::Model, Level::Linearizable])? == Level::Linearizable {
        return linear::set(options);
    }
    begins_empty(options)?;
    Ok(Box::new(Set {
        pairs: Pairs::new(),
        values: Values::default(),
        attempted: HashSet::new(),
        acknowledged: Vec::new(),
        read: None,
    }))
}

struct Set {
    pairs: Pairs<Option<u32>>,
    values: Values,
    attempted: HashSet<u32>,
    /// And with which event.
    acknowledged: Vec<(u32, u64)>,
    /// What the last read has, and where it began.
    read: Option<(Vec<u32>, u64)>,
}

impl Sink for Set {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        let added = match event.f {
            "add" if event.kind == Kind::Invoke => Some(self.values.number(event.value)),
            "add" | "read" => None,
            other => return refuse(event, format!("a set cannot {other}")),
        };
        self.attempted.extend(added);
        let Step::Ended(ended) = self.pairs.next(event, || Ok(added))? else { return Ok(()) };
        match (event.f, event.kind) {
            ("add", kind) => {
                let added = match ended.asked.flatten() {
                    Some(added) => added,
                    None => self.values.number(event.value),
                };
                self.attempted.insert(added);
                if kind == Kind::Ok {
                    self.acknowledged.push((added, ended.ended));
                }
            }
            (_, Kind::Ok) => {
                self.read = Some((elements(event, &mut self.values)?, ended.began));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Checker for Set {
    fn finish(self: Box<Self>, _: &mut Budget) -> Finding {
        let ops = self.pairs.ops;
        let Some((read, began)) = self.read else {
            let reason = "the set was never read".to_owned();
            return Finding::new(Level::Model, Vec::new(), ops, Some(reason));
        };
        let present: HashSet<u32> = read.iter().copied().collect();
        let lost: Vec<u32> = self
            .acknowledged
            .iter()
            .filter(|(element, ended)| *ended < began && !present.contains(element))
            .map(|(element, _)| *element)
            .collect();
        let mut unexpected: Vec<u32> = present.difference(&self.attempted).copied().collect();
        unexpected.sort_unstable();
        let breaks = [Level::Model, Level::Linearizable];
        let anomalies = [
            anomaly("lost", "acknowledged, and absent at last", &lost, &self.values, &breaks),
            anomaly("unexpected", "nobody added it", &unexpected, &self.values, &breaks),
        ];
        Finding::new(Level::Model, anomalies.into_iter().flatten().collect(), ops, None)
    }
}
