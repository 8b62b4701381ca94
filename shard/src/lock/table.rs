//! The table: requests and grants.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};
use synod_common::time::Timestamp;

use super::holdings::Holdings;
use super::keys::Keys;
use super::mode::{
    Acquired, Asker, Capacity, Grant, LockTarget, Mode, Modes, Refused, Ticket, Tried,
};
use super::queue::Rank;
use super::range::Ranges;
use super::release::Freed;

/// The locks of a shard. See the module's essay.
#[derive(Clone, Debug)]
pub struct LockTable {
    pub(super) capacity: Capacity,
    /// Every key that is held or waited for by itself.
    pub(super) keys: Keys,
    /// Keys that somebody waits for.
    pub(super) queued: BTreeSet<Key>,
    pub(super) ranges_held: Ranges,
    /// By ticket.
    pub(super) ranges_waiting: Ranges,
    pub(super) requests: BTreeMap<Ticket, Request>,
    pub(super) txns: BTreeMap<TxnId, Holdings>,
    pub(super) last_ticket: Ticket,
    /// Names the ranges held.
    last_range: u64,
    pub(super) held: usize,
}

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) txn: TxnId,
    pub(super) target: LockTarget,
    pub(super) mode: Mode,
    pub(super) rank: Rank,
}

impl LockTable {
    /// An empty table.
    pub fn new(capacity: Capacity) -> LockTable {
        LockTable {
            capacity,
            keys: Keys::default(),
            queued: BTreeSet::new(),
            ranges_held: Ranges::default(),
            ranges_waiting: Ranges::default(),
            requests: BTreeMap::new(),
            txns: BTreeMap::new(),
            last_ticket: Ticket(0),
            last_range: 0,
            held: 0,
        }
    }

    /// Asks for a lock. The lock may unblock requests of the same transaction that wait:
    /// their grants go to `out`.
    ///
    /// Afterwards, if the transaction [waits](LockTable::is_waiting) for anything,
    /// look for a [cycle](LockTable::find_cycle).
    ///
    /// # Errors
    /// If it is refused; the table is as before.
    pub fn acquire(
        &mut self,
        asker: Asker,
        target: LockTarget,
        mode: Mode,
        out: &mut Vec<Grant>,
    ) -> Result<Acquired, Refused> {
        let own = self.txns.get(&asker.txn);
        let Some(request) = self.request(asker, own, target, mode)? else {
            return Ok(Acquired::Granted);
        };
        let blocked = self.is_blocked(&request);
        self.check_room(&request, own, blocked)?;
        let ticket = request.rank.ticket;
        self.enter(asker.txn, own.is_none().then_some(asker.age), ticket);
        if blocked {
            self.wait(request);
            Ok(Acquired::Waiting(ticket))
        } else {
            self.hold_and_regrant(request, out);
            Ok(Acquired::Granted)
        }
    }

    /// Asks for a lock that is wanted now or not at all. Says who is in the way,
    /// by the same rules as [`LockTable::acquire`]: of those who wait, it passes only
    /// whose turn comes after its own. Afterwards likewise.
    ///
    /// # Errors
    /// If it is refused; the table is as before.
    pub fn try_acquire(
        &mut self,
        asker: Asker,
        target: LockTarget,
        mode: Mode,
        out: &mut Vec<Grant>,
    ) -> Result<Tried, Refused> {
        let own = self.txns.get(&asker.txn);
        let Some(request) = self.request(asker, own, target, mode)? else {
            return Ok(Tried::Granted);
        };
        if let Some(other) = self.first_blocker(&request) {
            return Ok(Tried::Blocked(other));
        }
        self.check_room(&request, own, false)?;
        self.enter(asker.txn, own.is_none().then_some(asker.age), request.rank.ticket);
        self.hold_and_regrant(request, out);
        Ok(Tried::Granted)
    }

    /// Gives a prepared transaction back a lock that it held before a restart,
    /// whatever the capacity, and [pins](LockTable::pin) it.
    ///
    /// # Panics
    /// If it conflicts with another lock or request: the locks of prepared
    /// transactions were held together, and nobody is served before them.
    pub fn reinstate(&mut self, txn: TxnId, target: LockTarget, mode: Mode) {
        let mode = mode.on(&target);
        self.pin(txn);
        if self.txns[&txn].covers(&target, mode) {
            return;
        }
        let request = Request { txn, target, mode, rank: Rank::LAST };
        assert!(!self.is_blocked(&request), "{mode} on {} of {txn} conflicts", request.target);
        self.hold(txn, &request.target, mode);
    }

    /// Marks a transaction as prepared: it acquires nothing more and is never
    /// the victim of a deadlock.
    ///
    /// # Panics
    /// If it waits for a lock. Cancel its requests, or vote no.
    pub fn pin(&mut self, txn: TxnId) {
        let holdings = self.txns.entry(txn).or_default();
        assert!(holdings.waiting().is_empty(), "{txn} prepares while it waits for a lock");
        holdings.pinned = true;
    }

