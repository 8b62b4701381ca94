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
//! What was appended and never read comes behind all that was. If there are several, who
//! has read the longest list comes before each of them; two nodes for each stand for
//! those behind and those before it in some order, so that edges do not multiply:
//!
//! ```text
//!   reader ─rw▶ S1 ─▶ S2 ─▶ S3        T2 has read that list and appended itself:
//!               │     │     │           T2 ─rw▶ S3, T2 ─rw▶ P1
//!               ▼     ▼     ▼
//!               T1    T2    T3        P3 ─▶ P2 ─▶ P1, Pi ─▶ Ti
//! ```

use rustc_hash::FxHashMap;

use super::anomaly;
use super::atom::{Atom, Atoms, Keys};
use super::graph::{Arc, Edge, Edges};
use super::judge;
use super::table::{Act, Mop, NONE, Status, Table, TxnNo};
use super::words::{Explain, Words};
use crate::budget::Budget;
use crate::checker::{Anomaly, Checker, Finding, Options};
use crate::history::{Event, Form, Kind, Malformed, Sink};
use crate::level::Level;

/// Several transactions have appended it.
const SEVERAL: TxnNo = NONE - 1;

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
        let level = options.level.unwrap_or(Level::StrictSerializable);
        if matches!(level, Level::Linearizable | Level::Model) {
            return Err(format!("list-append knows no level {level}"));
        }
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
            let Some([f, key, value]) = mop.array() else {
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
        if !agrees && self.found.len() < anomaly::MOST {
            let words = format!(
                "line {} read {} of key {}, which contradicts what the transaction did before: {}",
                event.line,
                self.atoms.list(&self.list),
                self.atoms.text(self.numbers.atom(key)),
                event.value,
            );
            self.found.push(anomaly::single("internal", words));
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
                let words = format!(
                    "the transaction of line {} read {} of key {} before it appended it: {}",
                    event.line,
                    self.atoms.text(element),
                    self.atoms.text(self.numbers.atom(mop.key)),
                    event.value,
                );
                self.found.push(anomaly::single("future-read", words));
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
        let edges = lists.edges();
        let found = std::mem::take(&mut lists.found);
        let words = Words { table: &self.table, explain: &lists };
        let unknown = self.twice.clone();
        judge::finding(self.level, &self.table, edges, found, unknown, &words, budget)
    }
}

/// A history of which all events are there.
pub struct Finished<'a> {
    lists: &'a Lists,
    found: Vec<Anomaly>,
}

impl<'a> Finished<'a> {
    fn new(lists: &'a Lists, found: Vec<Anomaly>) -> Finished<'a> {
        Finished { lists, found }
    }

    fn status(&self, txn: TxnNo) -> Status {
        self.lists.table.txn(txn).status
    }

    /// Whether it is known that this one wrote it, and did not fail.
    fn is_known(&self, writer: TxnNo) -> bool {
        writer < SEVERAL && self.status(writer) != Status::Fail
    }

    fn failed(&self, writer: TxnNo) -> bool {
        writer < SEVERAL && self.status(writer) == Status::Fail
    }

    fn writer(&self, key: u32, place: usize) -> TxnNo {
        let key = &self.lists.keys[key as usize];
        key.order.get(place).map_or(NONE, |atom| key.elements[atom].writer)
    }

    fn line(&self, txn: TxnNo) -> u64 {
        self.lists.table.txn(txn).line
    }

    fn key_text(&self, key: u32) -> String {
        self.lists.atoms.text(self.lists.numbers.atom(key))
    }

    fn report(&mut self, name: &str, words: String) {
        if self.found.len() < anomaly::MOST {
            self.found.push(anomaly::single(name, words));
        }
    }

    /// What is wrong with a read, or a list, by itself.
    fn single_reads(&mut self) {
        self.incompatible();
        for key in 0..self.lists.keys.len() as u32 {
            self.aborted(key);
        }
        let first_bad = self.first_bad();
        for (txn, row) in self.lists.table.iter() {
            if row.status == Status::Ok {
                self.reads(txn, &first_bad);
            }
        }
    }

    fn incompatible(&mut self) {
        for other in &self.lists.others {
            let key = &self.lists.keys[other.key as usize];
            let (line, name) = (self.line(other.txn), self.key_text(other.key));
            let list = self.lists.atoms.list(&other.list);
            let mut sorted = other.list.clone();
            sorted.sort_unstable();
            if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                let twice = self.lists.atoms.text(twice[0]);
                let words =
                    format!("line {line} read {list} of key {name}: {twice} is there twice");
                self.report("duplicate-elements", words);
            }
            if !key.order.starts_with(&other.list) {
                let order = self.lists.atoms.list(&key.order);
                let words = format!(
                    "line {line} read {list} of key {name}, another one {order}: neither is a \
                     prefix of the other"
                );
                self.report("incompatible-order", words);
            }
            for atom in &other.list {
                let writer = key.elements.get(atom).map_or(NONE, |element| element.writer);
                self.read_of(other.txn, other.key, *atom, writer);
            }
        }
    }

