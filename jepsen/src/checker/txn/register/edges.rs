//! What came before what, by the versions that are known to be before others.

use super::super::anomaly;
use super::super::cycle::Extra;
use super::super::fan::Fan;
use super::super::graph::{Arc, Edge, Edges, components};
use super::super::table::{Act, Mop, NONE, TxnNo};
use super::super::words::Explain;
use super::Registers;
use super::order::{Key, Versions};
use crate::budget::Budget;
use crate::checker::Anomaly;

impl Versions<'_> {
    /// The edges that follow, and whether there are any but of versions that their writer
    /// overwrote itself, which are nobody's to read. Where versions are before themselves,
    /// that is reported.
    pub(super) fn edges(&self, found: &mut Vec<Anomaly>) -> (Edges, bool) {
        let mut edges = Edges::default();
        let mut linked = false;
        for (number, key) in self.keys.iter().enumerate() {
            let number = number as u32;
            let cyclic = is_cyclic(key);
            if cyclic {
                let key = self.registers.key_text(number);
                let words = || format!("versions of key {key} would have to be before themselves");
                anomaly::report(found, "cyclic-versions", words);
            }
            self.initial(number, key, &mut edges);
            linked |= !edges.is_empty() && !key.versions[0].readers.is_empty();
            for (place, version) in key.versions.iter().enumerate() {
                if version.writer == NONE {
                    continue;
                }
                for reader in &version.readers {
                    let (to, edge) = (*reader, Edge::Wr);
                    edges.add(version.writer, Arc { to, key: number, edge, by: Extra::None });
                    linked = linked || key.versions[place].newest;
                }
            }
            let mut before = key.before.clone();
            before.sort_unstable();
            before.dedup_by_key(|(earlier, later, _)| (*earlier, *later));
            for (place, later, by) in before {
                let (earlier, to) =
                    (&key.versions[place as usize], key.versions[later as usize].writer);
                if to == NONE || (cyclic && by == Extra::None) {
                    continue;
                }
                if earlier.writer != NONE {
                    edges.add(earlier.writer, Arc { to, key: number, edge: Edge::Ww, by });
                }
                for reader in &earlier.readers {
                    edges.add(*reader, Arc { to, key: number, edge: Edge::Rw, by });
                }
                let from = earlier.readers.iter().chain(Some(&earlier.writer));
                let mut from = from.filter(|from| **from != NONE && **from != to);
                linked = linked || (from.next().is_some() && key.versions[place as usize].newest);
            }
        }
        (edges, linked)
    }

    /// The edges if the versions are in the order in which `commits` has their writers.
    pub(super) fn edges_of(&self, commits: &[u32]) -> Edges {
        let mut edges = Edges::default();
        for (number, key) in self.keys.iter().enumerate() {
            let mut places: Vec<usize> = (0..key.versions.len())
                .filter(|place| *place == 0 || key.versions[*place].writer != NONE)
                .filter(|place| key.versions[*place].newest)
                .collect();
            places.sort_by_key(|place| match key.versions[*place].writer {
                NONE => 0,
                writer => commits[writer as usize] + 1,
            });
            let arc = |to, edge| Arc { to, key: number as u32, edge, by: Extra::None };
            for (at, place) in places.iter().enumerate() {
                let version = &key.versions[*place];
                let next = places.get(at + 1).map(|next| key.versions[*next].writer);
                if version.writer != NONE {
                    next.iter().for_each(|next| edges.add(version.writer, arc(*next, Edge::Ww)));
                }
                for reader in &version.readers {
                    if version.writer != NONE {
                        edges.add(version.writer, arc(*reader, Edge::Wr));
                    }
                    next.iter().for_each(|next| edges.add(*reader, arc(*next, Edge::Rw)));
                }
            }
        }
        edges
    }

    /// Who has read the initial state comes before all who wrote.
    fn initial(&self, number: u32, key: &Key, edges: &mut Edges) {
        if key.versions[0].readers.is_empty() {
            return;
        }
        let writers = key.versions.iter().map(|version| version.writer);
        let writers: Vec<TxnNo> = writers.filter(|writer| *writer != NONE).collect();
        let txns = self.registers.table.len();
        if let Some(fan) = Fan::new(writers, number, txns, edges) {
            for reader in &key.versions[0].readers {
                fan.behind(*reader, Edge::Rw, number, edges);
            }
        }
    }
}

/// Whether versions are before themselves, without sessions and real time.
fn is_cyclic(key: &Key) -> bool {
    let known: Vec<(u32, u32)> = key
        .before
        .iter()
        .filter(|(_, _, by)| *by == Extra::None)
        .map(|(earlier, later, _)| (*earlier, *later))
        .collect();
    if known.iter().any(|(_, later)| *later == 0) {
        return true;
    }
    if known.len() < 2 {
        return false;
    }
    let mut sorted = known;
    sorted.sort_unstable();
    let arcs = |version: u32, into: &mut Vec<u32>| {
        let from = sorted.partition_point(|(earlier, _)| *earlier < version);
        let of = sorted[from..].iter().take_while(|(earlier, _)| *earlier == version);
        into.extend(of.map(|(_, later)| *later));
    };
    let count = key.versions.len();
    let found = components(count, arcs, &mut Budget::unlimited()).expect("there is no limit");
    found.iter().max().is_some_and(|most| (*most as usize) + 1 < count)
}

impl Explain for Registers {
    fn mop(&self, mop: &Mop) -> String {
        let key = self.key_text(mop.key);
        match mop.act {
            Act::Write(value) => format!("[:w {key} {}]", self.atoms.text(value)),
            Act::Read(value) => format!("[:r {key} {}]", self.value_text(value)),
            Act::ReadList(_) | Act::ReadOther(_) => unreachable!("registers hold no lists"),
        }
    }

    fn edge(&self, from: TxnNo, arc: Arc) -> String {
        let key = self.key_text(arc.key);
        let because = match arc.by {
            Extra::None => "",
            Extra::Process => ", as sessions show",
            Extra::Realtime => ", as real time shows",
        };
        match arc.edge {
            Edge::Ww => format!("wrote key {key} after it{because}"),
            Edge::Wr => format!("read of key {key} what it wrote"),
            Edge::Rw => {
                let reads = |mop: &&Mop| mop.key == arc.key && matches!(mop.act, Act::Read(_));
                let read = self.table.mops(from).iter().find(reads);
                let read = read.map(|mop| self.mop(mop)).unwrap_or_default();
                format!("wrote key {key} after what {read} saw{because}")
            }
            Edge::Process | Edge::Realtime => unreachable!("no key has to do with it"),
        }
    }
}
