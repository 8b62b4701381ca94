//! Which choice is to be guessed next. There are two ways, and the search turns from one to
//! the other:
//!
//! - By *rank*: that which comes first in the order. It is as if what happened was played
//!   again, and what was guessed wrong is near. So is found how it can be without a cycle.
//! - By *activity*: that which was met most in recent cycles, and where none was, by rank.
//!   So is found that it cannot be, where few choices are enough to show it.
//!
//! Activity that decays: Moskewicz et al., "Chaff: engineering an efficient SAT solver"
//! (DAC 2001), as in MiniSat: what is added grows in place of all else becoming less.

use super::NONE;

const DECAY: f64 = 0.95;
const MOST: f64 = 1e100;

pub struct Heap {
    choices: Vec<u32>,
    /// Of each choice its place in the heap.
    place: Vec<u32>,
    activity: Vec<f64>,
    rank: Vec<u32>,
    growth: f64,
    by_activity: bool,
}

impl Heap {
    /// Choices by rank, the lowest first, until it turns.
    pub fn new(rank: Vec<u32>) -> Heap {
        Heap {
            choices: Vec::new(),
            place: vec![NONE; rank.len()],
            activity: vec![0.0; rank.len()],
            rank,
            growth: 1.0,
            by_activity: false,
        }
    }

    /// Adds a choice, if it is not there.
    pub fn add(&mut self, choice: u32) {
        if self.place[choice as usize] == NONE {
            self.place[choice as usize] = self.choices.len() as u32;
            self.choices.push(choice);
            self.rise(self.choices.len() - 1);
        }
    }

    /// Takes the first one.
    pub fn pop(&mut self) -> Option<u32> {
        let last = self.choices.pop()?;
        self.place[last as usize] = NONE;
        let Some(first) = self.choices.first().copied() else { return Some(last) };
        self.place[first as usize] = NONE;
        self.set(0, last);
        self.sink(0);
        Some(first)
    }

    /// A choice was met in a cycle.
    pub fn bump(&mut self, choice: u32) {
        self.activity[choice as usize] += self.growth;
        if self.activity[choice as usize] > MOST {
            self.growth /= MOST;
            for activity in &mut self.activity {
                *activity /= MOST;
            }
        }
        if self.place[choice as usize] != NONE {
            self.rise(self.place[choice as usize] as usize);
        }
    }

    /// What is met from now on counts more.
    pub fn decay(&mut self) {
        self.growth /= DECAY;
    }

    /// Goes by activity from now on, or by rank again.
    pub fn turn(&mut self) {
        self.by_activity = !self.by_activity;
        for place in (0..self.choices.len() / 2).rev() {
            self.sink(place);
        }
    }

    fn before(&self, one: u32, other: u32) -> bool {
        let (one, other) = (one as usize, other as usize);
        let (a, b) = (self.activity[one], self.activity[other]);
        let by_rank = self.rank[one] < self.rank[other];
        if self.by_activity { a > b || (a == b && by_rank) } else { by_rank }
    }

    fn set(&mut self, place: usize, choice: u32) {
        self.choices[place] = choice;
        self.place[choice as usize] = place as u32;
    }

    fn rise(&mut self, mut place: usize) {
        let choice = self.choices[place];
        while place > 0 {
            let parent = self.choices[(place - 1) / 2];
            if !self.before(choice, parent) {
                break;
            }
            self.set(place, parent);
            place = (place - 1) / 2;
        }
        self.set(place, choice);
    }

    fn sink(&mut self, mut place: usize) {
        let choice = self.choices[place];
        loop {
            let mut child = 2 * place + 1;
            let Some(mut first) = self.choices.get(child).copied() else { break };
            if let Some(second) = self.choices.get(child + 1).copied()
                && self.before(second, first)
            {
                (child, first) = (child + 1, second);
            }
            if !self.before(first, choice) {
                break;
            }
            self.set(place, first);
            place = child;
        }
        self.set(place, choice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_rank_and_then_by_activity() {
        let mut heap = Heap::new(vec![3, 2, 1, 0, 4]);
        let all = |heap: &mut Heap, turns: u32| -> Vec<u32> {
            (0..5).for_each(|choice| heap.add(choice));
            (0..turns).for_each(|_| heap.turn());
            std::iter::from_fn(|| heap.pop()).collect()
        };
        heap.bump(1);
        heap.decay();
        heap.bump(4);
        assert_eq!(all(&mut heap, 0), [3, 2, 1, 0, 4]);
        assert_eq!(all(&mut heap, 1), [4, 1, 3, 2, 0]);
        heap.add(3);
        heap.add(1);
        heap.bump(3);
        assert_eq!((heap.pop(), heap.pop(), heap.pop()), (Some(3), Some(1), None));
        assert_eq!(all(&mut heap, 1), [3, 2, 1, 0, 4]);
    }

    #[test]
    fn activities_stay_finite() {
        let mut heap = Heap::new(vec![0, 1]);
        for _ in 0..100_000 {
            heap.bump(1);
            heap.decay();
        }
        heap.add(0);
        heap.add(1);
        heap.turn();
        assert!(heap.activity[1].is_finite());
        assert_eq!(heap.pop(), Some(1));
    }
}