    /// A read of something that is not there to be read.
    fn read_of(&mut self, reader: TxnNo, key: u32, atom: Atom, writer: TxnNo) {
        let (line, name) = (self.line(reader), self.key_text(key));
        let value = self.lists.atoms.text(atom);
        if writer == NONE {
            if !self.lists.allow_unwritten {
                let words = format!("line {line} read {value} of key {name}, which nobody wrote");
                self.report("garbage-read", words);
            }
        } else if self.failed(writer) {
            let wrote = self.line(writer);
            let words = format!(
                "line {line} read {value} of key {name}, which the failed transaction of line \
                 {wrote} wrote"
            );
            self.report("G1a", words);
        }
    }

    /// Elements of failed transactions in the order, and of nobody.
    fn aborted(&mut self, number: u32) {
        let key = &self.lists.keys[number as usize];
        let mut failed = None;
        for place in 0..key.order.len() {
            let writer = self.writer(number, place);
            if writer >= SEVERAL {
                continue;
            }
            match (self.status(writer), failed) {
                (Status::Fail, None) => failed = Some(writer),
                (Status::Ok | Status::Info, Some(aborted)) => {
                    let words = format!(
                        "key {} has what line {} appended, which failed, and line {} appended to it",
                        self.key_text(number),
                        self.line(aborted),
                        self.line(writer),
                    );
                    self.report("dirty-update", words);
                    return;
                }
                _ => {}
            }
        }
    }

    fn reads(&mut self, txn: TxnNo, first_bad: &[usize]) {
        let lists = self.lists;
        for (place, mop) in lists.table.mops(txn).iter().enumerate() {
            let Act::ReadList(length) = mop.act else { continue };
            let key = &lists.keys[mop.key as usize];
            let bad = first_bad[mop.key as usize];
            if bad < length as usize {
                self.read_of(txn, mop.key, key.order[bad], self.writer(mop.key, bad));
            }
            let Some(last) = (length as usize).checked_sub(1).map(|last| key.order[last]) else {
                continue;
            };
            let writer = key.elements[&last].writer;
            if writer >= SEVERAL || writer == txn {
                continue;
            }
            let theirs = lists.table.mops(writer).iter().rev();
            let newest =
                theirs.filter(|theirs| theirs.key == mop.key).find_map(|mop| match mop.act {
                    Act::Write(atom) => Some(atom),
                    _ => None,
                });
            let first = lists.table.mops(txn)[..place].iter().all(|before| before.key != mop.key);
            if first && newest.is_some_and(|newest| newest != last) {
                let words = format!(
                    "line {} read key {} up to {}, which line {} appended and did not leave so",
                    self.line(txn),
                    self.key_text(mop.key),
                    lists.atoms.text(last),
                    self.line(writer),
                );
                self.report("G1b", words);
            }
        }
    }

