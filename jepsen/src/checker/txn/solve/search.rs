//! Guesses sides, and learns from cycles which must not be taken together.
//!
//! ```text
//!        ┌─ guess ─▶ what follows from clauses ─▶ its edges, into the order ─┐
//!        │                │ a clause is false          │ a cycle   no cycle │
//!        │                ▼                            ▼                    │
//!        │             learn a clause, go back, take what follows           │
//!        │                │ nothing to go back to                           ▼
//!        │                ▼                               nothing is left to guess:
//!        │             cyclic                             acyclic ◀─────────┤
//!        └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! *Example.* Sides A, B and C were guessed one after the other, on levels 1, 2 and 3, and
//! an edge of C closes a cycle with edges of A and of what is certain. The clause says: not
//! A or not C. Only C is taken back, as it is the last one; the other side of C belongs to
//! level 1 and stays when B is taken back later.

use super::certain::Certain;
use super::clauses::Clauses;
use super::heap::Heap;
use super::order::{Insertion, Order};
use super::trail::Trail;
use super::{NONE, literal};
use crate::budget::Budget;

/// If what was learned lies further back than so many levels, only the last is taken back:
/// to guess all between again would take longer than what is won.
const FAR: u32 = 100;
/// After how many cycles it begins anew, times the numbers of Luby et al. (1993).
const RESTART: u64 = 100;
/// After how many cycles it goes on in the other way, the first time; then twice as many.
const TURN: u64 = 2_000;

pub struct Search<'a> {
    certain: &'a Certain<'a>,
    order: Order<'a>,
    trail: Trail,
    clauses: Clauses,
    heap: Heap,
    /// How far the trail was looked at for what follows from clauses.
    head: usize,
    /// Of each literal of the trail whose edges were added, how many there were before.
    marks: Vec<u32>,
    /// Literals that are all false and must not be.
    conflict: Vec<u32>,
    seen: Vec<bool>,
    /// Which choices were ever met in a conflict.
    involved: Vec<bool>,
    pace: Pace,
}

/// When it begins anew, and when it goes on in the other way, by how many conflicts there
/// were.
struct Pace {
    since_restart: u64,
    restarts: u64,
    since_turn: u64,
    turn: u64,
}

pub enum Ended {
    Acyclic,
    Cyclic,
    Spent,
}

impl Pace {
    fn restarts(&self) -> bool {
        self.since_restart >= RESTART * luby(self.restarts)
    }
}

enum Step {
    /// Nothing more follows.
    Quiet,
    Conflict,
    Spent,
}

