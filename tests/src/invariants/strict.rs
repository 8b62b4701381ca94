//! **I20** A transaction that was answered before another began has the smaller
//! timestamp. **I21**, **I22** Run one after another in the order of their
//! timestamps against a plain map, all committed transactions read what they read,
//! and so do the snapshots. Operations of transactions of equal timestamps are done
//! in the order of their names.
//!
//! A transaction at the level `snapshot` read the state as of its snapshot, and
//! nothing that it wrote was written between that and its commit. One at the level
//! `read-committed` read, of each key, a value that was committed then.
//!
//! Where an operator has decided, what a transaction writes is there as he has decided, and
//! if that was wrong, what it has read there may have changed since. The shard may have had
//! the outcome already, and have lost it in a crash before he came: then others have seen the
//! truth. So where he was wrong a key may be as he has decided, or as it truly was; and what was
//! seen of one that he was wrong about twice says nothing, for each of the two may have been so.
//!
//! Together that is strict serializability: Papadimitriou (1979) with the real-time
//! order of Herlihy and Wing (1990). Transactions of equal timestamps must not
//! conflict, so their order does not matter else.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use synod_common::commit::Verdict;
use synod_common::id::TxnId;
use synod_common::key::{Escaped, Key, KeyRange};
use synod_common::message::client::Outcome;
use synod_common::route::Router;
use synod_common::time::Timestamp;

use super::Check;
use crate::sim::deed::{Deed, fold};
use crate::sim::history::{History, Loose, ReadsAt, Seen, Txn};
use crate::sim::ledger::Ledger;

type State = BTreeMap<Key, Bytes>;

/// Committed transactions by timestamp.
type Committed<'a> = BTreeMap<(Timestamp, TxnId), &'a Txn>;

/// What is written when, by whom.
type Written<'a> = BTreeMap<(Timestamp, TxnId), BTreeMap<&'a Key, &'a Vec<Deed>>>;

/// Called at the end. Returns the final state.
pub fn check(history: &History, ledger: &Ledger, router: &Router) -> Result<State, String> {
    let committed = committed(history, ledger);
    real_time(history, &committed)?;
    let there = There { ledger, router, unsure: unsure(history, ledger, router) };
    let written = there.written(history, &committed, true);
    first_committer_wins(history, &written)?;
    let truly = ledger.is_any_mixed().then(|| there.written(history, &committed, false));
    let (is, truly) = replay(history, &committed, &written, truly.as_ref(), &there)?;
    let timelines: Vec<&Timeline> =
        std::iter::once(&is).chain(&truly).map(|world| &world.timeline).collect();
    read_committed(history, &committed, &written, &timelines)?;
    Ok(is.state)
}

/// Nothing that a transaction at the level `snapshot` wrote was written by others
/// between its snapshot and its commit.
fn first_committer_wins(history: &History, written: &Written<'_>) -> Check {
    let mut newest: BTreeMap<&Key, (Timestamp, TxnId)> = BTreeMap::new();
    for ((at, id), writes) in written {
        let txn = &history.txns[id];
        for (key, deeds) in writes {
            let before = newest.insert(*key, (*at, *id));
            // Operations read nothing, so they do not mind.
            if !deeds.iter().any(|deed| matches!(deed, Deed::Put(_))) {
                continue;
            }
            if let (ReadsAt::Snapshot(snapshot), Some((when, who))) = (txn.reads_at, before)
                && when > snapshot
            {
                return Err(format!(
                    "I22: {id} with the snapshot {snapshot} wrote {key} at {at}; {who} had at {when}"
                ));
            }
        }
    }
    Ok(())
}

