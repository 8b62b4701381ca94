//! Is each object linearizable: did each operation happen at one moment between its
//! invocation and its completion?
//!
//! ```text
//!   events ──▶ Linear: operations of a Model ──▶ one Timeline for each object
//!                                                        │
//!              words, picture ◀── how far it came ◀── search for an order
//! ```
//!
//! Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects"
//! (1990): a history is linearizable if and only if that of each object is. So what a
//! model says is of different parts is searched one part after the other.
//!
//! An order that was found is verified: each operation in its time, each allowed by the
//! model. Where there is none, the report names the first end, in the order of the
//! history, up to which no order exists.
//!
//! What failed did not happen. What nobody knows of may happen at any moment after it
//! began, or never; if it reads, what it saw is not known, and it is left out. An end
//! without a begin is of an operation that may have been open since before the history.

mod flow;
mod models;
mod picture;
mod report;
mod search;
mod seen;
mod space;
mod timeline;

use std::collections::HashMap;
use std::hash::Hash;

use self::search::{Found, Search};
use self::space::Space;
use self::timeline::{Call, NEVER, Timeline};
use super::values::Values;
use super::{Checker, Finding, Options};
use crate::budget::Budget;
use crate::history::{Event, Form, Kind, Malformed, Sink};
use crate::level::Level;

pub use self::models::{
    cas_register, counter, fifo_queue, kv, multi_register, mutex, queue, register, set,
};

/// What operations on an object mean. With one of your own, [`Linear`] is a checker.
///
/// ```
/// use synod_jepsen::checker::linear::{Linear, Model};
/// use synod_jepsen::checker::{Checker, Verdict};
/// use synod_jepsen::history::{Event, Form, Kind, read_text};
/// use synod_jepsen::Budget;
///
/// /// A lamp that starts dark: `toggle` says whether it shines now.
/// struct Lamp;
///
/// impl Model for Lamp {
///     type Op = Option<bool>;
///     type State = bool;
///
///     fn begin(&mut self, event: &Event<'_>) -> Result<Option<bool>, String> {
///         if event.f == "toggle" { Ok(None) } else { Err(format!("a lamp cannot {}", event.f)) }
///     }
///     fn end(&mut self, _: Option<bool>, kind: Kind, value: Form<'_>)
///         -> Result<Option<Option<bool>>, String> {
///         Ok((kind != Kind::Fail).then(|| value.as_bool()))
///     }
///     fn initial(&self) -> bool {
///         false
///     }
///     fn step(&self, shines: &bool, saw: &Option<bool>) -> Option<bool> {
///         (*saw != Some(*shines)).then_some(!*shines)
///     }
///     fn only_reads(&self, _: &Option<bool>) -> bool {
///         false
///     }
///     fn show(&self, op: &Option<bool>) -> String {
///         format!("toggle {op:?}")
///     }
///     fn show_state(&self, shines: &bool) -> String {
///         shines.to_string()
///     }
/// }
///
/// let mut checker = Box::new(Linear::new(Lamp));
/// let history = "{:type :invoke :process 0 :f :toggle} {:type :ok :process 0 :f :toggle :value true}
///                {:type :invoke :process 1 :f :toggle} {:type :ok :process 1 :f :toggle :value true}";
/// read_text(history, &mut *checker).unwrap();
/// assert_eq!(checker.finish(&mut Budget::unlimited()).verdict, Verdict::Invalid);
/// ```
pub trait Model {
    /// An operation with its result. Equal ones are interchangeable.
    type Op: Clone + Eq + Hash;
    /// What the object is in.
    type State: Eq + Hash;

    /// What is begun.
    ///
    /// # Errors
    ///
    /// What the object cannot do.
    fn begin(&mut self, event: &Event<'_>) -> Result<Self::Op, String>;

    /// What it was, now that it ended; none if that says nothing of the object. If nobody
    /// knows how it ended, `kind` is [`Kind::Info`] and the value nothing.
    ///
    /// # Errors
    ///
    /// A result that it cannot have.
    fn end(
        &mut self,
        op: Self::Op,
        kind: Kind,
        value: Form<'_>,
    ) -> Result<Option<Self::Op>, String>;

    /// Of which part of the object it is: different parts know nothing of each other, and
    /// each begins in the initial state. So do objects that the history tells apart by key.
    fn part(&self, _: &Self::Op) -> u32 {
        0
    }

    /// The state of each part before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after the operation; none if it cannot happen in this one with that
    /// result.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;

    /// Whether it leaves every state as it is.
    fn only_reads(&self, op: &Self::Op) -> bool;

    /// The state that it needs, if that is one. One that needs none and leaves one state
    /// can happen in all.
    fn needs(&self, _: &Self::Op) -> Option<Self::State> {
        None
    }

    /// The state that it leaves, if that is one wherever it happens, and it does not only
    /// read.
    fn leaves(&self, _: &Self::Op) -> Option<Self::State> {
        None
    }

    /// Whether what only reads cannot happen in this state, nor in any that comes after it.
    fn too_late(&self, _: &Self::State, _: &Self::Op) -> bool {
        false
    }

    /// For people.
    fn show(&self, op: &Self::Op) -> String;

    /// For people.
    fn show_state(&self, state: &Self::State) -> String;
}

/// Where an operation stands in the history.
#[derive(Clone, Copy, Debug)]
struct Place {
    process: i64,
    /// Which object it says, by number.
    key: u32,
    began: Option<u64>,
    ended: Option<u64>,
}

/// An operation of which not all is known yet.
struct Open<O> {
    op: O,
    key: u32,
    /// The event, from 1; 0 if there is none.
    event: u32,
    line: Option<u64>,
}

/// Checks that objects are linearizable.
pub struct Linear<M: Model> {
    model: M,
    keys: Values,
    open: HashMap<i64, Open<M::Op>>,
    numbers: HashMap<M::Op, u32>,
    ops: Vec<M::Op>,
    calls: Vec<Call>,
    places: Vec<Place>,
    events: u32,
    begun: u64,
}

impl<M: Model> Linear<M> {
    /// Checks objects of that model.
    pub fn new(model: M) -> Linear<M> {
        Linear {
            model,
            keys: Values::default(),
            open: HashMap::new(),
            numbers: HashMap::new(),
            ops: Vec::new(),
            calls: Vec::new(),
            places: Vec::new(),
            events: 0,
            begun: 0,
        }
    }

