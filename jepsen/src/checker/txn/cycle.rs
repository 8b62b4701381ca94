//! Cycles, and what kind of cycle is there.
//!
//! Only a strongly connected part of the graph can have any; of a valid history there is
//! no such part, and nothing here runs. In a part each kind of cycle is looked for by
//! itself, as a walk that a small automaton accepts: it begins with an edge that the kind
//! must have, and goes back to where that began.
//!
//! ```text
//!   G-single:  u ─rw▶ v ─(ww|wr)*▶ u          once, no other rw
//!   G-nonadjacent:  u ─rw▶ v … ─rw▶ … u       a walk in (node, was the last edge rw?)
//! ```
//!
//! Where a walk may not come back is seen beforehand, from the components of the graph
//! that the automaton makes of the part. So that a search that finds nothing is short.
//!
//! Nodes that stand for several (see `list`) and barriers are passed without a step: an
//! edge into them has said what the edge is.

use std::collections::VecDeque;

use super::graph::{Arc, Edge, Graph, components};
use super::table::NONE;
use crate::budget::Budget;

/// The kind of a cycle, by its edges of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// Only ww.
    G0,
    /// And wr.
    G1c,
    /// Exactly one rw.
    GSingle,
    /// Several rw, no two in a row.
    GNonadjacent,
    /// Two rw in a row.
    G2,
}

/// What else is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extra {
    /// Nothing.
    None,
    /// The order of a session.
    Process,
    /// The order of real time, perhaps that of a session, too.
    Realtime,
}

/// The order beside that of data that an edge is, or follows from.
fn extra_of(arc: Arc) -> Extra {
    match arc.edge {
        Edge::Ww | Edge::Wr | Edge::Rw => arc.by,
        Edge::Process => Extra::Process,
        Edge::Realtime => Extra::Realtime,
    }
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// A cycle of this kind.
    Shape(Shape),
    /// One rw, and no ww but behind it, on its key, to the versions that come later: what
    /// `causal` forbids. The key is that of the rw, once a walk has begun.
    Causal {
        /// `NONE` for any.
        key: u32,
    },
    /// Each rw behind a wr or a session's order: what `prefix` forbids.
    Prefix,
}

/// A goal, and the order beside that of data.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What is looked for.
    pub goal: Goal,
    /// What may be in it.
    pub extra: Extra,
    /// Whether it must be.
    pub needs_extra: bool,
}

/// A cycle: each node with the edge that leaves it, those between left out.
pub type Cycle = Vec<(u32, Arc)>;

// What a walk has been through.
const EXTRA: u8 = 1;
const WR: u8 = 2;
const SECOND_RW: u8 = 4;
const ADJACENT: u8 = 8;
/// The last edge was rw.
const LAST_RW: u8 = 16;
/// No rw may follow here, for `prefix`.
const SHUT: u8 = 32;
const STATES: usize = 64;
/// How many nodes a search visits to find a shorter cycle than it has.
const MOST_VISITS: u64 = 2_000_000;

impl Rule {
    fn once(self) -> bool {
        matches!(self.goal, Goal::Causal { .. } | Goal::Shape(Shape::GSingle))
    }

    /// Whether what may follow this state is another than usual (no rw; a ww): then a node is
    /// another place in the product of graph and automaton.
    fn layer(self, state: u8) -> u32 {
        let layered =
            !matches!(self.goal, Goal::Shape(Shape::G0 | Shape::G1c | Shape::GSingle | Shape::G2));
        u32::from(layered && state & (LAST_RW | SHUT) != 0)
    }

    fn has_rw(self) -> bool {
        !matches!(self.goal, Goal::Shape(Shape::G0 | Shape::G1c))
    }

