//! Whether a graph can be without a cycle of which some edges are a choice.
//!
//! Of a key's two writers one was before the other; who read the first of them was before
//! the second, too. If the history does not tell which it was, that is a *choice* between
//! two *sides*, each a few edges, and all of one of them are in the graph. Together with
//! the edges that are known this is a *polygraph* (Papadimitriou 1979): it is *acyclic* if
//! sides can be taken so that no cycle is left. That is NP-complete, and yet decided at
//! once for what databases do: their histories have an order, and most of it shows.
//!
//! ```text
//!     W1 ═wr═▶ R ═▶ W2          ═▶  certain: R read from W1, and was before W2
//!      ▲            ╎
//!      ╎╌╌╌╌╌╌╌╌╌╌╌╌╯           ╌▶  one side: W2 before W1
//!                               other side: W1 before W2, and R before W2
//!
//!     W2 ─▶ W1 closes a cycle, so that the other side is certain as well.
//! ```
//!
//! It goes from what is cheap to what is complete:
//!
//! ```text
//!   polygraph ─▶ certain ─▶ closure ⟲ ─────▶ search ─▶ order and sides
//!                   │ what is known    │ of a side that │ guesses by the order, learns
//!                   │ has a cycle      │ closes a cycle │ from each cycle
//!                   ▼                  ▼ the other is   ▼ nothing is left to guess
//!                 cyclic ◀── cause ── certain ───────── cyclic
//! ```
//!
//! 1. `certain`: the known edges are put into an order. Where it is free, nodes come by
//!    their numbers: let these follow what is likely, as the time at which they began.
//! 2. `closure`: who reaches whom, for 512 nodes at a time; it forces sides, and goes on
//!    until few more are forced. Tan et al., "Cobra: making transactional key-value stores
//!    verifiably serializable" (OSDI 2020), §4.2, show that this leaves little.
//! 3. `search`: conflict-driven clause learning over the choices that are left
//!    (Marques-Silva and Sakallah 1999; Eén and Sörensson 2003), with graphs without cycles
//!    as its theory (Bayless et al., "SAT modulo monotonic theories", AAAI 2015; Huang et
//!    al., "Efficient black-box checking of snapshot isolation in databases", VLDB 2023).
//!    `order` keeps a topological order while edges come and go (Pearce and Kelly 2006).
//!    A side whose edges all follow that order cannot close a cycle: that is what is
//!    guessed, so that of a valid history nearly no guess is wrong. `heap` says what is
//!    guessed next.
//! 4. `cause`: if there must be a cycle, the choices that are enough to show it.
//!
//! *Example.* Certain are 0 ─▶ 1 ─▶ 2. A choice between 2 ─▶ 0 and 0 ─▶ 2 is forced: 0
//! reaches 2. A choice between 2 ─▶ 0 and 2 ─▶ 1 makes it cyclic, and is the cause.
//!
//! *Absent:* propagation of what the graph implies while it searches (a wrong guess is
//! seen when it is made, and undone as the last one), and symmetries. A polygraph made to
//! be hard takes exponential time; then the budget ends it.

mod cause;
mod certain;
mod clauses;
mod closure;
mod heap;
mod order;
mod search;
mod trail;

#[cfg(test)]
mod tests;

use crate::budget::Budget;
use certain::{Certain, Sorted};
use closure::{Closure, Forced, MOST_WORK};
use search::{Ended, Search};

/// From one node to another.
pub type Edge = (u32, u32);

/// No node, edge, choice or clause.
const NONE: u32 = u32::MAX;

/// A graph of which some edges are certain and others are a choice between two sides.
#[derive(Clone, Debug, Default)]
pub struct Polygraph {
    /// How many nodes there are. Best numbered in the order that is likely.
    pub nodes: u32,
    /// The edges that are certain.
    pub edges: Vec<Edge>,
    /// The choices.
    pub choices: Choices,
}

/// Choices: either all edges of one side are in the graph or all of the other.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Where the edges of each side end, two for each choice.
    ends: Vec<u32>,
    edges: Vec<Edge>,
}

impl Choices {
    /// Adds one: all edges of the first side, or all of the second.
    pub fn push(&mut self, sides: [&[Edge]; 2]) {
        for side in sides {
            self.edges.extend_from_slice(side);
            self.ends.push(u32::try_from(self.edges.len()).expect("edges have numbers of 32 bits"));
        }
        assert!(self.ends.len() < NONE as usize, "sides have numbers of 32 bits");
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The edges of a choice's first side, or of its second.
    pub fn side(&self, choice: u32, second: bool) -> &[Edge] {
        self.edges_of(literal(choice, second))
    }

    fn edges_of(&self, literal: u32) -> &[Edge] {
        let place = literal as usize;
        let from = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.edges[from as usize..self.ends[place] as usize]
    }
}

/// The number of a side among all sides: it says that this one was taken, and the number
/// with the last bit turned that the other one was.
fn literal(choice: u32, second: bool) -> u32 {
    2 * choice + u32::from(second)
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It can be without a cycle.
    Acyclic {
        /// The place of each node in an order that all edges follow.
        order: Vec<u32>,
        /// Of each choice whether its second side was taken.
        sides: Vec<bool>,
    },
    /// It cannot.
    Cyclic {
        /// Choices that are enough: however these are taken, they close a cycle with the
        /// edges that are certain. Not always the fewest; none if those have one already.
        because: Vec<u32>,
    },
    /// The budget ended before.
    Spent,
}

/// Looks for sides with which there is no cycle.
pub fn solve(polygraph: &Polygraph, budget: &mut Budget) -> Answer {
    solve_with(polygraph, Closure::new(MOST_WORK), budget)
}

fn solve_with(polygraph: &Polygraph, mut closure: Closure, budget: &mut Budget) -> Answer {
    let mut certain = Certain::new(polygraph);
    match certain.sort(budget) {
        Sorted::Order => {}
        Sorted::Cycle => return Answer::Cyclic { because: Vec::new() },
        Sorted::Spent => return Answer::Spent,
    }
    loop {
        match closure.round(&certain, budget) {
            Forced::Spent => return Answer::Spent,
            Forced::Contradiction(choice) => {
                return cyclic(cause::of_choice(&certain, choice, budget));
            }
            Forced::Sides(sides) if sides.is_empty() => break,
            Forced::Sides(sides) => certain.force(&sides),
        }
        match certain.sort(budget) {
            Sorted::Order => {}
            Sorted::Cycle => return cyclic(cause::of_cycle(&certain, budget)),
            Sorted::Spent => return Answer::Spent,
        }
    }
    let mut search = Search::new(&certain);
    match search.run(budget) {
        Ended::Cyclic => cyclic(cause::of_choices(&certain, search.involved(), budget)),
        Ended::Spent => Answer::Spent,
        Ended::Acyclic => {
            let (order, sides) = search.found();
            check(polygraph, &order, &sides);
            Answer::Acyclic { order, sides }
        }
    }
}

fn cyclic(because: Vec<u32>) -> Answer {
    Answer::Cyclic { because }
}

/// An answer that says it is acyclic shows it.
fn check(polygraph: &Polygraph, order: &[u32], sides: &[bool]) {
    let follows = |edge: &Edge| order[edge.0 as usize] < order[edge.1 as usize];
    assert!(polygraph.edges.iter().all(follows), "all certain edges follow the order");
    for (choice, second) in sides.iter().enumerate() {
        let edges = polygraph.choices.side(choice as u32, *second);
        assert!(edges.iter().all(follows), "the edges of sides that were taken follow it, too");
    }
}