    fn end(
        &mut self,
        process: i64,
        open: Open<M::Op>,
        kind: Kind,
        value: Form<'_>,
        line: Option<u64>,
    ) -> Result<(), String> {
        let Some(op) = self.model.end(open.op, kind, value)? else { return Ok(()) };
        let op = *self.numbers.entry(op).or_insert_with_key(|op| {
            self.ops.push(op.clone());
            (self.ops.len() - 1) as u32
        });
        let ended = if kind == Kind::Info { NEVER } else { self.events };
        self.calls.push(Call { op, began: open.event, ended });
        self.places.push(Place { process, key: open.key, began: open.line, ended: line });
        Ok(())
    }

    fn lose(&mut self, process: i64, open: Open<M::Op>) -> Result<(), String> {
        self.end(process, open, Kind::Info, Form::nil(), None)
    }
}

impl<M: Model> Sink for Linear<M> {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        let refuse = |reason: String| Malformed::new(event.line, reason);
        if self.events >= u32::MAX / 4 {
            return Err(refuse("more than a billion events".to_owned()));
        }
        self.events += 1;
        let key = event.key.map_or(Values::NIL, |key| self.keys.number(key));
        let open = self.open.remove(&event.process);
        if event.kind == Kind::Invoke {
            if let Some(open) = open {
                self.lose(event.process, open).map_err(refuse)?;
            }
            self.begun += 1;
            let op = self.model.begin(event).map_err(refuse)?;
            let open = Open { op, key, event: self.events, line: Some(event.line) };
            self.open.insert(event.process, open);
            return Ok(());
        }
        let open = match open {
            Some(open) => open,
            None => {
                self.begun += 1;
                let op = self.model.begin(event).map_err(refuse)?;
                Open { op, key, event: 0, line: None }
            }
        };
        if event.kind == Kind::Info {
            return self.lose(event.process, open).map_err(refuse);
        }
        self.end(event.process, open, event.kind, event.value, Some(event.line)).map_err(refuse)
    }
}

impl<M: Model> Checker for Linear<M> {
    fn finish(mut self: Box<Self>, budget: &mut Budget) -> Finding {
        let mut left: Vec<(i64, Open<M::Op>)> = self.open.drain().collect();
        left.sort_unstable_by_key(|(_, open)| open.event);
        for (process, open) in left {
            self.lose(process, open).expect("what was begun may remain unknown");
        }
        let reads: Vec<bool> = self.ops.iter().map(|op| self.model.only_reads(op)).collect();
        let (mut anomalies, mut unknown) = (Vec::new(), None);
        for part in self.parts() {
            let history: Vec<Call> = part.iter().map(|place| self.calls[*place]).collect();
            let line = Timeline::new(&history);
            let mut space = Space::new(&self.model, &self.ops);
            match Search::new(&self.model, &mut space, &line, &reads).run(budget) {
                Found::Order(order) => {
                    assert!(line.in_time(&order), "an order is one in time");
                    assert!(space.allows(line.ops(&order)), "an order is what the model allows");
                }
                Found::Nothing(stuck) => {
                    let places: Vec<Place> =
                        line.places.iter().map(|place| self.places[part[*place]]).collect();
                    let case = report::Case {
                        model: &self.model,
                        space: &space,
                        line: &line,
                        key: self.keys.name(places[0].key),
                        places: &places,
                        stuck,
                    };
                    anomalies.push(case.anomaly());
                }
                Found::Spent => {
                    unknown = budget.spent().map(str::to_owned);
                    break;
                }
            }
        }
        Finding::new(Level::Linearizable, anomalies, self.begun, unknown)
    }
}

impl<M: Model> Linear<M> {
    /// The operations of each object, short ones first: they say soon that it is not.
    fn parts(&self) -> Vec<Vec<usize>> {
        let mut parts: HashMap<(u32, u32), Vec<usize>> = HashMap::new();
        for (place, call) in self.calls.iter().enumerate() {
            let part = self.model.part(&self.ops[call.op as usize]);
            parts.entry((self.places[place].key, part)).or_default().push(place);
        }
        let mut parts: Vec<Vec<usize>> = parts.into_values().collect();
        parts.sort_unstable_by_key(|part| (part.len(), part[0]));
        parts
    }
}

/// A checker of that model, at the only level that it has.
fn only_linearizable<M: Model + 'static>(
    options: &Options,
    model: M,
) -> Result<Box<dyn Checker>, String> {
    match options.level {
        None | Some(Level::Linearizable) => Ok(Box::new(Linear::new(model))),
        Some(level) => Err(format!("{} is linearizable or not, never {level}", options.model)),
    }
}
