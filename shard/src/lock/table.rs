//! The table: requests, grants, releases.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};
use synod_common::time::Timestamp;

use super::holdings::{Holdings, Span, bounds};
use super::mode::{Acquired, Capacity, Grant, LockTarget, Mode, Refused, Ticket};
use super::queue::{Queue, Rank};
use super::range::RangeIndex;

/// The locks of a shard. See the module's essay.
#[derive(Debug)]
pub struct LockTable {
    capacity: Capacity,
    /// Every key that is held or waited for by itself.
    pub(super) keys: BTreeMap<Key, Queue>,
    /// Keys held to write, which a range must not contain.
    pub(super) written: BTreeSet<Key>,
    /// Keys that somebody waits to write.
    pub(super) contended: BTreeSet<Key>,
    pub(super) ranges_held: RangeIndex,
    /// By ticket.
    pub(super) ranges_waiting: RangeIndex,
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
    /// Keys on which something exclusive went, held or waiting.
    exclusive: BTreeSet<Key>,
    /// Keys on which something shared went.
    shared: BTreeSet<Key>,
    ranges: Vec<KeyRange>,
}

impl Freed {
    fn add(&mut self, target: LockTarget, mode: Mode) {
        match (target, mode) {
            (LockTarget::Key(key), Mode::Exclusive) => _ = self.exclusive.insert(key),
            (LockTarget::Key(key), Mode::Shared) => _ = self.shared.insert(key),
            (LockTarget::Range(range), _) => self.ranges.push(range),
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
            contended: BTreeSet::new(),
            ranges_held: RangeIndex::default(),
            ranges_waiting: RangeIndex::default(),
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
        if mode == Mode::Exclusive && matches!(target, LockTarget::Range(_)) {
            return Err(Refused::ExclusiveRange);
        }
        if matches!(&target, LockTarget::Range(range) if range.is_empty()) {
            return Ok(Acquired::Granted);
        }
        let mut upgrade = false;
        let mut in_place = false;
        let mut size = 0;
        if let Some(holdings) = self.txns.get(&txn) {
            if holdings.pinned {
                return Err(Refused::Pinned);
            }
            if holdings.covers(&target, mode) {
                return Ok(Acquired::Granted);
            }
            upgrade = mode == Mode::Exclusive && holdings.covers(&target, Mode::Shared);
            in_place = matches!(&target, LockTarget::Key(key) if holdings.shared.contains(key));
            size = holdings.held() + holdings.waiting.len();
        }
        let ticket = Ticket(self.last_ticket.0 + 1);
        let request = Request { txn, target, mode, rank: Rank { ordinary: !upgrade, ticket } };
        let blocked = self.is_blocked(&request);
        // A reader that becomes the writer takes no further place.
        if blocked || !in_place {
            if size >= self.capacity.per_txn {
                return Err(Refused::TxnFull(self.capacity.per_txn));
            }
            if self.held + self.requests.len() >= self.capacity.total {
                return Err(Refused::TableFull(self.capacity.total));
            }
        }
        self.last_ticket = ticket;
        let holdings =
            self.txns.entry(txn).or_insert_with(|| Holdings { age, ..Holdings::default() });
        if blocked {
            holdings.waiting.insert(ticket);
            self.wait(request);
            Ok(Acquired::Waiting(ticket))
        } else {
            self.hold(txn, request.target, mode);
            self.regrant(txn, out);
            Ok(Acquired::Granted)
        }
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
                if mode == Mode::Exclusive {
                    self.written.remove(key);
                }
            }
            freed.add(target, mode);
        }
        for (start, span) in &holdings.ranges {
            self.ranges_held.remove(start, span.id);
        }
        self.grant_freed(&freed, out);
    }

    /// Withdraws a request that waits. False if none waits under this ticket,
    /// be it that it was granted: then the lock is held and stays.
    pub fn cancel(&mut self, ticket: Ticket, out: &mut Vec<Grant>) -> bool {
        let mut freed = Freed::default();
        let Some(txn) = self.unwait(ticket, &mut freed) else { return false };
        if let Entry::Occupied(mut entry) = self.txns.entry(txn) {
            entry.get_mut().waiting.remove(&ticket);
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
        assert!(
            mode == Mode::Shared || matches!(target, LockTarget::Key(_)),
            "{txn} can not have held {mode} on {target}"
        );
        self.pin(txn);
        if self.txns[&txn].covers(&target, mode) {
            return;
        }
        let rank = Rank { ordinary: true, ticket: Ticket(u64::MAX) };
        let request = Request { txn, target, mode, rank };
        assert!(!self.is_blocked(&request), "{mode} on {} of {txn} conflicts", request.target);
        self.hold(txn, request.target, mode);
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

    /// What a transaction holds: keys to read, keys to write, then ranges.
    pub fn locks_of(&self, txn: TxnId) -> impl Iterator<Item = (LockTarget, Mode)> {
        self.txns.get(&txn).into_iter().flat_map(Holdings::locks)
    }

    /// Whether a transaction holds a key at least so strongly, by itself or
    /// within a range.
    pub fn holds(&self, txn: TxnId, key: &[u8], mode: Mode) -> bool {
        self.txns.get(&txn).is_some_and(|holdings| holdings.covers_key(key, mode))
    }

    /// Who holds a key to write.
    pub fn exclusive_holder(&self, key: &[u8]) -> Option<TxnId> {
        self.keys.get(key).and_then(Queue::writer)
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

    /// Whether anything stands in the way of a request.
    fn is_blocked(&self, request: &Request) -> bool {
        self.blockers(request, false, &mut |_| ControlFlow::Break(())).is_break()
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

    fn wait(&mut self, request: Request) {
        let Request { txn, mode, rank, .. } = request;
        match &request.target {
            LockTarget::Key(key) => {
                self.queue(key, |queue| queue.wait(rank, txn, mode));
                if mode == Mode::Exclusive {
                    self.contended.insert(key.clone());
                }
            }
            LockTarget::Range(range) => {
                self.ranges_waiting.insert(range.clone(), rank.ticket.0, txn);
            }
        }
        self.requests.insert(rank.ticket, request);
    }

    /// Takes out a request that waits; its transaction's own list is left to
    /// the caller.
    fn unwait(&mut self, ticket: Ticket, freed: &mut Freed) -> Option<TxnId> {
        let request = self.requests.remove(&ticket)?;
        match &request.target {
            LockTarget::Key(key) => {
                self.queue(key, |queue| queue.unwait(request.rank));
                if !self.keys.get(key).is_some_and(Queue::is_contended) {
                    self.contended.remove(key);
                }
            }
            LockTarget::Range(range) => self.ranges_waiting.remove(&range.start, ticket.0),
        }
        freed.add(request.target, request.mode);
        Some(request.txn)
    }

    /// Enters a lock that nothing stands in the way of.
    fn hold(&mut self, txn: TxnId, target: LockTarget, mode: Mode) {
        let holdings = self.txns.get_mut(&txn).expect("whoever holds is known");
        if holdings.covers(&target, mode) {
            return;
        }
        let before = holdings.held();
        match target {
            LockTarget::Key(key) => {
                if mode == Mode::Exclusive {
                    holdings.shared.remove(&key);
                    holdings.exclusive.insert(key.clone());
                    self.written.insert(key.clone());
                } else {
                    holdings.shared.insert(key.clone());
                }
                self.held = self.held - before + holdings.held();
                self.queue(&key, |queue| queue.hold(txn, mode));
            }
            LockTarget::Range(mut range) => {
                for (start, id) in holdings.absorb(&mut range) {
                    self.ranges_held.remove(&start, id);
                }
                self.last_range += 1;
                let id = self.last_range;
                holdings.ranges.insert(range.start.clone(), Span { end: range.end.clone(), id });
                self.held = self.held - before + holdings.held();
                self.ranges_held.insert(range, id, txn);
            }
        }
    }

    /// Turns a request that waits into a lock, and then whatever else of its
    /// transaction that lets through.
    fn grant(&mut self, ticket: Ticket, out: &mut Vec<Grant>) {
        let txn = self.promote(ticket, out);
        self.regrant(txn, out);
    }

    fn promote(&mut self, ticket: Ticket, out: &mut Vec<Grant>) -> TxnId {
        let Request { txn, target, mode, .. } = self.requests[&ticket].clone();
        // What waited for the request now waits for the lock: nobody passes.
        self.unwait(ticket, &mut Freed::default());
        let holdings = self.txns.get_mut(&txn).expect("whoever waits is known");
        holdings.waiting.remove(&ticket);
        self.hold(txn, target, mode);
        out.push(Grant { ticket, txn });
        txn
    }

    /// Grants what waits of a transaction and is blocked no more, after it got a
    /// lock: it may be covered now, or those in front may wait for it now.
    fn regrant(&mut self, txn: TxnId, out: &mut Vec<Grant>) {
        while let Some(ticket) = self.txns[&txn]
            .waiting
            .iter()
            .find(|ticket| !self.is_blocked(&self.requests[ticket]))
            .copied()
        {
            self.promote(ticket, out);
        }
    }

    /// Grants whatever the removal of locks and requests lets through.
    fn grant_freed(&mut self, freed: &Freed, out: &mut Vec<Grant>) {
        let mut candidates = BTreeSet::new();
        for key in &freed.exclusive {
            self.front_of(key, &mut candidates);
            _ = self.ranges_waiting.containing(key, &mut |id, _| {
                let ticket = Ticket(id);
                candidates.insert(Rank { ordinary: true, ticket });
                ControlFlow::Continue(())
            });
        }
        for key in freed.shared.intersection(&self.contended) {
            self.front_of(key, &mut candidates);
        }
        for range in &freed.ranges {
            for key in self.contended.range::<[u8], _>(bounds(range)) {
                self.front_of(key, &mut candidates);
            }
        }
        // No grant lets another transaction pass, so one pass in order is enough.
        for rank in candidates {
            if self.requests.get(&rank.ticket).is_some_and(|request| !self.is_blocked(request)) {
                self.grant(rank.ticket, out);
            }
        }
    }

    /// Those of a key's queue that may pass: up to the first who wants to write.
    /// Granted or not, that one blocks everyone behind, but for its own
    /// transaction, and for one that reads the key by now (though not when it
    /// asked, so it is no upgrade). The latter passes only as the sole reader.
    fn front_of(&self, key: &Key, candidates: &mut BTreeSet<Rank>) {
        let Some(queue) = self.keys.get(key) else { return };
        let Some(waiters) = queue.waiters() else { return };
        if queue.writer().is_some() {
            return;
        }
        let Some((first, txn)) = waiters.exclusive.first_key_value() else {
            candidates.extend(waiters.shared.keys());
            return;
        };
        candidates.extend(waiters.shared.range(..first).map(|(rank, _)| rank));
        let mut range_reader = None;
        _ = self.ranges_held.containing(key, &mut |_, txn| {
            range_reader = Some(txn);
            ControlFlow::Break(())
        });
        let reader = queue.conflicting(Mode::Exclusive).next();
        for txn in [Some(*txn), reader, range_reader].into_iter().flatten() {
            let waiting = self.txns[&txn].waiting.iter();
            candidates.extend(waiting.map(|ticket| self.requests[ticket].rank));
        }
    }
}