/// What was read loosely was there at some time after all that was answered before the
/// transaction began: without a lock, as of some timestamp; under a lock, at some moment.
/// The two differ: who began before may commit after it at a smaller timestamp, as long as
/// nobody who was answered had touched the same.
fn read_committed(
    history: &History,
    committed: &Committed<'_>,
    written: &Written<'_>,
    timelines: &[&Timeline],
) -> Check {
    for (id, txn) in history.txns.iter().filter(|(_, txn)| !txn.seen.loose.is_empty()) {
        let before = |t: &Txn| t.answered.is_some_and(|at| at < txn.begun);
        let answered = committed.iter().filter(|(_, t)| before(t));
        let since = answered.map(|((at, _), _)| *at).max().unwrap_or(Timestamp::ZERO);
        for Loose { key, value, locked } in &txn.seen.loose {
            let over = |at: Timestamp| match locked {
                false => at <= since,
                true => written.iter().any(|((when, id), writes)| {
                    *when == at && writes.contains_key(key) && before(&history.txns[id])
                }),
            };
            let was = |timeline: &&Timeline| {
                let versions = timeline.get(key).map_or(&[][..], |list| list);
                let first =
                    std::iter::once(&None).chain(versions.iter().map(|(_, version)| version));
                let mut replaced = versions.iter().map(|(at, _)| *at);
                let mut seen = first.map(|version| (version, replaced.next()));
                seen.any(|(version, until)| version == value && !until.is_some_and(over))
            };
            if !timelines.iter().any(was) {
                return Err(format!("I22: {id} read {key} = {value:?}, which it was not then"));
            }
        }
    }
    Ok(())
}

/// Where things are, and what operators have decided there.
struct There<'a> {
    ledger: &'a Ledger,
    router: &'a Router,
    /// The keys that they were wrong about more than once.
    unsure: BTreeSet<&'a Key>,
}

fn unsure<'a>(history: &'a History, ledger: &Ledger, router: &Router) -> BTreeSet<&'a Key> {
    let mut wrong = BTreeSet::new();
    let writes =
        history.txns.iter().flat_map(|(id, txn)| txn.writes.keys().map(move |key| (*id, key)));
    let mixed =
        writes.filter(|(id, key)| ledger.mixed(usize::from(router.shard_of(key).0), *id).is_some());
    mixed.filter(|(_, key)| !wrong.insert(*key)).map(|(_, key)| key).collect()
}

impl There<'_> {
    /// What there is on all shards, as operators have decided, perhaps before the outcome was
    /// known; or as it would be without them.
    fn written<'h>(
        &self,
        history: &'h History,
        committed: &Committed<'_>,
        operators: bool,
    ) -> Written<'h> {
        let outcomes: BTreeMap<TxnId, Timestamp> =
            committed.keys().map(|(at, id)| (*id, *at)).collect();
        let mut written = Written::new();
        for (id, txn) in history.txns.iter().filter(|(_, txn)| txn.asked) {
            for (key, deeds) in &txn.writes {
                let shard = usize::from(self.router.shard_of(key).0);
                let resolved = self.ledger.servers[shard].resolved.get(id);
                let at = match resolved.filter(|_| operators) {
                    Some(Verdict::Commit(at)) => Some(*at),
                    Some(Verdict::Abort) => None,
                    None => outcomes.get(id).copied(),
                };
                if let Some(at) = at {
                    written.entry((at, *id)).or_default().insert(key, deeds);
                }
            }
        }
        written
    }

    /// Whether a transaction may have read something on a shard that had changed when it
    /// committed.
    fn is_damaged(&self, txn: Option<TxnId>, shard: usize) -> bool {
        txn.is_some_and(|txn| self.ledger.mixed(shard, txn).is_some())
    }

    /// What somebody saw is what is there, or truly was; of a transaction, where it is not
    /// damaged.
    fn compare(
        &self,
        who: &str,
        txn: Option<TxnId>,
        seen: &Seen,
        is: &World<'_>,
        truly: Option<&World<'_>>,
    ) -> Check {
        let shard_of = |key: &Key| usize::from(self.router.shard_of(key).0);
        let counts = |key: &Key| !self.is_damaged(txn, shard_of(key));
        let wrong = |key: &Key, saw: Option<&Bytes>, is_there: Option<&Bytes>| {
            let show = |value: Option<&Bytes>| {
                value.map_or("nothing".to_owned(), |v| Escaped(v).to_string())
            };
            let writer = is.writers.get(key).map(|(at, id)| format!(", written by {id} at {at}"));
            let writer = writer.unwrap_or_default();
            let (saw, is_there) = (show(saw), show(is_there));
            Err(format!("I22: {who} saw {key} = {saw}; it is {is_there}{writer}"))
        };
        let was = |key: &Key, value: Option<&Bytes>| {
            self.unsure.contains(key)
                || is.state.get(key) == value
                || truly.is_some_and(|truly| truly.state.get(key) == value)
        };
        for (key, value) in seen.keys.iter().filter(|(key, _)| counts(key)) {
            if !was(key, value.as_ref()) {
                return wrong(key, value.as_ref(), is.state.get(key));
            }
        }
        let folds = |key: &Key| counts(key) && !self.unsure.contains(key);
        for (key, deeds, value) in seen.after.iter().filter(|(key, ..)| folds(key)) {
            let folded = fold(deeds, is.state.get(key).cloned())?;
            let truly = truly.map(|truly| fold(deeds, truly.state.get(key).cloned()));
            if folded != *value && truly.transpose()?.as_ref() != Some(value) {
                return wrong(key, value.as_ref(), folded.as_ref());
            }
        }
        let ranges = seen.ranges.iter().filter(|(_, part, _)| !self.is_damaged(txn, *part));
        for (range, part, rows) in ranges {
            for (key, value) in rows {
                let mine = range.contains(key) && shard_of(key) == *part;
                if !mine || !was(key, Some(value)) {
                    return wrong(key, Some(value), is.state.get(key));
                }
            }
            let mine = within(&is.state, range).filter(|(key, _)| shard_of(key) == *part);
            for (key, value) in mine.filter(|(key, _)| !rows.contains_key(*key)) {
                if !was(key, None) {
                    return wrong(key, None, Some(value));
                }
            }
        }
        Ok(())
    }
}

