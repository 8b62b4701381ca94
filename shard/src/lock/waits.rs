//! Who waits for whom, and deadlocks.
//!
//! **When a cycle can come into being.** Only by [`LockTable::acquire`], and only
//! through the transaction that acquires. Take each change of the table:
//!
//! * *A request begins to wait.* New edges lead from it and, if it is an upgrade,
//!   to it, from those whom it goes in front of. All touch its transaction.
//! * *A request is granted at once.* An ordinary one conflicts with no request
//!   that waits, except those that wait for its transaction already. An upgrade
//!   may make readers in the queue wait for its transaction. That closes a cycle
//!   only if the transaction has another request that waits, so a client that
//!   waits for each reply can not cause it; one that sends several requests at
//!   once can. Hence the rule: after `acquire`, search if the transaction waits
//!   for *anything*, not only if this request does.
//! * *A waiting request is granted.* Whoever waited for the request now waits for
//!   the lock: the same edge. Whoever stands in front of it conflicts only if he
//!   waits for the transaction already. No new edge.
//! * *A release or a cancel* takes edges away.
//!
//! So a search from the acquiring transaction, for a cycle through it, repeated
//! until it finds none (a victim may leave a second cycle), keeps the graph free
//! of cycles. Deadlocks over several shards are another room's business.
//!
//! **Cost.** The n-th request in a queue waits for n others, so to follow each
//! edge would be quadratic. The search uses fewer edges with the same reach: from
//! a request to the nearest one in front of it that wants to write, as that one
//! conflicts with, and so waits for, everything further in front and every
//! holder (unless it reads the key already). So a search takes time linear in the
//! queue. Mostly none is needed: if nobody waits for the transaction's few locks
//! and its request came last, it is in no cycle.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use synod_common::deadlock::{Claim, VictimPolicy};
use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};

use super::holdings::{Holdings, Span, bounds};
use super::mode::{LockTarget, Mode, Ticket};
use super::queue::{Queue, Rank};
use super::table::{LockTable, Request};

/// Up to so many locks a look at each is cheaper than a search.
const FEW_LOCKS: usize = 64;

type Visit<'a> = &'a mut dyn FnMut(TxnId) -> ControlFlow<()>;

impl LockTable {
    /// The transactions that must go before this one gets all that it asked for.
    pub fn waits_for(&self, txn: TxnId) -> BTreeSet<TxnId> {
        self.edges(txn, false)
    }

    /// A cycle of waits through a transaction: it waits for the second, and so
    /// on, and the last waits for it. Call it as [`LockTable::acquire`] says.
    pub fn find_cycle(&self, from: TxnId) -> Option<Vec<TxnId>> {
        let holdings = self.txns.get(&from)?;
        if self.is_awaited_by_nobody(holdings) {
            return None;
        }
        let mut seen = BTreeSet::from([from]);
        let mut path = vec![from];
        let mut ahead = vec![self.edges(from, true)];
        while let Some(next) = ahead.last_mut().map(BTreeSet::pop_first) {
            match next {
                Some(txn) if txn == from => return Some(path),
                Some(txn) if seen.insert(txn) => {
                    path.push(txn);
                    ahead.push(self.edges(txn, true));
                }
                Some(_) => {}
                None => {
                    path.pop();
                    ahead.pop();
                }
            }
        }
        None
    }

    /// Who of a cycle must give way. Nobody who is prepared.
    ///
    /// # Panics
    /// If all are prepared: they do not wait, so it can be no cycle.
    pub fn victim(
        &self,
        cycle: &[TxnId],
        policy: VictimPolicy,
        priority: impl Fn(TxnId) -> u8,
    ) -> TxnId {
        let known = cycle.iter().filter_map(|txn| Some((*txn, self.txns.get(txn)?)));
        let claims = known.filter(|(_, holdings)| !holdings.pinned).map(|(txn, holdings)| Claim {
            txn,
            age: holdings.age,
            priority: priority(txn),
            locks: u32::try_from(holdings.held()).unwrap_or(u32::MAX),
        });
        policy.choose(claims).expect("prepared transactions do not wait")
    }

