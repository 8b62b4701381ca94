//! States and what leads from one to the next, by number.
//!
//! The search compares states all the time, and goes the same steps again and again. Each
//! state gets a number when it is first reached, and each step is asked of the model once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Model;

/// A step that the model does not allow.
const ILLEGAL: u32 = u32::MAX;

pub(super) struct Space<'a, M: Model> {
    model: &'a M,
    ops: &'a [M::Op],
    states: Vec<Rc<M::State>>,
    numbers: HashMap<Rc<M::State>, u32, BuildHasherDefault<Mixed>>,
    steps: HashMap<u64, u32, BuildHasherDefault<Mixed>>,
}

impl<'a, M: Model> Space<'a, M> {
    /// The initial state has the number 0.
    pub(super) fn new(model: &'a M, ops: &'a [M::Op]) -> Space<'a, M> {
        let mut space = Space {
            model,
            ops,
            states: Vec::new(),
            numbers: HashMap::default(),
            steps: HashMap::default(),
        };
        space.number(model.initial());
        space
    }

    pub(super) fn op(&self, op: u32) -> &'a M::Op {
        &self.ops[op as usize]
    }

    pub(super) fn state(&self, state: u32) -> &M::State {
        &self.states[state as usize]
    }

    /// The state after that operation, if it can happen.
    pub(super) fn step(&mut self, state: u32, op: u32) -> Option<u32> {
        let key = (u64::from(state) << 32) | u64::from(op);
        let next = match self.steps.get(&key) {
            Some(next) => *next,
            None => {
                let next = self.model.step(self.state(state), self.op(op));
                let next = next.map_or(ILLEGAL, |next| self.number(next));
                self.steps.insert(key, next);
                next
            }
        };
        (next != ILLEGAL).then_some(next)
    }

    pub(super) fn late(&self, state: u32, op: u32) -> bool {
        self.model.too_late(self.state(state), self.op(op))
    }

    /// Whether the model allows these one after the other.
    pub(super) fn allows(&mut self, mut ops: impl Iterator<Item = u32>) -> bool {
        ops.try_fold(0, |state, op| self.step(state, op)).is_some()
    }

    /// How many states are known.
    pub(super) fn count(&self) -> usize {
        self.states.len()
    }

    pub(super) fn number(&mut self, state: M::State) -> u32 {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let number = self.states.len() as u32;
        assert!(number < ILLEGAL, "there is no memory for so many");
        let state = Rc::new(state);
        self.states.push(state.clone());
        self.numbers.insert(state, number);
        number
    }
}

/// Hashes fast: nobody chooses what a history holds so that it collides.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
