//! The wait-for graph drawn with letters: whoever is waited for stands above those
//! who wait for him.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::graph::WaitGraph;
use super::{age_ms, span};

/// Deeper chains are cut.
const DEPTH: usize = 64;

/// Draws it.
///
/// # Errors
/// If it can not be written.
pub fn draw(out: &mut impl Write, graph: &WaitGraph) -> io::Result<()> {
    if graph.arrows.is_empty() {
        return writeln!(out, "nobody waits");
    }
    let mut drawing = Drawing { graph, out, drawn: BTreeSet::new() };
    for root in graph.roots() {
        drawing.top(root, "waits for nobody")?;
    }
    // Whoever is left waits within a cycle, or for one.
    let cycles: BTreeSet<usize> =
        graph.arrows.iter().filter(|arrow| arrow.deadlock).map(|arrow| arrow.to).collect();
    for vertex in cycles {
        if !drawing.drawn.contains(&vertex) {
            drawing.top(vertex, "is in a DEADLOCK")?;
        }
    }
    Ok(())
}

struct Drawing<'a, W> {
    graph: &'a WaitGraph,
    out: &'a mut W,
    drawn: BTreeSet<usize>,
}

impl<W: Write> Drawing<'_, W> {
    fn top(&mut self, vertex: usize, is: &str) -> io::Result<()> {
        let known = &self.graph.txns[vertex];
        let age = age_ms(known.age).map_or(String::new(), |ms| format!(", {} old", span(ms)));
        writeln!(self.out, "{} {is}{age}", known.txn)?;
        self.drawn.insert(vertex);
        self.below(vertex, "", 1)
    }

    fn below(&mut self, vertex: usize, indent: &str, depth: usize) -> io::Result<()> {
        let graph = self.graph;
        let mut arrows = graph.into(vertex).peekable();
        while let Some(arrow) = arrows.next() {
            let last = arrows.peek().is_none();
            let again = !self.drawn.insert(arrow.from);
            let more = if again && graph.into(arrow.from).next().is_some() {
                if arrow.deadlock { " ⟲ DEADLOCK" } else { " (see there)" }
            } else {
                ""
            };
            let branch = if last { "└─" } else { "├─" };
            let (txn, waited) = (graph.txns[arrow.from].txn, span(arrow.waited_ms));
            writeln!(self.out, "{indent}{branch} {txn} waits {waited} for {}{more}", arrow.what)?;
            if !again && depth < DEPTH {
                let indent = format!("{indent}{}", if last { "   " } else { "│  " });
                self.below(arrow.from, &indent, depth + 1)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waits::graph::tests::{example, row};

    fn drawn(graph: &WaitGraph) -> String {
        let mut out = Vec::new();
        draw(&mut out, graph).unwrap();
        let text = String::from_utf8(out).unwrap();
        // Ages change.
        let lines = text.lines().map(|line| line.split(", 2").next().unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn who_is_waited_for_stands_above() {
        let expected = "\
t1.1.4 waits for nobody
├─ t1.1.5 waits 35 ms for X on key stock/<7&8>, s2
│  └─ t1.1.6 waits 36 ms for X on key stock/<7&8>, s2
└─ t1.1.6 waits 36 ms for X on key stock/<7&8>, s2
t1.1.1 is in a DEADLOCK
├─ t1.1.2 waits 32 ms for X on key acct/alice, s1
│  ├─ t1.1.3 waits 33 ms for X on key acct/alice, s1
│  └─ t1.1.1 waits 31 ms for X on key acct/bob, s2 ⟲ DEADLOCK
└─ t1.1.3 waits 33 ms for X on key acct/alice, s1";
        assert_eq!(drawn(&example()), expected);
        assert_eq!(drawn(&WaitGraph::of(&[])), "nobody waits");
    }

    #[test]
    fn a_long_chain_is_cut() {
        let rows: Vec<_> = (1..200)
            .map(|n| (synod_client::ShardId(1), row(&n.to_string(), n, &[(n + 1, &[n])])))
            .collect();
        assert_eq!(drawn(&WaitGraph::of(&rows)).lines().count(), 1 + DEPTH);
    }
}
