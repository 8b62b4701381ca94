//! Which choices are enough for a contradiction.
//!
//! A side was forced because the other one closes a cycle with what was certain before.
//! That cycle is looked for again, the shortest one, and the forced sides on it are
//! explained in turn, from ever fewer edges.

use std::collections::VecDeque;

use super::certain::{Arcs, Certain};
use super::order::{Insertion, Order};
use super::{NONE, literal};
use crate::budget::Budget;

/// Why a choice has no side that closes no cycle.
pub fn of_choice(certain: &Certain<'_>, choice: u32, budget: &mut Budget) -> Vec<u32> {
    let mut cause = Cause::new(certain);
    cause.mark(choice);
    cause.closed.push((literal(choice, false), certain.len()));
    cause.closed.push((literal(choice, true), certain.len()));
    cause.follow(budget)
}

/// Why what is certain has a cycle that it had not when it was last sorted.
pub fn of_cycle(certain: &Certain<'_>, budget: &mut Budget) -> Vec<u32> {
    let mut order = Order::new(certain);
    let mut cause = Cause::new(certain);
    let sorted = certain.sorted();
    for ((from, to), edge) in certain.edges().zip(0..).skip(sorted as usize) {
        match order.insert(from, to, certain.origin(edge), budget) {
            Insertion::Done => {}
            Insertion::Spent => return cause.all(),
            Insertion::Cycle => {
                for side in order.cycle() {
                    cause.mark(side / 2);
                }
                return cause.follow(budget);
            }
        }
    }
    unreachable!("what cannot be sorted has a cycle")
}

/// Why these choices close a cycle, and those by which they were forced.
pub fn of_choices(
    certain: &Certain<'_>,
    choices: impl Iterator<Item = u32>,
    budget: &mut Budget,
) -> Vec<u32> {
    let mut cause = Cause::new(certain);
    for choice in choices {
        cause.mark(choice);
    }
    cause.follow(budget)
}

struct Cause<'a> {
    certain: &'a Certain<'a>,
    marked: Vec<bool>,
    /// Sides that close a cycle with so many certain edges, and are to be explained.
    closed: Vec<(u32, u32)>,
    seen: Vec<u32>,
    stamp: u32,
}

impl<'a> Cause<'a> {
    fn new(certain: &'a Certain<'a>) -> Cause<'a> {
        Cause {
            certain,
            marked: vec![false; certain.polygraph.choices.len()],
            closed: Vec::new(),
            seen: vec![0; certain.place.len()],
            stamp: 0,
        }
    }

    /// This choice belongs to it, and so does why it was forced.
    fn mark(&mut self, choice: u32) {
        let marked = &mut self.marked[choice as usize];
        let side = self.certain.side(choice);
        if !std::mem::replace(marked, true) && side != NONE {
            self.closed.push((side ^ 1, self.certain.before(choice)));
        }
    }

    /// Explains until all is explained.
    fn follow(mut self, budget: &mut Budget) -> Vec<u32> {
        let arcs = self.certain.arcs(self.certain.len());
        while let Some((side, edges)) = self.closed.pop() {
            let Some(cycle) = self.cycle(&arcs, side, edges, budget) else { return self.all() };
            for edge in cycle {
                match self.certain.origin(edge) {
                    NONE => {}
                    side => self.mark(side / 2),
                }
            }
        }
        self.list()
    }

    /// Where there is no time to explain: all that was forced, and what was marked.
    fn all(mut self) -> Vec<u32> {
        for choice in 0..self.marked.len() {
            self.marked[choice] |= self.certain.side(choice as u32) != NONE;
        }
        self.list()
    }

    fn list(&self) -> Vec<u32> {
        (0..).zip(&self.marked).filter(|(_, marked)| **marked).map(|(choice, _)| choice).collect()
    }

    /// The certain edges, of the first so many, with which a side closes a cycle: as few as
    /// possible. None if the budget ends.
    fn cycle(
        &mut self,
        arcs: &Arcs,
        side: u32,
        edges: u32,
        budget: &mut Budget,
    ) -> Option<Vec<u32>> {
        for (from, to) in self.certain.polygraph.choices.edges_of(side) {
            let path = self.path(arcs, (*to, *from), edges, budget)?;
            if path.is_some() {
                return path;
            }
        }
        unreachable!("a side is closed only if it closes a cycle")
    }

    /// The shortest path; the outer none says that the budget is spent.
    fn path(
        &mut self,
        arcs: &Arcs,
        (from, to): (u32, u32),
        edges: u32,
        budget: &mut Budget,
    ) -> Option<Option<Vec<u32>>> {
        let most = self.certain.place[to as usize];
        let mut queue = VecDeque::from([(from, NONE, NONE)]);
        let mut visits: Vec<(u32, u32)> = Vec::new();
        self.stamp += 1;
        while let Some((node, edge, before)) = queue.pop_front() {
            if std::mem::replace(&mut self.seen[node as usize], self.stamp) == self.stamp {
                continue;
            }
            if !budget.step() {
                return None;
            }
            let number = visits.len() as u32;
            visits.push((edge, before));
            if node == to {
                let mut path = Vec::new();
                let mut visit = (edge, before);
                while visit.0 != NONE {
                    path.push(visit.0);
                    visit = visits[visit.1 as usize];
                }
                return Some(Some(path));
            }
            for (next, edge) in arcs.of(node).iter().take_while(|(_, edge)| *edge < edges) {
                if self.certain.place[*next as usize] <= most {
                    queue.push_back((*next, *edge, number));
                }
            }
        }
        Some(None)
    }
}
