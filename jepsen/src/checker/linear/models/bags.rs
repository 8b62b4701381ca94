//! What holds elements: a set, that is read as a whole, and queues, from which one is
//! taken at a time.

use super::super::{Linear, Model, only_linearizable};
use crate::checker::values::Values;
use crate::checker::{Checker, Options};
use crate::history::{Event, Form, Kind};

/// A set, as an object that is linearizable.
///
/// # Errors
///
/// An initial state that holds no elements.
pub fn set(options: &Options) -> Result<Box<dyn Checker>, String> {
    let mut values = Values::default();
    let mut initial = elements(options, &mut values)?;
    initial.sort_unstable();
    initial.dedup();
    Ok(Box::new(Linear::new(Set { values, initial })))
}

/// A queue, as an object that is linearizable: any element may be taken.
///
/// # Errors
///
/// An initial state: it is empty.
pub fn queue(options: &Options) -> Result<Box<dyn Checker>, String> {
    let mut values = Values::default();
    if !elements(options, &mut values)?.is_empty() {
        return Err("a queue is empty at first".to_owned());
    }
    Ok(Box::new(Linear::new(Queue { values })))
}

/// A queue from which the oldest element is taken. In which order elements came is seen
/// only when they go: with many between, the search may find neither an order nor none.
///
/// # Errors
///
/// A level that it does not know, or an initial state that holds no elements.
pub fn fifo_queue(options: &Options) -> Result<Box<dyn Checker>, String> {
    let mut values = Values::default();
    let initial = elements(options, &mut values)?;
    only_linearizable(options, Fifo { values, initial })
}

fn elements(options: &Options, values: &mut Values) -> Result<Vec<u32>, String> {
    options.initial(|form| match form {
        None => Ok(Vec::new()),
        Some(form) if form.is_nil() || form.as_text() == Some("empty") => Ok(Vec::new()),
        Some(form) => numbers(form, values),
    })
}

fn numbers(form: Form<'_>, values: &mut Values) -> Result<Vec<u32>, String> {
    match form.items() {
        Some(items) => Ok(items.map(|item| values.number(item)).collect()),
        None if form.is_nil() => Ok(Vec::new()),
        None => Err(format!("{form}: elements are expected")),
    }
}

fn names(values: &Values, numbers: &[u32]) -> String {
    numbers.iter().map(|number| values.name(*number)).collect::<Vec<_>>().join(" ")
}

struct Set {
    values: Values,
    initial: Vec<u32>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum SetOp {
    Add(u32),
    Read(Vec<u32>),
}

impl Model for Set {
    type Op = SetOp;
    /// In ascending order.
    type State = Vec<u32>;

    fn begin(&mut self, event: &Event<'_>) -> Result<SetOp, String> {
        match event.f {
            "add" => Ok(SetOp::Add(self.values.number(event.value))),
            "read" => Ok(SetOp::Read(Vec::new())),
            other => Err(format!("a set cannot {other}")),
        }
    }

    fn end(&mut self, op: SetOp, kind: Kind, value: Form<'_>) -> Result<Option<SetOp>, String> {
        match (op, kind) {
            (SetOp::Read(_), Kind::Ok) => {
                let mut read = numbers(value, &mut self.values)?;
                read.sort_unstable();
                read.dedup();
                Ok(Some(SetOp::Read(read)))
            }
            (SetOp::Read(_), _) | (_, Kind::Fail) => Ok(None),
            (add, _) => Ok(Some(add)),
        }
    }

    fn initial(&self) -> Vec<u32> {
        self.initial.clone()
    }

    fn step(&self, state: &Vec<u32>, op: &SetOp) -> Option<Vec<u32>> {
        match op {
            SetOp::Add(element) => {
                let mut state = state.clone();
                if let Err(place) = state.binary_search(element) {
                    state.insert(place, *element);
                }
                Some(state)
            }
            SetOp::Read(read) => (read == state).then(|| state.clone()),
        }
    }

    fn only_reads(&self, op: &SetOp) -> bool {
        matches!(op, SetOp::Read(_))
    }

    fn too_late(&self, state: &Vec<u32>, op: &SetOp) -> bool {
        let SetOp::Read(read) = op else { return false };
        let mut read = read.iter();
        // Both ascend.
        !state.iter().all(|element| read.any(|other| other == element))
    }