    /// What a transaction holds: keys beside which others may read, other keys,
    /// ranges to read, ranges to write.
    pub fn locks_of(&self, txn: TxnId) -> impl Iterator<Item = (LockTarget, Mode)> {
        self.txns.get(&txn).into_iter().flat_map(Holdings::locks)
    }

    /// Whether a transaction holds a key at least so strongly, by itself or
    /// within ranges.
    pub fn holds(&self, txn: TxnId, key: &[u8], mode: Mode) -> bool {
        self.txns.get(&txn).is_some_and(|holdings| holdings.covers_key(key, mode))
    }

    /// Whether a transaction holds all of a target at least so strongly.
    pub fn covers(&self, txn: TxnId, target: &LockTarget, mode: Mode) -> bool {
        self.txns.get(&txn).is_some_and(|holdings| holdings.covers(target, mode.on(target)))
    }

    /// Who would stand in the way of a request; nobody, too, if it would be
    /// refused.
    pub fn blocker(&self, asker: Asker, target: &LockTarget, mode: Mode) -> Option<TxnId> {
        let own = self.txns.get(&asker.txn);
        let request = self.request(asker, own, target.clone(), mode).ok().flatten()?;
        self.first_blocker(&request)
    }

    /// Whether a transaction has a request that waits.
    pub fn is_waiting(&self, txn: TxnId) -> bool {
        self.txns.get(&txn).is_some_and(|holdings| !holdings.waiting().is_empty())
    }

