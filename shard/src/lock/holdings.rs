//! One transaction: what it holds, what it waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use synod_common::key::{Key, KeyRange};
use synod_common::time::Timestamp;

use super::mode::{LockTarget, Mode, Modes, Ticket};
use super::span::{Spans, bounds};

/// A transaction's side of the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Holdings {
    /// When it began, for the choice of a victim.
    pub(super) age: Timestamp,
    /// Prepared: can not be a victim.
    pub(super) pinned: bool,
    /// Keys held in a mode beside which others may read.
    read: BTreeMap<Key, Mode>,
    /// Keys held in a mode that keeps readers away.
    written: BTreeMap<Key, Mode>,
    /// Boxed, as few transactions have any.
    rare: Option<Box<Rare>>,
}

/// What most transactions have none of.
#[derive(Clone, Debug, Default)]
struct Rare {
    /// Ranges held to read.
    shared: Spans,
    /// Ranges held to write.
    exclusive: Spans,
    /// Requests that wait.
    waiting: BTreeSet<Ticket>,
    /// Those of them for a key.
    waiting_keys: BTreeSet<(Key, Ticket)>,
    /// Those of them for a range.
    waiting_ranges: BTreeMap<Ticket, KeyRange>,
}

static NONE: Rare = Rare {
    shared: Spans::new(),
    exclusive: Spans::new(),
    waiting: BTreeSet::new(),
    waiting_keys: BTreeSet::new(),
    waiting_ranges: BTreeMap::new(),
};

impl Holdings {
    /// Of a transaction that began at `age`.
    pub(super) fn new(age: Timestamp) -> Holdings {
        Holdings { age, ..Holdings::default() }
    }

    fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NONE)
    }

    /// How many locks.
    pub(super) fn held(&self) -> usize {
        let Rare { shared, exclusive, .. } = self.rare();
        self.read.len() + self.written.len() + shared.len() + exclusive.len()
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> &BTreeSet<Ticket> {
        &self.rare().waiting
    }

    /// Whether there is no reason to remember it.
    pub(super) fn is_idle(&self) -> bool {
        !self.pinned && self.waiting().is_empty() && self.held() == 0
    }

    /// The mode in which it holds a key by itself.
    pub(super) fn key_mode(&self, key: &[u8]) -> Option<Mode> {
        self.written.get(key).or_else(|| self.read.get(key)).copied()
    }

    /// Sets the mode in which it holds a key by itself.
    pub(super) fn set_key(&mut self, key: &Key, mode: Option<Mode>) {
        match mode {
            Some(mode) if mode.is_write() => {
                self.read.remove(key);
                self.written.insert(key.clone(), mode);
            }
            Some(mode) => {
                self.written.remove(key);
                self.read.insert(key.clone(), mode);
            }
            None => {
                self.read.remove(key);
                self.written.remove(key);
            }
        }
    }

    /// Ranges held to read, or to write.
    pub(super) fn spans(&self, mode: Mode) -> &Spans {
        if mode.is_write() { &self.rare().exclusive } else { &self.rare().shared }
    }

    pub(super) fn spans_mut(&mut self, mode: Mode) -> &mut Spans {
        let rare = self.rare.get_or_insert_default();
        if mode.is_write() { &mut rare.exclusive } else { &mut rare.shared }
    }

    /// The modes that it keeps others from holding on a key, by all its locks.
    pub(super) fn keeps_away(&self, key: &[u8]) -> Modes {
        let mode = self.key_mode(key);
        let shared = self.rare().shared.contains(key).then_some(Mode::Shared);
        let exclusive = self.rare().exclusive.contains(key).then_some(Mode::Exclusive);
        let modes = [mode, shared, exclusive].into_iter().flatten();
        modes.fold(Modes::default(), |all, mode| all.with(mode.conflicting()))
    }

    /// Whether it holds this already, be it by several locks together.
    pub(super) fn covers(&self, target: &LockTarget, mode: Mode) -> bool {
        match target {
            LockTarget::Key(key) => self.covers_key(key, mode),
            LockTarget::Range(range) => self.covers_range(range, mode),
        }
    }

    /// Whether it holds a key at least so strongly.
    pub(super) fn covers_key(&self, key: &[u8], mode: Mode) -> bool {
        self.keeps_away(key).contains_all(mode.conflicting())
    }

    fn covers_range(&self, range: &KeyRange, mode: Mode) -> bool {
        let mut from = &range.start;
        while range.end.as_ref().is_none_or(|end| from < end) {
            let shared = self.rare().shared.end_at(from).filter(|_| !mode.is_write());
            match shared.or_else(|| self.rare().exclusive.end_at(from)) {
                None => return false,
                Some(None) => return true,
                Some(Some(end)) => from = end,
            }
        }
        true
    }

    /// Whether it holds something that conflicts with a request of another.
    pub(super) fn blocks(&self, target: &LockTarget, mode: Mode) -> bool {
        match target {
            LockTarget::Key(key) => self.keeps_away(key).contains(mode),
            LockTarget::Range(range) => {
                let any = |keys: &BTreeMap<Key, Mode>| {
                    keys.range::<[u8], _>(bounds(range)).next().is_some()
                };
                any(&self.written)
                    || self.rare().exclusive.overlap(range)
                    || mode.is_write() && (any(&self.read) || self.rare().shared.overlap(range))
            }
        }
    }

    /// Adds a request that waits.
    pub(super) fn wait(&mut self, ticket: Ticket, target: &LockTarget) {
        let rare = self.rare.get_or_insert_default();
        rare.waiting.insert(ticket);
        match target {
            LockTarget::Key(key) => _ = rare.waiting_keys.insert((key.clone(), ticket)),
            LockTarget::Range(range) => _ = rare.waiting_ranges.insert(ticket, range.clone()),
        }
    }

    /// Removes a request that waited.
    pub(super) fn unwait(&mut self, ticket: Ticket, target: &LockTarget) {
        let Some(rare) = &mut self.rare else { return };
        rare.waiting.remove(&ticket);
        match target {
            LockTarget::Key(key) => _ = rare.waiting_keys.remove(&(key.clone(), ticket)),
            LockTarget::Range(_) => _ = rare.waiting_ranges.remove(&ticket),
        }
    }

    /// Its requests that wait for something of a target.
    pub(super) fn waiting_on(&self, target: &LockTarget) -> Vec<Ticket> {
        let (from, end) = match target {
            LockTarget::Key(key) => (key, Some(key.successor())),
            LockTarget::Range(range) => (&range.start, range.end.clone()),
        };
        let keys = self.rare().waiting_keys.range((
            Bound::Included((from.clone(), Ticket(0))),
            end.map_or(Bound::Unbounded, |end| Bound::Excluded((end, Ticket(0)))),
        ));
        let ranges = self.rare().waiting_ranges.iter().filter(|(_, range)| match target {
            LockTarget::Key(key) => range.contains(key),
            LockTarget::Range(other) => range.overlaps(other),
        });
        keys.map(|(_, ticket)| *ticket).chain(ranges.map(|(ticket, _)| *ticket)).collect()
    }

    /// Everything held: keys beside which others may read, other keys, ranges to
    /// read, ranges to write; each in key order.
    pub(super) fn locks(&self) -> impl Iterator<Item = (LockTarget, Mode)> {
        let keys = self.read.iter().chain(&self.written);
        let keys = keys.map(|(key, mode)| (LockTarget::Key(key.clone()), *mode));
        let shared =
            self.rare().shared.iter().map(|(range, _)| (LockTarget::Range(range), Mode::Shared));
        let exclusive = self
            .rare()
            .exclusive
            .iter()
            .map(|(range, _)| (LockTarget::Range(range), Mode::Exclusive));
        keys.chain(shared).chain(exclusive)
    }
}
