//! Registers that transactions read and write: each value is written once, so that a read
//! tells whose it is. In which order the writes were it does not tell.
//!
//! ```text
//!   [:w x 1]   [:w x 2]   [:r x 1]            1 < 2 or 2 < 1?
//!      T1         T2         T3
//!
//!   known:  the initial state is before all others, what a transaction wrote first is
//!           before what it wrote then                                     (`order`)
//!   in a session, in real time:  what was met before is not newer         (`order`)
//!   by assumption:  who reads 1 and writes 2 has 1 < 2                    (`order`)
//!   if that does not decide a level:  is there any order with which it holds?  (`search`)
//! ```
//!
//! The first three are Elle's (Kingsbury and Alvaro, VLDB 2020, §5.2), and find anomalies
//! by their names. The last one is that of Cobra (Tan et al., OSDI 2020) and PolySI (Huang
//! et al., VLDB 2023), and decides what those leave open.

mod edges;
mod order;
mod reads;
mod search;
mod weak;

use rustc_hash::FxHashMap;

use self::order::Versions;
use super::anomaly;
use super::atom::{Atom, Atoms, Keys};
use super::table::{Act, Mop, NONE, SEVERAL, Table, TxnNo, mop_of};
use super::words::Words;
use super::{judge, level_of};
use crate::budget::Budget;
use crate::checker::{Anomaly, Assume, Checker, Finding, Options};
use crate::history::{Event, Form, Kind, Malformed, Sink};
use crate::level::Level;

/// The checker of `rw-register`.
pub struct Registers {
    level: Level,
    allow_unwritten: bool,
    assume: Assume,
    /// Whether the order of sessions counts at all levels.
    sessions: bool,
    /// What is read where nobody wrote, beside nil.
    initial: Option<Atom>,
    atoms: Atoms,
    keys: Keys,
    /// Who wrote what, by key.
    writers: Vec<FxHashMap<Atom, TxnNo>>,
    table: Table,
    found: Vec<Anomaly>,
    twice: Option<String>,
    /// The operations of the event at hand, and what it knows of its keys.
    mops: Vec<Mop>,
    known: Vec<(u32, Option<Atom>)>,
}

impl Registers {
    /// An empty one.
    pub fn new(options: &Options) -> Result<Registers, String> {
        let level = level_of(options)?;
        let mut atoms = Atoms::default();
        let initial = options
            .initial(|form| Ok(form.filter(|form| !form.is_nil()).map(|form| atoms.atom(form))))?;
        Ok(Registers {
            level,
            allow_unwritten: options.allow_unwritten,
            assume: options.assume,
            sessions: options.sessions,
            initial,
            atoms,
            keys: Keys::default(),
            writers: Vec::new(),
            table: Table::default(),
            found: Vec::new(),
            twice: None,
            mops: Vec::new(),
            known: Vec::new(),
        })
    }

    fn key(&mut self, form: Form<'_>) -> u32 {
        let atom = self.atoms.atom(form);
        let key = self.keys.number(atom);
        if key as usize == self.writers.len() {
            self.writers.push(FxHashMap::default());
        }
        key
    }

    fn parse(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        self.mops.clear();
        self.known.clear();
        let refuse = |reason: String| Err(Malformed::new(event.line, reason));
        let Some(mops) = event.value.items() else {
            if event.kind == Kind::Ok || !event.value.is_nil() {
                return refuse(format!("{} is no transaction: a vector of [f k v]", event.value));
            }
            return Ok(());
        };
        for mop in mops {
            let Some([f, key, value]) = mop_of(mop, event.kind) else {
                return refuse(format!("{mop} is no operation: [f k v] is expected"));
            };
            let key = self.key(key);
            match f.as_text() {
                Some("w") if value.is_nil() => return refuse(format!("{mop} writes nothing")),
                Some("w") => {
                    let atom = self.atoms.atom(value);
                    self.mops.push(Mop { key, act: Act::Write(atom) });
                    self.knows(key, Some(atom));
                }
                Some("r") if event.kind == Kind::Ok => {
                    let atom = (!value.is_nil()).then(|| self.atoms.atom(value));
                    self.internal(event, key, atom);
                    self.mops.push(Mop { key, act: Act::Read(atom) });
                }
                Some("r") => {}
                _ => return refuse(format!("{f} is neither w nor r")),
            }
        }
        Ok(())
    }

