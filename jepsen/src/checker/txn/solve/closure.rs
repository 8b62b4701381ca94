//! Who reaches whom, as far as choices ask.
//!
//! An edge u ─▶ v closes a cycle if v reaches u. That is asked of each edge of an open
//! choice that goes against the order; one that follows it closes none. The questions are
//! answered for 512 goals at a time: which are next to each other in the order, and of
//! which each node has one bit.
//!
//! ```text
//!   order   0 · · · v · · · · │· u · · · · │· · · · n
//!                   │         └── goals ───┘
//!                   └──── rows ────────────┘   from the first node asked for, to the last goal
//! ```
//!
//! A row is the bits of all nodes to which its node leads, taken together; so rows are
//! made from the last to the first. Where choices are between neighbours few rows are
//! needed, and the memory is 64 bytes for each node, not a bit for each pair.

use super::certain::Certain;
use super::{NONE, literal};
use crate::budget::Budget;

const WORDS: usize = 8;
/// How many goals have bits at a time.
const GOALS: u32 = 64 * WORDS as u32;
/// How many edges are followed in all rounds together: some seconds. What is not seen then
/// is left to the search.
pub const MOST_WORK: u64 = 1 << 29;

/// A round is worth its time if it forces at least one of so many open choices.
const WORTH: usize = 256;

type Row = [u64; WORDS];

/// Rounds of forcing, and the work that is left for them.
pub struct Closure {
    work: u64,
    /// The last round forced so few that the next one is not worth its time.
    done: bool,
    rows: Vec<Row>,
}

pub enum Forced {
    /// These sides, as literals: the others close cycles.
    Sides(Vec<u32>),
    /// Both sides of this choice close one.
    Contradiction(u32),
    Spent,
}

/// Whether a node reaches another, both by their places; and the side that closes a cycle
/// if it does.
#[derive(Clone, Copy)]
struct Question {
    goal: u32,
    from: u32,
    side: u32,
}

impl Closure {
    /// Rounds that follow at most so many edges together.
    pub fn new(work: u64) -> Closure {
        Closure { work, done: false, rows: Vec::new() }
    }

    /// Looks once at all open choices.
    pub fn round(&mut self, certain: &Certain<'_>, budget: &mut Budget) -> Forced {
        if self.done {
            return Forced::Sides(Vec::new());
        }
        let (mut questions, mut closed) = questions(certain);
        questions.sort_unstable_by_key(|question| (question.goal / GOALS, question.side));
        let places = Places::new(certain);
        for group in questions.chunk_by(|a, b| a.goal / GOALS == b.goal / GOALS) {
            if !self.answer(&places, group, &mut closed, budget) {
                return Forced::Spent;
            }
        }
        closed.sort_unstable();
        closed.dedup();
        if let Some(pair) = closed.windows(2).find(|pair| pair[0] / 2 == pair[1] / 2) {
            return Forced::Contradiction(pair[0] / 2);
        }
        self.done = closed.len() * WORTH < certain.open();
        Forced::Sides(closed.into_iter().map(|side| side ^ 1).collect())
    }

    /// Answers questions whose goals are in one group; false if the budget ends.
    fn answer(
        &mut self,
        places: &Places,
        questions: &[Question],
        closed: &mut Vec<u32>,
        budget: &mut Budget,
    ) -> bool {
        let (mut first, mut last) = (u32::MAX, 0);
        for question in questions {
            first = first.min(question.from);
            last = last.max(question.goal);
        }
        let base = last / GOALS * GOALS;
        let work = u64::from(last - first) + places.between(first, last + 1);
        if work > self.work {
            return true;
        }
        self.work -= work;
        let size = (last - first + 1) as usize;
        self.rows.clear();
        self.rows.resize(size, [0; WORDS]);
        for place in (first..=last).rev() {
            if !budget.step() {
                return false;
            }
            let mut row = [0; WORDS];
            if place >= base {
                row[((place - base) / 64) as usize] |= 1 << (place % 64);
            }
            for to in places.of(place) {
                if let Some(reached) = self.rows.get((to - first) as usize) {
                    for (word, other) in row.iter_mut().zip(reached) {
                        *word |= other;
                    }
                }
            }
            self.rows[(place - first) as usize] = row;
        }
        for question in questions {
            let bit = question.goal - base;
            let word = self.rows[(question.from - first) as usize][(bit / 64) as usize];
            if word >> (bit % 64) & 1 == 1 {
                closed.push(question.side);
            }
        }
        true
    }
}

