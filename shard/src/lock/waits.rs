//! Who waits for whom, and deadlocks.
//!
//! **When a cycle can come into being.** Only by [`LockTable::acquire`] and
//! [`LockTable::downgrade`], and only through the transaction that calls them. Take
//! each change of the table:
//!
//! * *A request begins to wait.* New edges lead from it, and to it from those whom it
//!   goes in front of. All touch its transaction.
//! * *A request is granted at once.* Those whom it goes in front of wait for its
//!   transaction now. That closes a cycle only if the transaction has another request
//!   that waits, so a client that waits for each reply can not cause it; one that
//!   sends several requests at once can. Hence the rule: after `acquire`, search if
//!   the transaction waits for *anything*, not only if this request does.
//! * *A waiting request is granted.* Whoever waited for the request now waits for
//!   the lock: the same edge. Whoever stands in front of it conflicts only if he
//!   waits for the transaction already. No new edge.
//! * *A release or a cancel* takes edges away.
//! * *A downgrade* takes edges away, too; but requests that waited for the lock
//!   and do no more may now stand in front of others of its transaction. Hence the
//!   same rule after `downgrade`.
//!
//! So a search from that transaction, for a cycle through it, repeated
//! until it finds none (a victim may leave a second cycle), keeps the graph free
//! of cycles. Deadlocks over several shards are another room's business.
//!
//! **Cost.** The n-th request in a queue waits for n others, so to follow each
//! edge would be quadratic. But requests of one mode wait for the same in front
//! of them: a search remembers per key and mode how far back in the queue it has
//! been, and does not go there again (unless the transaction holds the key, which
//! changes whom it waits for). So it takes time linear in the queue. Mostly none
//! is needed: if nobody waits for the transaction's few locks and its request
//! is the last in its queue, it is in no cycle.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use synod_common::deadlock::{Claim, VictimPolicy};
use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};

use super::holdings::Holdings;
use super::mode::{Asker, LockTarget, Mode, Modes, Ticket};
use super::queue::{Queue, Rank, Waiters};
use super::span::bounds;
use super::table::{LockTable, Request};

/// Up to so many locks a look at each is cheaper than a search.
const FEW_LOCKS: usize = 64;

type Visit<'a> = &'a mut dyn FnMut(TxnId) -> ControlFlow<()>;

impl LockTable {
    /// The transactions that must go before this one gets all that it asked for.
    pub fn waits_for(&self, txn: TxnId) -> BTreeSet<TxnId> {
        self.edges(txn, None)
    }

    /// Whether a request would go in front of all who wait, because it asks for more of
    /// what its transaction holds.
    pub fn goes_in_front(&self, asker: Asker, target: &LockTarget, mode: Mode) -> bool {
        let request = self.request(asker, self.txns.get(&asker.txn), target.clone(), mode);
        request.is_ok_and(|request| request.is_some_and(|request| !request.rank.ordinary))
    }

