//! Values and keys as numbers.

use std::fmt::Write as _;

use rustc_hash::FxHashMap;

use crate::history::Form;

/// A value: the same number for the same value. Integers are themselves, everything else
/// is the place of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Atom(i64);

/// Whose texts atoms are.
#[derive(Debug, Default)]
pub struct Atoms {
    places: FxHashMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
    scratch: String,
}

impl Atoms {
    /// The atom of a value.
    pub fn atom(&mut self, form: Form<'_>) -> Atom {
        match form.as_int() {
            // One bit tells integers from texts; those that need it are texts.
            Some(value) if value.unsigned_abs() < 1 << 62 => Atom(value << 1),
            _ => Atom(i64::from(self.place(form)) << 1 | 1),
        }
    }

    fn place(&mut self, form: Form<'_>) -> u32 {
        self.scratch.clear();
        write!(self.scratch, "{form}").expect("a string takes all");
        if let Some(place) = self.places.get(self.scratch.as_str()) {
            return *place;
        }
        let place = self.texts.len() as u32;
        self.texts.push(self.scratch.as_str().into());
        self.places.insert(self.scratch.as_str().into(), place);
        place
    }

    /// The value, as EDN.
    pub fn text(&self, atom: Atom) -> String {
        match atom.0 & 1 {
            0 => (atom.0 >> 1).to_string(),
            _ => self.texts[(atom.0 >> 1) as usize].to_string(),
        }
    }
}

impl Atoms {
    /// A list of values, as EDN.
    pub fn list(&self, list: &[Atom]) -> String {
        let texts: Vec<String> = list.iter().map(|atom| self.text(*atom)).collect();
        format!("[{}]", texts.join(" "))
    }
}

/// Keys, numbered in the order in which they are first met.
#[derive(Debug, Default)]
pub struct Keys {
    numbers: FxHashMap<Atom, u32>,
    atoms: Vec<Atom>,
}

impl Keys {
    /// The number of a key.
    pub fn number(&mut self, atom: Atom) -> u32 {
        let next = self.atoms.len() as u32;
        let number = *self.numbers.entry(atom).or_insert(next);
        if number == next {
            self.atoms.push(atom);
        }
        number
    }

    /// The key of that number.
    pub fn atom(&self, number: u32) -> Atom {
        self.atoms[number as usize]
    }
}
