//! Keys of which the lists contradict each other.
//!
//! ```text
//!   [1 2 3]   [1 4]        1 ─▶ 2 ─▶ 3 ─▶ 4       each list shows an order, and what the
//!                          └─────────────▶ 4      longest lacks is taken to come behind it
//! ```
//!
//! No order of such a key is right, and that is an anomaly by itself. What else went wrong
//! is found all the same, with all of the orders at once; the longest list is what Elle
//! takes for the order.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use super::super::atom::Atom;
use super::super::fan::Fan;
use super::super::graph::{Edge, Edges};
use super::super::table::{Act, Mop, SEVERAL, Status, TxnNo};
use super::edges::arc;
use super::reads::Finished;

/// Such a key.
struct Torn<'a> {
    /// Its lists; the first one is that which the others contradict.
    lists: Vec<&'a [Atom]>,
    /// Who has read it, and what came last in what was read.
    readers: Vec<(Option<Atom>, TxnNo)>,
}

impl<'a> Finished<'a> {
    /// The list that an operation has read.
    pub(super) fn list(&self, mop: &Mop) -> Option<&'a [Atom]> {
        match mop.act {
            Act::ReadList(length) => {
                Some(&self.lists.keys[mop.key as usize].order[..length as usize])
            }
            Act::ReadOther(other) => Some(&self.lists.others[other as usize].list),
            Act::Write(_) | Act::Read(_) => None,
        }
    }

    /// What came before what in keys whose lists contradict each other.
    pub(super) fn torn(&self, happened: &[bool], edges: &mut Edges) {
        let mut torn: BTreeMap<u32, Torn<'_>> = BTreeMap::new();
        for other in &self.lists.others {
            let order = &self.lists.keys[other.key as usize].order[..];
            let new = || Torn { lists: vec![order], readers: Vec::new() };
            torn.entry(other.key).or_insert_with(new).lists.push(&other.list);
        }
        if torn.is_empty() {
            return;
        }
        let rows = self.lists.table.iter().filter(|(_, row)| row.status == Status::Ok);
        for (txn, _) in rows {
            for mop in self.lists.table.mops(txn) {
                if let (Some(torn), Some(list)) = (torn.get_mut(&mop.key), self.list(mop)) {
                    torn.readers.push((list.last().copied(), txn));
                }
            }
        }
        for (key, torn) in torn {
            self.pairs(key, &torn, edges);
            self.lacking(key, &torn, happened, edges);
        }
    }

    /// Who appended an element, if that is known.
    fn known_writer(&self, key: u32, atom: Atom) -> Option<TxnNo> {
        let element = self.lists.keys[key as usize].elements.get(&atom)?;
        Some(element.writer).filter(|writer| self.is_known(*writer))
    }

    /// Whatever stands behind something in one of the lists comes behind it.
    fn pairs(&self, key: u32, torn: &Torn<'_>, edges: &mut Edges) {
        let mut pairs: Vec<(Option<Atom>, Atom)> = Vec::new();
        for list in &torn.lists {
            // Of what stands before, and of what does and is of somebody known.
            let (mut before, mut known) = (None, None);
            for atom in *list {
                if self.known_writer(key, *atom).is_some() {
                    pairs.extend([(before, *atom), (known, *atom)]);
                    known = Some(*atom);
                }
                before = Some(*atom);
            }
        }
        // What is there twice is not behind itself.
        pairs.retain(|(before, atom)| *before != Some(*atom));
        pairs.sort_unstable();
        pairs.dedup();
        let writer = |atom: &Atom| self.known_writer(key, *atom);
        for (before, atom) in &pairs {
            let writers = (before.as_ref().and_then(writer), writer(atom));
            if let (Some(before), Some(writer)) = writers {
                edges.add(before, arc(writer, Edge::Ww, key));
            }
        }
        for (last, reader) in &torn.readers {
            if let Some(writer) = last.as_ref().and_then(writer) {
                edges.add(writer, arc(*reader, Edge::Wr, key));
            }
            let from = pairs.partition_point(|(before, _)| before < last);
            let next = pairs[from..].iter().take_while(|(before, _)| before == last);
            for writer in next.filter_map(|(_, atom)| writer(atom)) {
                edges.add(*reader, arc(writer, Edge::Rw, key));
            }
        }
    }

    /// What the longest list lacks comes behind it.
    fn lacking(&self, key: u32, torn: &Torn<'_>, happened: &[bool], edges: &mut Edges) {
        let longest = torn.lists.iter().max_by_key(|list| list.len()).copied().unwrap_or(&[]);
        let has: FxHashSet<&Atom> = longest.iter().collect();
        let elements = self.lists.keys[key as usize].elements.iter();
        let lacking = elements.filter(|(atom, _)| !has.contains(atom));
        let writers = lacking.map(|(_, element)| element.writer);
        let writers = writers.filter(|writer| *writer < SEVERAL && happened[*writer as usize]);
        let txns = self.lists.table.len();
        let Some(fan) = Fan::new(writers.collect(), key, txns, edges) else { return };
        let last = longest.last().copied();
        if let Some(writer) = last.and_then(|last| self.known_writer(key, last)) {
            fan.behind(writer, Edge::Ww, key, edges);
        }
        for (_, reader) in torn.readers.iter().filter(|(read, _)| *read == last) {
            fan.behind(*reader, Edge::Rw, key, edges);
        }
    }
}