    /// Whether a walk may begin with this edge: one that the cycle must have.
    fn begins(self, arc: Arc) -> bool {
        let edge = arc.edge;
        match (self.has_rw(), self.needs_extra, self.goal) {
            (true, ..) => edge == Edge::Rw,
            (false, true, _) => self.wanted(arc),
            (false, false, Goal::Shape(Shape::G0)) => edge == Edge::Ww,
            (false, false, _) => edge == Edge::Wr,
        }
    }

    /// Whether it is, or follows from, the order that must be in the cycle.
    fn wanted(self, arc: Arc) -> bool {
        self.needs_extra && self.extra != Extra::None && extra_of(arc) == self.extra
    }

    /// The rule of a walk that begins with this edge.
    fn begun(self, arc: Arc) -> Rule {
        match self.goal {
            Goal::Causal { .. } => Rule { goal: Goal::Causal { key: arc.key }, ..self },
            Goal::Shape(_) | Goal::Prefix => self,
        }
    }

    /// The walk's state behind its first edge, if it may be there.
    fn first(self, arc: Arc) -> Option<u8> {
        let state = match (arc.edge, self.goal) {
            (Edge::Rw, Goal::Prefix) => SHUT,
            (Edge::Rw, _) => LAST_RW,
            _ => return self.step(0, arc),
        };
        let extra = if self.wanted(arc) { EXTRA } else { 0 };
        (extra_of(arc) <= self.extra).then_some(state | extra)
    }

    /// The walk's state behind the next edge, if it may go there.
    fn step(self, state: u8, arc: Arc) -> Option<u8> {
        let shape = match self.goal {
            Goal::Shape(shape) => Some(shape),
            Goal::Causal { .. } | Goal::Prefix => None,
        };
        let edge = arc.edge;
        let allowed = match edge {
            Edge::Ww => match self.goal {
                Goal::Causal { key } => state & LAST_RW != 0 && [NONE, arc.key].contains(&key),
                Goal::Shape(_) | Goal::Prefix => true,
            },
            Edge::Wr => shape != Some(Shape::G0),
            Edge::Rw => self.has_rw() && !self.once(),
            Edge::Process | Edge::Realtime => true,
        };
        if !allowed || extra_of(arc) > self.extra {
            return None;
        }
        let extra = if self.wanted(arc) { EXTRA } else { 0 };
        let wr = if edge == Edge::Wr && shape == Some(Shape::G1c) { WR } else { 0 };
        let seen = (state & !(LAST_RW | SHUT)) | extra | wr;
        if self.goal == Goal::Prefix {
            return match edge {
                Edge::Rw if state & SHUT != 0 => None,
                Edge::Rw | Edge::Ww => Some(seen | SHUT),
                Edge::Wr | Edge::Process | Edge::Realtime => Some(seen),
            };
        }
        if edge == Edge::Ww && matches!(self.goal, Goal::Causal { .. }) {
            return Some(seen | LAST_RW);
        }
        if edge != Edge::Rw {
            return Some(seen);
        }
        match (shape, state & LAST_RW != 0) {
            (Some(Shape::GNonadjacent), true) => None,
            (Some(Shape::G2), true) => Some(seen | LAST_RW | ADJACENT),
            (Some(Shape::G2), false) => Some(seen | LAST_RW),
            _ => Some(seen | LAST_RW | SECOND_RW),
        }
    }

    /// Whether a walk that is back in this state is what is looked for.
    fn accepts(self, state: u8) -> bool {
        let extra = !self.needs_extra || state & EXTRA != 0;
        extra
            && match self.goal {
                Goal::Shape(Shape::G0 | Shape::GSingle) => true,
                Goal::Causal { .. } => state & LAST_RW == 0,
                Goal::Shape(Shape::G1c) => state & WR != 0,
                Goal::Shape(Shape::GNonadjacent) => state & SECOND_RW != 0 && state & LAST_RW == 0,
                Goal::Shape(Shape::G2) => state & (ADJACENT | LAST_RW) != 0,
                Goal::Prefix => state & SHUT == 0,
            }
    }
}

