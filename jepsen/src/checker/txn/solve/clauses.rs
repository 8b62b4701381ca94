//! What was learned: of each clause at least one literal holds.
//!
//! Two literals of each are *watched* (Moskewicz et al. 2001): only when one of these
//! becomes false is the clause looked at. Watches are lists through all clauses, as
//! choices are many and clauses few.

use super::NONE;
use super::trail::Trail;

/// How many literals all clauses have at first, and how many more each time some are
/// dropped: so that in the end all is kept that is needed to come to an end.
const LITERALS: usize = 1 << 20;
const MORE_LITERALS: usize = 1 << 16;
const CLAUSES: usize = 4_000;
const MORE_CLAUSES: usize = 500;

#[derive(Clone, Copy)]
struct Clause {
    start: u32,
    len: u32,
    /// On how many levels its literals were when it was learned: the fewer the better
    /// (Audemard and Simon 2009).
    levels: u32,
}

pub struct Clauses {
    literals: Vec<u32>,
    clauses: Vec<Clause>,
    /// Of each literal the first who watches it: twice the clause, and which of the two.
    watched: Vec<u32>,
    /// The next who watches the same.
    next: Vec<u32>,
    drops: usize,
}

impl Clauses {
    pub fn new(choices: usize) -> Clauses {
        Clauses {
            literals: Vec::new(),
            clauses: Vec::new(),
            watched: vec![NONE; 2 * choices],
            next: Vec::new(),
            drops: 0,
        }
    }

    /// The literals of a clause.
    pub fn of(&self, clause: u32) -> &[u32] {
        let Clause { start, len, .. } = self.clauses[clause as usize];
        &self.literals[start as usize..(start + len) as usize]
    }

    /// Adds a clause of at least two literals; the first two are watched.
    pub fn add(&mut self, literals: &[u32], levels: u32) -> u32 {
        let number = self.clauses.len() as u32;
        let start = self.literals.len() as u32;
        self.literals.extend_from_slice(literals);
        self.clauses.push(Clause { start, len: literals.len() as u32, levels });
        for (slot, literal) in literals[..2].iter().enumerate() {
            let watch = 2 * number + slot as u32;
            self.next.push(std::mem::replace(&mut self.watched[*literal as usize], watch));
        }
        number
    }

    /// A literal became false: takes what follows, or returns a clause that is false.
    pub fn falsified(&mut self, literal: u32, trail: &mut Trail) -> Option<u32> {
        let mut conflict = None;
        let mut watch = std::mem::replace(&mut self.watched[literal as usize], NONE);
        while watch != NONE {
            let (clause, slot) = (watch / 2, (watch % 2) as usize);
            let moved = if conflict.is_none() { self.unwatch(clause, slot, trail) } else { None };
            let next = self.next[watch as usize];
            let now = &mut self.watched[moved.unwrap_or(literal) as usize];
            self.next[watch as usize] = std::mem::replace(now, watch);
            if moved.is_none() && conflict.is_none() && self.follow(clause, slot, trail) {
                conflict = Some(clause);
            }
            watch = next;
        }
        conflict
    }

    /// The literal that this clause can watch in place of a false one.
    fn unwatch(&mut self, clause: u32, slot: usize, trail: &Trail) -> Option<u32> {
        let Clause { start, len, .. } = self.clauses[clause as usize];
        let literals = &mut self.literals[start as usize..(start + len) as usize];
        if trail.value(literals[1 - slot]) == Some(true) {
            return None;
        }
        let other = (2..literals.len()).find(|at| trail.value(literals[*at]) != Some(false))?;
        literals.swap(slot, other);
        Some(literals[slot])
    }

    /// All but one literal are false: the other holds, unless it is false as well, or true
    /// already.
    fn follow(&self, clause: u32, slot: usize, trail: &mut Trail) -> bool {
        let literals = self.of(clause);
        let other = literals[1 - slot];
        match trail.value(other) {
            Some(taken) => !taken,
            None => {
                let rest = literals.iter().filter(|literal| **literal != other);
                let level = rest.map(|literal| trail.level(*literal)).max().unwrap_or(0);
                trail.take(other, level, clause);
                false
            }
        }
    }

    /// Whether there are too many.
    pub fn too_many(&self) -> bool {
        self.clauses.len() > CLAUSES + self.drops * MORE_CLAUSES
            || self.literals.len() > LITERALS + self.drops * MORE_LITERALS
    }

    /// Drops the half that says least. Only what has level 0 may have a reason: nobody asks
    /// for it.
    pub fn drop_half(&mut self) {
        let mut best: Vec<u32> = (0..self.clauses.len() as u32).collect();
        best.sort_unstable_by_key(|number| {
            let clause = self.clauses[*number as usize];
            (clause.levels, clause.len, u32::MAX - number)
        });
        best.truncate(best.len() / 2);
        best.sort_unstable();
        let mut kept = Clauses::new(self.watched.len() / 2);
        for number in best {
            kept.add(self.of(number), self.clauses[number as usize].levels);
        }
        kept.drops = self.drops + 1;
        *self = kept;
    }
}