    /// The place of the first element of each key that was not written, or by who failed.
    fn first_bad(&self) -> Vec<usize> {
        let bad = |writer: TxnNo| match writer {
            NONE => !self.lists.allow_unwritten,
            writer => self.failed(writer),
        };
        let first = |number: usize| {
            let places = 0..self.lists.keys[number].order.len();
            places.into_iter().find(|place| bad(self.writer(number as u32, *place)))
        };
        (0..self.lists.keys.len()).map(|number| first(number).unwrap_or(usize::MAX)).collect()
    }
}

/// What nobody has read of a key: it comes behind what somebody has.
struct Tail {
    writers: Vec<TxnNo>,
    /// The first of two nodes for each, if there are several writers.
    nodes: u32,
}

impl Finished<'_> {
    /// What came before what, by what was read.
    fn edges(&mut self) -> Edges {
        let mut edges = Edges::default();
        let mut others = vec![false; self.lists.keys.len()];
        for other in &self.lists.others {
            others[other.key as usize] = true;
        }
        let mut nexts = Vec::new();
        let mut tails = Vec::new();
        for key in 0..self.lists.keys.len() as u32 {
            // Of a key without an order it is not known what came last.
            let tail = if others[key as usize] { None } else { self.tail(key, &mut edges) };
            nexts.push(self.order(key, tail.as_ref(), &mut edges));
            tails.push(tail);
        }
        self.other_orders(&mut edges);
        let mut versions: FxHashMap<(u32, u32), TxnNo> = FxHashMap::default();
        let lists = self.lists;
        for (txn, row) in lists.table.iter() {
            if row.status != Status::Ok {
                continue;
            }
            let mops = lists.table.mops(txn);
            for (place, mop) in mops.iter().enumerate() {
                let Act::ReadList(length) = mop.act else { continue };
                let (key, length) = (mop.key, length as usize);
                let before = || mops[..place].iter().rev().filter(|before| before.key == key);
                if before().next() == Some(mop) {
                    continue;
                }
                let writer = length.checked_sub(1).map_or(NONE, |last| self.writer(key, last));
                if writer == txn {
                    continue;
                }
                if self.is_known(writer) {
                    edges.add(writer, txn, Edge::Wr, key);
                }
                match (nexts[key as usize][length], &tails[key as usize]) {
                    (NONE, Some(tail)) => tail.behind(txn, Edge::Rw, key, &mut edges),
                    (NONE, None) => {}
                    (next, _) => edges.add(txn, next, Edge::Rw, key),
                }
                let writes = |mop: &Mop| mop.key == key && matches!(mop.act, Act::Write(_));
                if before().next().is_none() && mops[place..].iter().any(writes) {
                    self.updates(txn, key, length as u32, &mut versions);
                }
            }
        }
        edges
    }

    /// Lists that contradict the longest one show an order as well.
    fn other_orders(&self, edges: &mut Edges) {
        for other in &self.lists.others {
            let elements = &self.lists.keys[other.key as usize].elements;
            let writers =
                other.list.iter().map(|atom| elements.get(atom).map_or(NONE, |it| it.writer));
            let writers: Vec<TxnNo> = writers.filter(|writer| self.is_known(*writer)).collect();
            for pair in writers.windows(2) {
                edges.add(pair[0], pair[1], Edge::Ww, other.key);
            }
            if let Some(last) = writers.last() {
                edges.add(*last, other.txn, Edge::Wr, other.key);
            }
        }
    }

    /// The writers of a key in their order; who wrote next behind each length.
    fn order(&self, key: u32, tail: Option<&Tail>, edges: &mut Edges) -> Vec<TxnNo> {
        let length = self.lists.keys[key as usize].order.len();
        let mut next = vec![NONE; length + 1];
        for place in (0..length).rev() {
            let writer = self.writer(key, place);
            if !self.is_known(writer) {
                next[place] = next[place + 1];
                continue;
            }
            match (next[place + 1], tail) {
                (NONE, Some(tail)) => tail.behind(writer, Edge::Ww, key, edges),
                (NONE, None) => {}
                (next, _) => edges.add(writer, next, Edge::Ww, key),
            }
            next[place] = writer;
        }
        next
    }

    fn tail(&self, number: u32, edges: &mut Edges) -> Option<Tail> {
        let key = &self.lists.keys[number as usize];
        let unread = key.elements.values().filter(|element| element.place == NONE);
        let happened = |writer: &TxnNo| *writer < SEVERAL && self.status(*writer) == Status::Ok;
        let mut writers: Vec<TxnNo> =
            unread.map(|element| element.writer).filter(happened).collect();
        writers.sort_unstable();
        writers.dedup();
        let count = writers.len() as u32;
        if count == 0 {
            return None;
        }
        let txns = self.lists.table.len();
        let mut node = || edges.virtual_node(txns);
        let nodes =
            if count == 1 { NONE } else { (0..2 * count).map(|_| node()).min().unwrap_or(NONE) };
        let tail = Tail { writers, nodes };
        if count > 1 {
            for (place, writer) in tail.writers.iter().enumerate() {
                let place = place as u32;
                edges.add(tail.from(place), *writer, Edge::Ww, number);
                edges.add(tail.down_from(place), *writer, Edge::Ww, number);
                if place + 1 < count {
                    edges.add(tail.from(place), tail.from(place + 1), Edge::Ww, number);
                    edges.add(tail.down_from(place + 1), tail.down_from(place), Edge::Ww, number);
                }
            }
        }
        Some(tail)
    }

    /// A transaction has read this version and replaced it.
    fn updates(
        &mut self,
        txn: TxnNo,
        key: u32,
        length: u32,
        versions: &mut FxHashMap<(u32, u32), TxnNo>,
    ) {
        let first = *versions.entry((key, length)).or_insert(txn);
        if first != txn {
            let words = format!(
                "lines {} and {} have both read key {} with {length} elements and appended to it",
                self.line(first),
                self.line(txn),
                self.key_text(key),
            );
            self.report("lost-update", words);
        }
    }
}