/// What is to be asked, and the sides that close a cycle by themselves.
fn questions(certain: &Certain<'_>) -> (Vec<Question>, Vec<u32>) {
    let (mut questions, mut closed) = (Vec::new(), Vec::new());
    let choices = &certain.polygraph.choices;
    for choice in (0..choices.len() as u32).filter(|choice| certain.side(*choice) == NONE) {
        for side in [literal(choice, false), literal(choice, true)] {
            for (from, to) in choices.edges_of(side) {
                let (goal, from) = (certain.place[*from as usize], certain.place[*to as usize]);
                if goal == from {
                    closed.push(side);
                } else if goal > from {
                    questions.push(Question { goal, from, side });
                }
            }
        }
    }
    (questions, closed)
}

/// Where edges lead, all by places.
struct Places {
    starts: Vec<u32>,
    targets: Vec<u32>,
}

impl Places {
    fn new(certain: &Certain<'_>) -> Places {
        let arcs = certain.arcs(certain.len());
        let mut nodes = vec![NONE; certain.place.len()];
        for (node, place) in certain.place.iter().enumerate() {
            nodes[*place as usize] = node as u32;
        }
        let mut places = Places { starts: vec![0], targets: Vec::new() };
        for node in nodes {
            let targets = arcs.of(node).iter().map(|(to, _)| certain.place[*to as usize]);
            places.targets.extend(targets);
            places.starts.push(places.targets.len() as u32);
        }
        places
    }

    fn of(&self, place: u32) -> &[u32] {
        let (from, to) = (self.starts[place as usize], self.starts[place as usize + 1]);
        &self.targets[from as usize..to as usize]
    }

    /// How many edges leave these places.
    fn between(&self, from: u32, to: u32) -> u64 {
        u64::from(self.starts[to as usize] - self.starts[from as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::super::Polygraph;
    use super::super::certain::Sorted;
    use super::*;

    /// Of several groups of goals; a walk from each node says whom it reaches.
    #[test]
    fn a_round_forces_what_a_walk_finds() {
        let nodes = 3 * GOALS + 100;
        let mut number = 1_u64;
        let mut below = |limit: u32| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (number >> 33) as u32 % limit
        };
        let mut polygraph = Polygraph { nodes, ..Polygraph::default() };
        for _ in 0..2 * nodes {
            let from = below(nodes - 1);
            polygraph.edges.push((from, from + 1 + below((nodes - from - 1).min(200))));
        }
        for _ in 0..4_000 {
            let (a, b) = (below(nodes), below(nodes));
            polygraph.choices.push([&[(a.max(b), a.min(b))], &[]]);
        }
        let mut budget = Budget::unlimited();
        let mut certain = Certain::new(&polygraph);
        assert!(matches!(certain.sort(&mut budget), Sorted::Order));
        let arcs = certain.arcs(certain.len());
        let reaches = |from: u32, to: u32| {
            let (mut seen, mut stack) = (vec![false; nodes as usize], vec![from]);
            while let Some(node) = stack.pop() {
                if !std::mem::replace(&mut seen[node as usize], true) {
                    stack.extend(arcs.of(node).iter().map(|(next, _)| *next));
                }
            }
            seen[to as usize]
        };
        let closed = |choice: &u32| {
            let [(from, to)] = polygraph.choices.side(*choice, false) else { unreachable!() };
            reaches(*to, *from)
        };
        let expected: Vec<u32> =
            (0..4_000).filter(closed).map(|choice| literal(choice, true)).collect();
        let Forced::Sides(sides) = Closure::new(MOST_WORK).round(&certain, &mut budget) else {
            panic!("no choice is a contradiction");
        };
        assert!(expected.len() > 200 && expected.len() < 3_800, "{}", expected.len());
        assert_eq!(sides, expected);
    }
}
