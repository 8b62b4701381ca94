//! The edges that are in the graph whatever is guessed, and an order of them.
//!
//! First the given ones, then those of sides that were forced, in the order in which that
//! was seen. So a number of edges tells what was certain at some moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Edge, NONE, Polygraph};
use crate::budget::Budget;

pub struct Certain<'a> {
    pub polygraph: &'a Polygraph,
    /// The edges of forced sides, with these.
    forced: Vec<(Edge, u32)>,
    /// Of each choice the side that was forced, as a literal.
    sides: Vec<u32>,
    open: usize,
    /// Of each forced choice, how many edges were certain before.
    before: Vec<u32>,
    /// The place of each node in an order that the edges follow.
    pub place: Vec<u32>,
    /// How many edges follow it.
    sorted: u32,
}

pub enum Sorted {
    /// There is an order.
    Order,
    /// There is none; that of fewer edges was kept.
    Cycle,
    Spent,
}

impl<'a> Certain<'a> {
    pub fn new(polygraph: &'a Polygraph) -> Certain<'a> {
        let choices = polygraph.choices.len();
        let known = |edge: &Edge| edge.0.max(edge.1) < polygraph.nodes;
        let mut edges = polygraph.edges.iter().chain(&polygraph.choices.edges);
        assert!(edges.all(known), "edges are between nodes that there are");
        Certain {
            polygraph,
            forced: Vec::new(),
            sides: vec![NONE; choices],
            open: choices,
            before: vec![NONE; choices],
            place: (0..polygraph.nodes).collect(),
            sorted: 0,
        }
    }

    /// How many edges there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.polygraph.edges.len() + self.forced.len())
            .expect("edges have numbers of 32 bits")
    }

    /// The side that was forced of a choice, as a literal; `NONE` if it is open.
    pub fn side(&self, choice: u32) -> u32 {
        self.sides[choice as usize]
    }

    /// How many choices are open.
    pub fn open(&self) -> usize {
        self.open
    }

    /// How many edges were certain when a choice was forced.
    pub fn before(&self, choice: u32) -> u32 {
        self.before[choice as usize]
    }

    /// The side that an edge belongs to, as a literal; `NONE` if it was given.
    pub fn origin(&self, edge: u32) -> u32 {
        let place = (edge as usize).checked_sub(self.polygraph.edges.len());
        place.map_or(NONE, |place| self.forced[place].1)
    }

    /// How many of the edges follow the order that is kept.
    pub fn sorted(&self) -> u32 {
        self.sorted
    }

    /// All edges.
    pub fn edges(&self) -> impl Iterator<Item = Edge> + Clone {
        let forced = self.forced.iter().map(|(edge, _)| *edge);
        self.polygraph.edges.iter().copied().chain(forced)
    }

    /// Makes these sides certain, of choices that were open.
    pub fn force(&mut self, literals: &[u32]) {
        let before = self.len();
        self.open -= literals.len();
        for literal in literals {
            let choice = (literal / 2) as usize;
            assert_eq!(self.sides[choice], NONE, "a choice is forced once");
            self.sides[choice] = *literal;
            self.before[choice] = before;
            let edges = self.polygraph.choices.edges_of(*literal);
            self.forced.extend(edges.iter().map(|edge| (*edge, *literal)));
        }
    }

    /// Where the first edges lead, so many of them, by the node that they leave.
    pub fn arcs(&self, edges: u32) -> Arcs {
        Arcs::new(self.polygraph.nodes, self.edges().take(edges as usize))
    }

    /// Where they come from, by the node to which they lead.
    pub fn arcs_back(&self, edges: u32) -> Arcs {
        let turned = self.edges().map(|(from, to)| (to, from));
        Arcs::new(self.polygraph.nodes, turned.take(edges as usize))
    }

    /// Puts the nodes into an order that all edges follow (Kahn 1962); where it is free, as
    /// they were before.
    pub fn sort(&mut self, budget: &mut Budget) -> Sorted {
        let arcs = self.arcs(self.len());
        let mut missing = vec![0_u32; self.place.len()];
        for (_, to) in self.edges() {
            missing[to as usize] += 1;
        }
        let mut ready = BinaryHeap::new();
        for (node, place) in self.place.iter().enumerate() {
            if missing[node] == 0 {
                ready.push(Reverse((*place, node as u32)));
            }
        }
        let mut place = vec![NONE; self.place.len()];
        let mut next = 0;
        while let Some(Reverse((_, node))) = ready.pop() {
            if !budget.step() {
                return Sorted::Spent;
            }
            place[node as usize] = next;
            next += 1;
            for (to, _) in arcs.of(node) {
                missing[*to as usize] -= 1;
                if missing[*to as usize] == 0 {
                    ready.push(Reverse((self.place[*to as usize], *to)));
                }
            }
        }
        if (next as usize) < place.len() {
            return Sorted::Cycle;
        }
        self.place = place;
        self.sorted = self.len();
        Sorted::Order
    }
}

/// Edges by one of their ends, each with the other one and its number; of a node in the
/// order of their numbers.
pub struct Arcs {
    starts: Vec<u32>,
    arcs: Vec<(u32, u32)>,
}

impl Arcs {
    fn new(nodes: u32, edges: impl Iterator<Item = Edge> + Clone) -> Arcs {
        let mut starts = vec![0_u32; nodes as usize + 1];
        let mut count = 0;
        for (here, _) in edges.clone() {
            starts[here as usize + 1] += 1;
            count += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        let mut next = starts.clone();
        let mut arcs = vec![(NONE, NONE); count];
        for (number, (here, there)) in edges.enumerate() {
            let place = &mut next[here as usize];
            arcs[*place as usize] = (there, number as u32);
            *place += 1;
        }
        Arcs { starts, arcs }
    }

    /// Those of a node.
    pub fn of(&self, node: u32) -> &[(u32, u32)] {
        let (from, to) = (self.starts[node as usize], self.starts[node as usize + 1]);
        &self.arcs[from as usize..to as usize]
    }
}
