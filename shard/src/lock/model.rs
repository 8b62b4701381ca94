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

use super::{
    Acquired, Asker, Capacity, Grant, LockTable, LockTarget, Mode, Refused, Ticket, Tried, Turn,
};

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

fn asker(txn: TxnId, turn: Turn) -> Asker {
    Asker { txn, age: age(txn), turn }
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

/// Which modes a mode keeps others from, as bits in the order of `MODES`.
fn keeps_away(mode: Mode) -> u8 {
    match mode {
        Mode::Shared => 0b11100,
        Mode::Update => 0b11110,
        Mode::Increment => 0b11011,
        Mode::Append => 0b10111,
        Mode::Exclusive => 0b11111,
    }
}

const MODES: [Mode; 5] =
    [Mode::Shared, Mode::Update, Mode::Increment, Mode::Append, Mode::Exclusive];

fn conflict(a: Mode, b: Mode) -> bool {
    let place = MODES.iter().position(|mode| *mode == b).expect("it is one of them");
    keeps_away(a) & 1 << place != 0
}

/// A lock or a request.
#[derive(Clone, Debug)]
struct Entry {
    ticket: u64,
    txn: TxnId,
    turn: Turn,
    is_key: bool,
    cells: u32,
    mode: Mode,
    upgrade: bool,
    held: bool,
}

impl Entry {
    fn conflicts(&self, other: &Entry) -> bool {
        self.txn != other.txn && self.cells & other.cells != 0 && conflict(self.mode, other.mode)
    }
}

/// All locks and requests in the order in which they came. One transaction may
/// hold several things on one key here, which the table joins.
#[derive(Default)]
struct Model(Vec<Entry>);

impl Model {
    fn of(&self, txn: TxnId, held: bool) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(move |entry| entry.txn == txn && entry.held == held)
    }

    /// What a transaction keeps away from one cell.
    fn kept(&self, txn: TxnId, cell: u32) -> u8 {
        let locks = self.of(txn, true).filter(|entry| entry.cells & 1 << cell != 0);
        locks.fold(0, |all, entry| all | keeps_away(entry.mode))
    }

    /// The cells on which a transaction keeps away at least so much.
    fn covered(&self, txn: TxnId, mode: Mode) -> u32 {
        let needed = keeps_away(mode);
        let cells = (0..32).filter(|cell| self.kept(txn, *cell) & needed == needed);
        cells.fold(0, |all, cell| all | 1 << cell)
    }

    fn is_upgrade(&self, request: &Entry) -> bool {
        let mut cells = (0..32).filter(|cell| request.cells & 1 << cell != 0);
        if request.mode == Mode::Update
            && self.kept(request.txn, cells.clone().next().unwrap()) == keeps_away(Mode::Shared)
        {
            // Only in front of a writer that waits for it.
            return self.0.iter().any(|other| {
                !other.held
                    && other.txn != request.txn
                    && other.cells & request.cells != 0
                    && conflict(Mode::Shared, other.mode)
            });
        }
        cells.all(|cell| self.kept(request.txn, cell) != 0)
    }

    /// The rules of the essay, word by word.
    fn blockers(&self, request: &Entry) -> BTreeSet<TxnId> {
        let rank = |entry: &Entry| (!entry.upgrade, entry.turn, entry.ticket);
        let blocks = |other: &&Entry| {
            let awaits_us = || self.of(request.txn, true).any(|own| own.conflicts(other));
            other.conflicts(request) && (other.held || rank(other) < rank(request) && !awaits_us())
        };
        self.0.iter().filter(blocks).map(|entry| entry.txn).collect()
    }

    /// Whether anything became weaker.
    fn downgrade(&mut self, txn: TxnId, is_key: bool, cells: u32, to: Option<Mode>) -> bool {
        let own = |entry: &Entry| entry.held && entry.txn == txn && entry.is_key == is_key;
        let entry = |cells, mode| {
            let (ticket, turn, upgrade, held) = (0, Turn(0), false, true);
            Entry { ticket, txn, turn, is_key, cells, mode, upgrade, held }
        };
        let mut all = 0;
        for lock in self.0.iter().filter(|lock| own(lock) && lock.cells & cells != 0) {
            all |= keeps_away(lock.mode);
        }
        let left = to.map_or(0, keeps_away);
        if all & left != left || all == left || !is_key && to.is_some_and(|to| to != Mode::Shared) {
            return false;
        }
        let mut kept = 0;
        for lock in self.0.iter_mut().filter(|lock| own(lock)) {
            kept |= lock.cells & cells;
            lock.cells &= !cells;
        }
        self.0.retain(|lock| lock.cells != 0);
        if let Some(to) = to {
            self.0.push(entry(kept, to));
        }
        true
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
    Acquire(u64, Turn, LockTarget, Mode),
    Try(u64, Turn, LockTarget, Mode),
    Downgrade(u64, LockTarget, Option<Mode>),
    Release(u64),
    Cancel(usize),
    Pin(u64),
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        3 => Just(Mode::Shared),
        3 => Just(Mode::Exclusive),
        2 => Just(Mode::Update),
        2 => Just(Mode::Increment),
        1 => Just(Mode::Append),
    ]
}

fn target() -> impl Strategy<Value = LockTarget> {
    let range = (0..KEYS, proptest::option::weighted(0.8, 0..KEYS));
    let range = range.prop_map(|(start, end)| KeyRange { start: key(start), end: end.map(key) });
    prop_oneof![
        2 => (0..KEYS).prop_map(|n| LockTarget::Key(key(n))),
        1 => range.prop_map(LockTarget::Range),
    ]
}

