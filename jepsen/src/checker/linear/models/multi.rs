//! Several registers; an operation reads and writes some of them at once.

use super::super::{Model, only_linearizable};
use crate::checker::values::Values;
use crate::checker::{Checker, Options};
use crate::history::{Event, Form, Kind};

/// Registers that are read and written together: `[[:read k v] [:write k v]]`.
///
/// # Errors
///
/// A level that it does not know, or an initial state that is no map.
pub fn multi_register(options: &Options) -> Result<Box<dyn Checker>, String> {
    let mut values = Values::default();
    let initial = options.initial(|form| initial(form, &mut values))?;
    only_linearizable(options, Registers { values, initial })
}

fn initial(form: Option<Form<'_>>, values: &mut Values) -> Result<Vec<(u32, u32)>, String> {
    let Some(form) = form.filter(|form| !form.is_nil()) else { return Ok(Vec::new()) };
    let Some(pairs) = form.pairs() else { return Err(format!("{form} is no map")) };
    let mut initial: Vec<(u32, u32)> =
        pairs.map(|(key, value)| (values.key(key), values.number(value))).collect();
    initial.sort_unstable();
    Ok(initial)
}

struct Registers {
    values: Values,
    initial: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Mop {
    write: bool,
    key: u32,
    value: u32,
}

impl Registers {
    /// Whether it has a value at the beginning.
    fn begins(&self, key: u32) -> bool {
        self.initial.iter().any(|(known, value)| *known == key && *value != Values::NIL)
    }

    fn mops(&mut self, value: Form<'_>) -> Result<Vec<Mop>, String> {
        let Some(items) = value.items() else { return Err(format!("{value} is no transaction")) };
        let mut mops = Vec::new();
        for item in items {
            let Some([name, key, value]) = item.array() else {
                return Err(format!("{item}: [:read k v] or [:write k v] is expected"));
            };
            let write = match name.as_text() {
                Some("read" | "r") => false,
                Some("write" | "w") => true,
                _ => return Err(format!("a register cannot {name}")),
            };
            mops.push(Mop { write, key: self.values.key(key), value: self.values.number(value) });
        }
        Ok(mops)
    }
}

impl Model for Registers {
    type Op = Vec<Mop>;
    /// By key; what is not there is nil.
    type State = Vec<(u32, u32)>;

    fn begin(&mut self, event: &Event<'_>) -> Result<Vec<Mop>, String> {
        match event.f {
            "txn" | "read" | "write" => self.mops(event.value),
            other => Err(format!("registers cannot {other}")),
        }
    }

    fn end(
        &mut self,
        mut asked: Vec<Mop>,
        kind: Kind,
        value: Form<'_>,
    ) -> Result<Option<Vec<Mop>>, String> {
        match kind {
            Kind::Fail => Ok(None),
            Kind::Ok => {
                let mut mops = self.mops(value)?;
                // Where nothing is nil, nil is no value: what was read is not known.
                mops.retain(|mop| mop.write || mop.value != Values::NIL || !self.begins(mop.key));
                Ok((!mops.is_empty()).then_some(mops))
            }
            Kind::Info | Kind::Invoke => {
                // What it saw is not known.
                asked.retain(|mop| mop.write);
                Ok((!asked.is_empty()).then_some(asked))
            }
        }
    }

    fn initial(&self) -> Vec<(u32, u32)> {
        self.initial.clone()
    }

    fn step(&self, state: &Vec<(u32, u32)>, op: &Vec<Mop>) -> Option<Vec<(u32, u32)>> {
        let mut state = state.clone();
        for mop in op {
            let place = state.binary_search_by_key(&mop.key, |(key, _)| *key);
            match (mop.write, place) {
                (true, Ok(place)) => state[place].1 = mop.value,
                (true, Err(place)) => state.insert(place, (mop.key, mop.value)),
                (false, Ok(place)) if state[place].1 != mop.value => return None,
                (false, Err(_)) if mop.value != Values::NIL => return None,
                (false, _) => {}
            }
        }
        Some(state)
    }

    fn only_reads(&self, op: &Vec<Mop>) -> bool {
        op.iter().all(|mop| !mop.write)
    }

    fn show(&self, op: &Vec<Mop>) -> String {
        let mops: Vec<String> = op
            .iter()
            .map(|mop| {
                let name = if mop.write { "write" } else { "read" };
                format!("{name} {} {}", self.values.name(mop.key), self.values.name(mop.value))
            })
            .collect();
        mops.join(", ")
    }

    fn show_state(&self, state: &Vec<(u32, u32)>) -> String {
        let name = |(key, value): &(u32, u32)| {
            format!("{} {}", self.values.name(*key), self.values.name(*value))
        };
        format!("{{{}}}", state.iter().map(name).collect::<Vec<_>>().join(", "))
    }
}
