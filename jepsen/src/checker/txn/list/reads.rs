//! What is wrong with a read, or with a list, by itself.

use super::super::anomaly;
use super::super::atom::Atom;
use super::super::table::{Act, NONE, SEVERAL, Status, TxnNo};
use super::Lists;
use crate::checker::Anomaly;

/// A history of which all events are there.
pub(super) struct Finished<'a> {
    pub(super) lists: &'a Lists,
    pub(super) found: Vec<Anomaly>,
}

impl<'a> Finished<'a> {
    pub(super) fn new(lists: &'a Lists, found: Vec<Anomaly>) -> Finished<'a> {
        Finished { lists, found }
    }

    pub(super) fn status(&self, txn: TxnNo) -> Status {
        self.lists.table.txn(txn).status
    }

    /// Whether it is known that this one wrote it, and did not fail.
    pub(super) fn is_known(&self, writer: TxnNo) -> bool {
        writer < SEVERAL && self.status(writer) != Status::Fail
    }

    fn failed(&self, writer: TxnNo) -> bool {
        writer < SEVERAL && self.status(writer) == Status::Fail
    }

    pub(super) fn writer(&self, key: u32, place: usize) -> TxnNo {
        let key = &self.lists.keys[key as usize];
        key.order.get(place).map_or(NONE, |atom| key.elements[atom].writer)
    }

    /// Whose list it was to which a transaction has perhaps appended, and then read so many.
    pub(super) fn seen(&self, txn: TxnNo, key: u32, length: usize) -> TxnNo {
        let writers = (0..length).rev().map(|place| self.writer(key, place));
        writers.into_iter().find(|writer| *writer != txn).unwrap_or(NONE)
    }

    pub(super) fn line(&self, txn: TxnNo) -> u64 {
        self.lists.table.txn(txn).line
    }

    pub(super) fn key_text(&self, key: u32) -> String {
        self.lists.atoms.text(self.lists.numbers.atom(key))
    }

    pub(super) fn report(&mut self, name: &str, words: String) {
        anomaly::report(&mut self.found, name, || words);
    }

    /// What is wrong with a read, or a list, by itself.
    pub(super) fn single_reads(&mut self) {
        self.incompatible();
        let lists = self.lists;
        for (key, number) in lists.keys.iter().zip(0..) {
            self.aborted(number, &key.order);
        }
        for other in &lists.others {
            self.aborted(other.key, &other.list);
        }
        let first_bad = self.first_bad();
        for (txn, row) in self.lists.table.iter() {
            if row.status == Status::Ok {
                self.reads(txn, &first_bad);
                self.fractured(txn);
            }
            self.own_order(txn);
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
            if !key.order.starts_with(&other.list) && !other.list.starts_with(&key.order) {
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

    /// Elements of a list behind one of a failed transaction.
    fn aborted(&mut self, number: u32, list: &[Atom]) {
        let mut failed = None;
        for atom in list {
            let elements = &self.lists.keys[number as usize].elements;
            let writer = elements.get(atom).map_or(NONE, |element| element.writer);
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

    /// What a transaction appended is to be there in the order in which it did.
    fn own_order(&mut self, txn: TxnNo) {
        let lists = self.lists;
        let mops = lists.table.mops(txn);
        for (at, mop) in mops.iter().enumerate() {
            let Act::Write(later) = mop.act else { continue };
            let mut earlier = mops[..at].iter().rev().filter(|before| before.key == mop.key);
            let earlier = earlier.find_map(|before| match before.act {
                Act::Write(earlier) => Some(earlier),
                _ => None,
            });
            let place = |atom: &Atom| lists.keys[mop.key as usize].elements[atom].place;
            let later_place = place(&later);
            if let Some(earlier) = earlier
                && later_place != NONE
                && place(&earlier) > later_place
            {
                let words = format!(
                    "line {} appended {} to key {} and then {}; they were read in another order",
                    self.line(txn),
                    lists.atoms.text(earlier),
                    self.key_text(mop.key),
                    lists.atoms.text(later),
                );
                self.report("incompatible-order", words);
            }
        }
    }

    fn reads(&mut self, txn: TxnNo, first_bad: &[[usize; 2]]) {
        let lists = self.lists;
        for (place, mop) in lists.table.mops(txn).iter().enumerate() {
            let Some(list) = self.list(mop) else { continue };
            let key = &lists.keys[mop.key as usize];
            if let Act::ReadList(_) = mop.act {
                let bad = first_bad[mop.key as usize].into_iter();
                for bad in bad.filter(|bad| *bad < list.len()) {
                    self.read_of(txn, mop.key, key.order[bad], self.writer(mop.key, bad));
                }
            }
            let Some(last) = list.last().copied() else { continue };
            let writer = key.elements.get(&last).map_or(NONE, |element| element.writer);
            if writer >= SEVERAL || writer == txn {
                continue;
            }
            let theirs = lists.table.mops(writer).iter().rev();
            let newest =
                theirs.filter(|theirs| theirs.key == mop.key).find_map(|mop| match mop.act {
                    Act::Write(atom) => Some(atom),
                    _ => None,
                });
            let again = lists.table.mops(txn)[..place].contains(mop);
            if !again && newest.is_some_and(|newest| newest != last) {
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

    /// Who has read what another one appended to a key has read what it appended to others.
    fn fractured(&mut self, txn: TxnNo) {
        let lists = self.lists;
        let mut shortest: Vec<(u32, u32)> = Vec::new();
        let mut from: Vec<(TxnNo, u32)> = Vec::new();
        for mop in lists.table.mops(txn) {
            if let Act::ReadList(length) = mop.act {
                shortest.push((mop.key, length));
                from.push((self.seen(txn, mop.key, length as usize), mop.key));
            }
        }
        shortest.sort_unstable();
        shortest.dedup_by_key(|(key, _)| *key);
        if shortest.len() < 2 {
            return;
        }
        from.retain(|(writer, _)| self.is_known(*writer));
        from.sort_unstable();
        from.dedup_by_key(|(writer, _)| *writer);
        for (writer, key) in from {
            let missed = lists.table.mops(writer).iter().find(|mop| {
                let Act::Write(atom) = mop.act else { return false };
                let read = shortest.binary_search_by_key(&mop.key, |(key, _)| *key);
                let place = || lists.keys[mop.key as usize].elements[&atom].place;
                mop.key != key && read.is_ok_and(|read| shortest[read].1 <= place())
            });
            if let Some(missed) = missed {
                let words = format!(
                    "line {} read of key {} what line {} appended, and of key {} not",
                    self.line(txn),
                    self.key_text(key),
                    self.line(writer),
                    self.key_text(missed.key),
                );
                self.report("fractured-read", words);
            }
        }
    }

    /// The places of the first element of each key that nobody wrote, and of the first that
    /// is of who failed.
    fn first_bad(&self) -> Vec<[usize; 2]> {
        let first = |number: u32, bad: &dyn Fn(TxnNo) -> bool| {
            let places = 0..self.lists.keys[number as usize].order.len();
            let found = places.into_iter().find(|place| bad(self.writer(number, *place)));
            found.unwrap_or(usize::MAX)
        };
        let numbers = 0..self.lists.keys.len() as u32;
        let firsts = numbers.map(|number| {
            [first(number, &|writer| writer == NONE), first(number, &|writer| self.failed(writer))]
        });
        firsts.collect()
    }
}