/// Mostly in the order in which they come.
fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![3 => Just(Turn(1)), 1 => (0..3_u64).prop_map(Turn)]
}

fn step() -> impl Strategy<Value = Step> {
    let txn = 1..=TXNS;
    prop_oneof![
        12 => (txn.clone(), turn(), target(), mode()).prop_map(|(t, turn, on, mode)| Step::Acquire(t, turn, on, mode)),
        2 => (txn.clone(), turn(), target(), mode()).prop_map(|(t, turn, on, mode)| Step::Try(t, turn, on, mode)),
        2 => (txn.clone(), target(), proptest::option::of(mode()))
            .prop_map(|(t, on, to)| Step::Downgrade(t, on, to)),
        2 => txn.clone().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => txn.prop_map(Step::Pin),
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
            Step::Acquire(n, turn, target, mode) => self.acquire(txn(n), turn, &target, mode),
            Step::Try(n, turn, target, mode) => self.try_acquire(txn(n), turn, &target, mode),
            Step::Downgrade(number, target, to) => self.downgrade(txn(number), &target, to),
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

    /// What is asked for, unless it is refused or held already.
    fn request(
        &self,
        txn: TxnId,
        turn: Turn,
        target: &LockTarget,
        mode: Mode,
    ) -> Result<Option<Entry>, Refused> {
        let (cells, mode) = (cells(target), mode.on(target));
        let is_key = matches!(target, LockTarget::Key(_));
        if cells != 0 && self.pinned.contains(&txn) {
            return Err(Refused::Pinned);
        }
        if cells & !self.model.covered(txn, mode) == 0 {
            return Ok(None);
        }
        let ticket = u64::MAX;
        let (upgrade, held) = (false, false);
        let mut entry = Entry { ticket, txn, turn, is_key, cells, mode, upgrade, held };
        entry.upgrade = self.model.is_upgrade(&entry);
        Ok(Some(entry))
    }

    fn acquire(&mut self, txn: TxnId, turn: Turn, target: &LockTarget, mode: Mode) {
        let mut out = Vec::new();
        let acquired = self.table.acquire(asker(txn, turn), target.clone(), mode, &mut out);
        let mut entry = match self.request(txn, turn, target, mode) {
            Ok(Some(entry)) => entry,
            Ok(None) => return assert_eq!(acquired, Ok(Acquired::Granted)),
            Err(refused) => return assert_eq!(acquired, Err(refused)),
        };
        let blocked = !self.model.blockers(&entry).is_empty();
        entry.ticket = match acquired.expect("far from the limits") {
            Acquired::Granted => 0,
            Acquired::Waiting(Ticket(ticket)) => {
                assert!(self.model.0.iter().all(|other| other.ticket < ticket));
                ticket
            }
        };
        entry.held = entry.ticket == 0;
        assert_eq!(entry.held, !blocked);
        self.model.0.push(entry);
        self.settle(&out);
        self.break_cycles(txn);
    }

    fn try_acquire(&mut self, txn: TxnId, turn: Turn, target: &LockTarget, mode: Mode) {
        let (mut out, before) = (Vec::new(), self.table.dump());
        let tried = self.table.try_acquire(asker(txn, turn), target.clone(), mode, &mut out);
        let mut entry = match self.request(txn, turn, target, mode) {
            Ok(Some(entry)) => entry,
            Ok(None) => return assert_eq!(tried, Ok(Tried::Granted)),
            Err(refused) => return assert_eq!(tried, Err(refused)),
        };
        let blockers = self.model.blockers(&entry);
        match tried.expect("far from the limits") {
            Tried::Granted => {
                assert!(blockers.is_empty());
                (entry.held, entry.ticket) = (true, 0);
                self.model.0.push(entry);
            }
            Tried::Blocked(other) => {
                assert!(blockers.contains(&other));
                assert_eq!(before, self.table.dump());
            }
        }
        self.settle(&out);
        self.break_cycles(txn);
    }

    fn downgrade(&mut self, txn: TxnId, target: &LockTarget, to: Option<Mode>) {
        let is_key = matches!(target, LockTarget::Key(_));
        let mut out = Vec::new();
        let changed = self.table.downgrade(txn, target, to, &mut out);
        let expected =
            !self.pinned.contains(&txn) && self.model.downgrade(txn, is_key, cells(target), to);
        assert_eq!(changed, expected);
        self.settle(&out);
        self.break_cycles(txn);
    }

    fn break_cycles(&mut self, txn: TxnId) {
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
            let locks: Vec<_> = self.table.locks_of(txn).collect();
            for cell in 0..2 * u32::from(KEYS) {
                let on_cell = locks.iter().filter(|(on, _)| cells(on) & 1 << cell != 0);
                let kept = on_cell.fold(0, |all, (_, mode)| all | keeps_away(*mode));
                assert_eq!(kept, self.model.kept(txn, cell), "{}", self.table.dump());
            }
            for mode in MODES {
                let covered = self.model.covered(txn, mode);
                for n in 0..KEYS {
                    let holds = self.table.holds(txn, &key(n), mode);
                    assert_eq!(holds, covered & cells(&LockTarget::Key(key(n))) != 0);
                }
            }
            for (target, mode) in locks {
                let (is_key, cells) = (matches!(target, LockTarget::Key(_)), cells(&target));
                held.push(Entry {
                    ticket: 0,
                    turn: Turn(0),
                    txn,
                    is_key,
                    cells,
                    mode,
                    upgrade: false,
                    held: true,
                });
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
        assert!(self.table.queued.is_empty());
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