    fn knows(&mut self, key: u32, value: Option<Atom>) -> Option<Option<Atom>> {
        // A handful of keys: a search is faster than a map.
        match self.known.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => Some(std::mem::replace(known, value)),
            None => {
                self.known.push((key, value));
                None
            }
        }
    }

    /// Whether a read agrees with what its own transaction did before.
    fn internal(&mut self, event: &Event<'_>, key: u32, value: Option<Atom>) {
        let expected = self.knows(key, value);
        if let Some(expected) = expected
            && expected != value
        {
            let words = format!(
                "line {} read {} of key {}, where the transaction itself had {}: {}",
                event.line,
                self.value_text(value),
                self.key_text(key),
                self.value_text(expected),
                event.value,
            );
            anomaly::report(&mut self.found, "internal", || words);
        }
    }

    /// A transaction must not read what it writes later.
    fn future(&mut self, event: &Event<'_>) {
        let later = |place: usize, mop: &Mop| match mop.act {
            Act::Read(Some(value)) => {
                let write = Mop { key: mop.key, act: Act::Write(value) };
                let own = self.mops[..place].contains(&write);
                !own && self.mops[place..].contains(&write)
            }
            _ => false,
        };
        let Some((_, mop)) = self.mops.iter().enumerate().find(|(place, mop)| later(*place, mop))
        else {
            return;
        };
        let words = format!(
            "line {} read of key {} what it wrote only then: {}",
            event.line,
            self.key_text(mop.key),
            event.value,
        );
        anomaly::report(&mut self.found, "future-read", || words);
    }

    fn wrote(&mut self, txn: TxnNo, line: u64) {
        for mop in &self.mops {
            let Act::Write(value) = mop.act else { continue };
            let writer = self.writers[mop.key as usize].entry(value).or_insert(txn);
            if *writer != txn {
                *writer = SEVERAL;
                let reason = format!(
                    "{} was written to key {} again in line {line}: whose it is cannot be said",
                    self.atoms.text(value),
                    self.atoms.text(self.keys.atom(mop.key)),
                );
                self.twice.get_or_insert(reason);
            }
        }
    }

    fn key_text(&self, key: u32) -> String {
        self.atoms.text(self.keys.atom(key))
    }

    fn value_text(&self, value: Option<Atom>) -> String {
        value.map_or_else(|| "nil".to_owned(), |atom| self.atoms.text(atom))
    }

    /// Who wrote it; `NONE` for the initial state, and for what nobody wrote.
    fn writer(&self, key: u32, value: Option<Atom>) -> TxnNo {
        let writers = &self.writers[key as usize];
        value.and_then(|value| writers.get(&value)).copied().unwrap_or(NONE)
    }

    /// Whether that is what a register has before it is written.
    fn is_initial(&self, key: u32, value: Option<Atom>) -> bool {
        match value {
            None => true,
            Some(_) => value == self.initial && self.writer(key, value) == NONE,
        }
    }
}

impl Sink for Registers {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        self.parse(event)?;
        if event.kind == Kind::Ok {
            self.future(event);
        }
        let txn = self.table.event(event.kind, event.process, event.line, &self.mops);
        self.wrote(txn, event.line);
        Ok(())
    }
}

impl Checker for Registers {
    fn finish(mut self: Box<Self>, budget: &mut Budget) -> Finding {
        self.table.close();
        let mut found = std::mem::take(&mut self.found);
        reads::single_reads(&self, &mut found);
        let versions = Versions::new(&self);
        let (edges, linked) = versions.edges(&mut found);
        let words = Words { table: &self.table, explain: &*self };
        let unknown = self.twice.clone();
        // What is not known of the order is searched for below.
        let (table, sessions, unread) = (&self.table, self.sessions, Vec::new());
        // The search decides, unless there is nothing that it could be about.
        let silent = self.initial.is_none() && !sessions && table.happened() == 0;
        let known = judge::Known { table, sessions, unread, found, linked, silent, unknown };
        let mut finding = judge::finding(self.level, edges, known, &words, budget);
        search::decide(&self, &versions, &mut finding, budget);
        finding
    }
}
