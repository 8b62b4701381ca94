//! One key: who holds it, who waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};

use synod_common::id::TxnId;

use super::mode::{Mode, Modes, Ticket, Turn};

/// The place of a request among those that wait: upgrades first, then by
/// their turns, then in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// False for an upgrade, which sorts it in front.
    pub(super) ordinary: bool,
    /// Its turn.
    pub(super) turn: Turn,
    /// In which order they came.
    pub(super) ticket: Ticket,
}

impl Rank {
    const FIRST: Rank = Rank { ordinary: false, turn: Turn(0), ticket: Ticket(0) };
    const FIRST_ORDINARY: Rank = Rank { ordinary: true, ..Rank::FIRST };
    /// Behind all others.
    pub(super) const LAST: Rank =
        Rank { ordinary: true, turn: Turn(u64::MAX), ticket: Ticket(u64::MAX) };
}

/// Who holds a key. One holder, the usual case, takes no further memory.
#[derive(Clone, Debug, Default)]
enum Holders {
    /// Nobody.
    #[default]
    Free,
    /// One, in whatever mode.
    One(Mode, TxnId),
    /// Several.
    Many(Box<Many>),
}

/// Several who hold one key: in the same mode, but for one who holds it for
/// update among readers.
#[derive(Clone, Debug)]
struct Many {
    mode: Mode,
    txns: BTreeSet<TxnId>,
    update: Option<TxnId>,
}

impl Many {
    fn parts(&self) -> impl Iterator<Item = (Mode, TxnId)> {
        let update = self.update.map(|txn| (Mode::Update, txn));
        update.into_iter().chain(self.txns.iter().map(|txn| (self.mode, *txn)))
    }
}

/// Those who wait for one key.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiters {
    /// By mode, so that conflicting ones are found without passing others.
    by_mode: BTreeMap<(Mode, Rank), TxnId>,
    /// Those who may pass although a conflicting one waits in front: they hold
    /// the key in some way by now, or several of one transaction wait for it.
    odd: BTreeSet<Rank>,
}

impl Waiters {
    /// Those in one mode, in order.
    fn of(
        &self,
        mode: Mode,
        ranks: impl RangeBounds<Rank>,
    ) -> impl DoubleEndedIterator<Item = (Rank, TxnId)> {
        let within = |bound: Bound<&Rank>, outermost: Rank| match bound {
            Bound::Included(rank) => Bound::Included((mode, *rank)),
            Bound::Excluded(rank) => Bound::Excluded((mode, *rank)),
            Bound::Unbounded => Bound::Included((mode, outermost)),
        };
        let from = within(ranks.start_bound(), Rank::FIRST);
        let to = within(ranks.end_bound(), Rank::LAST);
        self.by_mode.range((from, to)).map(|((_, rank), txn)| (*rank, *txn))
    }

    /// Those of some modes from `from` and in front of `before`.
    pub(super) fn between(
        &self,
        modes: Modes,
        from: Option<Rank>,
        before: Rank,
    ) -> impl Iterator<Item = (Mode, TxnId)> {
        let from = from.unwrap_or(Rank::FIRST).min(before);
        modes.iter().flat_map(move |mode| self.of(mode, from..before).map(move |w| (mode, w.1)))
    }

    /// The nearest one in front of a place that a request of this mode waits for, and
    /// that itself waits for all in front that the request waits for.
    pub(super) fn nearest_in_between(
        &self,
        mode: Mode,
        before: Rank,
        holds_nothing: impl Fn(TxnId) -> bool,
    ) -> Option<(Rank, TxnId)> {
        let modes = mode.conflicting().iter().filter(|other| other.covers(mode));
        let last = |other| self.of(other, ..before).rev().find(|(_, txn)| holds_nothing(*txn));
        modes.filter_map(last).max()
    }

    /// Whether anybody waits in one of these modes, but for one transaction.
    pub(super) fn any_but(&self, modes: Modes, txn: TxnId) -> bool {
        modes.iter().any(|mode| self.of(mode, ..).any(|(_, other)| other != txn))
    }

    /// Whether anybody waits behind a place.
    pub(super) fn any_behind(&self, rank: Rank) -> bool {
        Modes::all().iter().any(|mode| self.of(mode, ..).next_back().is_some_and(|w| w.0 > rank))
    }

    /// Those of some modes who may pass, as far as this queue says: nothing that
    /// conflicts waits in front, or it may not matter.
    pub(super) fn front(&self, modes: Modes, out: &mut BTreeSet<Rank>) {
        for mode in modes.iter() {
            let first = |mode| self.of(mode, ..).next().map(|(rank, _)| rank);
            let limit = mode.conflicting().iter().filter_map(first).min().unwrap_or(Rank::LAST);
            out.extend(self.of(mode, ..=limit).map(|(rank, _)| rank));
            out.extend(self.of(mode, ..Rank::FIRST_ORDINARY).map(|(rank, _)| rank));
        }
        out.extend(&self.odd);
    }

    /// All of them in order.
    pub(super) fn ranks(&self) -> BTreeSet<Rank> {
        self.by_mode.keys().map(|(_, rank)| *rank).collect()
    }
}

/// The state of one key.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    holders: Holders,
    /// Boxed, as few keys have any.
    waiters: Option<Box<Waiters>>,
}

impl Queue {
    /// The transaction that holds it exclusively.
    pub(super) fn writer(&self) -> Option<TxnId> {
        if let Holders::One(Mode::Exclusive, txn) = self.holders { Some(txn) } else { None }
    }