impl Tail {
    /// The node behind which are all writers from this place on.
    fn from(&self, place: u32) -> u32 {
        self.nodes + place
    }

    /// The node behind which are all writers up to this place.
    fn down_from(&self, place: u32) -> u32 {
        self.nodes + self.writers.len() as u32 + place
    }

    /// All writers but itself come behind `txn`.
    fn behind(&self, txn: TxnNo, edge: Edge, key: u32, edges: &mut Edges) {
        let last = self.writers.len() as u32 - 1;
        match self.writers.binary_search(&txn) {
            _ if last == 0 => edges.add(txn, self.writers[0], edge, key),
            Err(_) => edges.add(txn, self.from(0), edge, key),
            Ok(place) => {
                let place = place as u32;
                if place < last {
                    edges.add(txn, self.from(place + 1), edge, key);
                }
                if place > 0 {
                    edges.add(txn, self.down_from(place - 1), edge, key);
                }
            }
        }
    }
}

impl Explain for Finished<'_> {
    fn mop(&self, mop: &Mop) -> String {
        let key = self.key_text(mop.key);
        let order = &self.lists.keys[mop.key as usize].order;
        match mop.act {
            Act::Write(element) => format!("[:append {key} {}]", self.lists.atoms.text(element)),
            Act::ReadList(length) => {
                format!("[:r {key} {}]", self.lists.atoms.list(&order[..length as usize]))
            }
            Act::ReadOther(other) => {
                let list = &self.lists.others[other as usize].list;
                format!("[:r {key} {}]", self.lists.atoms.list(list))
            }
            Act::Read(_) => unreachable!("lists are read as lists"),
        }
    }

    fn edge(&self, from: TxnNo, arc: Arc) -> String {
        let key = self.key_text(arc.key);
        match arc.edge {
            Edge::Ww => format!("appended to key {key} behind it"),
            Edge::Wr => format!("read of key {key} what it appended"),
            Edge::Rw => {
                let read = self.lists.table.mops(from).iter().find(|mop| mop.key == arc.key);
                let read = read.map(|mop| self.mop(mop)).unwrap_or_default();
                format!("appended to key {key} what {read} did not see")
            }
            Edge::Process | Edge::Realtime => unreachable!("no key has to do with it"),
        }
    }
}
