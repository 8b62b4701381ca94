//! Lists to which transactions append: what was read shows in which order.
//!
//! ```text
//!   [:r x [1 2 5]]      x:  1 ── 2 ── 5        what is read is the whole list: the longest
//!   [:r x [1 2]]           T1   T4   T3         one is the order, every other a prefix of it
//!
//!   T1 ─ww▶ T4 ─ww▶ T3           who reads [1 2] has read from T4, and comes before T3
//!             ─wr▶ reader ─rw▶ T3
//! ```
//!
//! After Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental
//! observations" (VLDB 2020), §5. Of each key the longest list is kept and of each read
//! its length, so that memory grows with what was appended and not with what was read.
//!
//! What was appended and never read comes behind all that was: who has read the longest
//! list comes before each who appended such (see `fan`).

mod edges;
mod reads;
mod torn;

use rustc_hash::FxHashMap;

use self::reads::Finished;
use super::anomaly;
use super::atom::{Atom, Atoms, Keys};
use super::table::{Act, Mop, NONE, SEVERAL, Table, TxnNo, mop_of};
use super::words::Words;
use super::{judge, level_of};
use crate::budget::Budget;
use crate::checker::{Anomaly, Checker, Finding, Options};
use crate::history::{Event, Form, Kind, Malformed, Sink};
use crate::level::Level;

/// An element of a list.
#[derive(Clone, Copy, Debug)]
struct Element {
    /// Who appended it, as far as it has been seen.
    writer: TxnNo,
    /// Its place in the longest list.
    place: u32,
}

#[derive(Debug, Default)]
struct Key {
    /// The longest list that was read.
    order: Vec<Atom>,
    elements: FxHashMap<Atom, Element>,
}

/// A list that is no prefix of the longest one, or the other way round.
#[derive(Clone, Debug)]
struct Other {
    txn: TxnNo,
    key: u32,
    list: Vec<Atom>,
}

/// The checker of `list-append`.
pub struct Lists {
    level: Level,
    allow_unwritten: bool,
    /// Whether the order of sessions counts at all levels.
    sessions: bool,
    atoms: Atoms,
    numbers: Keys,
    keys: Vec<Key>,
    table: Table,
    others: Vec<Other>,
    found: Vec<Anomaly>,
    /// That something was appended twice, if it was.
    twice: Option<String>,
    /// The operations of the event at hand.
    mops: Vec<Mop>,
    list: Vec<Atom>,
    /// What the transaction at hand knows of its keys, and the lists that it has read.
    mine: Vec<Mine>,
    read: Vec<Atom>,
}

/// What a transaction knows of a key, from what it has read.
#[derive(Debug)]
struct Mine {
    key: u32,
    /// Where the list stands that it has read; none if it has not.
    read: Option<(usize, usize)>,
    /// The operation from which on what it appends is not in there.
    since: usize,
}

impl Lists {
    /// An empty one.
    pub fn new(options: &Options) -> Result<Lists, String> {
        let level = level_of(options)?;
        options.initial(|initial| match initial {
            Some(form)
                if !form.is_nil()
                    && form.items().is_none_or(|mut items| items.next().is_some()) =>
            {
                Err(format!("lists begin empty, not as {form}"))
            }
            _ => Ok(()),
        })?;
        Ok(Lists {
            level,
            allow_unwritten: options.allow_unwritten,
            sessions: options.sessions,
            atoms: Atoms::default(),
            numbers: Keys::default(),
            keys: Vec::new(),
            table: Table::default(),
            others: Vec::new(),
            found: Vec::new(),
            twice: None,
            mops: Vec::new(),
            list: Vec::new(),
            mine: Vec::new(),
            read: Vec::new(),
        })
    }

    fn key(&mut self, form: Form<'_>) -> u32 {
        let atom = self.atoms.atom(form);
        let key = self.numbers.number(atom);
        if key as usize == self.keys.len() {
            self.keys.push(Key::default());
        }
        key
    }

    /// What an event says was done. Reads count only where they have a result.
    fn parse(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        self.mops.clear();
        self.mine.clear();
        self.read.clear();
        let refuse = |reason: String| Malformed::new(event.line, reason);
        let Some(mops) = event.value.items() else {
            if event.kind == Kind::Ok || !event.value.is_nil() {
                return Err(refuse(format!(
                    "{} is no transaction: a vector of [f k v]",
                    event.value
                )));
            }
            return Ok(());
        };
        for mop in mops {
            let Some([f, key, value]) = mop_of(mop, event.kind) else {
                return Err(refuse(format!("{mop} is no operation: [f k v] is expected")));
            };
            let key = self.key(key);
            match f.as_text() {
                Some("append") => {
                    if value.is_nil() {
                        return Err(refuse(format!("{mop} appends nothing")));
                    }
                    let element = self.atoms.atom(value);
                    self.mops.push(Mop { key, act: Act::Write(element) });
                }
                Some("r") if event.kind == Kind::Ok => self.read(event, key, value)?,
                Some("r") => {}
                _ => return Err(refuse(format!("{f} is neither append nor r"))),
            }
        }
        Ok(())
    }

    /// A result of a read: the number of its transaction is not yet known, it is the next
    /// event's.
    fn read(&mut self, event: &Event<'_>, key: u32, value: Form<'_>) -> Result<(), Malformed> {
        self.list.clear();
        match value.items() {
            Some(items) => self.list.extend(items.map(|item| self.atoms.atom(item))),
            None if value.is_nil() => {}
            None => return Err(Malformed::new(event.line, format!("{value} is no list"))),
        }
        let known = &self.keys[key as usize];
        let common = known.order.len().min(self.list.len());
        let act = if known.order[..common] != self.list[..common] {
            Act::ReadOther(u32::MAX)
        } else if self.list.len() > common {
            self.extend(key, common)
        } else {
            Act::ReadList(common as u32)
        };
        let act = match act {
            Act::ReadOther(_) => {
                let list = self.list.clone();
                self.others.push(Other { txn: NONE, key, list });
                Act::ReadOther(self.others.len() as u32 - 1)
            }
            act => act,
        };
        self.internal(event, key);
        self.mops.push(Mop { key, act });
        Ok(())
    }

