//! Which sides were taken, in which order, and why.
//!
//! A guess opens a *level*; what follows from guesses belongs to the highest level among
//! them, and stays when only higher ones are taken back, also if it was seen behind them
//! (Nadel and Ryvchin, "Chronological backtracking", SAT 2018). What has level 0 is
//! certain.

use super::NONE;
use super::heap::Heap;

const OPEN: u8 = 2;

pub struct Trail {
    /// Of each choice the side that was taken, or `OPEN`.
    side: Vec<u8>,
    level: Vec<u32>,
    /// The clause from which it follows; `NONE` for guesses and for what is certain.
    reason: Vec<u32>,
    literals: Vec<u32>,
    /// Where levels begin.
    starts: Vec<u32>,
}

impl Trail {
    pub fn new(choices: usize) -> Trail {
        Trail {
            side: vec![OPEN; choices],
            level: vec![0; choices],
            reason: vec![NONE; choices],
            literals: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// Whether a literal's side was taken; none if its choice is open.
    pub fn value(&self, literal: u32) -> Option<bool> {
        let side = self.side[(literal / 2) as usize];
        (side != OPEN).then(|| u32::from(side) == literal & 1)
    }

    /// The level of a choice that is not open.
    pub fn level(&self, literal: u32) -> u32 {
        self.level[(literal / 2) as usize]
    }

    pub fn reason(&self, literal: u32) -> u32 {
        self.reason[(literal / 2) as usize]
    }

    /// What was taken, in that order.
    pub fn literals(&self) -> &[u32] {
        &self.literals
    }

    /// Takes a side that was certain from the beginning: nothing follows from it here.
    pub fn given(&mut self, literal: u32) {
        self.side[(literal / 2) as usize] = (literal & 1) as u8;
    }

    /// Takes a side.
    pub fn take(&mut self, literal: u32, level: u32, reason: u32) {
        let choice = (literal / 2) as usize;
        self.side[choice] = (literal & 1) as u8;
        self.level[choice] = level;
        self.reason[choice] = reason;
        self.literals.push(literal);
    }

    /// Guesses a side, on a new level.
    pub fn guess(&mut self, literal: u32) {
        self.starts.push(self.literals.len() as u32);
        self.take(literal, self.starts.len() as u32, NONE);
    }

    /// Takes back all higher levels. From the place that is returned, what has stayed is
    /// to be looked at again.
    pub fn back(&mut self, level: u32, heap: &mut Heap) -> usize {
        let Some(from) = self.starts.get(level as usize).copied() else {
            return self.literals.len();
        };
        let from = from as usize;
        let mut kept = from;
        for place in from..self.literals.len() {
            let literal = self.literals[place];
            if self.level(literal) <= level {
                self.literals[kept] = literal;
                kept += 1;
            } else {
                self.side[(literal / 2) as usize] = OPEN;
                heap.add(literal / 2);
            }
        }
        self.literals.truncate(kept);
        self.starts.truncate(level as usize);
        from
    }
}
