//! What goes, wholly or in part, and who passes then.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};

use super::mode::{Grant, LockTarget, Mode, Modes, Ticket};
use super::queue::Rank;
use super::span::bounds;
use super::table::{LockTable, Request};

/// What was taken out of the table, so that others may now pass.
#[derive(Default)]
pub(super) struct Freed {
    /// Keys, with the modes that it kept away.
    keys: BTreeMap<Key, Modes>,
    ranges: Vec<(KeyRange, Modes)>,
}

impl Freed {
    pub(super) fn add(&mut self, target: LockTarget, modes: Modes) {
        match target {
            LockTarget::Key(key) => {
                let all = self.keys.entry(key).or_default();
                *all = all.with(modes);
            }
            LockTarget::Range(range) => self.ranges.push((range, modes)),
        }
    }
}

impl LockTable {
    /// Ends a transaction here: drops all its locks and requests. Whoever can
    /// pass now is granted, in the order of their turns.
    pub fn release_all(&mut self, txn: TxnId, out: &mut Vec<Grant>) {
        let Some(holdings) = self.txns.remove(&txn) else { return };
        let mut freed = Freed::default();
        for ticket in holdings.waiting() {
            self.unwait(*ticket, &mut freed);
        }
        self.held -= holdings.held();
        // Mostly nobody waits, and what is free then is of no use.
        let is_waited_for = !self.requests.is_empty();
        for (target, mode) in holdings.locks() {
            if let LockTarget::Key(key) = &target {
                self.keys.change(key, |queue| queue.release(txn));
            }
            if is_waited_for {
                freed.add(target, mode.conflicting());
            }
        }
        for mode in [Mode::Shared, Mode::Exclusive] {
            for (range, id) in holdings.spans(mode).iter() {
                self.ranges_held.of(mode).remove(&range.start, id);
            }
        }
        self.grant_freed(&freed, out);
    }

    /// Makes a lock weaker, or drops it (`None`), before its transaction ends:
    /// the lock on the key by itself, or what is locked of the range by ranges.
    /// What does not become weaker by this stays as it is. Whoever can pass now
    /// is granted. False if nothing changed; so too if the transaction is
    /// prepared, or if a range would become several and there is no room for
    /// them. (Holding more is always right.)
    ///
    /// That breaks two-phase locking unless nothing was observed under the lock,
    /// or what was observed stays protected by the weaker lock: the caller
    /// decides. Absence is observed, too.
    ///
    /// Whoever waits behind requests that now wait for it no more may close a
    /// cycle by that. So if the transaction waits for anything, look for one.
    pub fn downgrade(
        &mut self,
        txn: TxnId,
        target: &LockTarget,
        to: Option<Mode>,
        out: &mut Vec<Grant>,
    ) -> bool {
        if self.txns.get(&txn).is_none_or(|holdings| holdings.pinned) {
            return false;
        }
        let mut freed = Freed::default();
        let to = to.map(|mode| mode.on(target));
        let changed = match target {
            LockTarget::Key(key) => self.weaken_key(txn, key, to, &mut freed),
            LockTarget::Range(range) => self.weaken_range(txn, range, to, &mut freed),
        };
        if self.txns[&txn].is_idle() {
            self.txns.remove(&txn);
        }
        self.grant_freed(&freed, out);
        changed
    }

    /// Withdraws a request that waits. False if none waits under this ticket,
    /// be it that it was granted: then the lock is held and stays.
    pub fn cancel(&mut self, ticket: Ticket, out: &mut Vec<Grant>) -> bool {
        let mut freed = Freed::default();
        let Some(Request { txn, target, .. }) = self.unwait(ticket, &mut freed) else {
            return false;
        };
        if let Entry::Occupied(mut entry) = self.txns.entry(txn) {
            entry.get_mut().unwait(ticket, &target);
            if entry.get().is_idle() {
                entry.remove();
            }
        }
        self.grant_freed(&freed, out);
        true
    }

