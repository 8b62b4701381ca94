//! A queue that is emptied at the end: what goes in comes out.

use std::collections::BTreeMap;

use super::{Pairs, Step, anomaly, begins_empty, elements, level, refuse};
use crate::budget::Budget;
use crate::checker::values::Values;
use crate::checker::{Checker, Finding, Options};
use crate::history::{Event, Kind, Malformed, Sink};
use crate::level::Level;

/// Enqueues, dequeues, and `drain`, which dequeues many.
///
/// # Errors
///
/// A level that it does not know.
pub fn total_queue(options: &Options) -> Result<Box<dyn Checker>, String> {
    level(options, &[Level::Model])?;
    begins_empty(options)?;
    Ok(Box::new(TotalQueue {
        pairs: Pairs::new(),
        values: Values::default(),
        counts: BTreeMap::new(),
    }))
}

/// How often something happened to an element.
#[derive(Default)]
struct Counts {
    attempted: u64,
    acknowledged: u64,
    dequeued: u64,
}

struct TotalQueue {
    pairs: Pairs<Option<u32>>,
    values: Values,
    counts: BTreeMap<u32, Counts>,
}

impl Sink for TotalQueue {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        let enqueued = match event.f {
            "enqueue" if event.kind == Kind::Invoke => Some(self.values.number(event.value)),
            "enqueue" | "dequeue" | "drain" => None,
            other => return refuse(event, format!("a queue cannot {other}")),
        };
        if let Some(element) = enqueued {
            self.counts.entry(element).or_default().attempted += 1;
        }
        let Step::Ended(ended) = self.pairs.next(event, || Ok(enqueued))? else { return Ok(()) };
        match (event.f, event.kind) {
            ("enqueue", kind) => {
                let asked = ended.asked.flatten();
                let element = asked.unwrap_or_else(|| self.values.number(event.value));
                let counts = self.counts.entry(element).or_default();
                counts.attempted += u64::from(asked.is_none());
                counts.acknowledged += u64::from(kind == Kind::Ok);
            }
            ("dequeue", Kind::Ok) => {
                let element = self.values.number(event.value);
                self.counts.entry(element).or_default().dequeued += 1;
            }
            // One that crashed says what it took before.
            ("drain", Kind::Ok | Kind::Info) if event.value.items().is_some() => {
                for element in elements(event, &mut self.values)? {
                    self.counts.entry(element).or_default().dequeued += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Checker for TotalQueue {
    fn finish(self: Box<Self>, _: &mut Budget) -> Finding {
        let those = |which: fn(&Counts) -> bool| -> Vec<u32> {
            let counts = self.counts.iter().filter(|(_, counts)| which(counts));
            counts.map(|(element, _)| *element).collect()
        };
        let lost = those(|counts| counts.acknowledged > counts.dequeued);
        let unexpected = those(|counts| counts.attempted == 0);
        let duplicated = those(|counts| counts.attempted > 0 && counts.dequeued > counts.attempted);
        let (values, breaks) = (&self.values, [Level::Model]);
        let anomalies = [
            anomaly("lost", "acknowledged, and never dequeued", &lost, values, &breaks),
            anomaly("unexpected", "nobody enqueued it", &unexpected, values, &breaks),
            // A queue that delivers at least once may do so.
            anomaly("duplicated", "dequeued once too often", &duplicated, values, &[]),
        ];
        Finding::new(Level::Model, anomalies.into_iter().flatten().collect(), self.pairs.ops, None)
    }
}
