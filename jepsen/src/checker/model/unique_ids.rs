//! Names that are given out, none of them twice.

use std::collections::HashMap;

use super::{Pairs, Step, anomaly, level, refuse};
use crate::budget::Budget;
use crate::checker::values::Values;
use crate::checker::{Checker, Finding, Options};
use crate::history::{Event, Kind, Malformed, Sink};
use crate::level::Level;

/// `generate` returns a new id.
///
/// # Errors
///
/// A level that it does not know.
pub fn unique_ids(options: &Options) -> Result<Box<dyn Checker>, String> {
    level(options, &[Level::Model])?;
    let (pairs, values) = (Pairs::new(), Values::default());
    Ok(Box::new(UniqueIds { pairs, values, given: HashMap::new(), duplicated: Vec::new() }))
}

struct UniqueIds {
    pairs: Pairs<()>,
    values: Values,
    given: HashMap<u32, u64>,
    duplicated: Vec<u32>,
}

impl Sink for UniqueIds {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        if event.f != "generate" {
            return refuse(event, format!("a giver of ids cannot {}", event.f));
        }
        if let Step::Ended(_) = self.pairs.next(event, || Ok(()))?
            && event.kind == Kind::Ok
        {
            let id = self.values.number(event.value);
            let times = self.given.entry(id).or_default();
            *times += 1;
            if *times == 2 {
                self.duplicated.push(id);
            }
        }
        Ok(())
    }
}

impl Checker for UniqueIds {
    fn finish(self: Box<Self>, _: &mut Budget) -> Finding {
        let breaks = [Level::Model];
        let found =
            anomaly("duplicated", "given out twice", &self.duplicated, &self.values, &breaks);
        Finding::new(Level::Model, found.into_iter().collect(), self.pairs.ops, None)
    }
}
