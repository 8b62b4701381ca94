//! A topological order while edges come and go.
//!
//! After Pearce and Kelly, "A dynamic topological sort algorithm for directed acyclic
//! graphs" (JEA 2006). An edge that follows the order costs nothing. For one that does not,
//! only the nodes between its ends are looked at: what is reached from where it leads, and
//! what reaches where it comes from; those change places among each other.
//!
//! ```text
//!   before   … to  a  b  c  from …      to ─▶ b, a ─▶ from, and now from ─▶ to
//!   after    … a  from  c  to  b …      (c stays)
//! ```
//!
//! If `from` is reached itself there is a cycle. The search finds one with the fewest
//! edges that may go again, so that what is learned from it says much. Edges go in the
//! reverse of the order in which they came; the order still holds without them.

use std::collections::VecDeque;

use super::NONE;
use super::certain::{Arcs, Certain};
use crate::budget::Budget;

pub struct Order<'a> {
    certain: &'a Certain<'a>,
    out: Arcs,
    back: Arcs,
    place: Vec<u32>,
    added: Vec<Added>,
    /// Of each node the last edge added that leaves it, and that leads to it.
    last: Vec<[u32; 2]>,
    /// The searches in which nodes were last seen.
    seen: Vec<u64>,
    stamp: u64,
    queue: VecDeque<Visit>,
    visits: Vec<Visit>,
    behind: Vec<u32>,
    /// Places that are given anew.
    free: Vec<u32>,
    cycle: Vec<u32>,
}

/// An edge that may go again.
struct Added {
    from: u32,
    to: u32,
    side: u32,
    /// The edges before it that leave where it comes from, and lead where it leads.
    before: [u32; 2],
}

/// A node that is reached by an edge of a side, from another visit.
#[derive(Clone, Copy)]
struct Visit {
    node: u32,
    side: u32,
    from: u32,
}

/// What became of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    Done,
    /// It closes a cycle and is not there.
    Cycle,
    Spent,
}

