//! The versions of each key, and which are known to be before which.
//!
//! A version is a value that somebody wrote who did not fail, or the initial state. A
//! transaction *meets* versions: it begins with the one it read (or wrote, if it did not
//! read before) and ends with the last one that it read or wrote. One of which it is not
//! known whether it happened counts if somebody has read from it.

use rustc_hash::FxHashMap;

use super::super::atom::Atom;
use super::super::cycle::Extra;
use super::super::table::{Act, NONE, SEVERAL, Status, TxnNo};
use super::Registers;
use super::reads::newest;

/// A version's place among those of its key; the initial state is 0.
pub type Place = u32;

/// A version of a key.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// Who wrote it; `NONE` for the initial state, and where that is not known.
    pub writer: TxnNo,
    /// Whether its writer left it so; of nobody known it does.
    pub newest: bool,
    /// Who read it without having written it, in ascending order.
    pub readers: Vec<TxnNo>,
}

/// What a transaction met of a key.
#[derive(Clone, Copy, Debug)]
pub struct Met {
    /// The transaction.
    pub txn: TxnNo,
    /// What it met first.
    pub first: Place,
    /// What it met last.
    pub last: Place,
}

/// A key's versions.
#[derive(Clone, Debug, Default)]
pub struct Key {
    /// All of them.
    pub versions: Vec<Version>,
    /// Who met them, in the order in which they began.
    pub met: Vec<Met>,
    /// What is known to be before what, beside the initial state before all others.
    pub before: Vec<(Place, Place, Extra)>,
}

/// The versions of all keys.
pub struct Versions<'a> {
    pub(super) registers: &'a Registers,
    /// By the number of the key.
    pub keys: Vec<Key>,
}

