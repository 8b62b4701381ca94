//! What the table tells about those who wait: edges for the search for deadlocks
//! across shards, and a listing for people.
//!
//! Of all who stand in the way of a request, those may be left out for whom another
//! one of them waits anyway: of those in front the nearest whose mode is at least as
//! strong waits for all that the request waits for, unless it holds the key itself. So
//! a queue of `n` is told in `n` edges and not in `n²`. A few more are told as short
//! cuts, the holders first: a cycle found over them has fewer innocent members.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use synod_common::deadlock::Target;
use synod_common::id::TxnId;
use synod_common::key::KeyRange;
use synod_common::message::data::LockPlace;
use synod_common::time::Timestamp;

use super::mode::{LockTarget, Mode, Modes, Ticket};
use super::queue::Rank;
use super::table::{LockTable, Request};

/// Edges told beyond those that are needed, per request.
const SHORT_CUTS: usize = 4;

/// Who holds and who waits for one key or range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub target: LockTarget,
    /// Who holds it.
    pub holders: Vec<(TxnId, Mode)>,
    /// Who waits for it, in the order in which they will be served.
    pub waiters: Vec<Ticket>,
}

impl LockTarget {
    /// Cut short, for people.
    pub fn shown(&self) -> Target {
        match self {
            LockTarget::Key(key) => Target::key(key),
            LockTarget::Range(range) => Target::range(range),
        }
    }
}

impl From<LockTarget> for LockPlace {
    fn from(target: LockTarget) -> LockPlace {
        match target {
            LockTarget::Key(key) => LockPlace::Key(key),
            LockTarget::Range(range) => LockPlace::Range(range),
        }
    }
}

impl From<LockPlace> for LockTarget {
    fn from(place: LockPlace) -> LockTarget {
        match place {
            LockPlace::Key(key) => LockTarget::Key(key),
            LockPlace::Range(range) => LockTarget::Range(range),
        }
    }
}

impl LockTable {
    /// Whose request waits under a ticket, for what, and how.
    pub fn request_of(&self, ticket: Ticket) -> Option<(TxnId, &LockTarget, Mode)> {
        let request = self.requests.get(&ticket)?;
        Some((request.txn, &request.target, request.mode))
    }

