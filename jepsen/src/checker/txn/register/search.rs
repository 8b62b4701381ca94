//! Whether there is any order of versions with which a level holds.
//!
//! Two writers of a key have one of two orders, and each puts edges into the graph: the
//! one before the other, and who read the one before the other, too. The level holds if
//! the orders can be chosen so that the graph has no cycle (`solve`). What the nodes are
//! tells the levels apart:
//!
//! ```text
//!   serializable         t                  one node, all edges between them
//!   snapshot isolation   t▷ ─▶ t◀           begin and commit:  wr, ww, sessions: u◀ ─▶ t▷
//!   prefix               t▷ ─▶ t◀           and ww: u◀ ─▶ t◀      rw, in all: t▷ ─▶ u◀
//! ```
//!
//! Cobra (Tan et al., OSDI 2020) for the first, PolySI (Huang et al., VLDB 2023) and
//! Cerone, Bernardi and Gotsman (2015) for the second, Biswas and Enea (2019) for the third.
//!
//! Repeatable read (Adya's PL-2.99) is the one level of which two things are meant. Without
//! predicates nothing but predicates tells it from serializable, so that no order is searched
//! for: if no anomaly breaks it, it is that of the standard and of dbcop, read committed and
//! one value of a key in all reads of a transaction.
//!
//! Readers of a version that do not write the key share a node between them and whoever
//! comes next, so that a choice is two edges and not one for each reader. Where sessions
//! or real time tell the order of two writers there is no choice.

use rustc_hash::FxHashMap;

use super::super::judge;
use super::super::solve::{Answer, Choices, Polygraph, solve};
use super::super::table::{NONE, Status, Table, TxnNo};
use super::super::words::Words;
use super::Registers;
use super::order::{Key, Versions};
use super::weak::{self, Weak};
use crate::budget::Budget;
use crate::checker::{Anomaly, Finding, Verdict};
use crate::level::Level;

/// What is to be without a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nodes {
    Serializable,
    Snapshot,
    Prefix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Orders {
    sessions: bool,
    real_time: bool,
}

/// Levels are decided all, not only the one asked for, in histories up to so many
/// transactions.
const SMALL: usize = 50_000;

/// So many choices are searched at most: they take some gigabytes.
const MOST_CHOICES: usize = 1 << 26;

/// The levels that are decided by search, weaker ones first.
const SEARCHED: [(Level, Nodes, bool, bool); 7] = [
    (Level::SnapshotIsolation, Nodes::Snapshot, false, false),
    (Level::Serializable, Nodes::Serializable, false, false),
    (Level::Prefix, Nodes::Prefix, true, false),
    (Level::StrongSessionSnapshotIsolation, Nodes::Snapshot, true, false),
    (Level::StrongSessionSerializable, Nodes::Serializable, true, false),
    (Level::StrongSnapshotIsolation, Nodes::Snapshot, true, true),
    (Level::StrictSerializable, Nodes::Serializable, true, true),
];

/// Decides what anomalies have left open: the level asked for, and in small histories all
/// of them.
pub(super) fn decide(
    registers: &Registers,
    versions: &Versions<'_>,
    finding: &mut Finding,
    budget: &mut Budget,
) {
    let asked = finding.level;
    let mut decided = Decided {
        registers,
        versions,
        finding,
        budget,
        holds: Vec::new(),
        broken: Vec::new(),
        answers: Vec::new(),
        order: None,
    };
    let holds = decided.level(asked);
    if holds != Some(true) && registers.table.len() <= SMALL {
        let weak = [
            Level::ReadCommitted,
            Level::RepeatableRead,
            Level::ReadAtomic,
            Level::StrongSessionReadCommitted,
            Level::Causal,
        ];
        for level in weak.into_iter().chain(SEARCHED.map(|(level, ..)| level)) {
            decided.level(level);
        }
    }
    // What no search decides holds if something stronger does.
    let open = decided.level(asked).is_none();
    decided.report();
    if open && decided.finding.verdict == Verdict::Valid {
        let open =
            || format!("the order of versions is not known, and {asked} is not searched for");
        let reason = decided.budget.spent().map_or_else(open, str::to_owned);
        decided.finding.verdict = Verdict::Unknown;
        decided.finding.reason = Some(reason);
    }
}

struct Decided<'a> {
    registers: &'a Registers,
    versions: &'a Versions<'a>,
    finding: &'a mut Finding,
    budget: &'a mut Budget,
    holds: Vec<Level>,
    broken: Vec<Level>,
    /// What has been searched for, with its answer.
    answers: Vec<(Nodes, Orders, bool)>,
    /// Places of the transactions' commits in an order with which the last of these holds.
    order: Option<Vec<u32>>,
}

