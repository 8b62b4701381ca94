//! Keys that come and go.

use fastrand::Rng;

use super::{Op, mop, vector};
use crate::history::Value;

/// So many parts has a transaction at most.
const LONGEST: usize = 4;

/// A few keys are in use at a time, each for so many operations; then a new one takes its
/// place. So the history of each stays short, which bounds what its checker has to try,
/// and there is always one that nobody has written.
pub(super) struct Keys {
    active: Vec<Key>,
    next: i64,
    uses: u32,
}

struct Key {
    number: i64,
    /// The last value that was given out for it.
    value: i64,
    left: u32,
}

impl Keys {
    /// So many at a time, each for so many uses.
    pub(super) fn new(active: usize, uses: u32) -> Keys {
        let mut keys = Keys { active: Vec::new(), next: 0, uses };
        keys.active = (0..active).map(|_| keys.fresh()).collect();
        keys
    }

    fn fresh(&mut self) -> Key {
        self.next += 1;
        Key { number: self.next - 1, value: 0, left: self.uses }
    }

    /// One of them.
    pub(super) fn any(&self, dice: &mut Rng) -> i64 {
        self.active[dice.usize(..self.active.len())].number
    }

    /// Some reads and some writes, of which each gives a key a value that it never had.
    pub(super) fn transaction(&mut self, write: &'static str, dice: &mut Rng) -> Op {
        let length = dice.usize(1..=LONGEST);
        let parts: Vec<Value> = (0..length)
            .map(|_| match dice.bool() {
                true => mop("r", self.any(dice), Value::Nil),
                false => {
                    let (key, value) = self.use_one(dice);
                    mop(write, key, value)
                }
            })
            .collect();
        Op::new("txn", vector(parts), dice)
    }

    /// One of them, used once more, and a value for it that it never had.
    pub(super) fn use_one(&mut self, dice: &mut Rng) -> (i64, i64) {
        let place = dice.usize(..self.active.len());
        let key = &mut self.active[place];
        key.value += 1;
        key.left -= 1;
        let used = (key.number, key.value);
        if key.left == 0 {
            self.active[place] = self.fresh();
        }
        used
    }
}