    /// Who waits for a transaction because of what it has, or asks for, of a target.
    pub fn behind(&self, txn: TxnId, target: &LockTarget) -> BTreeSet<TxnId> {
        let mut tickets = BTreeSet::new();
        let keys = match target {
            LockTarget::Key(key) => KeyRange { start: key.clone(), end: Some(key.successor()) },
            LockTarget::Range(range) => range.clone(),
        };
        for key in self.queued.range::<[u8], _>(bounds(&keys)) {
            let waiters = self.keys.get(key).and_then(|(_, queue)| queue.waiters());
            tickets.extend(waiters.into_iter().flat_map(Waiters::ranks).map(|rank| rank.ticket));
        }
        _ = self.ranges_waiting.overlapping(Modes::all(), target, &mut |id, _| {
            tickets.insert(Ticket(id));
            ControlFlow::Continue(())
        });
        let waits = tickets.into_iter().filter(|ticket| self.is_in_the_way(*ticket, txn));
        waits.map(|ticket| self.requests[&ticket].txn).filter(|other| *other != txn).collect()
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
        // Not for `from` itself: the search passes over its own requests, which
        // others do not.
        let mut ahead = vec![self.edges(from, None)];
        let mut search = Search::default();
        while let Some(next) = ahead.last_mut().map(BTreeSet::pop_first) {
            match next {
                Some(txn) if txn == from => return Some(path),
                Some(txn) if seen.insert(txn) => {
                    path.push(txn);
                    ahead.push(self.edges(txn, Some(&mut search)));
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
    /// What goes in front shows as `X+`.
    pub fn dump(&self) -> String {
        let mut lines = String::new();
        let keys: BTreeMap<&Key, &Queue> = self.keys.all(&KeyRange::all()).collect();
        for (key, queue) in keys {
            let holders = queue.holders().map(|(mode, txn)| format!("{mode} {txn}"));
            let ranks = queue.waiters().map(Waiters::ranks).unwrap_or_default();
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
    /// `search` leaves out whom it has visited before for others.
    pub(super) fn blockers<'t>(
        &'t self,
        request: &Request,
        mut search: Option<&mut Search<'t>>,
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        let Request { txn, target, mode, rank } = request;
        // Matters only against those who wait.
        let own = if self.requests.is_empty() { None } else { self.txns.get(txn) };
        let mut others =
            |other| if other == *txn { ControlFlow::Continue(()) } else { visit(other) };
        let others: Visit<'_> = &mut others;
        let modes = mode.conflicting();
        self.ranges_held.overlapping(modes, target, &mut |_, other| others(other))?;
        match target {
            LockTarget::Key(key) => {
                if let Some((key, queue)) = self.keys.get(key) {
                    let seen = search.as_deref().is_some_and(|search| search.knows(key, *mode));
                    if !seen || own.is_some_and(|own| !own.keeps_away(key).is_empty()) {
                        holders(queue, *mode, others)?;
                    }
                    self.queue_blockers(key, queue, request, own, search.as_deref_mut(), others)?;
                }
            }
            LockTarget::Range(range) if mode.is_write() => {
                for (key, queue) in self.keys.all(range) {
                    holders(queue, *mode, others)?;
                    self.queue_blockers(key, queue, request, own, search.as_deref_mut(), others)?;
                }
            }
            LockTarget::Range(range) => {
                for (_, queue) in self.keys.written(range) {
                    holders(queue, *mode, others)?;
                }
                for key in self.queued.range::<[u8], _>(bounds(range)) {
                    let Some((key, queue)) = self.keys.get(key) else { continue };
                    self.queue_blockers(key, queue, request, own, search.as_deref_mut(), others)?;
                }
            }
        }
        self.ranges_waiting.overlapping(modes, target, &mut |id, other| {
            let ahead = &self.requests[&Ticket(id)];
            if other == *txn
                || ahead.rank > *rank
                || own.is_some_and(|own| own.blocks(&ahead.target, ahead.mode))
            {
                return ControlFlow::Continue(());
            }
            others(other)
        })
    }

    /// Those who wait for one key and block a request.
    fn queue_blockers<'t>(
        &'t self,
        key: &'t Key,
        queue: &'t Queue,
        request: &Request,
        own: Option<&Holdings>,
        search: Option<&mut Search<'t>>,
        others: Visit<'_>,
    ) -> ControlFlow<()> {
        let Some(waiters) = queue.waiters() else { return ControlFlow::Continue(()) };
        let kept = own.map_or(Modes::default(), |own| own.keeps_away(key));
        // Nobody waits behind a request that waits for him already.
        let modes = request.mode.conflicting().without(kept);
        let from = match search {
            Some(search) if kept.is_empty() => search.advance(key, request),
            _ => None,
        };
        for (_, other) in waiters.between(modes, from, request.rank) {
            others(other)?;
        }
        ControlFlow::Continue(())
    }

    /// Whether it is cheap to see that nobody waits for a transaction: it has few
    /// locks, none that is waited for, and its only request is the last in its queue.
    fn is_awaited_by_nobody(&self, holdings: &Holdings) -> bool {
        let is_queued = |target: &LockTarget| match target {
            LockTarget::Key(key) => self.queued.contains(key),
            LockTarget::Range(range) => {
                self.queued.range::<[u8], _>(bounds(range)).next().is_some()
            }
        };
        let is_last = |ticket: &Ticket| {
            let request = &self.requests[ticket];
            let LockTarget::Key(key) = &request.target else { return false };
            let waiters = self.keys.get(key).and_then(|(_, queue)| queue.waiters());
            !waiters.is_some_and(|waiters| waiters.any_behind(request.rank))
                && !self.ranges_waiting.any(&request.target)
        };
        holdings.held() <= FEW_LOCKS
            && holdings.waiting().len() <= 1
            && holdings.waiting().iter().all(is_last)
            && !holdings
                .locks()
                .any(|(target, _)| is_queued(&target) || self.ranges_waiting.any(&target))
    }

    fn edges<'t>(&'t self, txn: TxnId, mut search: Option<&mut Search<'t>>) -> BTreeSet<TxnId> {
        let mut edges = BTreeSet::new();
        for ticket in self.txns.get(&txn).into_iter().flat_map(|holdings| holdings.waiting()) {
            _ = self.blockers(&self.requests[ticket], search.as_deref_mut(), &mut |other| {
                edges.insert(other);
                ControlFlow::Continue(())
            });
        }
        edges
    }
}

/// How far back in the queues a search for a cycle has been.
#[derive(Debug, Default)]
pub(super) struct Search<'t> {
    /// Up to which place, per key and mode of the request that looked back.
    seen: BTreeMap<(&'t Key, Mode), Rank>,
}

impl<'t> Search<'t> {
    fn knows(&self, key: &'t Key, mode: Mode) -> bool {
        self.seen.contains_key(&(key, mode))
    }

    /// From where on a request has to look; all in front of it is seen then.
    fn advance(&mut self, key: &'t Key, request: &Request) -> Option<Rank> {
        match self.seen.entry((key, request.mode)) {
            Entry::Vacant(entry) => {
                entry.insert(request.rank);
                None
            }
            Entry::Occupied(mut entry) => {
                let from = *entry.get();
                entry.insert(from.max(request.rank));
                Some(from)
            }
        }
    }
}

/// Those who hold one key in a mode that conflicts.
fn holders(queue: &Queue, mode: Mode, others: Visit<'_>) -> ControlFlow<()> {
    for other in queue.conflicting(mode) {
        others(other)?;
    }
    ControlFlow::Continue(())
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