    /// Everything as text: keys and then ranges in order, with holders and queue.
    /// An upgrade shows as `X+`.
    pub fn dump(&self) -> String {
        let mut lines = String::new();
        for (key, queue) in &self.keys {
            let holders = queue.holders().map(|(mode, txn)| format!("{mode} {txn}"));
            let ranks =
                queue.waiters().into_iter().flat_map(|w| w.shared.keys().chain(w.exclusive.keys()));
            let ranks: BTreeSet<&Rank> = ranks.collect();
            let requests = ranks.iter().map(|rank| self.requests[&rank.ticket].to_string());
            line(&mut lines, &format!("key {key}"), holders, requests);
        }
        let held = self.txns.iter().flat_map(|(txn, holdings)| {
            holdings.locks().map(move |(target, mode)| (target, format!("{mode} {txn}")))
        });
        let mut held: Vec<_> =
            held.filter(|(target, _)| matches!(target, LockTarget::Range(_))).collect();
        held.sort();
        let waiting = self.requests.values().map(|request| (&request.target, request.to_string()));
        let waiting: Vec<_> =
            waiting.filter(|(target, _)| matches!(target, LockTarget::Range(_))).collect();
        let targets: BTreeSet<&LockTarget> =
            held.iter().map(|(t, _)| t).chain(waiting.iter().map(|(t, _)| *t)).collect();
        for target in targets {
            let holders = held.iter().filter(|(t, _)| t == target).map(|(_, text)| text.clone());
            let requests =
                waiting.iter().filter(|(t, _)| *t == target).map(|(_, text)| text.clone());
            line(&mut lines, &target.to_string(), holders, requests);
        }
        lines
    }

    /// Visits whoever stands in the way of a request: those who hold what
    /// conflicts, and those in front who wait for it; some more than once.
    /// `sparse` leaves out whom a visited one is sure to wait for.
    pub(super) fn blockers(
        &self,
        request: &Request,
        sparse: bool,
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        let Request { txn, target, mode, rank } = request;
        let own = self.txns.get(txn);
        let mut others =
            |other| if other == *txn { ControlFlow::Continue(()) } else { visit(other) };
        let others: Visit<'_> = &mut others;
        match (target, mode) {
            (LockTarget::Key(key), Mode::Shared) => {
                let Some(queue) = self.keys.get(key) else { return ControlFlow::Continue(()) };
                self.queue_blockers(key, queue, request, own, sparse, others).map_continue(|_| ())
            }
            (LockTarget::Key(key), Mode::Exclusive) => {
                let cut = match self.keys.get(key) {
                    Some(queue) => self.queue_blockers(key, queue, request, own, sparse, others)?,
                    None => false,
                };
                if !cut {
                    self.ranges_held.containing(key, &mut |_, other| others(other))?;
                }
                if !rank.ordinary {
                    return ControlFlow::Continue(());
                }
                self.ranges_waiting.containing(key, &mut |id, other| {
                    let ahead = Ticket(id) < rank.ticket
                        && other != *txn
                        && !own.is_some_and(|own| {
                            own.blocks(&self.requests[&Ticket(id)].target, Mode::Shared)
                        });
                    if ahead { others(other) } else { ControlFlow::Continue(()) }
                })
            }
            (LockTarget::Range(range), _) => {
                for key in self.written.range::<[u8], _>(bounds(range)) {
                    others(self.keys[key].writer().expect("a written key has a writer"))?;
                }
                for key in self.contended.range::<[u8], _>(bounds(range)) {
                    self.queue_blockers(key, &self.keys[key], request, own, sparse, others)?;
                }
                ControlFlow::Continue(())
            }
        }
    }

