//! Which states are still wanted, and which can still be had.
//!
//! Of many operations a model can say that they need one state, or leave one: `read 3`
//! needs 3, `write 3` leaves 3 and needs nothing. Then the search can see ahead:
//!
//! - *Nobody wants it.* If nothing that is left needs what a write leaves, it can be taken
//!   right before another one that replaces it, and no other moment is better: nothing is
//!   changed by it but that it is done.
//! - *Nobody brings it back.* If something has still to happen in a state that was left,
//!   and nothing is left that leads there, it never will.
//!
//! The first holds unless something is left that may need any state, the second unless
//! something is left that may leave any.

use super::Model;
use super::space::Space;
use super::timeline::Timeline;

const NONE: u32 = u32::MAX;

/// What is left to be taken, by the states that it needs and leaves.
pub(super) struct Flow {
    /// Of each operation.
    needs: Vec<u32>,
    leaves: Vec<u32>,
    /// Of each state: how many that are left need it, and how many leave it.
    wanted: Vec<u32>,
    sources: Vec<u32>,
    /// Those that ended and need it, ascending.
    waiting: Vec<Vec<u32>>,
    /// How many are left that may need, or leave, any state.
    need_any: u32,
    leave_any: u32,
    /// The first that needs what is never there.
    pub never: u32,
}

impl Flow {
    pub(super) fn new<M: Model>(
        model: &M,
        space: &mut Space<'_, M>,
        line: &Timeline,
        reads: &[bool],
    ) -> Flow {
        let mut flow = Flow {
            needs: vec![NONE; reads.len()],
            leaves: vec![NONE; reads.len()],
            wanted: Vec::new(),
            sources: Vec::new(),
            waiting: Vec::new(),
            need_any: 0,
            leave_any: 0,
            never: NONE,
        };
        let mut known = vec![false; reads.len()];
        for op in line.calls.iter().map(|call| call.op) {
            if !std::mem::replace(&mut known[op as usize], true) {
                let (needs, leaves) = (model.needs(space.op(op)), model.leaves(space.op(op)));
                flow.needs[op as usize] = needs.map_or(NONE, |state| space.number(state));
                flow.leaves[op as usize] = leaves.map_or(NONE, |state| space.number(state));
            }
        }
        let states = space.count();
        flow.wanted.resize(states, 0);
        flow.sources.resize(states, 0);
        flow.waiting.resize(states, Vec::new());
        for (place, call) in line.calls.iter().enumerate() {
            flow.give_back(call.op, reads);
            let needs = flow.needs[call.op as usize];
            if place < line.ended && needs != NONE {
                flow.waiting[needs as usize].push(place as u32);
            }
        }
        if flow.leave_any == 0 {
            let unfounded = (1..states).filter(|state| flow.sources[*state] == 0);
            let first = unfounded.filter_map(|state| flow.waiting[state].first().copied()).min();
            flow.never = first.unwrap_or(NONE);
        }
        flow
    }

    pub(super) fn take(&mut self, op: u32, reads: &[bool]) {
        self.count(op, reads, |count| *count -= 1);
    }

    pub(super) fn give_back(&mut self, op: u32, reads: &[bool]) {
        self.count(op, reads, |count| *count += 1);
    }

    fn count(&mut self, op: u32, reads: &[bool], change: impl Fn(&mut u32)) {
        let (needs, leaves) = (self.needs[op as usize], self.leaves[op as usize]);
        if needs == NONE && leaves == NONE {
            change(&mut self.need_any);
        }
        if leaves == NONE && !reads[op as usize] {
            change(&mut self.leave_any);
        }
        if let Some(wanted) = self.wanted.get_mut(needs as usize) {
            change(wanted);
        }
        if let Some(sources) = self.sources.get_mut(leaves as usize) {
            change(sources);
        }
    }

    /// The state that it leaves, if nothing that is left needs that, nor it anything.
    pub(super) fn unwanted(&self, op: u32) -> Option<u32> {
        let (needs, leaves) = (self.needs[op as usize], self.leaves[op as usize]);
        let unwanted = self.need_any == 0 && needs == NONE && leaves != NONE;
        (unwanted && self.wanted[leaves as usize] == 0).then_some(leaves)
    }

    /// The first that waits for a state that does not come back, now that it was left.
    /// All before `frontier` are done.
    pub(super) fn stranded(&self, left: u32, frontier: u32, done: &[bool]) -> Option<u32> {
        let sources = *self.sources.get(left as usize)?;
        if self.leave_any > 0 || sources > 0 || self.wanted[left as usize] == 0 {
            return None;
        }
        let waiting = &self.waiting[left as usize];
        let from = waiting.partition_point(|call| *call < frontier);
        waiting[from..].iter().copied().find(|call| !done[*call as usize])
    }
}