/// The kind of a cycle.
pub fn shape_of(cycle: &Cycle) -> (Shape, Extra) {
    let edges: Vec<Edge> = cycle.iter().map(|(_, arc)| arc.edge).collect();
    let rw = edges.iter().filter(|edge| **edge == Edge::Rw).count();
    let next = edges.iter().cycle().skip(1);
    let adjacent = edges.iter().zip(next).any(|pair| pair == (&Edge::Rw, &Edge::Rw));
    let shape = match rw {
        0 if edges.contains(&Edge::Wr) => Shape::G1c,
        0 => Shape::G0,
        1 => Shape::GSingle,
        _ if adjacent => Shape::G2,
        _ => Shape::GNonadjacent,
    };
    let extra = cycle.iter().map(|(_, arc)| extra_of(*arc)).max().unwrap_or(Extra::None);
    (shape, extra)
}

/// A strongly connected part, its nodes numbered anew.
pub struct Part<'a> {
    pub(super) nodes: &'a [u32],
    starts: Vec<u32>,
    arcs: Vec<Arc>,
    /// Whether a node is no transaction.
    pub(super) passed: Vec<bool>,
}

/// Where a walk came from: the place in the queue, and the edge that it took.
#[derive(Clone, Copy)]
struct Visit {
    node: u32,
    state: u8,
    steps: u32,
    from: u32,
    arc: Arc,
}

