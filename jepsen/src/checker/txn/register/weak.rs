//! Levels at which it follows from the reads alone who was before whom.
//!
//! If `t` reads `x` from `w`, and another writer `v` of `x` is one that `t` must have
//! seen, then `v` was before `w`. Whom `t` must have seen is what tells the levels apart:
//!
//! ```text
//!   read-committed    whose writes it has read before, in the same transaction
//!   read-atomic       whose writes it has read at all, and its session's past
//!   causal            and what those must have seen
//! ```
//!
//! The level holds if nobody is before itself. Biswas and Enea, "On the complexity of
//! checking transactional consistency" (OOPSLA 2019), definitions 2.2 to 2.5, theorem 3.1.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::super::graph::components;
use super::super::table::{Act, NONE, SEVERAL, Status, TxnNo};
use super::Registers;
use super::order::Versions;
use super::reads::newest;
use crate::budget::Budget;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weak {
    ReadCommitted,
    ReadAtomic,
    Causal,
}

/// A session, or a transaction that is in none.
type Lane = (TxnNo, i64);

struct Order<'a> {
    registers: &'a Registers,
    /// By key: who wrote it and did not fail.
    writers: Vec<FxHashSet<TxnNo>>,
    /// Who is before whom.
    arcs: Vec<Vec<TxnNo>>,
}

/// Whether the level holds, with the order of sessions or without. None if the budget ends
/// before.
pub(super) fn holds(
    versions: &Versions<'_>,
    weak: Weak,
    sessions: bool,
    budget: &mut Budget,
) -> Option<bool> {
    let registers = versions.registers;
    let mut order = Order {
        registers,
        writers: versions
            .keys
            .iter()
            .map(|key| key.versions.iter().map(|version| version.writer))
            .map(|writers| writers.filter(|writer| *writer != NONE).collect())
            .collect(),
        arcs: vec![Vec::new(); registers.table.len()],
    };
    order.known(sessions);
    let holds = match weak {
        Weak::ReadCommitted => order.read_committed(),
        Weak::ReadAtomic => order.read_atomic(sessions),
        Weak::Causal => order.causal(sessions, budget)?,
    };
    if !holds {
        return Some(false);
    }
    let arcs = |txn: u32, into: &mut Vec<u32>| into.extend(&order.arcs[txn as usize]);
    let found = components(order.arcs.len(), arcs, budget)?;
    let most = found.iter().max().map_or(0, |most| *most as usize + 1);
    Some(most == order.arcs.len())
}