    /// The part of `blockers` that one key's queue has. Says whether it stopped
    /// at one who waits for all the rest.
    fn queue_blockers(
        &self,
        key: &Key,
        queue: &Queue,
        request: &Request,
        own: Option<&Holdings>,
        sparse: bool,
        others: Visit<'_>,
    ) -> ControlFlow<(), bool> {
        // Nobody waits behind a request that waits for him already.
        let awaits_us = |mode| match mode {
            Mode::Shared => own.is_some_and(|own| own.covers_key(key, Mode::Exclusive)),
            Mode::Exclusive => own.is_some_and(|own| own.covers_key(key, Mode::Shared)),
        };
        if !sparse {
            for holder in queue.conflicting(request.mode) {
                others(holder)?;
            }
        }
        let mut nearest: Option<Rank> = None;
        if let (true, Some(waiters)) = (request.rank.ordinary, queue.waiters()) {
            if !awaits_us(Mode::Exclusive) {
                let ahead = waiters.exclusive.range(..request.rank);
                for (rank, other) in ahead.rev().filter(|(_, other)| **other != request.txn) {
                    others(*other)?;
                    // Who reads the key does not wait for all in front of him.
                    let waits_for_all = || !self.txns[other].covers_key(key, Mode::Shared);
                    if sparse && waits_for_all() {
                        nearest = Some(*rank);
                        break;
                    }
                }
            }
            if request.mode == Mode::Exclusive && !awaits_us(Mode::Shared) {
                let from = nearest.map_or(Bound::Unbounded, Bound::Excluded);
                for (_, other) in waiters.shared.range((from, Bound::Excluded(request.rank))) {
                    others(*other)?;
                }
            }
        }
        if sparse && nearest.is_none() {
            for holder in queue.conflicting(request.mode) {
                others(holder)?;
            }
        }
        ControlFlow::Continue(nearest.is_some())
    }

    /// Whether it is cheap to see that nobody waits for a transaction: it has few
    /// locks, none with a queue, and its only request came last.
    fn is_awaited_by_nobody(&self, holdings: &Holdings) -> bool {
        let is_queued = |key: &Key| self.keys.get(key).is_some_and(|q| q.waiters().is_some());
        let in_range = |key: &Key| {
            self.ranges_waiting.containing(key, &mut |_, _| ControlFlow::Break(())).is_break()
        };
        let is_contended = |(start, span): (&Key, &Span)| {
            let range = KeyRange { start: start.clone(), end: span.end.clone() };
            self.contended.range::<[u8], _>(bounds(&range)).next().is_some()
        };
        holdings.held() <= FEW_LOCKS
            && holdings.waiting.iter().eq([&self.last_ticket])
            && !holdings.shared.iter().any(|key| self.contended.contains(key))
            && !holdings.exclusive.iter().any(|key| is_queued(key) || in_range(key))
            && !holdings.ranges.iter().any(is_contended)
    }

    fn edges(&self, txn: TxnId, sparse: bool) -> BTreeSet<TxnId> {
        let mut edges = BTreeSet::new();
        for ticket in self.txns.get(&txn).into_iter().flat_map(|holdings| &holdings.waiting) {
            _ = self.blockers(&self.requests[ticket], sparse, &mut |other| {
                edges.insert(other);
                ControlFlow::Continue(())
            });
        }
        edges
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let upgrade = if self.rank.ordinary { "" } else { "+" };
        write!(f, "{} {}{upgrade} {}", self.rank.ticket, self.mode, self.txn)
    }
}

fn line(
    lines: &mut String,
    target: &str,
    holders: impl Iterator<Item = String>,
    requests: impl Iterator<Item = String>,
) {
    let holders = holders.collect::<Vec<_>>().join(", ");
    let requests = requests.collect::<Vec<_>>().join(", ");
    let holders = if holders.is_empty() { "free" } else { &holders };
    lines.push_str(&format!("{target}: {holders}"));
    if !requests.is_empty() {
        lines.push_str(&format!("; waiting {requests}"));
    }
    lines.push('\n');
}
