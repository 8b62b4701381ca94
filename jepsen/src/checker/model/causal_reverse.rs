//! Writes that become visible in the reverse of the order in which they happened.

use std::collections::{HashMap, HashSet};

use super::{Pairs, Step, begins_empty, elements, level, refuse};
use crate::budget::Budget;
use crate::checker::values::Values;
use crate::checker::{Anomaly, Checker, Finding, Options};
use crate::history::{Event, Kind, Malformed, Sink};
use crate::level::Level;

/// Writes of numbers, and reads of all that were written: who sees one sees all that had
/// ended before it began.
///
/// # Errors
///
/// A level that it does not know.
pub fn causal_reverse(options: &Options) -> Result<Box<dyn Checker>, String> {
    level(options, &[Level::Model])?;
    begins_empty(options)?;
    Ok(Box::new(CausalReverse {
        pairs: Pairs::new(),
        values: Values::default(),
        began: HashMap::new(),
        ended: Vec::new(),
        reads: Vec::new(),
    }))
}

struct CausalReverse {
    pairs: Pairs<u32>,
    values: Values,
    /// Where each write began.
    began: HashMap<u32, u64>,
    /// Writes that ended, and where, in that order.
    ended: Vec<(u64, u32)>,
    reads: Vec<(u64, Vec<u32>)>,
}

impl Sink for CausalReverse {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        if !matches!(event.f, "write" | "read") {
            return refuse(event, format!("what is written and read cannot {}", event.f));
        }
        let value = if event.f == "write" { self.values.number(event.value) } else { Values::NIL };
        let step = self.pairs.next(event, || Ok(value))?;
        match (event.f, step) {
            ("write", Step::Began(_)) => drop(self.began.entry(value).or_insert(self.pairs.now)),
            (_, Step::Began(_)) => {}
            ("write", Step::Ended(ended)) => {
                let value = ended.asked.unwrap_or(value);
                self.began.entry(value).or_insert(ended.began);
                if event.kind == Kind::Ok {
                    self.ended.push((ended.ended, value));
                }
            }
            (_, Step::Ended(_)) if event.kind == Kind::Ok => {
                self.reads.push((event.line, elements(event, &mut self.values)?));
            }
            _ => {}
        }
        Ok(())
    }
}

impl CausalReverse {
    /// What a read has although it misses something, and what that is.
    fn reversed(&self, read: &[u32]) -> Option<(u32, u32)> {
        let latest =
            read.iter().filter_map(|value| Some((*self.began.get(value)?, *value))).max()?;
        let has: HashSet<u32> = read.iter().copied().collect();
        let before = self.ended.partition_point(|(ended, _)| *ended < latest.0);
        let missed = self.ended[..before].iter().find(|(_, value)| !has.contains(value))?;
        Some((latest.1, missed.1))
    }
}

impl Checker for CausalReverse {
    fn finish(self: Box<Self>, budget: &mut Budget) -> Finding {
        let (mut anomalies, mut unknown) = (Vec::new(), None);
        for (line, read) in &self.reads {
            if !budget.look() {
                unknown = budget.spent().map(str::to_owned);
                break;
            }
            let Some((seen, missed)) = self.reversed(read) else { continue };
            let name = |value| self.values.name(value);
            anomalies.push(Anomaly {
                name: "causal-reverse".to_owned(),
                words: format!(
                    "line {line} reads {} without {}, which had ended before that began",
                    name(seen),
                    name(missed)
                ),
                breaks: vec![Level::Model, Level::StrictSerializable],
                picture: None,
            });
        }
        Finding::new(Level::Model, anomalies, self.pairs.ops, unknown)
    }
}