    /// Who stands in the way of a request that waits. Left out may be for whom
    /// another one of them waits.
    pub fn in_the_way(&self, ticket: Ticket) -> BTreeSet<TxnId> {
        let mut found = BTreeSet::new();
        let Some(request) = self.requests.get(&ticket) else { return found };
        let few = if self.behind_another(request, &mut found) { SHORT_CUTS } else { usize::MAX };
        let mut visited = 0;
        _ = self.blockers(request, None, &mut |other| {
            found.insert(other);
            visited += 1;
            if visited < few { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        found
    }

    /// If a request waits behind one that waits for all in front of it: that one, and
    /// who stands between.
    fn behind_another(&self, request: &Request, found: &mut BTreeSet<TxnId>) -> bool {
        let LockTarget::Key(key) = &request.target else { return false };
        let Some(waiters) = self.keys.get(key).and_then(|(_, queue)| queue.waiters()) else {
            return false;
        };
        let own = self.txns.get(&request.txn);
        let kept = own.map_or(Modes::default(), |own| own.keeps_away(key));
        // Nobody waits behind a request that waits for him already.
        if !kept.is_empty() {
            return false;
        }
        let holds_nothing =
            |other: TxnId| other != request.txn && self.txns[&other].keeps_away(key).is_empty();
        let nearest = waiters.nearest_in_between(request.mode, request.rank, holds_nothing);
        let Some((rank, nearest)) = nearest else { return false };
        let modes = request.mode.conflicting();
        found.insert(nearest);
        let between = waiters.between(modes, Some(rank), request.rank).map(|(_, other)| other);
        found.extend(between.filter(|other| *other != request.txn));
        _ = self.ranges_waiting.overlapping(modes, &request.target, &mut |id, other| {
            let ahead = &self.requests[&Ticket(id)];
            if other != request.txn
                && ahead.rank < request.rank
                && !own.is_some_and(|own| own.blocks(&ahead.target, ahead.mode))
            {
                found.insert(other);
            }
            ControlFlow::Continue(())
        });
        true
    }

    /// Whether a transaction stands in the way of a request that waits.
    pub fn is_in_the_way(&self, ticket: Ticket, other: TxnId) -> bool {
        self.requests.get(&ticket).is_some_and(|request| {
            let is = |found| match found == other {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            self.blockers(request, None, &mut { is }).is_break()
        })
    }

    /// The requests that wait because of what a transaction holds.
    pub fn waiting_for(&self, holder: TxnId) -> impl Iterator<Item = Ticket> {
        let blocked = self.txns.get(&holder).into_iter().flat_map(move |holdings| {
            let others = self.requests.iter().filter(move |(_, request)| request.txn != holder);
            others.filter(|(_, request)| holdings.blocks(&request.target, request.mode))
        });
        blocked.map(|(ticket, _)| *ticket)
    }

    /// The request of one transaction that another one stands in the way of.
    pub fn waits_because_of(&self, waiter: TxnId, other: TxnId) -> Option<Ticket> {
        let waiting = self.txns.get(&waiter)?.waiting();
        waiting.iter().copied().find(|ticket| self.is_in_the_way(*ticket, other))
    }

    /// How many locks a transaction holds.
    pub fn held_by(&self, txn: TxnId) -> usize {
        self.txns.get(&txn).map_or(0, |holdings| holdings.held())
    }

    /// When a transaction began, as it said first, and whether it is prepared.
    pub fn age_of(&self, txn: TxnId) -> (Timestamp, bool) {
        self.txns.get(&txn).map_or_else(Default::default, |known| (known.age, known.pinned))
    }

    /// Up to `limit` rows behind `after`: keys in order, then ranges. `contended`
    /// leaves out what nobody waits for.
    pub fn rows(&self, after: Option<&LockTarget>, contended: bool, limit: usize) -> Vec<Row> {
        let mut waiting: BTreeMap<&LockTarget, BTreeSet<Rank>> = BTreeMap::new();
        for request in self.requests.values() {
            waiting.entry(&request.target).or_default().insert(request.rank);
        }
        let is_behind = |target: &LockTarget| after.is_none_or(|after| after < target);
        let mut targets: BTreeSet<LockTarget> =
            waiting.keys().copied().filter(|target| is_behind(target)).cloned().collect();
        if !contended {
            let from = match after {
                None => Some(KeyRange::all()),
                Some(LockTarget::Key(key)) => Some(KeyRange { start: key.successor(), end: None }),
                Some(LockTarget::Range(_)) => None,
            };
            let keys = from.iter().flat_map(|from| self.keys.first(from, limit));
            targets.extend(keys.map(|(key, _)| LockTarget::Key(key.clone())));
            if targets.len() < limit {
                targets.extend(self.held_ranges().map(|(target, _)| target).filter(is_behind));
            }
        }
        let mut range_holders: BTreeMap<LockTarget, Vec<(TxnId, Mode)>> = BTreeMap::new();
        if targets.iter().take(limit).any(|target| matches!(target, LockTarget::Range(_))) {
            for (target, holder) in self.held_ranges() {
                range_holders.entry(target).or_default().push(holder);
            }
        }
        let row = |target: LockTarget| {
            let ranks = waiting.get(&target).into_iter().flatten();
            let waiters = ranks.map(|rank| rank.ticket).collect();
            let holders = match &target {
                LockTarget::Key(key) => {
                    let holders =
                        self.keys.get(key).into_iter().flat_map(|(_, queue)| queue.holders());
                    holders.map(|(mode, txn)| (txn, mode)).collect()
                }
                LockTarget::Range(_) => range_holders.get(&target).cloned().unwrap_or_default(),
            };
            Row { target, holders, waiters }
        };
        targets.into_iter().take(limit).map(row).collect()
    }

    fn held_ranges(&self) -> impl Iterator<Item = (LockTarget, (TxnId, Mode))> {
        self.txns.iter().flat_map(|(txn, holdings)| {
            let ranges = holdings.locks().filter(|(t, _)| matches!(t, LockTarget::Range(_)));
            ranges.map(|(target, mode)| (target, (*txn, mode)))
        })
    }
}

#[cfg(test)]
mod tests {
    use synod_common::key::{Key, KeyRange};

    use super::*;
    use crate::lock::model::txn;
    use crate::lock::{Acquired, Asker, Capacity, Turn};

    fn table() -> LockTable {
        LockTable::new(Capacity { per_txn: 100, total: 1000 })
    }

    fn lock(table: &mut LockTable, n: u64, target: &str, mode: Mode) -> Option<Ticket> {
        let target = match target.split_once("..") {
            None => LockTarget::Key(Key::from(target)),
            Some((start, end)) => {
                LockTarget::Range(KeyRange { start: Key::from(start), end: Some(Key::from(end)) })
            }
        };
        let asker = Asker { txn: txn(n), age: Timestamp(n), turn: Turn(n) };
        match table.acquire(asker, target, mode, &mut Vec::new()) {
            Ok(Acquired::Waiting(ticket)) => Some(ticket),
            Ok(Acquired::Granted) => None,
            Err(refused) => panic!("{refused}"),
        }
    }

    #[test]
    fn a_long_queue_is_told_in_few_edges_that_reach_everybody() {
        a_long_queue_of(Mode::Exclusive);
        a_long_queue_of(Mode::Update);
    }

    fn a_long_queue_of(mode: Mode) {
        let mut table = table();
        lock(&mut table, 1, "k", Mode::Exclusive);
        let tickets: Vec<Ticket> =
            (2..=50).filter_map(|n| lock(&mut table, n, "k", mode)).collect();
        assert_eq!(tickets.len(), 49);
        for (ticket, n) in tickets.iter().zip(2..) {
            let told = table.in_the_way(*ticket);
            assert!(told.len() <= 1 + SHORT_CUTS && !told.contains(&txn(n)), "{told:?}");
            // The holder, and who stands directly in front.
            assert!(told.contains(&txn(1)) && told.contains(&txn(n - 1)));
            // Whoever is in front counts, told or not.
            assert!((1..n).all(|other| table.is_in_the_way(*ticket, txn(other))));
            assert!((n..=50).all(|other| !table.is_in_the_way(*ticket, txn(other))));
        }
        assert_eq!(table.waits_because_of(txn(9), txn(4)), Some(tickets[7]));
        assert_eq!(table.waits_because_of(txn(4), txn(9)), None);
    }

    /// Whom the nearest in front does not wait for, because he is in his way himself.
    #[test]
    fn a_range_that_the_nearest_holds_up_is_told_by_others() {
        let mut table = table();
        lock(&mut table, 15, "j", Mode::Exclusive);
        for n in 2..2 + SHORT_CUTS as u64 {
            lock(&mut table, n, "k", Mode::Shared);
        }
        lock(&mut table, 10, "a..z", Mode::Shared).expect("t15 is in the way");
        let nearest = lock(&mut table, 15, "k", Mode::Exclusive).expect("readers are in the way");
        let behind = lock(&mut table, 20, "k", Mode::Exclusive).expect("so are they here");
        assert!(!table.is_in_the_way(nearest, txn(10)));
        assert!(table.is_in_the_way(behind, txn(10)));
        assert!(table.in_the_way(behind).contains(&txn(10)));
    }

    #[test]
    fn rows_come_in_pages() {
        let mut table = table();
        for (n, target, mode) in [
            (1, "b", Mode::Shared),
            (2, "b", Mode::Shared),
            (1, "a", Mode::Exclusive),
            (3, "c", Mode::Exclusive),
            (4, "d..f", Mode::Shared),
            (5, "e", Mode::Exclusive),
            (6, "b", Mode::Exclusive),
        ] {
            lock(&mut table, n, target, mode);
        }
        let all = table.rows(None, false, 100);
        let names: Vec<String> = all.iter().map(|row| row.target.to_string()).collect();
        assert_eq!(names, ["key a", "key b", "key c", "key e", "range d..f"]);
        assert_eq!(all[1].holders, [(txn(1), Mode::Shared), (txn(2), Mode::Shared)]);
        assert_eq!(table.request_of(all[1].waiters[0]).map(|found| found.0), Some(txn(6)));
        assert_eq!(all[4].holders, [(txn(4), Mode::Shared)]);
        let mut paged = Vec::new();
        while let [row] = &table.rows(paged.last().map(|r: &Row| &r.target), false, 1)[..] {
            paged.push(row.clone());
        }
        assert_eq!(paged, all);
        let contended = table.rows(None, true, 100);
        assert_eq!(contended, [all[1].clone(), all[3].clone()]);
    }
}