    /// How many locks are held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.requests.len()
    }

    /// What is asked for and where it would stand if it waited; `None` if the
    /// transaction holds it already.
    pub(super) fn request(
        &self,
        asker: Asker,
        own: Option<&Holdings>,
        target: LockTarget,
        mode: Mode,
    ) -> Result<Option<Request>, Refused> {
        if matches!(&target, LockTarget::Range(range) if range.is_empty()) {
            return Ok(None);
        }
        let mode = mode.on(&target);
        let ticket = Ticket(self.last_ticket.0 + 1);
        let rank = Rank { ordinary: true, turn: asker.turn, ticket };
        let mut request = Request { txn: asker.txn, target, mode, rank };
        if let Some(own) = own {
            if own.pinned {
                return Err(Refused::Pinned);
            }
            if own.covers(&request.target, mode) {
                return Ok(None);
            }
            request.rank.ordinary = !self.is_upgrade(&request, own);
        }
        Ok(Some(request))
    }

    /// Whether a request goes in front of those who wait: its transaction holds
    /// all of the target already, in a weaker mode. From S to U only if a writer
    /// waits for the S lock; see the essay.
    fn is_upgrade(&self, request: &Request, holdings: &Holdings) -> bool {
        let LockTarget::Key(key) = &request.target else {
            return holdings.covers(&request.target, Mode::Shared);
        };
        let kept = holdings.keeps_away(key);
        if request.mode != Mode::Update || kept != Mode::Shared.conflicting() {
            return !kept.is_empty();
        }
        let waiters = self.keys.get(key).and_then(|(_, queue)| queue.waiters());
        waiters.is_some_and(|waiters| waiters.any_but(kept, request.txn)) || {
            let writers: Modes = [Mode::Exclusive].into_iter().collect();
            let other = &mut |_, txn| {
                if txn == request.txn { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            self.ranges_waiting.overlapping(writers, &request.target, other).is_break()
        }
    }

    /// Whether the capacity allows a request. One that changes the mode of a lock
    /// takes no further place.
    fn check_room(
        &self,
        request: &Request,
        own: Option<&Holdings>,
        waits: bool,
    ) -> Result<(), Refused> {
        let in_place = match &request.target {
            LockTarget::Key(key) => own.is_some_and(|own| own.key_mode(key).is_some()),
            LockTarget::Range(_) => false,
        };
        if in_place && !waits {
            return Ok(());
        }
        if own.map_or(0, |own| own.held() + own.waiting().len()) >= self.capacity.per_txn {
            return Err(Refused::TxnFull(self.capacity.per_txn));
        }
        if self.held + self.requests.len() >= self.capacity.total {
            return Err(Refused::TableFull(self.capacity.total));
        }
        Ok(())
    }

    /// Accepts a request. `began` if its transaction is not known yet.
    fn enter(&mut self, txn: TxnId, began: Option<Timestamp>, ticket: Ticket) {
        self.last_ticket = ticket;
        if let Some(age) = began {
            self.txns.insert(txn, Holdings::new(age));
        }
    }

    /// Whether anything stands in the way of a request.
    pub(super) fn is_blocked(&self, request: &Request) -> bool {
        self.first_blocker(request).is_some()
    }

    fn first_blocker(&self, request: &Request) -> Option<TxnId> {
        let mut first = None;
        _ = self.blockers(request, None, &mut |other| {
            first = Some(other);
            ControlFlow::Break(())
        });
        first
    }

    fn wait(&mut self, request: Request) {
        let Request { txn, mode, rank, .. } = request;
        let holdings = self.txns.get_mut(&txn).expect("whoever waits is known");
        let others = holdings.waiting_on(&request.target);
        holdings.wait(rank.ticket, &request.target);
        match &request.target {
            LockTarget::Key(key) => {
                let holds = !holdings.keeps_away(key).is_empty();
                self.keys.change(key, |queue| {
                    queue.wait(rank, txn, mode);
                    if holds || !others.is_empty() {
                        queue.mark_odd(rank);
                    }
                });
                self.queued.insert(key.clone());
            }
            LockTarget::Range(range) => {
                self.ranges_waiting.of(mode).insert(range.clone(), rank.ticket.0, txn);
            }
        }
        self.requests.insert(rank.ticket, request);
        for ticket in others {
            self.mark_odd(ticket);
        }
    }

    /// Takes out a request that waits; its transaction's own list is left to
    /// the caller.
    pub(super) fn unwait(&mut self, ticket: Ticket, freed: &mut Freed) -> Option<Request> {
        let request = self.requests.remove(&ticket)?;
        let Request { target, mode, rank, .. } = &request;
        match target {
            LockTarget::Key(key) => {
                self.keys.change(key, |queue| queue.unwait(*rank, *mode));
                if self.keys.get(key).and_then(|(_, queue)| queue.waiters()).is_none() {
                    self.queued.remove(key);
                }
            }
            LockTarget::Range(range) => {
                self.ranges_waiting.of(*mode).remove(&range.start, ticket.0);
            }
        }
        freed.add(target.clone(), mode.conflicting());
        Some(request)
    }

    fn mark_odd(&mut self, ticket: Ticket) {
        let Some(Request { target: LockTarget::Key(key), rank, .. }) = self.requests.get(&ticket)
        else {
            return;
        };
        self.keys.change(key, |queue| queue.mark_odd(*rank));
    }

    /// Enters a lock that nothing stands in the way of, also one that is covered by
    /// others since it was asked for: so what is held does not depend on the order
    /// of grants. Says whether its transaction waits for anything.
    fn hold(&mut self, txn: TxnId, target: &LockTarget, mode: Mode) -> bool {
        let holdings = self.txns.get_mut(&txn).expect("whoever holds is known");
        let waits = !holdings.waiting().is_empty();
        match target {
            LockTarget::Key(key) => {
                let before = holdings.held();
                let mode = holdings.key_mode(key).map_or(mode, |from| from.join(mode));
                holdings.set_key(key, Some(mode));
                self.held = self.held - before + holdings.held();
                self.keys.change(key, |queue| queue.hold(txn, mode));
            }
            LockTarget::Range(range) => self.hold_range(txn, range.clone(), mode),
        }
        waits
    }

    fn hold_and_regrant(&mut self, request: Request, out: &mut Vec<Grant>) {
        if self.hold(request.txn, &request.target, request.mode) {
            self.regrant(request.txn, request.target, out);
        }
    }

    /// Enters a range and merges it with those of its transaction that it
    /// touches.
    pub(super) fn hold_range(&mut self, txn: TxnId, mut range: KeyRange, mode: Mode) {
        let holdings = self.txns.get_mut(&txn).expect("whoever holds is known");
        let before = holdings.held();
        for (start, id) in holdings.spans_mut(mode).absorb(&mut range) {
            self.ranges_held.of(mode).remove(&start, id);
        }
        self.last_range += 1;
        let id = self.last_range;
        holdings.spans_mut(mode).insert(range.clone(), id);
        self.held = self.held - before + holdings.held();
        self.ranges_held.of(mode).insert(range, id, txn);
    }

    /// Turns a request that waits into a lock, and then whatever else of its
    /// transaction that lets through.
    pub(super) fn grant(&mut self, ticket: Ticket, out: &mut Vec<Grant>) {
        let (txn, target) = self.promote(ticket, out);
        self.regrant(txn, target, out);
    }

    fn promote(&mut self, ticket: Ticket, out: &mut Vec<Grant>) -> (TxnId, LockTarget) {
        // What waited for the request now waits for the lock: nobody passes.
        let request = self.unwait(ticket, &mut Freed::default());
        let Request { txn, target, mode, .. } = request.expect("whoever is granted waits");
        let holdings = self.txns.get_mut(&txn).expect("whoever waits is known");
        holdings.unwait(ticket, &target);
        self.hold(txn, &target, mode);
        out.push(Grant { ticket, txn });
        (txn, target)
    }

    /// Grants what waits of a transaction and is blocked no more, after it got a
    /// lock: it may be covered now, or those in front may wait for it now.
    fn regrant(&mut self, txn: TxnId, target: LockTarget, out: &mut Vec<Grant>) {
        let mut got = vec![target];
        while let Some(target) = got.pop() {
            let holdings = &self.txns[&txn];
            if holdings.waiting().is_empty() {
                return;
            }
            let near = holdings.waiting_on(&target);
            // Those in front of its other requests wait for this only if they
            // wait for a range.
            let tickets = if self.ranges_waiting.any(&target) {
                holdings.waiting().iter().copied().collect()
            } else {
                near.clone()
            };
            for ticket in tickets {
                let blocked = self.requests.get(&ticket).map(|request| self.is_blocked(request));
                if blocked == Some(false) {
                    got.push(self.promote(ticket, out).1);
                }
            }
            for ticket in near {
                self.mark_odd(ticket);
            }
        }
    }
}
