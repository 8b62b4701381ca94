//! The graph of dependencies, and its strongly connected parts.
//!
//! Nodes are transactions, then those that stand for several (see `list`), then barriers
//! (see `table`). Edges of data are kept; those of sessions and of real time follow from
//! the table and are not.

use rustc_hash::FxHashMap;

use super::cycle::Extra;
use super::table::{NONE, Status, Table};
use crate::budget::Budget;

/// Why one comes before the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edge {
    /// It wrote the version before.
    Ww,
    /// It wrote what the other one read.
    Wr,
    /// It read the version before the other's.
    Rw,
    /// It was before in the same session.
    Process,
    /// It was done before the other one began.
    Realtime,
}

/// Edges of data, as they are found.
#[derive(Debug, Default)]
pub struct Edges {
    list: Vec<(u32, Arc)>,
    /// How many nodes there are beside transactions.
    virtual_nodes: u32,
}

/// Where an edge leads, of what kind, and by which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arc {
    /// The node.
    pub to: u32,
    /// The key's number; `NONE` where it is no edge of data.
    pub key: u32,
    /// Its kind.
    pub edge: Edge,
    /// The order, beside that of data, by which the version is known to come before.
    pub by: Extra,
}

impl Edges {
    /// Adds one; nobody comes before itself.
    pub fn add(&mut self, from: u32, arc: Arc) {
        if from != arc.to {
            self.list.push((from, arc));
        }
    }

    /// A node that stands for several transactions, in a history of `txns`.
    pub fn virtual_node(&mut self, txns: usize) -> u32 {
        self.virtual_nodes += 1;
        txns as u32 + self.virtual_nodes - 1
    }

    /// Whether nothing is known of what came before what.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// All edges, by the node that they leave.
pub struct Graph<'a> {
    table: &'a Table,
    starts: Vec<u32>,
    arcs: Vec<Arc>,
    /// The first barrier; what is between it and the transactions stands for several.
    barriers: u32,
}

impl<'a> Graph<'a> {
    /// The graph of these edges and of the table's order in time.
    pub fn new(table: &'a Table, edges: Edges) -> Graph<'a> {
        let barriers = table.len() as u32 + edges.virtual_nodes;
        let mut starts = vec![0_u32; barriers as usize + 1];
        for (from, _) in &edges.list {
            starts[*from as usize + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        let mut next = starts.clone();
        let nowhere = Arc { to: NONE, key: NONE, edge: Edge::Ww, by: Extra::None };
        let mut arcs = vec![nowhere; edges.list.len()];
        for (from, arc) in edges.list {
            let place = &mut next[from as usize];
            arcs[*place as usize] = arc;
            *place += 1;
        }
        Graph { table, starts, arcs, barriers }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        (self.barriers + self.table.barriers()) as usize
    }

    /// Whether a node is a transaction.
    pub fn is_txn(&self, node: u32) -> bool {
        node < self.table.len() as u32
    }

    /// Calls `take` with all edges that leave a node, in a fixed order.
    pub fn arcs(&self, node: u32, mut take: impl FnMut(Arc)) {
        let time = |to, edge| Arc { to, key: NONE, edge, by: Extra::None };
        if node >= self.barriers {
            let barrier = node - self.barriers;
            if barrier + 1 < self.table.barriers() {
                take(time(node + 1, Edge::Realtime));
            }
            for txn in self.table.behind(barrier) {
                if self.table.txn(txn).status != Status::Fail {
                    take(time(txn, Edge::Realtime));
                }
            }
            return;
        }
        let (from, to) = (self.starts[node as usize], self.starts[node as usize + 1]);
        for arc in &self.arcs[from as usize..to as usize] {
            take(*arc);
        }
        if !self.is_txn(node) {
            return;
        }
        let txn = self.table.txn(node);
        for later in self.table.later(node) {
            take(time(later, Edge::Process));
        }
        if txn.before != NONE {
            take(time(self.barriers + txn.before, Edge::Realtime));
        }
    }

    /// The parts with a cycle, each with its nodes in ascending order. None if the budget
    /// ends before.
    pub fn cyclic_parts(&self, budget: &mut Budget) -> Option<Vec<Vec<u32>>> {
        let arcs = |node: u32, into: &mut Vec<u32>| self.arcs(node, |arc| into.push(arc.to));
        let components = components(self.len(), arcs, budget)?;
        let mut sizes = vec![0_u32; self.len()];
        for component in &components {
            sizes[*component as usize] += 1;
        }
        let mut parts: Vec<Vec<u32>> = Vec::new();
        let mut places = FxHashMap::default();
        for (node, component) in components.iter().enumerate() {
            if sizes[*component as usize] > 1 {
                let place = *places.entry(*component).or_insert(parts.len());
                if place == parts.len() {
                    parts.push(Vec::new());
                }
                parts[place].push(node as u32);
            }
        }
        Some(parts)
    }
}

/// The strongly connected component of each node (Tarjan 1972, without recursion), of a
/// graph without edges from a node to itself. `arcs` appends where a node leads. They are
/// numbered so that no edge leads to a higher number. None if the budget ends before.
pub fn components(
    nodes: usize,
    mut arcs: impl FnMut(u32, &mut Vec<u32>),
    budget: &mut Budget,
) -> Option<Vec<u32>> {
    const UNSEEN: u32 = u32::MAX;
    let mut component = vec![UNSEEN; nodes];
    // The lowest number on the stack that a node is known to reach.
    let mut low = vec![UNSEEN; nodes];
    let mut stack = Vec::new();
    // Nodes under way, their numbers, and where the edges that they have left begin.
    let mut path: Vec<(u32, u32, usize)> = Vec::new();
    let mut targets: Vec<u32> = Vec::new();
    let (mut number, mut count) = (0, 0);
    for root in 0..nodes as u32 {
        let mut enter = (low[root as usize] == UNSEEN).then_some(root);
        loop {
            if let Some(node) = enter.take() {
                if !budget.step() {
                    return None;
                }
                low[node as usize] = number;
                stack.push(node);
                path.push((node, number, targets.len()));
                number += 1;
                arcs(node, &mut targets);
            }
            let Some((node, own, from)) = path.last().copied() else { break };
            if targets.len() > from {
                let to = targets.pop().expect("there is one");
                if low[to as usize] == UNSEEN {
                    enter = Some(to);
                } else if component[to as usize] == UNSEEN {
                    low[node as usize] = low[node as usize].min(low[to as usize]);
                }
                continue;
            }
            path.pop();
            let lowest = low[node as usize];
            if let Some((parent, ..)) = path.last() {
                low[*parent as usize] = low[*parent as usize].min(lowest);
            }
            if lowest == own {
                while let Some(member) = stack.pop() {
                    component[member as usize] = count;
                    if member == node {
                        break;
                    }
                }
                count += 1;
            }
        }
    }
    Some(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_numbered_against_the_edges() {
        // 0 ⇄ 1 ─▶ 2 ─▶ 3 ⇄ 4, 5
        let arcs = [vec![1], vec![0, 2], vec![3], vec![4], vec![3], vec![]];
        let found =
            components(6, |node, into| into.extend(&arcs[node as usize]), &mut Budget::unlimited());
        let found = found.unwrap();
        assert_eq!((found[0], found[3]), (found[1], found[4]));
        assert!(found[0] > found[2] && found[2] > found[3]);
        assert!(!found[..5].contains(&found[5]));
    }
}