/// Committed transactions by timestamp.
fn committed<'a>(history: &'a History, ledger: &Ledger) -> Committed<'a> {
    let mut committed = BTreeMap::new();
    for (id, txn) in &history.txns {
        let at = match (&txn.told, ledger.committed.get(id)) {
            (_, Some(at)) => Some(*at),
            (Some(Outcome::Committed(at)), None) if txn.is_read_only() => Some(*at),
            _ => None,
        };
        if let Some(at) = at
            && txn.asked
        {
            committed.insert((at, *id), txn);
        }
    }
    committed
}

/// Something with a timestamp that began and was answered.
struct Span {
    begun: u64,
    answered: Option<u64>,
    at: Timestamp,
    name: String,
}

fn real_time(history: &History, committed: &Committed<'_>) -> Check {
    let mut spans: Vec<Span> = committed
        .iter()
        .map(|((at, id), txn)| Span {
            begun: txn.begun,
            answered: txn.answered,
            at: *at,
            name: id.to_string(),
        })
        .collect();
    spans.extend(committed.iter().filter_map(|((_, id), txn)| match txn.reads_at {
        ReadsAt::Snapshot(at) | ReadsAt::Validated(at) => {
            Some(Span { begun: txn.begun, answered: None, at, name: format!("the view of {id}") })
        }
        ReadsAt::Commit | ReadsAt::Loose => None,
    }));
    spans.extend(history.snapshots.iter().map(|snapshot| Span {
        begun: snapshot.begun,
        answered: Some(snapshot.answered),
        at: snapshot.at,
        name: format!("snapshot {}", snapshot.at),
    }));
    spans.sort_by_key(|span| span.begun);
    let mut answers: Vec<&Span> = spans.iter().filter(|span| span.answered.is_some()).collect();
    answers.sort_by_key(|span| span.answered);
    let mut before = answers.into_iter().peekable();
    let mut newest: Option<&Span> = None;
    for span in &spans {
        while let Some(done) = before.next_if(|done| done.answered < Some(span.begun)) {
            if newest.is_none_or(|newest| newest.at < done.at) {
                newest = Some(done);
            }
        }
        if let Some(done) = newest
            && done.at >= span.at
        {
            return Err(format!(
                "I20: {} at {} was answered before {} at {} began",
                done.name, done.at, span.name, span.at
            ));
        }
    }
    Ok(())
}