    /// A longer list than was known, of which the first `common` are.
    fn extend(&mut self, key: u32, common: usize) -> Act {
        let known = &mut self.keys[key as usize];
        for (place, atom) in self.list.iter().enumerate().skip(common) {
            let unseen = Element { writer: NONE, place: NONE };
            let element = known.elements.entry(*atom).or_insert(unseen);
            if element.place != NONE {
                // Twice in one list: it is no order.
                for atom in &self.list[common..place] {
                    known.elements.get_mut(atom).expect("it was just placed").place = NONE;
                }
                return Act::ReadOther(u32::MAX);
            }
            element.place = place as u32;
        }
        known.order.extend_from_slice(&self.list[common..]);
        Act::ReadList(self.list.len() as u32)
    }

    /// Whether a read agrees with what its own transaction did before.
    fn internal(&mut self, event: &Event<'_>, key: u32) {
        let known = match self.mine.iter().position(|mine| mine.key == key) {
            Some(place) => &mut self.mine[place],
            None => {
                self.mine.push(Mine { key, read: None, since: 0 });
                self.mine.last_mut().expect("it was pushed")
            }
        };
        let own = self.mops[known.since..].iter().filter(|mop| mop.key == key);
        let own = own.filter_map(|mop| match mop.act {
            Act::Write(element) => Some(element),
            _ => None,
        });
        let count = own.clone().count();
        let agrees = self.list.len() >= count && {
            let (before, behind) = self.list.split_at(self.list.len() - count);
            let read = known.read.map(|(from, to)| &self.read[from..to]);
            own.eq(behind.iter().copied()) && read.is_none_or(|read| read == before)
        };
        // What it knows from now on is what it has just read.
        let from = self.read.len();
        self.read.extend_from_slice(&self.list);
        (known.read, known.since) = (Some((from, self.read.len())), self.mops.len());
        if !agrees {
            let words = || {
                format!(
                    "line {} read {} of key {}, which contradicts what the transaction did before: \
                     {}",
                    event.line,
                    self.atoms.list(&self.list),
                    self.atoms.text(self.numbers.atom(key)),
                    event.value,
                )
            };
            anomaly::report(&mut self.found, "internal", words);
        }
    }

    /// A transaction must not read what it appends later.
    fn future(&mut self, event: &Event<'_>) {
        for (place, mop) in self.mops.iter().enumerate() {
            let Act::Write(element) = mop.act else { continue };
            let read_before = self.mops[..place].iter().any(|read| {
                read.key == mop.key
                    && match read.act {
                        Act::ReadList(length) => {
                            let key = &self.keys[read.key as usize];
                            key.order[..length as usize].contains(&element)
                        }
                        Act::ReadOther(other) => {
                            self.others[other as usize].list.contains(&element)
                        }
                        Act::Write(_) | Act::Read(_) => false,
                    }
            });
            if read_before {
                let words = || {
                    format!(
                        "the transaction of line {} read {} of key {} before it appended it: {}",
                        event.line,
                        self.atoms.text(element),
                        self.atoms.text(self.numbers.atom(mop.key)),
                        event.value,
                    )
                };
                anomaly::report(&mut self.found, "future-read", words);
                return;
            }
        }
    }

    /// Who appended what.
    fn appended(&mut self, txn: TxnNo, line: u64) {
        for mop in &self.mops {
            let Act::Write(element) = mop.act else { continue };
            let unseen = Element { writer: NONE, place: NONE };
            let key = &mut self.keys[mop.key as usize];
            let known = key.elements.entry(element).or_insert(unseen);
            if known.writer != NONE && known.writer != txn {
                known.writer = SEVERAL;
                let reason = format!(
                    "{} was appended to key {} again in line {line}: whose it is cannot be said",
                    self.atoms.text(element),
                    self.atoms.text(self.numbers.atom(mop.key)),
                );
                self.twice.get_or_insert(reason);
                continue;
            }
            known.writer = txn;
        }
    }
}

impl Sink for Lists {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        self.parse(event)?;
        if event.kind == Kind::Ok {
            self.future(event);
        }
        let others = self.mops.iter().filter_map(|mop| match mop.act {
            Act::ReadOther(other) => Some(other),
            _ => None,
        });
        let others: Vec<u32> = others.collect();
        let txn = self.table.event(event.kind, event.process, event.line, &self.mops);
        for other in others {
            self.others[other as usize].txn = txn;
        }
        self.appended(txn, event.line);
        Ok(())
    }
}

impl Checker for Lists {
    fn finish(mut self: Box<Self>, budget: &mut Budget) -> Finding {
        self.table.close();
        let found = std::mem::take(&mut self.found);
        let mut lists = Finished::new(&self, found);
        lists.single_reads();
        let (edges, unread) = lists.edges();
        let found = std::mem::take(&mut lists.found);
        let words = Words { table: &self.table, explain: &lists };
        let unknown = self.twice.clone();
        let (table, sessions, linked) = (&self.table, self.sessions, !edges.is_empty());
        // One alone depends on nothing.
        let silent = table.happened() != 1;
        let known = judge::Known { table, sessions, unread, found, linked, silent, unknown };
        judge::finding(self.level, edges, known, &words, budget)
    }
}