    fn weaken_key(&mut self, txn: TxnId, key: &Key, to: Option<Mode>, freed: &mut Freed) -> bool {
        let holdings = self.txns.get_mut(&txn).expect("looked up before");
        let Some(from) = holdings.key_mode(key) else { return false };
        if to.is_some_and(|to| to == from || !from.covers(to)) {
            return false;
        }
        holdings.set_key(key, to);
        if to.is_none() {
            self.held -= 1;
        }
        self.keys.change(key, |queue| match to {
            Some(to) => queue.hold(txn, to),
            None => queue.release(txn),
        });
        let kept = to.map_or(Modes::default(), Mode::conflicting);
        freed.add(LockTarget::Key(key.clone()), from.conflicting().without(kept));
        true
    }

    fn weaken_range(
        &mut self,
        txn: TxnId,
        range: &KeyRange,
        to: Option<Mode>,
        freed: &mut Freed,
    ) -> bool {
        if range.is_empty() || to.is_some_and(Mode::is_write) {
            return false;
        }
        let holdings = self.txns.get_mut(&txn).expect("looked up before");
        let exclusive = holdings.spans(Mode::Exclusive).cut(range);
        let shared =
            if to.is_none() { holdings.spans(Mode::Shared).cut(range) } else { Default::default() };
        let gone = exclusive.gone.len() + shared.gone.len();
        let kept = if to.is_some() { exclusive.taken.len() } else { 0 };
        let more = (exclusive.left.len() + shared.left.len() + kept).saturating_sub(gone);
        let has_room = more == 0
            || holdings.held() + holdings.waiting().len() + more <= self.capacity.per_txn
                && self.held + self.requests.len() + more <= self.capacity.total;
        if gone == 0 || !has_room {
            return false;
        }
        let kept = to.map_or(Modes::default(), Mode::conflicting);
        for (mode, cut) in [(Mode::Exclusive, exclusive), (Mode::Shared, shared)] {
            let holdings = self.txns.get_mut(&txn).expect("looked up before");
            self.held -= cut.gone.len();
            for (start, id) in cut.gone {
                holdings.spans_mut(mode).remove(&start);
                self.ranges_held.of(mode).remove(&start, id);
            }
            for range in cut.left {
                self.hold_range(txn, range, mode);
            }
            for range in cut.taken {
                if to.is_some() {
                    self.hold_range(txn, range.clone(), Mode::Shared);
                }
                freed.add(LockTarget::Range(range), mode.conflicting().without(kept));
            }
        }
        true
    }

    /// Grants whatever the removal of locks and requests lets through.
    fn grant_freed(&mut self, freed: &Freed, out: &mut Vec<Grant>) {
        let mut candidates = BTreeSet::new();
        for (key, modes) in &freed.keys {
            self.front_of(key, *modes, &mut candidates);
            self.ranges_on(&LockTarget::Key(key.clone()), *modes, &mut candidates);
        }
        for (range, modes) in &freed.ranges {
            for key in self.queued.range::<[u8], _>(bounds(range)) {
                self.front_of(key, *modes, &mut candidates);
            }
            self.ranges_on(&LockTarget::Range(range.clone()), *modes, &mut candidates);
        }
        // No grant lets another transaction pass, so one pass in order is enough.
        for rank in candidates {
            if self.requests.get(&rank.ticket).is_some_and(|request| !self.is_blocked(request)) {
                self.grant(rank.ticket, out);
            }
        }
    }

    /// Those of a key's queue, in some modes, that may pass.
    fn front_of(&self, key: &Key, modes: Modes, candidates: &mut BTreeSet<Rank>) {
        if !self.queued.contains(key) {
            return;
        }
        let Some((_, queue)) = self.keys.get(key) else { return };
        if let (Some(waiters), None) = (queue.waiters(), queue.writer()) {
            waiters.front(modes, candidates);
        }
    }

    /// Requests for ranges over a target, in some modes.
    fn ranges_on(&self, target: &LockTarget, modes: Modes, candidates: &mut BTreeSet<Rank>) {
        _ = self.ranges_waiting.overlapping(modes, target, &mut |id, _| {
            candidates.insert(self.requests[&Ticket(id)].rank);
            ControlFlow::Continue(())
        });
    }
}