impl<'a> Part<'a> {
    /// The part of these nodes, which are in ascending order.
    pub fn new(graph: &Graph<'_>, nodes: &'a [u32]) -> Part<'a> {
        let mut part = Part {
            nodes,
            starts: vec![0],
            arcs: Vec::new(),
            passed: nodes.iter().map(|node| !graph.is_txn(*node)).collect(),
        };
        for node in nodes {
            graph.arcs(*node, |arc| {
                if let Ok(to) = nodes.binary_search(&arc.to) {
                    part.arcs.push(Arc { to: to as u32, ..arc });
                }
            });
            part.starts.push(part.arcs.len() as u32);
        }
        part
    }

    pub(super) fn arcs(&self, node: u32) -> &[Arc] {
        let (from, to) = (self.starts[node as usize], self.starts[node as usize + 1]);
        &self.arcs[from as usize..to as usize]
    }

    fn step(&self, rule: Rule, node: u32, state: u8, arc: Arc) -> Option<u8> {
        if self.passed[node as usize] { Some(state) } else { rule.step(state, arc) }
    }

    /// The shortest cycle that the rule accepts, or a short one where finding the
    /// shortest takes too long. The outer none says that the budget is spent.
    pub fn search(&self, rule: Rule, budget: &mut Budget) -> Option<Option<Cycle>> {
        let component = self.product(rule, budget)?;
        let place = |node: u32, state: u8| (2 * node + rule.layer(state)) as usize;
        let mut best: Option<Cycle> = None;
        let mut visits = 0;
        let mut seen = vec![0; STATES * self.nodes.len()];
        let mut stamp = 0;
        for node in 0..self.nodes.len() as u32 {
            if self.passed[node as usize] {
                continue;
            }
            for arc in self.arcs(node).iter().filter(|arc| rule.begins(**arc)) {
                let rule = rule.begun(*arc);
                let Some(state) = rule.first(*arc) else { continue };
                let goal = component[place(node, 0)];
                let reaches = |node: u32, state: u8| {
                    let here = component[place(node, state)];
                    if rule.once() { here >= goal } else { here == goal }
                };
                if !reaches(arc.to, state) {
                    continue;
                }
                let most = best.as_ref().map_or(u32::MAX, |best| best.len() as u32 - 1);
                let begin = (node, *arc, state);
                stamp += 1;
                let found =
                    self.walk(rule, begin, most, reaches, &mut seen, stamp, &mut visits, budget)?;
                if found.is_some() {
                    best = found;
                }
                let enough = best.as_ref().is_some_and(|best| best.len() <= 2);
                if enough || (best.is_some() && visits > MOST_VISITS) {
                    return Some(best);
                }
            }
        }
        Some(best)
    }

    /// The components of the part under the rule: of each node once behind an edge that
    /// forbids an rw, once behind another.
    fn product(&self, rule: Rule, budget: &mut Budget) -> Option<Vec<u32>> {
        let arcs = |place: u32, into: &mut Vec<u32>| {
            let (node, shut) = (place / 2, place % 2 == 1);
            let state = match (shut, rule.goal) {
                (false, _) => 0,
                (true, Goal::Prefix) => SHUT,
                (true, _) => LAST_RW,
            };
            for arc in self.arcs(node) {
                if let Some(state) = self.step(rule, node, state, *arc) {
                    let to = 2 * arc.to + rule.layer(state);
                    if to != place {
                        into.push(to);
                    }
                }
            }
        };
        components(2 * self.nodes.len(), arcs, budget)
    }

    /// The shortest walk that begins with an edge and comes back, of at most so many steps.
    #[expect(clippy::too_many_arguments, reason = "what the search keeps from walk to walk")]
    fn walk(
        &self,
        rule: Rule,
        (home, arc, state): (u32, Arc, u8),
        most: u32,
        reaches: impl Fn(u32, u8) -> bool,
        seen: &mut [u32],
        stamp: u32,
        visits: &mut u64,
        budget: &mut Budget,
    ) -> Option<Option<Cycle>> {
        let mut queue = VecDeque::new();
        let mut taken: Vec<Visit> = Vec::new();
        queue.push_back(Visit { node: arc.to, state, steps: 1, from: u32::MAX, arc });
        while let Some(visit) = queue.pop_front() {
            let place = STATES * visit.node as usize + visit.state as usize;
            if seen[place] == stamp {
                continue;
            }
            seen[place] = stamp;
            *visits += 1;
            if !budget.step() {
                return None;
            }
            let from = taken.len() as u32;
            taken.push(visit);
            if visit.node == home {
                if rule.accepts(visit.state)
                    && let Some(cycle) = self.cycle(rule, home, &taken)
                {
                    return Some(Some(cycle));
                }
                continue;
            }
            let passed = self.passed[visit.node as usize];
            let steps = visit.steps + u32::from(!passed);
            if steps > most {
                continue;
            }
            for arc in self.arcs(visit.node) {
                let Some(state) = self.step(rule, visit.node, visit.state, *arc) else {
                    continue;
                };
                if !reaches(arc.to, state) {
                    continue;
                }
                let next = Visit { node: arc.to, state, steps, from, arc: *arc };
                if passed {
                    queue.push_front(next);
                } else {
                    queue.push_back(next);
                }
            }
        }
        Some(None)
    }

    /// The cycle that ends with the last visit. A cycle with two rw in a row is one only if
    /// it meets no transaction twice: otherwise it may be two of another kind.
    fn cycle(&self, rule: Rule, home: u32, taken: &[Visit]) -> Option<Cycle> {
        let mut edges = Vec::new();
        let mut place = taken.len() as u32 - 1;
        while place != u32::MAX {
            let visit = taken[place as usize];
            edges.push((visit.node, visit.arc));
            place = visit.from;
        }
        edges.reverse();
        let mut cycle: Cycle = Vec::new();
        let mut at = home;
        for (to, arc) in edges {
            let arc = Arc { to: self.nodes[to as usize], ..arc };
            if self.passed[at as usize] {
                let (_, last) = cycle.last_mut().expect("a walk begins at a transaction");
                last.to = arc.to;
            } else {
                cycle.push((self.nodes[at as usize], arc));
            }
            at = to;
        }
        let mut nodes: Vec<u32> = cycle.iter().map(|(node, _)| *node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let simple = nodes.len() == cycle.len();
        (simple || rule.goal != Goal::Shape(Shape::G2)).then_some(cycle)
    }
}