impl<'a> Order<'a> {
    /// The order of what is certain, as far as that is sorted.
    pub fn new(certain: &'a Certain<'a>) -> Order<'a> {
        let nodes = certain.place.len();
        Order {
            certain,
            out: certain.arcs(certain.sorted()),
            back: certain.arcs_back(certain.sorted()),
            place: certain.place.clone(),
            added: Vec::new(),
            last: vec![[NONE; 2]; nodes],
            seen: vec![0; nodes],
            stamp: 0,
            queue: VecDeque::new(),
            visits: Vec::new(),
            behind: Vec::new(),
            free: Vec::new(),
            cycle: Vec::new(),
        }
    }

    /// How many edges were added.
    pub fn len(&self) -> usize {
        self.added.len()
    }

    /// The place of each node, in the end.
    pub fn into_places(self) -> Vec<u32> {
        self.place
    }

    /// Whether an edge follows the order.
    pub fn follows(&self, from: u32, to: u32) -> bool {
        self.place[from as usize] < self.place[to as usize]
    }

    /// The sides to which the edges of the last cycle belong, but for given ones.
    pub fn cycle(&self) -> &[u32] {
        &self.cycle
    }

    /// Adds an edge of a side.
    pub fn insert(&mut self, from: u32, to: u32, side: u32, budget: &mut Budget) -> Insertion {
        if !self.follows(from, to) {
            match self.reach(from, to, side, budget) {
                Insertion::Done => {}
                other => return other,
            }
            if !self.retreat(from, to, budget) {
                return Insertion::Spent;
            }
            self.exchange();
        }
        let number = self.added.len() as u32;
        let out = std::mem::replace(&mut self.last[from as usize][0], number);
        let back = std::mem::replace(&mut self.last[to as usize][1], number);
        self.added.push(Added { from, to, side, before: [out, back] });
        Insertion::Done
    }

    /// Removes all but the first edges that were added.
    pub fn undo(&mut self, len: usize) {
        while self.added.len() > len {
            let added = self.added.pop().expect("there is one");
            self.last[added.from as usize][0] = added.before[0];
            self.last[added.to as usize][1] = added.before[1];
        }
    }

    /// Visits what is reached from `to` and is not behind `from`, by as few added edges as
    /// possible.
    fn reach(&mut self, from: u32, to: u32, side: u32, budget: &mut Budget) -> Insertion {
        let most = self.place[from as usize];
        self.stamp += 1;
        self.visits.clear();
        self.queue.clear();
        self.queue.push_back(Visit { node: to, side, from: NONE });
        while let Some(visit) = self.queue.pop_front() {
            if self.seen[visit.node as usize] == self.stamp {
                continue;
            }
            self.seen[visit.node as usize] = self.stamp;
            if !budget.step() {
                return Insertion::Spent;
            }
            let number = self.visits.len() as u32;
            self.visits.push(visit);
            if visit.node == from {
                self.keep_cycle();
                return Insertion::Cycle;
            }
            let mut arc = self.last[visit.node as usize][0];
            while arc != NONE {
                let added = &self.added[arc as usize];
                if self.place[added.to as usize] <= most {
                    let next = Visit { node: added.to, side: added.side, from: number };
                    self.queue.push_back(next);
                }
                arc = added.before[0];
            }
            for (to, edge) in self.out.of(visit.node) {
                let ahead = self.place[*to as usize] <= most;
                if ahead && self.seen[*to as usize] != self.stamp {
                    let side = self.certain.origin(*edge);
                    self.queue.push_front(Visit { node: *to, side, from: number });
                }
            }
        }
        Insertion::Done
    }

    fn keep_cycle(&mut self) {
        self.cycle.clear();
        let mut number = self.visits.len() as u32 - 1;
        while number != NONE {
            let visit = self.visits[number as usize];
            if visit.side != NONE {
                self.cycle.push(visit.side);
            }
            number = visit.from;
        }
        self.cycle.sort_unstable();
        self.cycle.dedup();
    }

    /// Collects what reaches `from` and is not before `to`; false if the budget ends.
    fn retreat(&mut self, from: u32, to: u32, budget: &mut Budget) -> bool {
        let least = self.place[to as usize];
        self.stamp += 1;
        self.behind.clear();
        self.behind.push(from);
        self.seen[from as usize] = self.stamp;
        let mut at = 0;
        while let Some(node) = self.behind.get(at).copied() {
            at += 1;
            if !budget.step() {
                return false;
            }
            let mut arc = self.last[node as usize][1];
            while arc != NONE {
                let added = &self.added[arc as usize];
                if self.place[added.from as usize] > least
                    && self.seen[added.from as usize] != self.stamp
                {
                    self.seen[added.from as usize] = self.stamp;
                    self.behind.push(added.from);
                }
                arc = added.before[1];
            }
            for (from, _) in self.back.of(node) {
                if self.place[*from as usize] > least && self.seen[*from as usize] != self.stamp {
                    self.seen[*from as usize] = self.stamp;
                    self.behind.push(*from);
                }
            }
        }
        true
    }

    /// Gives the places of all that were found first to those that reach `from`, then to
    /// those that `to` reaches, each in the order that they had.
    fn exchange(&mut self) {
        let Order { place, free, behind, visits, .. } = self;
        behind.sort_unstable_by_key(|node| place[*node as usize]);
        visits.sort_unstable_by_key(|visit| place[visit.node as usize]);
        free.clear();
        free.extend(behind.iter().map(|node| place[*node as usize]));
        free.extend(visits.iter().map(|visit| place[visit.node as usize]));
        free.sort_unstable();
        let nodes = behind.iter().copied().chain(visits.iter().map(|visit| visit.node));
        for (node, now) in nodes.zip(free.iter()) {
            place[node as usize] = *now;
        }
    }
}
