//! The search for an order.
//!
//! After Wing and Gong, "Testing and verifying concurrent objects" (1993), with the memory
//! of Lowe, "Testing for linearizability" (2017): operations are taken one by one, each
//! from those that began before the first end among those that are left; where no one can
//! be taken, the last one is given back. A configuration in which the search has been is
//! not searched again.
//!
//! ```text
//!   ──[ a ]────────           left: b c d        next: b or c; d begins after b ends
//!        ──[ b ]──────        c never ends: it may be taken now, later, or not at all
//!      ──[ c
//!              ──[ d ]──
//! ```
//!
//! What is not tried, and why nothing is missed:
//!
//! - *A read that agrees with the state* is taken at once, and no other way is tried. It
//!   changes nothing; so in any order that takes it later it can be moved to here.
//! - *Twins*: of open operations that are the same (`write 1` and `write 1`) only the one
//!   that ends first is tried, those that never end being last. In an order that takes
//!   the other one now the two can change places.
//! - *An unknown one without effect*: what never ends is not taken if the state remains,
//!   nor if the next one leads to the same state without it. Whatever comes then can come
//!   without it, and it may still come later.
//! - *Fewer unknown ones used*: of configurations that differ only in these, one that has
//!   used a part of what another has can do all that the other can ([`Seen`]).
//! - *Too late*: an open read that the model will never agree with again, as a set that
//!   only grows does not with a smaller one, is never taken; no end behind its own is
//!   reached. So nothing is lost if the search has been as far as that before.
//! - *Unwanted and stranded*: see [`super::flow`].
//!
//! The configuration has one bit for each operation that is open: those that ended before
//! the first one that is left are all done. So it is short however long the history is,
//! and a history is searched without recursion.

use super::Model;
use super::flow::Flow;
use super::seen::Seen;
use super::space::Space;
use super::timeline::{Timeline, is_begin};
use crate::budget::Budget;

/// What the search says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is this order.
    Order(Vec<u32>),
    /// There is none.
    Nothing(Stuck),
    /// The budget is spent.
    Spent,
}

/// How far the search came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stuck {
    /// What cannot be taken in time, though all that ended before it can.
    pub at: u32,
    /// An order of those that ended before, and of others.
    pub order: Vec<u32>,
    /// States that are possible after such orders, some of them.
    pub states: Vec<u32>,
}

/// So many states are remembered for the report.
const STATES: usize = 8;

/// What led to a configuration.
#[derive(Clone, Copy)]
struct Move {
    /// The state before.
    from: u32,
    /// Whether it never ends.
    unknown: bool,
}

/// A configuration on the way.
struct Frame {
    state: u32,
    /// What is to be given back with it, and which moves from it are left.
    trail: usize,
    moves: usize,
    marks: usize,
    frontier: u32,
    /// Whether the unknown ones are still to be tried: last, as most are not needed.
    unknown_left: bool,
    /// The state before, if what led here never ends and no read was taken since.
    needless_from: Option<u32>,
}

pub(super) struct Search<'a, 'm, M: Model> {
    space: &'a mut Space<'m, M>,
    line: &'a Timeline,
    /// Of each operation whether it only reads.
    reads: &'a [bool],
    /// The events that are left, as a list in a ring; the last one is its head.
    after: Vec<u32>,
    before: Vec<u32>,
    done: Vec<bool>,
    /// The last round of finding moves in which an operation like this was open.
    open_in: Vec<u64>,
    rounds: u64,
    /// Which of the open ones are done, by slot; and which of the unknown ones.
    marks: Vec<u64>,
    slot_words: usize,
    frontier: u32,
    trail: Vec<u32>,
    moves: Vec<u32>,
    frames: Vec<Frame>,
    /// The marks of the frames.
    saved: Vec<u64>,
    seen: Seen,
    key: Vec<u64>,
    flow: Flow,
    best: Best,
}

/// The farthest configuration.
#[derive(Default)]
struct Best {
    stuck: Stuck,
    /// How many of its order are still those of the trail.
    shared: usize,
    /// How long the order is that is not written down yet.
    unsaved: Option<usize>,
}

impl<'a, 'm, M: Model> Search<'a, 'm, M> {
    pub(super) fn new(
        model: &M,
        space: &'a mut Space<'m, M>,
        line: &'a Timeline,
        reads: &'a [bool],
    ) -> Search<'a, 'm, M> {
        let head = line.events.len() as u32;
        let (mut after, mut before) =
            (vec![head; head as usize + 1], vec![head; head as usize + 1]);
        let mut last = head;
        for event in &line.events {
            after[last as usize] = *event;
            before[*event as usize] = last;
            last = *event;
        }
        before[head as usize] = last;
        let slot_words = line.slot_count.div_ceil(64);
        let unknown_words = (line.calls.len() - line.ended).div_ceil(64);
        let flow = Flow::new(model, space, line, reads);
        Search {
            space,
            line,
            reads,
            after,
            before,
            done: vec![false; line.calls.len()],
            open_in: vec![0; reads.len()],
            rounds: 0,
            marks: vec![0; slot_words + unknown_words],
            slot_words,
            frontier: 0,
            trail: Vec::new(),
            moves: Vec::new(),
            frames: Vec::new(),
            saved: Vec::new(),
            seen: Seen::new(1 + slot_words, unknown_words),
            key: Vec::new(),
            flow,
            best: Best::default(),
        }
    }

