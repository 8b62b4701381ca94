//! Every schedule of something very small: a search through all states that there are.
//!
//! ```text
//!   start ──▶ its events ──▶ states one event away ──▶ … two away ──▶ … until none is new
//!                             each is checked, and kept as a hash of 128 bits
//! ```
//!
//! Random schedules ([`explore`](crate::explore)) go far and see little of what is near.
//! This goes nowhere far, and leaves nothing out: within its bounds there is no schedule
//! that it has not seen. The states are searched by their distance, so the first
//! violation has a shortest schedule.
//!
//! A machine takes part as a [`State`]. It must be *canonical*: what makes no difference
//! to what may happen, such as the order of messages on their way, must make none to its
//! hash. And there must be finitely many, so it has bounds, which it states.
//!
//! *Worked example.* `exhaust(&core::State::new(bounds, None))` counts the states of a small
//! transaction; if one violates something, [`Exhausted::violation`] says what, and which
//! events lead there.
//!
//! *Why hashes.* A state is a kilobyte, its hash 16 bytes. That any two of a hundred million
//! have the same one, so that one of them is not followed, has a chance of 1 in 10²².
//!
//! *Deliberately absent*: a reduction of orders that come to the same. What makes no
//! difference is for the state to leave out, which knows why.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// All there is at one moment.
pub trait State: Clone + Hash {
    /// What may happen.
    type Event: Clone + Debug;

    /// What may happen now.
    fn events(&self) -> Vec<Self::Event>;

    /// Lets it happen. `false`: it does not within the bounds.
    ///
    /// # Errors
    /// What is violated.
    fn happen(&mut self, event: Self::Event) -> Result<bool, String>;

    /// The same when the faults are over, before anything else happens; many states have
    /// it in common.
    fn calm(&self) -> Self;

    /// Whether all ends well from a calm state.
    ///
    /// # Errors
    /// What is violated.
    fn ends(&self) -> Result<(), String>;
}

/// What a search has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exhausted {
    /// States, no two of them the same.
    pub states: u64,
    /// Events, in all of these states, that lead from one of them to another.
    pub transitions: u64,
    /// So many events lead to the state that is furthest away.
    pub depth: u64,
    /// Calm states, no two of them the same.
    pub calm: u64,
    /// The first violation: the events in words, and what it is.
    pub violation: Option<(Vec<String>, String)>,
}

type Digest = u128;

/// What comes before the start.
const NOTHING: Digest = 0;

fn digest(state: &impl Hash) -> Digest {
    let mut bytes = Bytes(Vec::with_capacity(2_048));
    state.hash(&mut bytes);
    xxh3_128(&bytes.0)
}

/// What is hashed, in one piece.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        xxh3_64(&self.0)
    }
}

/// Searches all that can be reached from here, up to the first violation.
pub fn exhaust<S: State>(start: &S) -> Exhausted {
    Search { before: HashMap::new(), calm: HashSet::new(), found: Exhausted::default() }.run(start)
}

struct Search {
    /// Every state, and one from which it was reached.
    before: HashMap<Digest, Digest>,
    calm: HashSet<Digest>,
    found: Exhausted,
}

impl Search {
    fn run<S: State>(mut self, start: &S) -> Exhausted {
        self.before.insert(digest(start), NOTHING);
        let mut level = vec![start.clone()];
        while !level.is_empty() {
            let mut next = Vec::new();
            for state in level {
                if let Err((event, violation)) = self.visit(&state, &mut next) {
                    let mut lines = self.path(start, digest(&state));
                    lines.extend(event.map(|event| format!("{event:?}")));
                    self.found.violation = Some((lines, violation));
                    return self.counted();
                }
            }
            self.found.depth += u64::from(!next.is_empty());
            level = next;
        }
        self.counted()
    }

    /// Goes from a state to all that are one event away; those that are new are next.
    fn visit<S: State>(
        &mut self,
        state: &S,
        next: &mut Vec<S>,
    ) -> Result<(), (Option<S::Event>, String)> {
        let from = digest(state);
        for event in state.events() {
            let mut after = state.clone();
            let happened = after.happen(event.clone());
            let happened = happened.map_err(|violation| (Some(event), violation))?;
            let to = digest(&after);
            if !happened || to == from {
                continue;
            }
            self.found.transitions += 1;
            if let Entry::Vacant(new) = self.before.entry(to) {
                new.insert(from);
                next.push(after);
            }
        }
        let calm = state.calm();
        if self.calm.insert(digest(&calm)) {
            calm.ends().map_err(|violation| (None, violation))?;
        }
        Ok(())
    }

    fn counted(mut self) -> Exhausted {
        self.found.states = self.before.len() as u64;
        self.found.calm = self.calm.len() as u64;
        self.found
    }

    /// The events that lead to a state, in words: they are found again on the way there.
    fn path<S: State>(&self, start: &S, to: Digest) -> Vec<String> {
        let before = |digest: &Digest| self.before.get(digest).copied();
        let way: Vec<Digest> = std::iter::successors(Some(to), before).collect();
        let (mut state, mut lines) = (start.clone(), Vec::new());
        // The last two are the start, and what stands for nothing before it.
        for aim in way.into_iter().rev().skip(2) {
            let leads = |event: S::Event| {
                let mut after = state.clone();
                let there = after.happen(event.clone()) == Ok(true) && digest(&after) == aim;
                there.then_some((event, after))
            };
            let step = state.events().into_iter().find_map(leads);
            let (event, after) = step.expect("it was reached");
            lines.push(format!("{event:?}"));
            state = after;
        }
        lines
    }
}