impl Decided<'_> {
    /// Whether a level holds, as far as that can be told.
    fn level(&mut self, level: Level) -> Option<bool> {
        let broken = self.finding.violated.iter().chain(&self.broken);
        if broken.into_iter().any(|weaker| level.contains(*weaker)) {
            return Some(false);
        }
        if self.holds.iter().any(|stronger| stronger.contains(level)) {
            return Some(true);
        }
        let holds = self.holds(level)?;
        if holds {
            // That reads repeat says nothing of what is weaker in Adya's order.
            if level != Level::RepeatableRead {
                self.holds.push(level);
            }
        } else {
            self.broken.push(level);
        }
        Some(holds)
    }

    /// Whether each transaction has read one value of a key, or its own.
    fn repeats(&self) -> bool {
        self.finding.anomalies.iter().all(|found| found.name != "internal")
    }

    /// Reports what is broken: what contains it is so as well, and goes without saying.
    fn report(&mut self) {
        let mut broken = std::mem::take(&mut self.broken);
        let all = broken.clone();
        broken.retain(|level| !all.iter().any(|weaker| weaker != level && level.contains(*weaker)));
        if broken.is_empty() {
            return;
        }
        let names: Vec<&str> = broken.iter().map(|level| level.name()).collect();
        let words = format!(
            "there is no order of versions with which the history is {}",
            names.join(" or ")
        );
        let name = "no-version-order".to_owned();
        let finding = &mut *self.finding;
        finding.anomalies.push(Anomaly { name, words, breaks: broken, picture: None });
        let anomalies = std::mem::take(&mut finding.anomalies);
        *finding = Finding::new(finding.level, anomalies, finding.ops, finding.reason.take());
        self.show();
    }

    /// Shows with an order of versions, if one of the levels holds, why others do not.
    fn show(&mut self) {
        let Some(order) = self.order.take() else { return };
        let edges = self.versions.edges_of(&order);
        let table = &self.registers.table;
        let words = Words { table, explain: self.registers };
        self.finding.anomalies.extend(judge::shown(table, edges, &words, self.budget));
    }

    fn holds(&mut self, level: Level) -> Option<bool> {
        let sessions = self.registers.sessions;
        let repeats = self.repeats();
        let mut weak = |weak, sessions| weak::holds(self.versions, weak, sessions, self.budget);
        match level {
            // The order of transactions is one of versions.
            Level::ReadUncommitted => Some(true),
            Level::ReadCommitted => weak(Weak::ReadCommitted, sessions),
            Level::RepeatableRead if repeats => weak(Weak::ReadCommitted, sessions),
            Level::RepeatableRead => Some(false),
            Level::ReadAtomic => weak(Weak::ReadAtomic, sessions),
            Level::StrongSessionReadCommitted => weak(Weak::ReadCommitted, true),
            Level::Causal => weak(Weak::Causal, true),
            level => {
                let searched = SEARCHED.into_iter().find(|(searched, ..)| *searched == level);
                let (_, nodes, in_sessions, real_time) = searched?;
                let real_time = real_time && self.registers.table.barriers() > 0;
                let orders = Orders { sessions: sessions || in_sessions, real_time };
                let same = self.answers.iter().find(|(a, b, _)| (*a, *b) == (nodes, orders));
                if let Some((.., holds)) = same {
                    return Some(*holds);
                }
                let build = Build::new(self.versions, nodes, orders);
                let commits: Vec<u32> =
                    (0..self.registers.table.len()).map(|txn| build.commit(txn as TxnNo)).collect();
                let holds = match solve(&build.polygraph(self.budget)?, self.budget) {
                    Answer::Acyclic { order, .. } => {
                        // Snapshot isolation tells most of the order.
                        if nodes == Nodes::Snapshot || self.order.is_none() {
                            let places = commits.into_iter().map(|node| order[node as usize]);
                            self.order = Some(places.collect());
                        }
                        true
                    }
                    Answer::Cyclic { .. } => false,
                    Answer::Spent => return None,
                };
                self.answers.push((nodes, orders, holds));
                Some(holds)
            }
        }
    }
}

/// A history as a graph with choices.
struct Build<'a> {
    versions: &'a Versions<'a>,
    nodes: Nodes,
    orders: Orders,
    /// How many nodes there are so far.
    count: u32,
    edges: Vec<(u32, u32)>,
    choices: Choices,
    /// The place of each transaction in an order that is likely.
    likely: Vec<u32>,
}