    pub(super) fn run(mut self, budget: &mut Budget) -> Found {
        let mut done = self.enter(0, 0, None);
        // What needs a state that is never there is not passed by any order.
        while !done && self.best.stuck.at < self.flow.never {
            if !budget.step() {
                return Found::Spent;
            }
            let Some(frame) = self.frames.last() else { break };
            if self.moves.len() == frame.moves {
                if !self.find_unknown() {
                    self.leave();
                }
                continue;
            }
            let taken = self.moves.pop().expect("one is left");
            let (from, trail) = (frame.state, self.trail.len());
            if let Some(state) = self.step(taken) {
                self.take_unwanted(taken, state);
                self.take(taken);
                let unknown = taken as usize >= self.line.ended;
                done = self.enter(state, trail, Some(Move { from, unknown }));
            }
        }
        if done {
            return Found::Order(self.trail);
        }
        self.best.save(&self.trail);
        Found::Nothing(self.best.stuck)
    }

    /// The state after that move, if it is worth it.
    fn step(&mut self, taken: u32) -> Option<u32> {
        let frame = self.frames.last().expect("a move is from somewhere");
        let (from, op) = (frame.state, self.line.op(taken));
        let state = self.space.step(from, op)?;
        let needless = taken as usize >= self.line.ended && state == from
            || frame
                .needless_from
                .is_some_and(|earlier| self.space.step(earlier, op) == Some(state));
        (!needless).then_some(state)
    }

    /// Makes a frame of the configuration; true if nothing is left to do.
    fn enter(&mut self, state: u32, trail: usize, led: Option<Move>) -> bool {
        let frame = Frame {
            state,
            trail,
            moves: self.moves.len(),
            marks: self.saved.len(),
            frontier: 0,
            unknown_left: false,
            needless_from: None,
        };
        self.frames.push(frame);
        let taken = self.trail.len();
        self.take_reads(state);
        if self.trail.len() == taken {
            let unknown_from = led.filter(|led| led.unknown).map(|led| led.from);
            self.frames.last_mut().expect("it was pushed").needless_from = unknown_from;
        }
        let frontier = self.frontier;
        if frontier as usize == self.line.ended {
            return true;
        }
        self.saved.extend_from_slice(&self.marks);
        self.best.at(frontier, state, self.trail.len());
        self.key.clear();
        self.key.push((u64::from(frontier) << 32) | u64::from(state));
        self.key.extend_from_slice(&self.marks[..self.slot_words]);
        let new = !led.is_some_and(|led| self.strands(led.from, state))
            && !self.is_late(state)
            && self.seen.insert(&self.key, &self.marks[self.slot_words..]);
        let frame = self.frames.last_mut().expect("it was pushed");
        (frame.frontier, frame.unknown_left) = (frontier, new);
        if new {
            self.find_moves(frontier);
        }
        false
    }

    /// Whether one that the best order has not passed has to happen in a state that was left,
    /// and does not come back. A later one does not count: the best order is to be the best.
    fn strands(&self, left: u32, state: u32) -> bool {
        let stranded = self.flow.stranded(left, self.frontier, &self.done);
        left != state && stranded.is_some_and(|call| call <= self.best.stuck.at)
    }

    /// Whether an open one that the best order has not passed cannot happen any more.
    fn is_late(&self, state: u32) -> bool {
        let mut at = self.first();
        while is_begin(at) {
            let (call, op) = (at / 2, self.line.op(at / 2));
            if call <= self.best.stuck.at && self.reads[op as usize] && self.space.late(state, op) {
                return true;
            }
            at = self.after[at as usize];
        }
        false
    }

    /// Those that leave what nobody wants, when `taken` replaces it.
    fn take_unwanted(&mut self, taken: u32, state: u32) {
        let head = self.line.events.len() as u32;
        let mut at = self.first();
        while at != head && is_begin(at) {
            let (call, next) = (at / 2, self.after[at as usize]);
            at = next;
            if call != taken
                && let Some(left) = self.flow.unwanted(self.line.op(call))
                && self.space.step(left, self.line.op(taken)) == Some(state)
            {
                self.take(call);
                at = if next == 2 * call + 1 { self.after[next as usize] } else { next };
            }
        }
    }

    /// Those that only read what the state is.
    fn take_reads(&mut self, state: u32) {
        let head = self.line.events.len() as u32;
        let mut at = self.first();
        while at != head && is_begin(at) {
            let (call, next) = (at / 2, self.after[at as usize]);
            let op = self.line.op(call);
            if self.reads[op as usize] && self.space.step(state, op) == Some(state) {
                self.take(call);
                // Its end may have been the next one.
                at = if next == at + 1 { self.after[next as usize] } else { next };
            } else {
                at = next;
            }
        }
    }

