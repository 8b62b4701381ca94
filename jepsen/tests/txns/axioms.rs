//! Levels by their axioms: all orders of commits are tried.
//!
//! ```text
//!   t1 ─wr(x)▶ t3    t2 writes x, and t3 must have seen t2    ⟹    t2 commits before t1
//! ```
//!
//! An order of commits contains that of sessions, where the level has them, and who has
//! read comes behind whom it has read from. Whom a transaction must have seen is what
//! tells the levels apart: Biswas and Enea, "On the complexity of checking transactional
//! consistency" (2019), definition 2.2 and figure 2. Of lists, each read is also the
//! beginning of all that is appended in this order.

use std::collections::{BTreeMap, BTreeSet};

use synod_jepsen::Level;

use crate::{Model, Mop, Txn};

/// What a read from another transaction, or of the initial state, is from.
struct Read {
    key: u64,
    from: Option<usize>,
    values: Vec<i64>,
}

/// A history of which it is settled what happened.
pub struct Case<'a> {
    txns: Vec<&'a Txn>,
    reads: Vec<Vec<Read>>,
    writes: Vec<BTreeSet<u64>>,
    model: Model,
    /// Whether each read is of something that was committed.
    committed: bool,
    /// Whether no transaction contradicts itself; and whether each sees what it has written.
    internal: bool,
    own: bool,
}

/// An order of commits, or what there is of it.
struct Order<'a> {
    case: &'a Case<'a>,
    level: Level,
    /// Who is in a session behind, or has read from, whom; and what follows from that.
    direct: Vec<Vec<bool>>,
    indirect: Vec<Vec<bool>>,
    order: Vec<usize>,
}