impl<'a> Search<'a> {
    /// Of what is certain, and sorted.
    pub fn new(certain: &'a Certain<'a>) -> Search<'a> {
        let choices = certain.polygraph.choices.len();
        let mut trail = Trail::new(choices);
        let mut heap = Heap::new(ranks(certain));
        for choice in 0..choices as u32 {
            match certain.side(choice) {
                NONE => heap.add(choice),
                side => trail.given(side),
            }
        }
        Search {
            certain,
            order: Order::new(certain),
            trail,
            clauses: Clauses::new(choices),
            heap,
            head: 0,
            marks: Vec::new(),
            conflict: Vec::new(),
            seen: vec![false; choices],
            involved: vec![false; choices],
            pace: Pace { since_restart: 0, restarts: 0, since_turn: 0, turn: TURN },
        }
    }

    /// The order that was found, and the sides.
    pub fn found(self) -> (Vec<u32>, Vec<bool>) {
        let choices = 0..self.certain.polygraph.choices.len() as u32;
        let second = |choice| self.trail.value(literal(choice, true));
        let sides = choices.map(|choice| second(choice).expect("all sides were taken")).collect();
        (self.order.into_places(), sides)
    }

    /// The choices that are enough for a contradiction, with those by which they were forced.
    pub fn involved(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.involved).filter(|(_, involved)| **involved).map(|(choice, _)| choice)
    }

    pub fn run(&mut self, budget: &mut Budget) -> Ended {
        loop {
            match self.propagate(budget) {
                Step::Spent => return Ended::Spent,
                Step::Conflict => {
                    if !self.learn() {
                        return Ended::Cyclic;
                    }
                    self.pace.since_restart += 1;
                    self.pace.since_turn += 1;
                }
                Step::Quiet if self.pace.restarts() || self.clauses.too_many() => self.restart(),
                Step::Quiet => {
                    if !self.guess() {
                        return Ended::Acyclic;
                    }
                }
            }
        }
    }

    /// Guesses the side that goes least against the order; false if no choice is open.
    fn guess(&mut self) -> bool {
        while let Some(choice) = self.heap.pop() {
            let sides = [literal(choice, false), literal(choice, true)];
            if self.trail.value(sides[0]).is_some() {
                continue;
            }
            let against = sides.map(|side| {
                let edges = self.certain.polygraph.choices.edges_of(side);
                edges.iter().filter(|(from, to)| !self.order.follows(*from, *to)).count()
            });
            self.trail.guess(sides[usize::from(against[1] < against[0])]);
            return true;
        }
        false
    }

    /// Takes what follows, and adds the edges of what was taken.
    fn propagate(&mut self, budget: &mut Budget) -> Step {
        loop {
            if !budget.step() {
                return Step::Spent;
            }
            if let Some(literal) = self.trail.literals().get(self.head).copied() {
                self.head += 1;
                if let Some(clause) = self.clauses.falsified(literal ^ 1, &mut self.trail) {
                    self.conflict.clear();
                    self.conflict.extend_from_slice(self.clauses.of(clause));
                    return Step::Conflict;
                }
                continue;
            }
            let Some(side) = self.trail.literals().get(self.marks.len()).copied() else {
                return Step::Quiet;
            };
            self.marks.push(self.order.len() as u32);
            for (from, to) in self.certain.polygraph.choices.edges_of(side) {
                match self.order.insert(*from, *to, side, budget) {
                    Insertion::Done => {}
                    Insertion::Spent => return Step::Spent,
                    Insertion::Cycle => {
                        self.conflict.clear();
                        self.conflict.extend(self.order.cycle().iter().map(|side| side ^ 1));
                        return Step::Conflict;
                    }
                }
            }
        }
    }

    /// Takes back all levels above this one.
    fn back(&mut self, level: u32) {
        let from = self.trail.back(level, &mut self.heap);
        self.head = self.head.min(from);
        if let Some(mark) = self.marks.get(from) {
            self.order.undo(*mark as usize);
            self.marks.truncate(from);
        }
    }

    fn restart(&mut self) {
        self.back(0);
        self.pace.since_restart = 0;
        self.pace.restarts += 1;
        if self.pace.since_turn >= self.pace.turn {
            self.pace.since_turn = 0;
            self.pace.turn *= 2;
            self.heap.turn();
        }
        if self.clauses.too_many() {
            self.clauses.drop_half();
        }
    }

    /// Learns a clause from the conflict, goes back, and takes what follows from it; false
    /// if there is nothing to go back to.
    fn learn(&mut self) -> bool {
        let level = self.conflict.iter().map(|literal| self.trail.level(*literal)).max();
        let level = level.unwrap_or(0);
        if level == 0 {
            for literal in &self.conflict {
                self.involved[(literal / 2) as usize] = true;
            }
            return false;
        }
        self.back(level);
        let mut clause = self.resolve(level);
        self.shorten(&mut clause);
        for literal in &clause {
            self.seen[(literal / 2) as usize] = false;
        }
        clause[1..].sort_unstable_by_key(|literal| u32::MAX - self.trail.level(*literal));
        let below = clause.get(1).map_or(0, |literal| self.trail.level(*literal));
        let mut levels: Vec<u32> =
            clause.iter().map(|literal| self.trail.level(*literal)).collect();
        levels.dedup();
        self.back(if level - below > FAR { level - 1 } else { below });
        let reason =
            if clause.len() > 1 { self.clauses.add(&clause, levels.len() as u32) } else { NONE };
        self.trail.take(clause[0], below, reason);
        self.heap.decay();
        true
    }

    /// The clause that follows from the conflict and has one literal on its level, the first:
    /// each literal of that level is replaced by its reason, the last taken first, until
    /// only one is left.
    fn resolve(&mut self, level: u32) -> Vec<u32> {
        let mut learned = vec![NONE];
        let mut wave = std::mem::take(&mut self.conflict);
        let mut open = 0;
        let mut place = self.trail.literals().len();
        loop {
            for literal in &wave {
                let choice = (literal / 2) as usize;
                self.involved[choice] = true;
                if self.seen[choice] || self.trail.level(*literal) == 0 {
                    continue;
                }
                self.seen[choice] = true;
                self.heap.bump(literal / 2);
                if self.trail.level(*literal) == level {
                    open += 1;
                } else {
                    learned.push(*literal);
                }
            }
            let last = loop {
                place -= 1;
                let literal = self.trail.literals()[place];
                if self.seen[(literal / 2) as usize] && self.trail.level(literal) == level {
                    break literal;
                }
            };
            open -= 1;
            if open == 0 {
                learned[0] = last ^ 1;
                self.conflict = wave;
                return learned;
            }
            self.seen[(last / 2) as usize] = false;
            let reason = self.clauses.of(self.trail.reason(last));
            wave.clear();
            wave.extend(reason.iter().filter(|literal| **literal != last));
        }
    }

    /// Leaves out what follows from the rest of the clause.
    fn shorten(&mut self, clause: &mut Vec<u32>) {
        let redundant = |literal: u32| {
            let reason = self.trail.reason(literal);
            let holds = |other: &u32| {
                *other == literal ^ 1
                    || self.seen[(other / 2) as usize]
                    || self.trail.level(*other) == 0
            };
            reason != NONE && self.clauses.of(reason).iter().all(holds)
        };
        let (short, left): (Vec<u32>, Vec<u32>) =
            clause[1..].iter().partition(|literal| !redundant(**literal));
        clause.truncate(1);
        clause.extend(short);
        for literal in left {
            self.seen[(literal / 2) as usize] = false;
        }
    }
}

/// Choices by the first of their nodes in the order.
fn ranks(certain: &Certain<'_>) -> Vec<u32> {
    let choices = &certain.polygraph.choices;
    let first = |choice: u32| {
        let sides = [literal(choice, false), literal(choice, true)];
        let edges = sides.into_iter().flat_map(|side| choices.edges_of(side));
        edges.map(|(from, to)| certain.place[*from as usize].min(certain.place[*to as usize])).min()
    };
    let mut order: Vec<(Option<u32>, u32)> =
        (0..choices.len() as u32).map(|choice| (first(choice), choice)).collect();
    order.sort_unstable();
    let mut ranks = vec![0; order.len()];
    for (rank, (_, choice)) in order.into_iter().enumerate() {
        ranks[choice as usize] = rank as u32;
    }
    ranks
}

/// The numbers of Luby et al.: 1 1 2 1 1 2 4 1 1 2 …
fn luby(mut place: u64) -> u64 {
    let mut size = 1;
    while size < place + 1 {
        size = 2 * size + 1;
    }
    while size - 1 != place {
        size /= 2;
        place %= size;
    }
    size.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luby_grows_slowly() {
        let found: Vec<u64> = (0..15).map(luby).collect();
        assert_eq!(found, [1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8]);
    }
}
