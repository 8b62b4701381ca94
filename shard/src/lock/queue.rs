//! One key: who holds it, who waits for it.

use std::collections::{BTreeMap, BTreeSet};

use synod_common::id::TxnId;

use super::mode::{Mode, Ticket};

/// The place of a request among those that wait: upgrades first, then in the
/// order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// False for an upgrade, which sorts it in front.
    pub(super) ordinary: bool,
    /// When it came.
    pub(super) ticket: Ticket,
}

/// Who holds a key. One holder, the usual case, takes no further memory.
#[derive(Debug, Default)]
pub(super) enum Holders {
    /// Nobody.
    #[default]
    Free,
    /// One writer.
    Writer(TxnId),
    /// One reader.
    Reader(TxnId),
    /// Several readers.
    Readers(BTreeSet<TxnId>),
}

impl Holders {
    fn readers(&self) -> impl Iterator<Item = TxnId> {
        let (one, many) = match self {
            Holders::Free | Holders::Writer(_) => (None, None),
            Holders::Reader(txn) => (Some(*txn), None),
            Holders::Readers(txns) => (None, Some(txns)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied())
    }
}

/// Those who wait for one key. Apart by mode, so that the first conflicting one
/// is found without passing those that do not conflict.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    pub(super) shared: BTreeMap<Rank, TxnId>,
    pub(super) exclusive: BTreeMap<Rank, TxnId>,
}

/// The state of one key.
#[derive(Debug, Default)]
pub(super) struct Queue {
    holders: Holders,
    /// Boxed, as few keys have any.
    waiters: Option<Box<Waiters>>,
}

impl Queue {
    /// The transaction that holds it exclusively.
    pub(super) fn writer(&self) -> Option<TxnId> {
        if let Holders::Writer(txn) = self.holders { Some(txn) } else { None }
    }

    /// Holders whose lock conflicts with one of this mode.
    pub(super) fn conflicting(&self, mode: Mode) -> impl Iterator<Item = TxnId> {
        let readers = self.holders.readers().filter(move |_| Mode::Shared.conflicts(mode));
        self.writer().into_iter().chain(readers)
    }

    /// All holders with the mode that they hold.
    pub(super) fn holders(&self) -> impl Iterator<Item = (Mode, TxnId)> {
        let readers = self.holders.readers().map(|txn| (Mode::Shared, txn));
        self.writer().map(|txn| (Mode::Exclusive, txn)).into_iter().chain(readers)
    }

    /// Adds a holder, or makes a reader the writer. The caller has made sure that
    /// nobody else is in the way.
    pub(super) fn hold(&mut self, txn: TxnId, mode: Mode) {
        self.holders = match (mode, std::mem::take(&mut self.holders)) {
            (Mode::Exclusive, holders) => {
                let alone = matches!(holders, Holders::Free | Holders::Reader(_))
                    && holders.readers().all(|reader| reader == txn);
                assert!(alone, "{txn} can not be the writer beside {holders:?}");
                Holders::Writer(txn)
            }
            (Mode::Shared, Holders::Free) => Holders::Reader(txn),
            (Mode::Shared, Holders::Reader(first)) => Holders::Readers([first, txn].into()),
            (Mode::Shared, Holders::Readers(mut txns)) => {
                txns.insert(txn);
                Holders::Readers(txns)
            }
            (Mode::Shared, Holders::Writer(writer)) => panic!("{txn} reads what {writer} writes"),
        };
    }

    /// Removes a holder.
    pub(super) fn release(&mut self, txn: TxnId) {
        self.holders = match std::mem::take(&mut self.holders) {
            Holders::Readers(mut txns) => {
                txns.remove(&txn);
                match txns.first() {
                    Some(&last) if txns.len() == 1 => Holders::Reader(last),
                    _ => Holders::Readers(txns),
                }
            }
            Holders::Free | Holders::Writer(_) | Holders::Reader(_) => Holders::Free,
        };
    }

    /// Those who wait, if any.
    pub(super) fn waiters(&self) -> Option<&Waiters> {
        self.waiters.as_deref()
    }

    /// Adds a request that waits.
    pub(super) fn wait(&mut self, rank: Rank, txn: TxnId, mode: Mode) {
        let waiters = self.waiters.get_or_insert_default();
        match mode {
            Mode::Shared => waiters.shared.insert(rank, txn),
            Mode::Exclusive => waiters.exclusive.insert(rank, txn),
        };
    }

    /// Removes a request that waited.
    pub(super) fn unwait(&mut self, rank: Rank) {
        let Some(waiters) = &mut self.waiters else { return };
        waiters.shared.remove(&rank);
        waiters.exclusive.remove(&rank);
        if waiters.shared.is_empty() && waiters.exclusive.is_empty() {
            self.waiters = None;
        }
    }

    /// Whether somebody waits to write.
    pub(super) fn is_contended(&self) -> bool {
        self.waiters().is_some_and(|waiters| !waiters.exclusive.is_empty())
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
}