impl Order<'_> {
    /// The reads of a transaction from others, in order; `NONE` is the initial state.
    fn reads(&self, txn: TxnNo) -> impl Iterator<Item = (u32, TxnNo)> {
        let table = &self.registers.table;
        let ok = table.txn(txn).status == Status::Ok;
        let mops = if ok { table.mops(txn) } else { &[] };
        mops.iter().filter_map(move |mop| {
            let Act::Read(value) = mop.act else { return None };
            let writer = self.registers.writer(mop.key, value);
            let known = writer < SEVERAL && table.txn(writer).status != Status::Fail;
            let initial = self.registers.is_initial(mop.key, value);
            match (known, initial) {
                (true, _) if writer != txn => Some((mop.key, writer)),
                (false, true) => Some((mop.key, NONE)),
                _ => None,
            }
        })
    }

    fn before(&mut self, one: TxnNo, other: TxnNo) {
        if one != other {
            self.arcs[one as usize].push(other);
        }
    }

    fn known(&mut self, sessions: bool) {
        for txn in 0..self.arcs.len() as TxnNo {
            let from: Vec<TxnNo> = self.reads(txn).map(|(_, from)| from).collect();
            for from in from.into_iter().filter(|from| *from != NONE) {
                self.before(from, txn);
            }
            let registers = self.registers;
            for later in registers.table.later(txn).filter(|_| sessions) {
                self.before(txn, later);
            }
        }
    }

    /// `seen` wrote `key`, which was read from `from`. False if that cannot be: nothing is
    /// before the initial state.
    fn must(&mut self, seen: TxnNo, key: u32, from: TxnNo, reader: TxnNo) -> bool {
        if seen == from || seen == reader || !self.writers[key as usize].contains(&seen) {
            return true;
        }
        if from == NONE {
            return false;
        }
        self.before(seen, from);
        true
    }

    /// Whether a transaction has read of a key something else than what it had written
    /// last. Checkers of sessions forbid that at all levels, Elle from read atomic up.
    fn misses_its_own(&self, txn: TxnNo) -> bool {
        let row = self.registers.table.txn(txn);
        let mops = self.registers.table.mops(txn);
        row.status == Status::Ok
            && mops.iter().enumerate().any(|(place, mop)| {
                let Act::Read(read) = mop.act else { return false };
                let own = newest(&mops[..place], mop.key);
                own.is_some() && own != read
            })
    }

    fn read_committed(&mut self) -> bool {
        for txn in 0..self.arcs.len() as TxnNo {
            if self.registers.sessions && self.misses_its_own(txn) {
                return false;
            }
            let reads: Vec<(u32, TxnNo)> = self.reads(txn).collect();
            let mut seen: Vec<TxnNo> = Vec::new();
            for (key, from) in reads {
                for seen in &seen {
                    if !self.must(*seen, key, from, txn) {
                        return false;
                    }
                }
                if from != NONE && !seen.contains(&from) {
                    seen.push(from);
                }
            }
        }
        true
    }

    fn read_atomic(&mut self, sessions: bool) -> bool {
        // By session and key the last writer so far; the ones before are before it.
        let mut last: FxHashMap<(i64, u32), TxnNo> = FxHashMap::default();
        for txn in 0..self.arcs.len() as TxnNo {
            let reads: Vec<(u32, TxnNo)> = self.reads(txn).collect();
            let process = self.registers.table.txn(txn).process;
            for (key, from) in &reads {
                for (_, seen) in reads.iter().filter(|(_, seen)| *seen != NONE) {
                    if !self.must(*seen, *key, *from, txn) {
                        return false;
                    }
                }
                if let Some(seen) = last.get(&(process, *key)).copied()
                    && sessions
                    && !self.must(seen, *key, *from, txn)
                {
                    return false;
                }
            }
            if self.registers.table.txn(txn).status == Status::Ok {
                for mop in self.registers.table.mops(txn) {
                    if matches!(mop.act, Act::Write(_)) {
                        last.insert((process, mop.key), txn);
                    }
                }
            }
        }
        true
    }

    fn causal(&mut self, sessions: bool, budget: &mut Budget) -> Option<bool> {
        let count = self.arcs.len();
        let arcs = |txn: u32, into: &mut Vec<u32>| into.extend(&self.arcs[txn as usize]);
        let found = components(count, arcs, budget)?;
        let mut sorted: Vec<TxnNo> = (0..count as TxnNo).collect();
        // No edge leads to a higher component.
        sorted.sort_by_key(|txn| std::cmp::Reverse(found[*txn as usize]));
        if found.iter().max().is_some_and(|most| (*most as usize) + 1 < count) {
            return Some(false);
        }
        let mut sources: Vec<Vec<TxnNo>> = vec![Vec::new(); count];
        for (txn, arcs) in self.arcs.iter().enumerate() {
            for to in arcs {
                sources[*to as usize].push(txn as TxnNo);
            }
        }
        // Of each session how much has been seen. Who is in no session's order (without
        // sessions nobody is) is for itself.
        let lane = |txn: TxnNo| {
            let row = self.registers.table.txn(txn);
            let in_session = sessions && row.status == Status::Ok;
            if in_session { (NONE, row.process) } else { (txn, 0) }
        };
        let lanes: Vec<Lane> = (0..count as TxnNo).map(lane).collect();
        let mut by_key: FxHashMap<(u32, Lane), Vec<TxnNo>> = FxHashMap::default();
        for (key, writers) in self.writers.iter().enumerate() {
            for writer in writers {
                by_key.entry((key as u32, lanes[*writer as usize])).or_default().push(*writer);
            }
        }
        by_key.values_mut().for_each(|writers| writers.sort_unstable());
        let mut seen: Vec<BTreeMap<Lane, TxnNo>> = vec![BTreeMap::new(); count];
        for txn in sorted {
            let mut mine: BTreeMap<Lane, TxnNo> = BTreeMap::new();
            for source in &sources[txn as usize] {
                let theirs = seen[*source as usize].iter().map(|(lane, last)| (*lane, *last));
                for (lane, last) in theirs.chain([(lanes[*source as usize], *source)]) {
                    if !budget.step() {
                        return None;
                    }
                    mine.entry(lane).and_modify(|most| *most = last.max(*most)).or_insert(last);
                }
            }
            let reads: Vec<(u32, TxnNo)> = self.reads(txn).collect();
            for (key, from) in reads {
                for (lane, last) in &mine {
                    let Some(writers) = by_key.get(&(key, *lane)) else { continue };
                    let until = writers.partition_point(|writer| writer <= last);
                    // The latest one that is not the reader's own; the others are before it.
                    let latest = writers[..until].last().copied();
                    if let Some(latest) = latest
                        && !self.must(latest, key, from, txn)
                    {
                        return Some(false);
                    }
                }
            }
            seen[txn as usize] = mine;
        }
        Some(true)
    }
}