/// Transactions run one after the other: as it is on the shards, and if operators were wrong
/// as it would be without them.
fn replay<'a>(
    history: &History,
    committed: &Committed<'_>,
    written: &Written<'a>,
    truly_written: Option<&Written<'a>>,
    there: &There<'_>,
) -> Result<(World<'a>, Option<World<'a>>), String> {
    let mut snapshots: Vec<(Timestamp, String, &Seen)> = history
        .snapshots
        .iter()
        .map(|snapshot| (snapshot.at, format!("the snapshot at {}", snapshot.at), &snapshot.seen))
        .collect();
    snapshots.extend(committed.iter().filter_map(|((_, id), txn)| match txn.reads_at {
        ReadsAt::Snapshot(at) | ReadsAt::Validated(at) => {
            Some((at, format!("{id} with the snapshot {at}"), &txn.seen))
        }
        ReadsAt::Commit | ReadsAt::Loose => None,
    }));
    snapshots.sort_by_key(|(at, _, _)| *at);
    let mut snapshots = snapshots.into_iter().peekable();
    let mut is = World::default();
    let mut truly = truly_written.map(|_| World::default());
    let mut now = Timestamp::ZERO;
    let all: BTreeSet<&(Timestamp, TxnId)> = committed
        .keys()
        .chain(written.keys())
        .chain(truly_written.into_iter().flat_map(Written::keys))
        .collect();
    for (at, id) in all {
        if *at > now {
            is.apply(now)?;
            truly.iter_mut().try_for_each(|truly| truly.apply(now))?;
            while let Some((_, who, seen)) = snapshots.next_if(|snapshot| snapshot.0 < *at) {
                there.compare(&who, None, seen, &is, truly.as_ref())?;
            }
            now = *at;
        }
        if let Some(txn) = committed.get(&(*at, *id))
            && !matches!(txn.reads_at, ReadsAt::Snapshot(_))
        {
            let who = format!("{id} at {at}");
            there.compare(&who, Some(*id), &txn.seen, &is, truly.as_ref())?;
        }
        is.conflicts(*at, *id, written)?;
        is.write(*at, *id, written);
        // Whom an operator has wrongly aborted has lost its locks, so another one may have
        // written the same at the same time.
        if let (Some(truly), Some(written)) = (&mut truly, truly_written) {
            truly.write(*at, *id, written);
        }
    }
    is.apply(now)?;
    truly.iter_mut().try_for_each(|truly| truly.apply(now))?;
    for (_, who, seen) in snapshots {
        there.compare(&who, None, seen, &is, truly.as_ref())?;
    }
    Ok((is, truly))
}

/// The values of every key, each with when it began.
type Timeline = BTreeMap<Key, Vec<(Timestamp, Option<Bytes>)>>;

/// What there is, while transactions run one after the other.
#[derive(Default)]
struct World<'a> {
    state: State,
    /// Who has written it last.
    writers: BTreeMap<Key, (Timestamp, TxnId)>,
    /// What is written at one timestamp, by transaction.
    group: BTreeMap<Key, Vec<(TxnId, &'a Vec<Deed>)>>,
    timeline: Timeline,
}

impl<'a> World<'a> {
    /// Whether what is written at one timestamp may be written in any order.
    fn conflicts(&self, at: Timestamp, id: TxnId, written: &Written<'a>) -> Check {
        for (key, deeds) in written.get(&(at, id)).into_iter().flatten() {
            for (other, before) in self.group.get(*key).into_iter().flatten() {
                let mut pairs = before.iter().flat_map(|a| deeds.iter().map(move |b| (a, b)));
                if !pairs.all(|(a, b)| a.commutes(b)) {
                    return Err(format!("I21: {other} and {id} both wrote {key} at {at}"));
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, at: Timestamp, id: TxnId, written: &Written<'a>) {
        for (key, deeds) in written.get(&(at, id)).into_iter().flatten() {
            self.group.entry(Key::clone(key)).or_default().push((id, deeds));
            self.writers.insert(Key::clone(key), (at, id));
        }
    }

    /// Operations of one timestamp are done in the order of their transactions.
    fn apply(&mut self, now: Timestamp) -> Check {
        for (key, writers) in std::mem::take(&mut self.group) {
            for (id, deeds) in writers {
                let value = fold(deeds, self.state.get(&key).cloned());
                match value.map_err(|what| format!("I21: {id} did {what} to {key}"))? {
                    Some(value) => self.state.insert(key.clone(), value),
                    None => self.state.remove(&key),
                };
            }
            let value = self.state.get(&key).cloned();
            self.timeline.entry(key).or_default().push((now, value));
        }
        Ok(())
    }
}

fn within<'a>(state: &'a State, range: &'a KeyRange) -> impl Iterator<Item = (&'a Key, &'a Bytes)> {
    state.range(range.start.clone()..).take_while(|(key, _)| range.contains(key))
}