    /// Holders whose lock conflicts with one of this mode.
    pub(super) fn conflicting(&self, mode: Mode) -> impl Iterator<Item = TxnId> {
        let (one, update, many) = match &self.holders {
            Holders::Free => (None, None, None),
            Holders::One(held, txn) => (held.conflicts(mode).then_some(*txn), None, None),
            Holders::Many(many) => (
                None,
                many.update.filter(|_| Mode::Update.conflicts(mode)),
                many.mode.conflicts(mode).then_some(&many.txns),
            ),
        };
        one.into_iter().chain(update).chain(many.into_iter().flatten().copied())
    }

    /// All holders with the mode that they hold.
    pub(super) fn holders(&self) -> impl Iterator<Item = (Mode, TxnId)> {
        let (one, many) = match &self.holders {
            Holders::Free => (None, None),
            Holders::One(mode, txn) => (Some((*mode, *txn)), None),
            Holders::Many(many) => (None, Some(many.parts())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Adds a holder, or changes the mode of one. The caller has made sure that
    /// nobody else is in the way.
    pub(super) fn hold(&mut self, txn: TxnId, mode: Mode) {
        self.release(txn);
        let other = self.conflicting(mode).next();
        assert!(other.is_none(), "{txn} can not hold {mode} beside {other:?}");
        self.holders = match std::mem::take(&mut self.holders) {
            Holders::Free => Holders::One(mode, txn),
            Holders::One(first, other) => {
                let mut many = Many { mode: first, txns: BTreeSet::new(), update: None };
                for (mode, txn) in [(first, other), (mode, txn)] {
                    if mode == Mode::Update {
                        many.mode = Mode::Shared;
                        many.update = Some(txn);
                    } else {
                        many.txns.insert(txn);
                    }
                }
                Holders::Many(Box::new(many))
            }
            Holders::Many(mut many) => {
                if mode == Mode::Update {
                    many.update = Some(txn);
                } else {
                    many.txns.insert(txn);
                }
                Holders::Many(many)
            }
        };
    }

    /// Removes a holder.
    pub(super) fn release(&mut self, txn: TxnId) {
        self.holders = match std::mem::take(&mut self.holders) {
            Holders::One(_, one) if one == txn => Holders::Free,
            Holders::Many(mut many) => {
                if !many.txns.remove(&txn) && many.update == Some(txn) {
                    many.update = None;
                }
                let (first, second) = {
                    let mut rest = many.parts();
                    (rest.next(), rest.next())
                };
                match (first, second) {
                    (Some((mode, last)), None) => Holders::One(mode, last),
                    _ => Holders::Many(many),
                }
            }
            others => others,
        };
    }

    /// Those who wait, if any.
    pub(super) fn waiters(&self) -> Option<&Waiters> {
        self.waiters.as_deref()
    }

    /// Adds a request that waits.
    pub(super) fn wait(&mut self, rank: Rank, txn: TxnId, mode: Mode) {
        self.waiters.get_or_insert_default().by_mode.insert((mode, rank), txn);
    }

    /// Marks a request that waits as one that may pass others.
    pub(super) fn mark_odd(&mut self, rank: Rank) {
        if let Some(waiters) = &mut self.waiters {
            waiters.odd.insert(rank);
        }
    }

    /// Removes a request that waited.
    pub(super) fn unwait(&mut self, rank: Rank, mode: Mode) {
        let Some(waiters) = &mut self.waiters else { return };
        waiters.by_mode.remove(&(mode, rank));
        waiters.odd.remove(&rank);
        if waiters.by_mode.is_empty() {
            self.waiters = None;
        }
    }

    /// Whether somebody holds it who keeps readers away.
    pub(super) fn is_written(&self) -> bool {
        self.conflicting(Mode::Shared).next().is_some()
    }

    /// Whether nobody holds it and nobody waits.
    pub(super) fn is_idle(&self) -> bool {
        self.waiters.is_none() && matches!(self.holders, Holders::Free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::model::txn;

    #[test]
    fn an_uncontended_key_is_small() {
        assert!(size_of::<Queue>() <= 40);
    }

    #[test]
    fn readers_come_and_go_and_the_last_may_write() {
        let mut queue = Queue::default();
        for n in 1..=3 {
            queue.hold(txn(n), Mode::Shared);
        }
        assert_eq!(queue.conflicting(Mode::Shared).count(), 0);
        assert_eq!(queue.conflicting(Mode::Exclusive).count(), 3);
        queue.release(txn(1));
        queue.release(txn(2));
        queue.hold(txn(3), Mode::Exclusive);
        assert_eq!(queue.writer(), Some(txn(3)));
        queue.release(txn(3));
        assert!(queue.is_idle());
    }

    #[test]
    fn one_of_many_readers_may_mean_to_write() {
        let mut queue = Queue::default();
        for n in 1..=3 {
            queue.hold(txn(n), Mode::Shared);
        }
        queue.hold(txn(2), Mode::Update);
        assert_eq!(queue.conflicting(Mode::Shared).count(), 0);
        assert_eq!(queue.conflicting(Mode::Update).collect::<Vec<_>>(), [txn(2)]);
        assert_eq!(queue.conflicting(Mode::Increment).count(), 3);
        queue.release(txn(1));
        queue.release(txn(3));
        assert_eq!(queue.holders().collect::<Vec<_>>(), [(Mode::Update, txn(2))]);
        queue.hold(txn(4), Mode::Shared);
        queue.release(txn(2));
        assert_eq!(queue.holders().collect::<Vec<_>>(), [(Mode::Shared, txn(4))]);
    }
}
