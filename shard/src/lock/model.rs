//! The lock table against a plain list of requests with quadratic rules.
//!
//! Runs 256 cases each; more with `PROPTEST_CASES=100000 cargo test --release -p
//! synod-shard lock::model`.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use synod_common::deadlock::VictimPolicy;
use synod_common::id::{Epoch, SessionId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::time::Timestamp;

use super::{Acquired, Capacity, Grant, LockTable, LockTarget, Mode, Refused, Ticket};

const TXNS: u64 = 5;
const KEYS: u8 = 5;

/// A transaction by number.
pub(super) fn txn(number: u64) -> TxnId {
    TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence: number }
}

/// Older numbers are not always older transactions.
fn age(txn: TxnId) -> Timestamp {
    Timestamp(txn.sequence % 3)
}

fn key(n: u8) -> Key {
    Key::from(&[b'a' + n][..])
}

/// Which keys a target means, as bits: key `n` is bit `2n`, and all between it
/// and the next key is bit `2n + 1`.
fn cells(target: &LockTarget) -> u32 {
    let position = |key: &Key| 2 * u32::from(key[0] - b'a');
    let below = |bit: u32| (1_u32 << bit) - 1;
    match target {
        LockTarget::Key(key) => 1 << position(key),
        LockTarget::Range(range) if range.is_empty() => 0,
        LockTarget::Range(KeyRange { start, end }) => {
            let end = end.as_ref().map_or(2 * u32::from(KEYS), position);
            below(end) & !below(position(start))
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    ticket: u64,
    txn: TxnId,
    cells: u32,
    mode: Mode,
    upgrade: bool,
    held: bool,
}

impl Entry {
    fn conflicts(&self, other: &Entry) -> bool {
        self.txn != other.txn
            && self.cells & other.cells != 0
            && (self.mode == Mode::Exclusive || other.mode == Mode::Exclusive)
    }
}

/// All requests in the order in which they came, held or not.
#[derive(Default)]
struct Model(Vec<Entry>);

impl Model {
    fn of(&self, txn: TxnId, held: bool) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(move |entry| entry.txn == txn && entry.held == held)
    }

    fn covered(&self, txn: TxnId, mode: Mode) -> u32 {
        let strong = self.of(txn, true).filter(|entry| entry.mode >= mode);
        strong.fold(0, |cells, entry| cells | entry.cells)
    }

    /// The rules of the essay, word by word.
    fn blockers(&self, request: &Entry) -> BTreeSet<TxnId> {
        let rank = |entry: &Entry| (!entry.upgrade, entry.ticket);
        let blocks = |other: &&Entry| {
            let awaits_us = || self.of(request.txn, true).any(|own| own.conflicts(other));
            other.conflicts(request)
                && (other.held || !request.upgrade && rank(other) < rank(request) && !awaits_us())
        };
        self.0.iter().filter(blocks).map(|entry| entry.txn).collect()
    }

    fn waits_for(&self, txn: TxnId) -> BTreeSet<TxnId> {
        self.of(txn, false).flat_map(|request| self.blockers(request)).collect()
    }

    /// Whether a transaction waits for itself in the end.
    fn is_deadlocked(&self, txn: TxnId) -> bool {
        let mut reached = self.waits_for(txn);
        loop {
            let further: BTreeSet<_> = reached.iter().flat_map(|t| self.waits_for(*t)).collect();
            let before = reached.len();
            reached.extend(further);
            if reached.len() == before {
                return reached.contains(&txn);
            }
        }
    }

    fn settle(&mut self) -> BTreeSet<u64> {
        let mut granted = BTreeSet::new();
        while let Some(index) = (0..self.0.len())
            .find(|index| !self.0[*index].held && self.blockers(&self.0[*index]).is_empty())
        {
            self.0[index].held = true;
            granted.insert(self.0[index].ticket);
        }
        granted
    }
}

#[derive(Clone, Debug)]
enum Step {
    Acquire(u64, LockTarget, Mode),
    Release(u64),
    Cancel(usize),
    Pin(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![Just(Mode::Shared), Just(Mode::Exclusive)];
    let range = (0..KEYS, proptest::option::weighted(0.8, 0..KEYS));
    prop_oneof![
        8 => (1..=TXNS, 0..KEYS, mode)
            .prop_map(|(txn, n, mode)| Step::Acquire(txn, LockTarget::Key(key(n)), mode)),
        4 => (1..=TXNS, range).prop_map(|(txn, (start, end))| {
            let range = KeyRange { start: key(start), end: end.map(key) };
            Step::Acquire(txn, LockTarget::Range(range), Mode::Shared)
        }),
        2 => (1..=TXNS).prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (1..=TXNS).prop_map(Step::Pin),
    ]
}

struct World {
    table: LockTable,
    model: Model,
    pinned: BTreeSet<TxnId>,
    /// Whether deadlocks are broken as soon as the rule finds them.
    resolve: bool,
}

impl World {
    fn new(resolve: bool) -> World {
        let table = LockTable::new(Capacity { per_txn: 1000, total: 1000 });
        World { table, model: Model::default(), pinned: BTreeSet::new(), resolve }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Acquire(number, target, mode) => self.acquire(txn(number), &target, mode),
            Step::Release(number) => self.release(txn(number)),
            Step::Cancel(pick) => {
                let waiting: Vec<_> =
                    self.model.0.iter().filter(|entry| !entry.held).map(|e| e.ticket).collect();
                if let Some(&ticket) = waiting.get(pick % waiting.len().max(1)) {
                    self.model.0.retain(|entry| entry.ticket != ticket);
                    let mut out = Vec::new();
                    assert!(self.table.cancel(Ticket(ticket), &mut out));
                    self.settle(&out);
                    assert!(!self.table.cancel(Ticket(ticket), &mut out));
                }
            }
            Step::Pin(number) => {
                let txn = txn(number);
                if !self.table.is_waiting(txn) {
                    self.table.pin(txn);
                    self.pinned.insert(txn);
                }
            }
        }
        self.check();
    }

    fn acquire(&mut self, txn: TxnId, target: &LockTarget, mode: Mode) {
        let mut out = Vec::new();
        let acquired = self.table.acquire(txn, age(txn), target.clone(), mode, &mut out);
        let cells = cells(target);
        if cells != 0 && self.pinned.contains(&txn) {
            assert_eq!(acquired, Err(Refused::Pinned));
            return;
        }
        let acquired = acquired.expect("far from the limits");
        if cells & !self.model.covered(txn, mode) == 0 {
            assert_eq!(acquired, Acquired::Granted);
            return;
        }
        let last = self.model.0.iter().map(|entry| entry.ticket).max().unwrap_or(0);
        let ticket = match acquired {
            Acquired::Waiting(ticket) => ticket.0,
            // Granted ones have none; anything after the others will do.
            Acquired::Granted => last,
        };
        let upgrade =
            mode == Mode::Exclusive && cells & !self.model.covered(txn, Mode::Shared) == 0;
        let mut entry = Entry { ticket, txn, cells, mode, upgrade, held: false };
        if acquired == Acquired::Granted {
            entry.ticket = u64::MAX;
            assert!(self.model.blockers(&entry).is_empty());
            entry.held = true;
            entry.ticket = 0;
        } else {
            assert!(ticket > last);
            assert!(!self.model.blockers(&entry).is_empty());
        }
        self.model.0.push(entry);
        self.settle(&out);
        while self.resolve
            && self.table.is_waiting(txn)
            && let Some(cycle) = self.table.find_cycle(txn)
        {
            let victim = self.table.victim(&cycle, VictimPolicy::Youngest, |_| 0);
            let youngest = cycle.iter().map(|txn| (age(*txn), *txn)).max();
            assert_eq!(youngest, Some((age(victim), victim)));
            self.release(victim);
        }
    }

    fn release(&mut self, txn: TxnId) {
        let mut out = Vec::new();
        self.table.release_all(txn, &mut out);
        self.pinned.remove(&txn);
        self.model.0.retain(|entry| entry.txn != txn);
        self.settle(&out);
    }

    /// Nobody is granted too early, nobody forgotten.
    fn settle(&mut self, out: &[Grant]) {
        let granted: BTreeSet<u64> = out.iter().map(|grant| grant.ticket.0).collect();
        assert_eq!(granted.len(), out.len());
        assert_eq!(granted, self.model.settle());
    }

    fn check(&self) {
        let mut held = Vec::new();
        for txn in (1..=TXNS).map(txn) {
            let edges = self.model.waits_for(txn);
            assert_eq!(self.table.waits_for(txn), edges);
            assert!(!edges.contains(&txn));
            assert!(edges.is_empty() || !self.pinned.contains(&txn));
            assert_eq!(self.table.is_waiting(txn), self.model.of(txn, false).count() > 0);
            self.check_cycle(txn);
            for mode in [Mode::Shared, Mode::Exclusive] {
                let locks = self.table.locks_of(txn).filter(|(_, held)| *held >= mode);
                let locks = locks.fold(0, |all, (target, _)| all | cells(&target));
                assert_eq!(locks, self.model.covered(txn, mode));
                for n in 0..KEYS {
                    let holds = self.table.holds(txn, &key(n), mode);
                    assert_eq!(holds, locks & cells(&LockTarget::Key(key(n))) != 0);
                }
            }
            for (target, mode) in self.table.locks_of(txn) {
                let cells = cells(&target);
                held.push(Entry { ticket: 0, txn, cells, mode, upgrade: false, held: true });
            }
        }
        assert_eq!(self.table.held(), held.len());
        assert_eq!(self.table.waiting(), self.model.0.iter().filter(|entry| !entry.held).count());
        // Invariant I16.
        for (index, a) in held.iter().enumerate() {
            assert!(!held[index..].iter().any(|b| a.conflicts(b)));
        }
    }

    fn check_cycle(&self, txn: TxnId) {
        let cycle = self.table.find_cycle(txn);
        assert_eq!(cycle.is_some(), self.model.is_deadlocked(txn), "{}", self.table.dump());
        assert!(cycle.is_none() || !self.resolve, "a cycle came about without an acquire");
        let Some(cycle) = cycle else { return };
        assert_eq!(cycle[0], txn);
        assert!(cycle.len() > 1);
        for (index, waiter) in cycle.iter().enumerate() {
            let next = cycle[(index + 1) % cycle.len()];
            assert!(self.model.waits_for(*waiter).contains(&next));
        }
    }

    /// What is held together can be reinstated together; and at the end nothing
    /// is left behind.
    fn finish(mut self) {
        let mut copy = LockTable::new(Capacity { per_txn: 0, total: 0 });
        for txn in (1..=TXNS).map(txn) {
            for (target, mode) in self.table.locks_of(txn) {
                copy.reinstate(txn, target, mode);
            }
            assert!(copy.locks_of(txn).eq(self.table.locks_of(txn)));
        }
        for txn in (1..=TXNS).map(txn) {
            self.release(txn);
            self.check();
        }
        assert_eq!(self.table.dump(), "");
        assert!(self.table.txns.is_empty() && self.table.keys.is_empty());
        assert!(self.table.written.is_empty() && self.table.contended.is_empty());
    }
}

proptest! {
    #[test]
    fn any_history_equals_the_model(steps in vec(step(), 0..50)) {
        let mut world = World::new(false);
        steps.into_iter().for_each(|step| world.step(step));
        world.finish();
    }

    #[test]
    fn breaking_cycles_after_acquire_leaves_none(steps in vec(step(), 0..80)) {
        let mut world = World::new(true);
        steps.into_iter().for_each(|step| world.step(step));
        world.finish();
    }
}
