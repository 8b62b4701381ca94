//! What came before what, by the lists that were read.

use rustc_hash::FxHashMap;

use super::super::atom::Atom;
use super::super::cycle::Extra;
use super::super::fan::Fan;
use super::super::graph::{Arc, Edge, Edges};
use super::super::table::{Act, Mop, NONE, SEVERAL, Status, TxnNo};
use super::super::words::Explain;
use super::reads::Finished;

pub(super) fn arc(to: TxnNo, edge: Edge, key: u32) -> Arc {
    Arc { to, key, edge, by: Extra::None }
}

impl Finished<'_> {
    /// What came before what, by what was read; and by key who appended what was not, where
    /// they are several.
    pub(super) fn edges(&mut self) -> (Edges, Vec<Vec<TxnNo>>) {
        let mut edges = Edges::default();
        let mut others = vec![false; self.lists.keys.len()];
        for other in &self.lists.others {
            others[other.key as usize] = true;
        }
        let happened = self.happened();
        let mut nexts = Vec::new();
        let mut tails = Vec::new();
        for key in 0..self.lists.keys.len() as u32 {
            // Of a key without an order it is not known what came last.
            let tail =
                if others[key as usize] { None } else { self.tail(key, &happened, &mut edges) };
            nexts.push(self.order(key, tail.as_ref(), &mut edges));
            tails.push(tail);
        }
        self.torn(&happened, &mut edges);
        let mut versions = FxHashMap::default();
        let lists = self.lists;
        for (txn, row) in lists.table.iter() {
            if row.status != Status::Ok {
                continue;
            }
            let mops = lists.table.mops(txn);
            for (place, mop) in mops.iter().enumerate() {
                let Some(list) = self.list(mop) else { continue };
                let (key, length) = (mop.key, list.len());
                let before = || mops[..place].iter().rev().filter(|before| before.key == key);
                if before().next() == Some(mop) {
                    continue;
                }
                let writes = |mop: &Mop| mop.key == key && matches!(mop.act, Act::Write(_));
                if before().next().is_none() && mops[place..].iter().any(writes) {
                    self.updates(txn, mop, list, &mut versions);
                }
                if matches!(mop.act, Act::ReadOther(_)) {
                    continue;
                }
                let from = self.seen(txn, key, length);
                if self.is_known(from) {
                    edges.add(from, arc(txn, Edge::Wr, key));
                }
                if length.checked_sub(1).is_some_and(|last| self.writer(key, last) == txn) {
                    continue;
                }
                match (nexts[key as usize][length], &tails[key as usize]) {
                    (NONE, Some(tail)) => tail.behind(txn, Edge::Rw, key, &mut edges),
                    (NONE, None) => {}
                    (next, _) => edges.add(txn, arc(next, Edge::Rw, key)),
                }
            }
        }
        let unread = tails.iter().flatten().map(Fan::writers);
        let unread = unread.filter(|writers| writers.len() > 1).map(<[TxnNo]>::to_vec).collect();
        (edges, unread)
    }

    /// The writers of a key in their order; who wrote next behind each length.
    fn order(&self, key: u32, tail: Option<&Fan>, edges: &mut Edges) -> Vec<TxnNo> {
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
                (next, _) => edges.add(writer, arc(next, Edge::Ww, key)),
            }
            next[place] = writer;
        }
        next
    }

    /// Who appended what nobody has read.
    fn tail(&self, key: u32, happened: &[bool], edges: &mut Edges) -> Option<Fan> {
        let elements = self.lists.keys[key as usize].elements.values();
        let unread = elements.filter(|element| element.place == NONE).map(|element| element.writer);
        let happened = |writer: &TxnNo| *writer < SEVERAL && happened[*writer as usize];
        Fan::new(unread.filter(happened).collect(), key, self.lists.table.len(), edges)
    }

    /// Who is known to have happened: who says so, and of whom something was read.
    fn happened(&self) -> Vec<bool> {
        let rows = self.lists.table.iter();
        let mut happened: Vec<bool> = rows.map(|(_, txn)| txn.status == Status::Ok).collect();
        let mut read = |writer: TxnNo| {
            if self.is_known(writer) {
                happened[writer as usize] = true;
            }
        };
        for key in &self.lists.keys {
            let elements = key.elements.values().filter(|element| element.place != NONE);
            elements.for_each(|element| read(element.writer));
        }
        for other in &self.lists.others {
            let elements = &self.lists.keys[other.key as usize].elements;
            let read_of = other.list.iter().filter_map(|atom| elements.get(atom));
            read_of.for_each(|element| read(element.writer));
        }
        happened
    }

    /// A transaction has read this version and replaced it.
    fn updates<'b>(
        &mut self,
        txn: TxnNo,
        mop: &Mop,
        list: &'b [Atom],
        versions: &mut FxHashMap<(u32, usize, &'b [Atom]), TxnNo>,
    ) {
        // Of those that are a prefix of the longest one the length tells which it is.
        let other = if matches!(mop.act, Act::ReadOther(_)) { list } else { &[] };
        let first = *versions.entry((mop.key, list.len(), other)).or_insert(txn);
        if first != txn {
            let words = format!(
                "lines {} and {} have both read key {} with {} elements and appended to it",
                self.line(first),
                self.line(txn),
                self.key_text(mop.key),
                list.len(),
            );
            self.report("lost-update", words);
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