/// A writer of a key, with its readers.
struct Writer {
    /// `NONE` for the initial state.
    txn: TxnNo,
    /// Readers that write the key, too.
    replaced_by: Vec<TxnNo>,
    /// A node behind all other readers, if there are any.
    hub: Option<u32>,
}

impl<'a> Build<'a> {
    fn new(versions: &'a Versions<'a>, nodes: Nodes, orders: Orders) -> Build<'a> {
        let txns = versions.registers.table.len() as u32;
        let likely = likely(&versions.registers.table);
        let count = if nodes == Nodes::Serializable { txns } else { 2 * txns };
        Build {
            versions,
            nodes,
            orders,
            count,
            edges: Vec::new(),
            choices: Choices::default(),
            likely,
        }
    }

    fn begin(&self, txn: TxnNo) -> u32 {
        let place = self.likely[txn as usize];
        if self.nodes == Nodes::Serializable { place } else { 2 * place }
    }

    fn commit(&self, txn: TxnNo) -> u32 {
        let place = self.likely[txn as usize];
        if self.nodes == Nodes::Serializable { place } else { 2 * place + 1 }
    }

    /// None if the budget ends before: of so many writers of one key that each two of them
    /// are a choice there may be more than memory holds.
    fn polygraph(mut self, budget: &mut Budget) -> Option<Polygraph> {
        if self.nodes != Nodes::Serializable {
            for txn in 0..self.versions.registers.table.len() as TxnNo {
                self.edges.push((self.begin(txn), self.commit(txn)));
            }
        }
        self.time();
        for key in &self.versions.keys {
            self.key(key, budget)?;
        }
        Some(Polygraph { nodes: self.count, edges: self.edges, choices: self.choices })
    }

    /// Sessions, and real time by way of its barriers.
    fn time(&mut self) {
        let table = &self.versions.registers.table;
        let barriers = self.count;
        if self.orders.real_time {
            self.count += table.barriers();
            for barrier in 1..table.barriers() {
                self.edges.push((barriers + barrier - 1, barriers + barrier));
            }
        }
        for (txn, row) in table.iter().filter(|(_, row)| row.status != Status::Fail) {
            for later in table.later(txn).filter(|_| self.orders.sessions) {
                self.edges.push((self.commit(txn), self.begin(later)));
            }
            if self.orders.real_time && row.before != NONE {
                self.edges.push((self.commit(txn), barriers + row.before));
            }
            if self.orders.real_time && row.behind != NONE {
                self.edges.push((barriers + row.behind, self.begin(txn)));
            }
        }
    }

    fn key(&mut self, key: &Key, budget: &mut Budget) -> Option<()> {
        let mut writes: Vec<TxnNo> = key.versions.iter().map(|version| version.writer).collect();
        writes.retain(|writer| *writer != NONE);
        writes.sort_unstable();
        writes.dedup();
        let mut writers: Vec<Writer> = Vec::new();
        for (place, version) in key.versions.iter().enumerate() {
            if version.writer == NONE && place != 0 {
                // Of nobody known: it has no place in the order.
                continue;
            }
            if !version.newest {
                continue;
            }
            writers.push(self.writer(version.writer, &version.readers, &writes));
        }
        let (initial, writers) = writers.split_first().expect("the initial state is there");
        for writer in writers {
            self.next(initial, writer.txn);
        }
        self.order(writers, budget)
    }

    fn writer(&mut self, txn: TxnNo, readers: &[TxnNo], writes: &[TxnNo]) -> Writer {
        let mut replaced_by = Vec::new();
        let mut hub = None;
        for reader in readers {
            if txn != NONE {
                self.edges.push((self.commit(txn), self.begin(*reader)));
            }
            if writes.binary_search(reader).is_ok() {
                replaced_by.push(*reader);
            } else {
                let hub = *hub.get_or_insert_with(|| {
                    self.count += 1;
                    self.count - 1
                });
                self.edges.push((self.begin(*reader), hub));
            }
        }
        Writer { txn, replaced_by, hub }
    }

    /// The edges that say that `earlier` is before `later`.
    fn said(&self, earlier: &Writer, later: TxnNo) -> Vec<(u32, u32)> {
        let mut said = Vec::with_capacity(2);
        if earlier.txn != NONE {
            let to = match self.nodes {
                Nodes::Prefix => self.commit(later),
                Nodes::Snapshot | Nodes::Serializable => self.begin(later),
            };
            said.push((self.commit(earlier.txn), to));
        }
        said.extend(earlier.hub.map(|hub| (hub, self.commit(later))));
        let readers = earlier.replaced_by.iter().filter(|reader| **reader != later);
        said.extend(readers.map(|reader| (self.begin(*reader), self.commit(later))));
        said
    }

    fn next(&mut self, earlier: &Writer, later: TxnNo) {
        let said = self.said(earlier, later);
        self.edges.extend(said);
    }

    /// Which of two writers is before the other: known, or a choice.
    fn order(&mut self, writers: &[Writer], budget: &mut Budget) -> Option<()> {
        let table = &self.versions.registers.table;
        // Who was not invoked began before all; who is not done never ends.
        let begins = |txn: TxnNo| match table.txn(txn).behind {
            _ if !self.orders.real_time => 0,
            NONE => 0,
            behind => behind + 1,
        };
        let ends = |txn: TxnNo| match table.txn(txn).before {
            before if self.orders.real_time && before != NONE => before + 1,
            _ => u32::MAX,
        };
        let mut sorted: Vec<&Writer> = writers.iter().collect();
        sorted.sort_by_key(|writer| (begins(writer.txn), writer.txn));
        // The earliest end of those from a place on.
        let mut earliest = vec![u32::MAX; sorted.len() + 1];
        for at in (0..sorted.len()).rev() {
            earliest[at] = earliest[at + 1].min(ends(sorted[at].txn));
        }
        let mut sessions: FxHashMap<i64, usize> = FxHashMap::default();
        let (mut known, mut open) = (Vec::new(), Vec::new());
        for (at, writer) in sorted.iter().enumerate() {
            let end = ends(writer.txn);
            for (to, other) in sorted.iter().enumerate().skip(at + 1) {
                if !budget.step() {
                    return None;
                }
                if begins(other.txn) < end {
                    if !self.in_session(writer.txn, other.txn) {
                        open.push((at, to));
                    }
                    if self.choices.len() + open.len() > MOST_CHOICES {
                        budget.give_up("too many orders of two writers are open".to_owned());
                        return None;
                    }
                    continue;
                }
                // Who began after one of these was done follows from that one.
                let first = sorted.partition_point(|writer| begins(writer.txn) < end);
                if begins(other.txn) >= earliest[first] {
                    break;
                }
                known.push((at, to));
            }
            let row = table.txn(writer.txn);
            if self.orders.sessions && row.status == Status::Ok {
                known.extend(sessions.insert(row.process, at).map(|before| (before, at)));
            }
        }
        for (earlier, later) in known {
            self.next(sorted[earlier], sorted[later].txn);
        }
        for (one, other) in open {
            let (one, other) = (sorted[one], sorted[other]);
            let forward = one.replaced_by.contains(&other.txn);
            let backward = other.replaced_by.contains(&one.txn);
            match (forward, backward) {
                (true, _) => self.next(one, other.txn),
                (false, true) => self.next(other, one.txn),
                (false, false) => {
                    let sides = [self.said(one, other.txn), self.said(other, one.txn)];
                    self.choices.push([&sides[0], &sides[1]]);
                }
            }
            if !budget.step() {
                return None;
            }
        }
        Some(())
    }

    /// Whether the order of sessions tells which of them is before the other.
    fn in_session(&self, one: TxnNo, other: TxnNo) -> bool {
        let table = &self.versions.registers.table;
        let (one, other) = (table.txn(one), table.txn(other));
        let both = one.status == Status::Ok && other.status == Status::Ok;
        self.orders.sessions && both && one.process == other.process
    }
}

/// Places of the transactions in an order that is likely: that of their invocations, and
/// where there are none, all sessions side by side.
fn likely(table: &Table) -> Vec<u32> {
    let mut lengths: FxHashMap<i64, u32> = FxHashMap::default();
    let within: Vec<u32> = table
        .iter()
        .map(|(_, row)| {
            let length = lengths.entry(row.process).or_default();
            *length += 1;
            *length - 1
        })
        .collect();
    let mut sorted: Vec<TxnNo> = (0..table.len() as TxnNo).collect();
    if table.barriers() == 0 {
        let part = |txn: TxnNo| {
            let length = lengths[&table.txn(txn).process];
            (u64::from(within[txn as usize]) << 32) / u64::from(length)
        };
        sorted.sort_by_key(|txn| (part(*txn), *txn));
    }
    let mut places = vec![0; sorted.len()];
    for (place, txn) in sorted.into_iter().enumerate() {
        places[txn as usize] = place as u32;
    }
    places
}
