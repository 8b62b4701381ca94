//! From the graph of a history to what is wrong with it.

use super::anomaly;
use super::cycle::{Cycle, Extra, Goal, Part, Rule, Shape, shape_of};
use super::graph::{Edges, Graph};
use super::table::{Status, Table};
use super::words::Words;
use crate::budget::Budget;
use crate::checker::{Anomaly, Finding};
use crate::level::Level;

/// The verdict on a history of which `edges` are known, and `found` without looking at
/// cycles; `unknown` is why more cannot be said, if it cannot.
pub fn finding(
    level: Level,
    table: &Table,
    edges: Edges,
    mut found: Vec<Anomaly>,
    mut unknown: Option<String>,
    words: &Words<'_>,
    budget: &mut Budget,
) -> Finding {
    let ops = table.len() as u64;
    if edges.is_empty() {
        let reason = "no transaction is known to depend on another one";
        found.push(anomaly::single("empty-transaction-graph", reason.to_owned()));
        // One alone depends on nothing.
        if table.iter().filter(|(_, txn)| txn.status == Status::Ok).count() != 1 {
            unknown.get_or_insert_with(|| reason.to_owned());
        }
    }
    let graph = Graph::new(table, edges);
    if cycles(&graph, &mut found, words, budget).is_none() {
        unknown = budget.spent().map(str::to_owned);
    }
    Finding::new(level, found, ops, unknown)
}

/// Finds the cycles; none if the budget ends before.
fn cycles(
    graph: &Graph<'_>,
    found: &mut Vec<Anomaly>,
    words: &Words<'_>,
    budget: &mut Budget,
) -> Option<()> {
    for nodes in graph.cyclic_parts(budget)? {
        let part = Part::new(graph, &nodes);
        for extra in [Extra::None, Extra::Process, Extra::Realtime] {
            for shape in [Shape::G0, Shape::G1c, Shape::GSingle, Shape::GNonadjacent, Shape::G2] {
                let rule =
                    Rule { goal: Goal::Shape(shape), extra, needs_extra: extra != Extra::None };
                if let Some(cycle) = part.search(rule, budget)? {
                    report(found, &cycle, &[], words);
                }
            }
        }
        for (goal, level) in [(Goal::Causal, Level::Causal), (Goal::Prefix, Level::Prefix)] {
            let rule = Rule { goal, extra: Extra::Process, needs_extra: false };
            if let Some(cycle) = part.search(rule, budget)? {
                report(found, &cycle, &[level], words);
            }
        }
    }
    Some(())
}

fn report(found: &mut Vec<Anomaly>, cycle: &Cycle, more: &[Level], words: &Words<'_>) {
    let (shape, extra) = shape_of(cycle);
    let name = anomaly::name(shape, extra);
    let breaks: Vec<Level> = anomaly::breaks(shape, extra).iter().chain(more).copied().collect();
    let known = found.iter_mut().filter(|found| found.name == name);
    if known.count() >= anomaly::MOST_OF_A_KIND {
        // Its levels count all the same.
        if let Some(first) = found.iter_mut().find(|found| found.name == name) {
            first.breaks.extend(
                breaks
                    .iter()
                    .filter(|level| !first.breaks.contains(level))
                    .copied()
                    .collect::<Vec<_>>(),
            );
        }
        return;
    }
    found.push(Anomaly {
        name,
        words: words.cycle(cycle),
        breaks,
        picture: Some(words.picture(cycle)),
    });
}