impl<'a> Case<'a> {
    /// One for each choice of those of which it is not known whether they happened.
    pub fn all(model: Model, txns: &'a [Txn]) -> Vec<Case<'a>> {
        let open = txns.iter().filter(|txn| !txn.ok).count();
        let case = |choice: u32| {
            let mut infos = 0;
            let happened = txns.iter().filter(|txn| {
                infos += u32::from(!txn.ok);
                txn.ok || choice & (1 << (infos - 1)) != 0
            });
            Case::new(model, happened.collect())
        };
        (0..1 << open).map(case).collect()
    }

    fn new(model: Model, txns: Vec<&'a Txn>) -> Case<'a> {
        let written = |txn: &&Txn| {
            let keys = txn.mops.iter().filter_map(|mop| match mop {
                Mop::Write(key, _) => Some(*key),
                Mop::Read(..) => None,
            });
            keys.collect()
        };
        let writes = txns.iter().map(written).collect();
        let (reads, committed, internal, own) = (Vec::new(), true, true, true);
        let mut case = Case { txns, reads, writes, model, committed, internal, own };
        for txn in 0..case.txns.len() {
            let reads = case.read(txn);
            case.reads.push(reads);
        }
        case
    }

    /// What it wrote of a key, in order.
    fn wrote(mops: &[Mop], key: u64) -> Vec<i64> {
        let values = mops.iter().filter_map(|mop| match mop {
            Mop::Write(at, value) if *at == key => Some(*value),
            _ => None,
        });
        values.collect()
    }

    fn read(&mut self, txn: usize) -> Vec<Read> {
        let (mut reads, mops) = (Vec::new(), &self.txns[txn].mops);
        // What it knows of a key: all of it, or only what is last.
        let mut known: BTreeMap<u64, (bool, Vec<i64>)> = BTreeMap::new();
        for (place, mop) in mops.iter().enumerate() {
            let (key, values) = match mop {
                Mop::Write(key, value) if self.model == Model::Register => {
                    known.insert(*key, (true, vec![*value]));
                    continue;
                }
                Mop::Write(key, value) => {
                    known.entry(*key).or_default().1.push(*value);
                    continue;
                }
                Mop::Read(..) if !self.txns[txn].ok => continue,
                Mop::Read(key, values) => (*key, values),
            };
            let (all, expected) = known.insert(key, (true, values.clone())).unwrap_or_default();
            self.internal &= values.ends_with(&expected) && (!all || *values == expected);
            let own = Case::wrote(&mops[..place], key);
            self.own &= own.is_empty() || own.last() == values.last();
            let mut list = values.clone();
            while list.pop_if(|last| Case::wrote(mops, key).contains(last)).is_some() {}
            // It must not read what it writes only then.
            self.committed &= values[list.len()..].iter().all(|value| own.contains(value));
            if self.model == Model::Register && list.len() < values.len() {
                continue;
            }
            let left = |txn: &&Txn, value| Case::wrote(&txn.mops, key).last() == Some(value);
            let from = list.last().map(|last| self.txns.iter().position(|txn| left(txn, last)));
            self.committed &= from != Some(None);
            reads.push(Read { key, from: from.flatten(), values: values.clone() });
        }
        reads
    }

    /// Whether a level holds; `sessions` if all levels contain their order.
    pub fn holds(&self, level: Level, sessions: bool) -> bool {
        let own = if contains_internal(level) { self.internal } else { self.own || !sessions };
        if !self.committed || !own {
            return false;
        }
        let count = self.txns.len();
        let sessions = sessions || has_sessions(level);
        let session =
            |one: usize, other: usize| sessions && crate::session(self.txns[one], self.txns[other]);
        let has_read =
            |one, other: usize| self.reads[other].iter().any(|read| read.from == Some(one));
        let row = |one| (0..count).map(|to| session(one, to) || has_read(one, to)).collect();
        let direct: Vec<Vec<bool>> = (0..count).map(row).collect();
        let mut indirect = direct.clone();
        for via in 0..count {
            for from in 0..count {
                for to in 0..count {
                    indirect[from][to] |= indirect[from][via] && indirect[via][to];
                }
            }
        }
        Order { case: self, level, direct, indirect, order: Vec::new() }.exists()
    }
}

/// Whether the order of sessions is one of a level's own.
fn has_sessions(level: Level) -> bool {
    level.contains(Level::StrongSessionReadCommitted)
}

/// Whether what contradicts itself breaks a level.
fn contains_internal(level: Level) -> bool {
    level.contains(Level::ReadAtomic)
}

impl Order<'_> {
    /// Whether there is one that begins with this one.
    fn exists(&mut self) -> bool {
        let count = self.direct.len();
        if self.order.len() == count {
            return self.is_one();
        }
        for next in 0..count {
            let waits = |other: usize| self.direct[other][next] && !self.order.contains(&other);
            if self.order.contains(&next) || (0..count).any(waits) {
                continue;
            }
            self.order.push(next);
            if self.exists() {
                return true;
            }
            self.order.pop();
        }
        false
    }

    fn place(&self, txn: usize) -> usize {
        self.order.iter().position(|other| *other == txn).expect("all are there")
    }

    /// Whether each read has what it may have.
    fn is_one(&self) -> bool {
        let case = self.case;
        (0..case.txns.len()).all(|txn| {
            case.reads[txn].iter().enumerate().all(|(at, read)| {
                let later = |other: usize| {
                    read.from.is_none_or(|from| self.place(from) < self.place(other))
                };
                let missed = |other: usize| {
                    other != txn
                        && case.writes[other].contains(&read.key)
                        && later(other)
                        && self.must_see(txn, at, other)
                };
                self.is_beginning(read) && !(0..case.txns.len()).any(missed)
            })
        })
    }

    /// Whether a list is the beginning of all that was appended.
    fn is_beginning(&self, read: &Read) -> bool {
        let mops = self.order.iter().map(|txn| &self.case.txns[*txn].mops);
        let all: Vec<i64> = mops.flat_map(|mops| Case::wrote(mops, read.key)).collect();
        self.case.model == Model::Register || all.starts_with(&read.values)
    }

    /// Whether a transaction must have seen another one when it did this read.
    fn must_see(&self, txn: usize, at: usize, other: usize) -> bool {
        let case = self.case;
        let all = 0..case.txns.len();
        let behind = |one: usize, two: usize| self.place(one) <= self.place(two);
        // Adya's is weaker, and is that of lists.
        let read_committed = || {
            case.model == Model::Register
                && case.reads[txn][..at].iter().any(|read| read.from == Some(other))
        };
        let prefix = || all.clone().any(|via| self.direct[via][txn] && behind(other, via));
        // Nobody is between what it has read and what it makes of that.
        let no_update_lost =
            || case.writes[txn].contains(&case.reads[txn][at].key) && behind(other, txn);
        let conflict = || {
            let writes = |via: usize| !case.writes[via].is_disjoint(&case.writes[txn]);
            let mut before = all.clone().filter(|via| *via != txn && behind(*via, txn));
            before.any(|via| writes(via) && behind(other, via))
        };
        match self.level {
            Level::ReadCommitted | Level::StrongSessionReadCommitted => read_committed(),
            Level::CursorStability => read_committed() || no_update_lost(),
            Level::ConsistentView => read_committed() || self.leads(other, txn),
            Level::ReadAtomic => self.direct[other][txn],
            Level::UpdateAtomic => self.direct[other][txn] || no_update_lost(),
            Level::Causal => self.indirect[other][txn],
            Level::Prefix => prefix(),
            Level::SnapshotIsolation | Level::StrongSessionSnapshotIsolation => {
                prefix() || conflict()
            }
            Level::Serializable | Level::StrongSessionSerializable => behind(other, txn),
            level => unreachable!("{level} has no axiom here"),
        }
    }

    /// Whether reads and writes lead from one to another.
    fn leads(&self, one: usize, other: usize) -> bool {
        let mut reached = vec![one];
        for next in &self.order[self.place(one) + 1..] {
            let write = |via: usize| !self.case.writes[via].is_disjoint(&self.case.writes[*next]);
            if reached.iter().any(|via| self.direct[*via][*next] || write(*via)) {
                reached.push(*next);
            }
        }
        reached.contains(&other)
    }
}