    /// What may be taken next of those that end, the best behind: what ends first.
    fn find_moves(&mut self, frontier: u32) {
        let mut at = self.first();
        while is_begin(at) {
            let call = at / 2;
            let reads = self.reads[self.line.op(call) as usize];
            if call != frontier && !reads && !self.twin_ends_first(call, frontier) {
                self.moves.push(call);
            }
            at = self.after[at as usize];
        }
        if !self.reads[self.line.op(frontier) as usize] {
            self.moves.push(frontier);
        }
    }

    /// What may be taken of the others, when no more of those that end is left.
    fn find_unknown(&mut self) -> bool {
        let frame = self.frames.last_mut().expect("moves are from somewhere");
        if !std::mem::take(&mut frame.unknown_left) {
            return false;
        }
        let first = self.line.ended as u32;
        let behind = first + self.line.unknown_before[frame.frontier as usize];
        if first == behind {
            return false;
        }
        self.rounds += 1;
        let mut at = self.first();
        while is_begin(at) {
            self.open_in[self.line.op(at / 2) as usize] = self.rounds;
            at = self.after[at as usize];
        }
        for call in first..behind {
            let twin = self.line.twins[call as usize];
            let twin_began_before = twin.is_some_and(|twin| !self.done[twin as usize]);
            let twin_ends = self.open_in[self.line.op(call) as usize] == self.rounds;
            if !self.done[call as usize] && !twin_began_before && !twin_ends {
                self.moves.push(call);
            }
        }
        true
    }

    /// The first event that is left.
    fn first(&self) -> u32 {
        self.after[self.line.events.len()]
    }

    fn twin_ends_first(&self, call: u32, frontier: u32) -> bool {
        let until = self.line.calls[frontier as usize].ended;
        let mut twin = self.line.twins[call as usize];
        while let Some(other) = twin.filter(|other| *other >= frontier) {
            if !self.done[other as usize] && self.line.calls[other as usize].began < until {
                return true;
            }
            twin = self.line.twins[other as usize];
        }
        false
    }

    fn take(&mut self, call: u32) {
        self.done[call as usize] = true;
        self.trail.push(call);
        self.flow.take(self.line.op(call), self.reads);
        if call as usize >= self.line.ended {
            let bit = call as usize - self.line.ended;
            self.marks[self.slot_words + bit / 64] |= 1 << (bit % 64);
            return;
        }
        self.mark(self.line.slots[call as usize], true);
        while self.done.get(self.frontier as usize) == Some(&true)
            && (self.frontier as usize) < self.line.ended
        {
            // Its slot is that of another one from now on.
            self.mark(self.line.slots[self.frontier as usize], false);
            self.frontier += 1;
        }
        for event in [2 * call, 2 * call + 1] {
            let (before, after) = (self.before[event as usize], self.after[event as usize]);
            self.after[before as usize] = after;
            self.before[after as usize] = before;
        }
    }

    fn mark(&mut self, slot: u32, done: bool) {
        let bit = 1 << (slot % 64);
        let word = &mut self.marks[slot as usize / 64];
        *word = if done { *word | bit } else { *word & !bit };
    }

    /// Gives back what the last configuration was made of.
    fn leave(&mut self) {
        self.best.save(&self.trail);
        let frame = self.frames.pop().expect("there is one");
        for call in self.trail.drain(frame.trail..).rev() {
            self.done[call as usize] = false;
            self.flow.give_back(self.line.op(call), self.reads);
            if call as usize >= self.line.ended {
                continue;
            }
            for event in [2 * call + 1, 2 * call] {
                let (before, after) = (self.before[event as usize], self.after[event as usize]);
                self.after[before as usize] = event;
                self.before[after as usize] = event;
            }
        }
        self.best.shared = self.best.shared.min(frame.trail);
        self.frontier = self.frames.last().map_or(0, |frame| frame.frontier);
        self.saved.truncate(frame.marks);
        let words = self.marks.len();
        match self.saved.len().checked_sub(words) {
            Some(from) => self.marks.copy_from_slice(&self.saved[from..]),
            None => self.marks.fill(0),
        }
    }
}

impl Best {
    fn at(&mut self, frontier: u32, state: u32, trail: usize) {
        if frontier > self.stuck.at || self.stuck.states.is_empty() {
            self.stuck.at = frontier;
            self.stuck.states.clear();
            self.unsaved = Some(trail);
        }
        let states = &mut self.stuck.states;
        if frontier == self.stuck.at && states.len() < STATES && !states.contains(&state) {
            states.push(state);
        }
    }

    /// Writes the order down before it is given back.
    fn save(&mut self, trail: &[u32]) {
        if let Some(length) = self.unsaved.take() {
            self.stuck.order.truncate(self.shared);
            self.stuck.order.extend_from_slice(&trail[self.shared..length]);
            self.shared = length;
        }
    }
}
