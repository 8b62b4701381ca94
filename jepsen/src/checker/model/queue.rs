//! A queue in no order: what is dequeued was enqueued.

use std::collections::HashMap;

use super::{Pairs, Step, anomaly, begins_empty, level, refuse};
use crate::budget::Budget;
use crate::checker::values::Values;
use crate::checker::{Checker, Finding, Options, linear};
use crate::history::{Event, Kind, Malformed, Sink};
use crate::level::Level;

/// Enqueues and dequeues. Each enqueue that did not fail counts from its begin.
///
/// # Errors
///
/// A level that it does not know.
pub fn queue(options: &Options) -> Result<Box<dyn Checker>, String> {
    if level(options, &[Level::Model, Level::Linearizable])? == Level::Linearizable {
        return linear::queue(options);
    }
    begins_empty(options)?;
    Ok(Box::new(Queue { pairs: Pairs::new(), values: Values::default(), moves: Vec::new() }))
}

/// An element comes or goes.
struct Move {
    event: u64,
    element: u32,
    comes: bool,
}

struct Queue {
    /// What is enqueued, and where that began.
    pairs: Pairs<Option<(u32, u64)>>,
    values: Values,
    moves: Vec<Move>,
}

impl Sink for Queue {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        let began = self.pairs.now + 1;
        let enqueued = match event.f {
            "enqueue" if event.kind == Kind::Invoke => {
                Some((self.values.number(event.value), began))
            }
            "enqueue" | "dequeue" => None,
            other => return refuse(event, format!("a queue cannot {other}")),
        };
        let comes = |(element, event): (u32, u64)| Move { event, element, comes: true };
        match self.pairs.next(event, || Ok(enqueued))? {
            Step::Began(left) => self.moves.extend(left.flatten().map(comes)),
            Step::Ended(ended) => match (event.f, event.kind) {
                (_, Kind::Fail) | ("dequeue", Kind::Info) => {}
                ("enqueue", _) => {
                    let asked = ended.asked.flatten();
                    let element = asked.map(|(element, _)| element);
                    let element = element.unwrap_or_else(|| self.values.number(event.value));
                    self.moves.push(comes((element, ended.began)));
                }
                _ => {
                    let element = self.values.number(event.value);
                    self.moves.push(Move { event: ended.ended, element, comes: false });
                }
            },
        }
        Ok(())
    }
}

impl Checker for Queue {
    fn finish(mut self: Box<Self>, _: &mut Budget) -> Finding {
        for (element, event) in self.pairs.left().into_iter().flatten() {
            self.moves.push(Move { event, element, comes: true });
        }
        self.moves.sort_by_key(|moved| moved.event);
        // How many of each are there, and whether there was one at all.
        let mut there: HashMap<u32, (i64, bool)> = HashMap::new();
        let (mut unexpected, mut duplicated) = (Vec::new(), Vec::new());
        for moved in &self.moves {
            let (count, ever) = there.entry(moved.element).or_default();
            *count += if moved.comes { 1 } else { -1 };
            *ever |= moved.comes;
            if !moved.comes && *count < 0 {
                let wrong = if *ever { &mut duplicated } else { &mut unexpected };
                wrong.push(moved.element);
            }
        }
        let (values, breaks) = (&self.values, [Level::Model, Level::Linearizable]);
        let anomalies = [
            anomaly("unexpected", "nobody had enqueued it", &unexpected, values, &breaks),
            anomaly("duplicated", "dequeued once too often", &duplicated, values, &breaks),
        ];
        Finding::new(Level::Model, anomalies.into_iter().flatten().collect(), self.pairs.ops, None)
    }
}