    fn show(&self, op: &SetOp) -> String {
        match op {
            SetOp::Add(element) => format!("add {}", self.values.name(*element)),
            SetOp::Read(read) => format!("read #{{{}}}", names(&self.values, read)),
        }
    }

    fn show_state(&self, state: &Vec<u32>) -> String {
        format!("#{{{}}}", names(&self.values, state))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum QueueOp {
    Enqueue(u32),
    Dequeue(u32),
    /// Of which nobody knows what it took.
    Take,
}

/// What is begun and how it ends is the same for both.
fn begin(values: &mut Values, event: &Event<'_>) -> Result<QueueOp, String> {
    match event.f {
        "enqueue" => Ok(QueueOp::Enqueue(values.number(event.value))),
        "dequeue" => Ok(QueueOp::Take),
        other => Err(format!("a queue cannot {other}")),
    }
}

fn end(
    values: &mut Values,
    op: QueueOp,
    kind: Kind,
    value: Form<'_>,
) -> Result<Option<QueueOp>, String> {
    match (op, kind) {
        (_, Kind::Fail) => Ok(None),
        (QueueOp::Take, Kind::Ok) if value.is_nil() => {
            Err("a dequeue that is ok has a value: one that found nothing failed".to_owned())
        }
        (QueueOp::Take, Kind::Ok) => Ok(Some(QueueOp::Dequeue(values.number(value)))),
        (op, _) => Ok(Some(op)),
    }
}

fn show(values: &Values, op: QueueOp) -> String {
    match op {
        QueueOp::Enqueue(element) => format!("enqueue {}", values.name(element)),
        QueueOp::Dequeue(element) => format!("dequeue {}", values.name(element)),
        QueueOp::Take => "dequeue".to_owned(),
    }
}

/// Which other elements it holds makes no difference to one, so each is an object of its
/// own: how often it is there.
struct Queue {
    values: Values,
}

impl Model for Queue {
    type Op = QueueOp;
    type State = u32;

    fn begin(&mut self, event: &Event<'_>) -> Result<QueueOp, String> {
        begin(&mut self.values, event)
    }

    fn end(&mut self, op: QueueOp, kind: Kind, value: Form<'_>) -> Result<Option<QueueOp>, String> {
        // What nobody knows of may as well have taken nothing: more elements allow more.
        Ok(end(&mut self.values, op, kind, value)?.filter(|op| *op != QueueOp::Take))
    }

    fn part(&self, op: &QueueOp) -> u32 {
        match op {
            QueueOp::Enqueue(element) | QueueOp::Dequeue(element) => *element,
            QueueOp::Take => Values::NIL,
        }
    }

    fn initial(&self) -> u32 {
        0
    }

    fn step(&self, state: &u32, op: &QueueOp) -> Option<u32> {
        match op {
            QueueOp::Enqueue(_) => state.checked_add(1),
            QueueOp::Dequeue(_) | QueueOp::Take => state.checked_sub(1),
        }
    }

    fn only_reads(&self, _: &QueueOp) -> bool {
        false
    }

    fn show(&self, op: &QueueOp) -> String {
        show(&self.values, *op)
    }

    fn show_state(&self, state: &u32) -> String {
        format!("{state} of them")
    }
}

struct Fifo {
    values: Values,
    initial: Vec<u32>,
}

impl Model for Fifo {
    type Op = QueueOp;
    /// The oldest first.
    type State = Vec<u32>;

    fn begin(&mut self, event: &Event<'_>) -> Result<QueueOp, String> {
        begin(&mut self.values, event)
    }

    fn end(&mut self, op: QueueOp, kind: Kind, value: Form<'_>) -> Result<Option<QueueOp>, String> {
        end(&mut self.values, op, kind, value)
    }

    fn initial(&self) -> Vec<u32> {
        self.initial.clone()
    }

    fn step(&self, state: &Vec<u32>, op: &QueueOp) -> Option<Vec<u32>> {
        match op {
            QueueOp::Enqueue(element) => Some(state.iter().copied().chain([*element]).collect()),
            QueueOp::Dequeue(element) if state.first() != Some(element) => None,
            QueueOp::Dequeue(_) | QueueOp::Take => state.get(1..).map(<[u32]>::to_vec),
        }
    }

    fn only_reads(&self, _: &QueueOp) -> bool {
        false
    }

    fn show(&self, op: &QueueOp) -> String {
        show(&self.values, *op)
    }

    fn show_state(&self, state: &Vec<u32>) -> String {
        format!("[{}]", names(&self.values, state))
    }
}
