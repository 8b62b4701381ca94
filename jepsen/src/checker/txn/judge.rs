//! From the graph of a history to what is wrong with it.

use super::anomaly;
use super::cycle::{Cycle, Extra, Goal, Part, Rule, Shape, shape_of};
use super::graph::{Edges, Graph};
use super::snapshot;
use super::table::{NONE, Table, TxnNo};
use super::words::Words;
use crate::budget::Budget;
use crate::checker::{Anomaly, Finding};
use crate::level::Level;

/// What is known of a history without looking at cycles.
pub struct Known<'a> {
    /// Its transactions.
    pub table: &'a Table,
    /// Whether the order of sessions counts at all levels.
    pub sessions: bool,
    /// Who wrote a key, in an order that is not known; by key, where they are several.
    pub unread: Vec<Vec<TxnNo>>,
    /// What is wrong already.
    pub found: Vec<Anomaly>,
    /// Whether any transaction is known to depend on another one.
    pub linked: bool,
    /// Whether a history of which that is not known tells nothing.
    pub silent: bool,
    /// Why more cannot be said, if it cannot.
    pub unknown: Option<String>,
}

/// The verdict on a history of which `edges` are known.
pub fn finding(
    level: Level,
    edges: Edges,
    known: Known<'_>,
    words: &Words<'_>,
    budget: &mut Budget,
) -> Finding {
    let Known { table, sessions, unread, mut found, linked, silent, mut unknown } = known;
    let ops = table.len() as u64;
    if !linked {
        let reason = || "no transaction is known to depend on another one".to_owned();
        anomaly::report(&mut found, "empty-transaction-graph", reason);
        if silent {
            unknown.get_or_insert_with(reason);
        }
    }
    let graph = Graph::new(table, edges);
    let report = |cycle: &Cycle, more: &[Level], found: &mut Vec<Anomaly>| {
        let breaks = breaks(cycle, sessions).iter().chain(more).copied().collect();
        report(found, cycle, breaks, words.cycle(cycle), words);
    };
    if cycles(&graph, &unread, &mut found, report, budget).is_none() {
        unknown = budget.spent().map(str::to_owned);
    }
    Finding::new(level, found, ops, unknown)
}

/// Shows the first cycles that there are with an order of versions that is only one of
/// many: they break nothing by themselves.
pub fn shown(table: &Table, edges: Edges, words: &Words<'_>, budget: &mut Budget) -> Vec<Anomaly> {
    let graph = Graph::new(table, edges);
    let mut found = Vec::new();
    let report = |cycle: &Cycle, _: &[Level], found: &mut Vec<Anomaly>| {
        let said = "with the order of versions that explains the most:";
        report(found, cycle, Vec::new(), format!("{said}\n{}", words.cycle(cycle)), words);
    };
    if let Some(parts) = graph.cyclic_parts(budget)
        && let Some(nodes) = parts.first()
    {
        // What was found before the budget ended is there all the same.
        let _ = cycles_of(&graph, nodes, &mut found, &report, budget);
    }
    found
}

/// Finds the cycles; none if the budget ends before.
fn cycles(
    graph: &Graph<'_>,
    unread: &[Vec<TxnNo>],
    found: &mut Vec<Anomaly>,
    report: impl Fn(&Cycle, &[Level], &mut Vec<Anomaly>),
    budget: &mut Budget,
) -> Option<()> {
    for nodes in graph.cyclic_parts(budget)? {
        cycles_of(graph, &nodes, found, &report, budget)?;
        snapshots(graph, &nodes, unread, found, budget)?;
    }
    Some(())
}

/// Snapshot isolation, as far as it depends on an order that is not known.
fn snapshots(
    graph: &Graph<'_>,
    nodes: &[u32],
    unread: &[Vec<TxnNo>],
    found: &mut Vec<Anomaly>,
    budget: &mut Budget,
) -> Option<()> {
    let is_here = |txn: &&TxnNo| nodes.binary_search(txn).is_ok();
    let mut unread =
        unread.iter().filter(|txns| txns.iter().filter(is_here).count() > 1).peekable();
    if unread.peek().is_none() {
        return Some(());
    }
    let (part, unread) = (Part::new(graph, nodes), unread.cloned().collect::<Vec<_>>());
    for (extra, level) in [
        (Extra::None, Level::SnapshotIsolation),
        (Extra::Process, Level::StrongSessionSnapshotIsolation),
        (Extra::Realtime, Level::StrongSnapshotIsolation),
    ] {
        let broken = found.iter().flat_map(|found| &found.breaks);
        if broken.into_iter().any(|weaker| level.contains(*weaker)) {
            return Some(());
        }
        if !snapshot::holds(&part, &unread, extra, budget)? {
            let words = format!(
                "there is no order of what was never read with which the history is {level}"
            );
            let name = "no-version-order".to_owned();
            found.push(Anomaly { name, words, breaks: vec![level], picture: None });
        }
    }
    Some(())
}

fn cycles_of(
    graph: &Graph<'_>,
    nodes: &[u32],
    found: &mut Vec<Anomaly>,
    report: &impl Fn(&Cycle, &[Level], &mut Vec<Anomaly>),
    budget: &mut Budget,
) -> Option<()> {
    let part = Part::new(graph, nodes);
    for extra in [Extra::None, Extra::Process, Extra::Realtime] {
        for shape in [Shape::G0, Shape::G1c, Shape::GSingle, Shape::GNonadjacent, Shape::G2] {
            let needs_extra = extra != Extra::None;
            let rule = Rule { goal: Goal::Shape(shape), extra, needs_extra };
            if let Some(cycle) = part.search(rule, budget)? {
                report(&cycle, &[], found);
            }
        }
    }
    let causal = Goal::Causal { key: NONE };
    for (goal, level) in [(causal, Level::Causal), (Goal::Prefix, Level::Prefix)] {
        let rule = Rule { goal, extra: Extra::Process, needs_extra: false };
        if let Some(cycle) = part.search(rule, budget)? {
            report(&cycle, &[level], found);
        }
    }
    Some(())
}

/// The levels that a cycle breaks.
fn breaks(cycle: &Cycle, sessions: bool) -> &'static [Level] {
    let (shape, extra) = shape_of(cycle);
    let extra = if sessions && extra == Extra::Process { Extra::None } else { extra };
    // An order of versions that follows from sessions or real time is that of levels that
    // have them in their reads as well.
    let derived = cycle.iter().any(|(_, arc)| arc.by != Extra::None);
    let shape = if derived { shape.max(Shape::GSingle) } else { shape };
    anomaly::breaks(shape, extra)
}

fn report(
    found: &mut Vec<Anomaly>,
    cycle: &Cycle,
    breaks: Vec<Level>,
    text: String,
    words: &Words<'_>,
) {
    let (shape, extra) = shape_of(cycle);
    let name = anomaly::name(shape, extra);
    if found.iter().filter(|found| found.name == name).count() < anomaly::MOST_OF_A_KIND {
        let picture = Some(words.picture(cycle));
        found.push(Anomaly { name, words: text, breaks, picture });
    } else if let Some(first) = found.iter_mut().find(|found| found.name == name) {
        // Its levels count all the same.
        let more = breaks.into_iter().filter(|level| !first.breaks.contains(level));
        first.breaks.extend(more.collect::<Vec<_>>());
    }
}
