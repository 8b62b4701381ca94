//! The table: requests, grants, releases.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};
use synod_common::time::Timestamp;

use super::holdings::Holdings;
use super::mode::{Acquired, Capacity, Grant, LockTarget, Mode, Modes, Refused, Ticket, Tried};
use super::queue::{Queue, Rank};
use super::range::Ranges;
use super::span::bounds;

/// The locks of a shard. See the module's essay.
#[derive(Debug)]
pub struct LockTable {
    capacity: Capacity,
    /// Every key that is held or waited for by itself.
    pub(super) keys: BTreeMap<Key, Queue>,
    /// Keys held in a mode that keeps readers away.
    pub(super) written: BTreeSet<Key>,
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
    held: usize,
}

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) txn: TxnId,
    pub(super) target: LockTarget,
    pub(super) mode: Mode,
    pub(super) rank: Rank,
}

/// What was taken out of the table, so that others may now pass.
#[derive(Default)]
struct Freed {
    /// Keys, with the modes that it kept away.
    keys: BTreeMap<Key, Modes>,
    ranges: Vec<(KeyRange, Modes)>,
}

impl Freed {
    fn add(&mut self, target: LockTarget, modes: Modes) {
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
    /// An empty table.
    pub fn new(capacity: Capacity) -> LockTable {
        LockTable {
            capacity,
            keys: BTreeMap::new(),
            written: BTreeSet::new(),
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

    /// Asks for a lock. `age` is when the transaction began; what it said first
    /// counts. The lock may unblock requests of the same transaction that wait:
    /// their grants go to `out`.
    ///
    /// Afterwards, if the transaction [waits](LockTable::is_waiting) for anything,
    /// look for a [cycle](LockTable::find_cycle).
    ///
    /// # Errors
    /// If it is refused; the table is as before.
    pub fn acquire(
        &mut self,
        txn: TxnId,
        age: Timestamp,
        target: LockTarget,
        mode: Mode,
        out: &mut Vec<Grant>,
    ) -> Result<Acquired, Refused> {
        let Some(request) = self.request(txn, target, mode)? else {
            return Ok(Acquired::Granted);
        };
        let blocked = self.is_blocked(&request);
        self.check_room(&request, blocked)?;
        let ticket = request.rank.ticket;
        if blocked {
            self.enter(txn, age, ticket);
            self.wait(request);
            Ok(Acquired::Waiting(ticket))
        } else {
            self.enter(txn, age, ticket);
            self.hold(txn, &request.target, request.mode);
            self.regrant(txn, request.target, out);
            Ok(Acquired::Granted)
        }
    }

    /// Asks for a lock that is wanted now or not at all. Says who is in the way,
    /// by the same rules as [`LockTable::acquire`]: it does not pass those who
    /// wait. Afterwards likewise.
    ///
    /// # Errors
    /// If it is refused; the table is as before.
    pub fn try_acquire(
        &mut self,
        txn: TxnId,
        age: Timestamp,
        target: LockTarget,
        mode: Mode,
        out: &mut Vec<Grant>,
    ) -> Result<Tried, Refused> {
        let Some(request) = self.request(txn, target, mode)? else {
            return Ok(Tried::Granted);
        };
        if let Some(other) = self.first_blocker(&request) {
            return Ok(Tried::Blocked(other));
        }
        self.check_room(&request, false)?;
        self.enter(txn, age, request.rank.ticket);
        self.hold(txn, &request.target, request.mode);
        self.regrant(txn, request.target, out);
        Ok(Tried::Granted)
    }

    /// Ends a transaction here: drops all its locks and requests. Whoever can
    /// pass now is granted, in the order in which they came (upgrades first).
    pub fn release_all(&mut self, txn: TxnId, out: &mut Vec<Grant>) {
        let Some(holdings) = self.txns.remove(&txn) else { return };
        let mut freed = Freed::default();
        for ticket in &holdings.waiting {
            self.unwait(*ticket, &mut freed);
        }
        self.held -= holdings.held();
        for (target, mode) in holdings.locks() {
            if let LockTarget::Key(key) = &target {
                self.queue(key, |queue| queue.release(txn));
                if mode.is_write() {
                    self.note_written(key);
                }
            }
            freed.add(target, mode.conflicting());
        }
        for (spans, mode) in
            [(&holdings.shared, Mode::Shared), (&holdings.exclusive, Mode::Exclusive)]
        {
            for (range, id) in spans.iter() {
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
        let rank = Rank { ordinary: true, ticket: Ticket(u64::MAX) };
        let request = Request { txn, target, mode, rank };
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
        assert!(holdings.waiting.is_empty(), "{txn} prepares while it waits for a lock");
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

    /// Whether a transaction has a request that waits.
    pub fn is_waiting(&self, txn: TxnId) -> bool {
        self.txns.get(&txn).is_some_and(|holdings| !holdings.waiting.is_empty())
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
    fn request(
        &self,
        txn: TxnId,
        target: LockTarget,
        mode: Mode,
    ) -> Result<Option<Request>, Refused> {
        if matches!(&target, LockTarget::Range(range) if range.is_empty()) {
            return Ok(None);
        }
        let mode = mode.on(&target);
        let ticket = Ticket(self.last_ticket.0 + 1);
        let mut request = Request { txn, target, mode, rank: Rank { ordinary: true, ticket } };
        if let Some(holdings) = self.txns.get(&txn) {
            if holdings.pinned {
                return Err(Refused::Pinned);
            }
            if holdings.covers(&request.target, mode) {
                return Ok(None);
            }
            request.rank.ordinary = !self.is_upgrade(&request, holdings);
        }
        Ok(Some(request))
    }

    /// Whether a request goes in front of those who wait: its transaction holds
    /// all of the target already, in another mode. From S to U only if a writer
    /// waits for it; see the essay.
    fn is_upgrade(&self, request: &Request, holdings: &Holdings) -> bool {
        let LockTarget::Key(key) = &request.target else {
            return holdings.covers(&request.target, Mode::Shared);
        };
        let kept = holdings.keeps_away(key);
        if request.mode != Mode::Update || kept != Mode::Shared.conflicting() {
            return !kept.is_empty();
        }
        let waiters = self.keys.get(key).and_then(Queue::waiters);
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
    fn check_room(&self, request: &Request, waits: bool) -> Result<(), Refused> {
        let holdings = self.txns.get(&request.txn);
        let in_place = match &request.target {
            LockTarget::Key(key) => holdings.is_some_and(|own| own.key_mode(key).is_some()),
            LockTarget::Range(_) => false,
        };
        if in_place && !waits {
            return Ok(());
        }
        if holdings.map_or(0, |own| own.held() + own.waiting.len()) >= self.capacity.per_txn {
            return Err(Refused::TxnFull(self.capacity.per_txn));
        }
        if self.held + self.requests.len() >= self.capacity.total {
            return Err(Refused::TableFull(self.capacity.total));
        }
        Ok(())
    }

    /// Makes a transaction known whose request is accepted.
    fn enter(&mut self, txn: TxnId, age: Timestamp, ticket: Ticket) {
        self.last_ticket = ticket;
        self.txns.entry(txn).or_insert_with(|| Holdings::new(age));
    }

    /// Whether anything stands in the way of a request.
    fn is_blocked(&self, request: &Request) -> bool {
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

    /// Changes a key's queue, which is there only while it is of use.
    fn queue(&mut self, key: &Key, change: impl FnOnce(&mut Queue)) {
        match self.keys.entry(key.clone()) {
            Entry::Occupied(mut entry) => {
                change(entry.get_mut());
                if entry.get().is_idle() {
                    entry.remove();
                }
            }
            Entry::Vacant(entry) => change(entry.insert(Queue::default())),
        }
    }

    /// Keeps the set of written keys in step with a lock that changed.
    fn note_written(&mut self, key: &Key) {
        let queue = self.keys.get(key);
        if queue.is_some_and(|queue| queue.conflicting(Mode::Shared).next().is_some()) {
            self.written.insert(key.clone());
        } else {
            self.written.remove(key);
        }
    }

    fn wait(&mut self, request: Request) {
        let Request { txn, mode, rank, .. } = request;
        let holdings = self.txns.get_mut(&txn).expect("whoever waits is known");
        let others = holdings.waiting_on(&request.target);
        holdings.wait(rank.ticket, &request.target);
        match &request.target {
            LockTarget::Key(key) => {
                let holds = !holdings.keeps_away(key).is_empty();
                self.queue(key, |queue| {
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
    fn unwait(&mut self, ticket: Ticket, freed: &mut Freed) -> Option<Request> {
        let request = self.requests.remove(&ticket)?;
        let Request { target, mode, rank, .. } = &request;
        match target {
            LockTarget::Key(key) => {
                self.queue(key, |queue| queue.unwait(*rank, *mode));
                if self.keys.get(key).and_then(Queue::waiters).is_none() {
                    self.queued.remove(key);
                }
            }
            LockTarget::Range(range) => {
                self.ranges_waiting.of(*mode).remove(&range.start, ticket.0)
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
        if let Some(queue) = self.keys.get_mut(key) {
            queue.mark_odd(*rank);
        }
    }

    /// Enters a lock that nothing stands in the way of, also one that is covered by
    /// others since it was asked for: so what is held does not depend on the order
    /// of grants.
    fn hold(&mut self, txn: TxnId, target: &LockTarget, mode: Mode) {
        match target {
            LockTarget::Key(key) => {
                let holdings = self.txns.get_mut(&txn).expect("whoever holds is known");
                let before = holdings.held();
                let mode = holdings.key_mode(key).map_or(mode, |from| from.join(mode));
                holdings.set_key(key, Some(mode));
                self.held = self.held - before + holdings.held();
                self.queue(key, |queue| queue.hold(txn, mode));
                if mode.is_write() {
                    self.note_written(key);
                }
            }
            LockTarget::Range(range) => self.hold_range(txn, range.clone(), mode),
        }
    }

    /// Enters a range and merges it with those of its transaction that it
    /// touches.
    fn hold_range(&mut self, txn: TxnId, mut range: KeyRange, mode: Mode) {
        let holdings = self.txns.get_mut(&txn).expect("whoever holds is known");
        let before = holdings.held();
        for (start, id) in holdings.spans(mode).absorb(&mut range) {
            self.ranges_held.of(mode).remove(&start, id);
        }
        self.last_range += 1;
        let id = self.last_range;
        holdings.spans(mode).insert(range.clone(), id);
        self.held = self.held - before + holdings.held();
        self.ranges_held.of(mode).insert(range, id, txn);
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
        self.queue(key, |queue| match to {
            Some(to) => queue.hold(txn, to),
            None => queue.release(txn),
        });
        if from.is_write() {
            self.note_written(key);
        }
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
        let exclusive = holdings.exclusive.cut(range);
        let shared = if to.is_none() { holdings.shared.cut(range) } else { Default::default() };
        let gone = exclusive.gone.len() + shared.gone.len();
        let kept = if to.is_some() { exclusive.taken.len() } else { 0 };
        let more = (exclusive.left.len() + shared.left.len() + kept).saturating_sub(gone);
        let has_room = more == 0
            || holdings.held() + holdings.waiting.len() + more <= self.capacity.per_txn
                && self.held + self.requests.len() + more <= self.capacity.total;
        if gone == 0 || !has_room {
            return false;
        }
        let kept = to.map_or(Modes::default(), Mode::conflicting);
        for (mode, cut) in [(Mode::Exclusive, exclusive), (Mode::Shared, shared)] {
            let holdings = self.txns.get_mut(&txn).expect("looked up before");
            self.held -= cut.gone.len();
            for (start, id) in cut.gone {
                holdings.spans(mode).remove(&start);
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

    /// Turns a request that waits into a lock, and then whatever else of its
    /// transaction that lets through.
    fn grant(&mut self, ticket: Ticket, out: &mut Vec<Grant>) {
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
            if holdings.waiting.is_empty() {
                return;
            }
            let near = holdings.waiting_on(&target);
            // Those in front of its other requests wait for this only if they
            // wait for a range.
            let tickets = if self.ranges_waiting.any(&target) {
                holdings.waiting.iter().copied().collect()
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
        let Some(queue) = self.keys.get(key) else { return };
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