impl<'a> Versions<'a> {
    /// Those of a history.
    pub(super) fn new(registers: &'a Registers) -> Versions<'a> {
        let mut versions = Versions { registers, keys: Vec::new() };
        let mut places: Vec<FxHashMap<Atom, Place>> = Vec::new();
        for _ in 0..registers.writers.len() {
            let initial = Version { writer: NONE, newest: true, readers: Vec::new() };
            versions.keys.push(Key { versions: vec![initial], ..Key::default() });
            places.push(FxHashMap::default());
        }
        let happened = happened(registers);
        for (txn, _) in registers.table.iter() {
            if happened[txn as usize] {
                versions.meet(txn, &mut places);
            }
        }
        for key in 0..versions.keys.len() {
            versions.sessions(key);
            versions.real_time(key);
        }
        versions
    }

    fn meet(&mut self, txn: TxnNo, places: &mut [FxHashMap<Atom, Place>]) {
        let registers = self.registers;
        for mop in registers.table.mops(txn) {
            let (value, writes) = match mop.act {
                Act::Write(value) => (Some(value), true),
                Act::Read(value) => (value, false),
                Act::ReadList(_) | Act::ReadOther(_) => unreachable!("registers hold no lists"),
            };
            let key = &mut self.keys[mop.key as usize];
            let place = match value {
                Some(value) if !registers.is_initial(mop.key, Some(value)) => {
                    let next = key.versions.len() as Place;
                    let place = *places[mop.key as usize].entry(value).or_insert(next);
                    if place == next {
                        let writer = registers.writer(mop.key, Some(value));
                        let known =
                            writer < SEVERAL && registers.table.txn(writer).status != Status::Fail;
                        let writer = if known { writer } else { NONE };
                        let newest = writer == NONE
                            || newest(registers.table.mops(writer), mop.key) == Some(value);
                        key.versions.push(Version { writer, newest, readers: Vec::new() });
                    }
                    place
                }
                _ => 0,
            };
            let version = &mut key.versions[place as usize];
            if !writes && version.writer != txn && version.readers.last() != Some(&txn) {
                version.readers.push(txn);
            }
            match key.met.last_mut() {
                Some(met) if met.txn == txn => {
                    let own = key.versions[met.last as usize].writer == txn;
                    if met.last != place && writes && (own || registers.assume.wfr_keys) {
                        key.before.push((met.last, place, Extra::None));
                    }
                    met.last = place;
                }
                _ => key.met.push(Met { txn, first: place, last: place }),
            }
        }
    }

    /// What a session met later is not older.
    fn sessions(&mut self, key: usize) {
        let by = if self.registers.assume.sequential_keys { Extra::None } else { Extra::Process };
        let mut last: FxHashMap<i64, Place> = FxHashMap::default();
        let key = &mut self.keys[key];
        for met in &key.met {
            let txn = self.registers.table.txn(met.txn);
            // What may have happened at any time comes behind, and nothing behind it.
            let before = match txn.status {
                Status::Ok => last.insert(txn.process, met.last),
                Status::Info | Status::Fail => last.get(&txn.process).copied(),
            };
            if let Some(before) = before.filter(|before| *before != met.first) {
                key.before.push((before, met.first, by));
            }
        }
    }

    /// What was met by who was done is not newer than what is met by who began then.
    ///
    /// Of each version the earliest end `lo` and the latest begin `hi` of who met it are
    /// what counts: one is before another if its `lo` is not behind the other's `hi`. Only
    /// edges that do not follow from two others are kept.
    fn real_time(&mut self, key: usize) {
        let by =
            if self.registers.assume.linearizable_keys { Extra::None } else { Extra::Realtime };
        let table = &self.registers.table;
        let key = &mut self.keys[key];
        // Barriers as times; who was not invoked began before all, who is not done never ends.
        let mut lo = vec![u32::MAX; key.versions.len()];
        let mut hi: Vec<Option<u32>> = vec![None; key.versions.len()];
        for met in &key.met {
            let txn = table.txn(met.txn);
            for place in [met.first as usize, met.last as usize] {
                if txn.before != NONE {
                    lo[place] = lo[place].min(txn.before);
                }
                if txn.behind != NONE {
                    hi[place] = hi[place].max(Some(txn.behind));
                }
            }
        }
        let mut sorted: Vec<(u32, Place)> = Vec::new();
        for (place, hi) in hi.iter().enumerate() {
            sorted.extend(hi.map(|hi| (hi, place as Place)));
        }
        sorted.sort_unstable();
        // The two earliest ends among those from a place on: one of them is another's.
        let none = (u32::MAX, Place::MAX);
        let mut earliest = vec![[none; 2]; sorted.len() + 1];
        for (at, (_, place)) in sorted.iter().enumerate().rev() {
            let mut ends =
                [earliest[at + 1][0], earliest[at + 1][1], (lo[*place as usize], *place)];
            ends.sort_unstable();
            earliest[at] = [ends[0], ends[1]];
        }
        for (place, lo) in lo.iter().enumerate() {
            let (place, lo) = (place as Place, *lo);
            if lo == u32::MAX {
                continue;
            }
            let from = sorted.partition_point(|(hi, _)| *hi < lo);
            let [first, second] = earliest[from];
            let (end, via) = if first.1 == place { second } else { first };
            let direct = sorted[from..].iter().take_while(|(hi, _)| *hi < end);
            let direct = direct.map(|(_, later)| *later).filter(|later| *later != via);
            for later in direct.chain((via != Place::MAX).then_some(via)) {
                if later != place {
                    key.before.push((place, later, by));
                }
            }
        }
    }
}

/// Who is known to have happened: who says so, and whose writes somebody has read.
fn happened(registers: &Registers) -> Vec<bool> {
    let rows = registers.table.iter();
    let mut happened: Vec<bool> = rows.map(|(_, txn)| txn.status == Status::Ok).collect();
    for (txn, row) in registers.table.iter() {
        if row.status != Status::Ok {
            continue;
        }
        for mop in registers.table.mops(txn) {
            let Act::Read(value) = mop.act else { continue };
            let writer = registers.writer(mop.key, value);
            if writer < SEVERAL && registers.table.txn(writer).status == Status::Info {
                happened[writer as usize] = true;
            }
        }
    }
    happened
}
