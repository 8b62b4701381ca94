//! Snapshot isolation where it is not known who of several wrote last.
//!
//! What was appended and never read comes behind all that was read, in an order that nothing
//! shows. For a serial order any will do: that of the transactions is one. Snapshot isolation
//! asks for more, that who comes later has seen who came before:
//!
//! ```text
//!   T1: append x 1, r y []        T1 ─rw▶ T2 and T2 ─rw▶ T1: that is allowed.
//!   T2: append y 2, append x 3, r x []
//!                                 But both wrote x. If 1 is before 3, T2 should have seen it;
//!                                 if 3 is before 1, T1 should have seen 2.
//! ```
//!
//! So an order of each two is looked for with which begins and commits have one
//! (`solve`, and `register::search` for what the nodes are). Only a part of the graph with a
//! cycle is looked at: elsewhere there is a serial order.

use super::cycle::{Extra, Part};
use super::graph::{Arc, Edge};
use super::solve::{Answer, Choices, Polygraph, solve};
use super::table::TxnNo;
use crate::budget::Budget;

/// Whether snapshot isolation can hold in a part of the graph, where each of `unread` wrote one
/// key in an unknown order. None if the budget ends before.
pub fn holds(
    part: &Part<'_>,
    unread: &[Vec<TxnNo>],
    extra: Extra,
    budget: &mut Budget,
) -> Option<bool> {
    let mut polygraph = Polygraph {
        nodes: 2 * part.nodes.len() as u32,
        edges: Vec::new(),
        choices: Choices::default(),
    };
    for node in 0..part.nodes.len() as u32 {
        if !part.passed[node as usize] {
            polygraph.edges.push((begin(node), commit(node)));
        }
        for arc in part.arcs(node) {
            edges(part, node, *arc, extra, &mut polygraph.edges);
        }
    }
    for writers in unread {
        let here = writers.iter().filter_map(|txn| part.nodes.binary_search(txn).ok());
        let here: Vec<u32> = here.map(|place| place as u32).collect();
        for (place, one) in here.iter().enumerate() {
            for other in &here[place + 1..] {
                if !budget.step() {
                    return None;
                }
                let sides = [(commit(*one), begin(*other)), (commit(*other), begin(*one))];
                polygraph.choices.push([&sides[..1], &sides[1..]]);
            }
        }
    }
    match solve(&polygraph, budget) {
        Answer::Acyclic { .. } => Some(true),
        Answer::Cyclic { .. } => Some(false),
        Answer::Spent => None,
    }
}

fn begin(node: u32) -> u32 {
    2 * node
}

fn commit(node: u32) -> u32 {
    2 * node + 1
}

/// What an edge is between begins and commits. A node that stands for several has two places
/// as well: before begins what came there from a commit, before commits what came by rw.
fn edges(part: &Part<'_>, node: u32, arc: Arc, extra: Extra, into: &mut Vec<(u32, u32)>) {
    let allowed = match arc.edge {
        Edge::Ww | Edge::Wr | Edge::Rw => true,
        Edge::Process => extra != Extra::None,
        Edge::Realtime => extra == Extra::Realtime,
    };
    match (allowed, part.passed[node as usize]) {
        (false, _) => {}
        (true, true) => {
            into.extend([(begin(node), begin(arc.to)), (commit(node), commit(arc.to))]);
        }
        (true, false) if arc.edge == Edge::Rw => into.push((begin(node), commit(arc.to))),
        (true, false) => into.push((commit(node), begin(arc.to))),
    }
}
