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
//! Together that is strict serializability: Papadimitriou (1979) with the real-time
//! order of Herlihy and Wing (1990). Transactions of equal timestamps must not
//! conflict, so their order does not matter else.

use std::collections::BTreeMap;

use bytes::Bytes;
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

/// Called at the end. Returns the final state.
pub fn check(history: &History, ledger: &Ledger, router: &Router) -> Result<State, String> {
    let committed = committed(history, ledger);
    real_time(history, &committed)?;
    first_committer_wins(&committed)?;
    let (state, timeline) = replay(history, &committed, router)?;
    read_committed(history, &committed, &timeline)?;
    Ok(state)
}

/// Nothing that a transaction at the level `snapshot` wrote was written by others
/// between its snapshot and its commit.
fn first_committer_wins(committed: &BTreeMap<(Timestamp, TxnId), &Txn>) -> Check {
    let mut written: BTreeMap<&Key, (Timestamp, TxnId)> = BTreeMap::new();
    for ((at, id), txn) in committed {
        for (key, deeds) in &txn.writes {
            let before = written.insert(key, (*at, *id));
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
    committed: &BTreeMap<(Timestamp, TxnId), &Txn>,
    timeline: &Timeline,
) -> Check {
    for (id, txn) in history.txns.iter().filter(|(_, txn)| !txn.seen.loose.is_empty()) {
        let before = |t: &Txn| t.answered.is_some_and(|at| at < txn.begun);
        let answered = committed.iter().filter(|(_, t)| before(t));
        let since = answered.map(|((at, _), _)| *at).max().unwrap_or(Timestamp::ZERO);
        for Loose { key, value, locked } in &txn.seen.loose {
            let over = |at: Timestamp| match locked {
                false => at <= since,
                true => committed
                    .iter()
                    .any(|((when, _), t)| *when == at && t.writes.contains_key(key) && before(t)),
            };
            let versions = timeline.get(key).map_or(&[][..], |list| list);
            let first = std::iter::once(&None).chain(versions.iter().map(|(_, version)| version));
            let mut replaced = versions.iter().map(|(at, _)| *at);
            let mut seen = first.map(|version| (version, replaced.next()));
            if !seen.any(|(version, until)| version == value && !until.is_some_and(over)) {
                return Err(format!("I22: {id} read {key} = {value:?}, which it was not then"));
            }
        }
    }
    Ok(())
}

/// Committed transactions by timestamp.
fn committed<'a>(history: &'a History, ledger: &Ledger) -> BTreeMap<(Timestamp, TxnId), &'a Txn> {
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

fn real_time(history: &History, committed: &BTreeMap<(Timestamp, TxnId), &Txn>) -> Check {
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

fn replay(
    history: &History,
    committed: &BTreeMap<(Timestamp, TxnId), &Txn>,
    router: &Router,
) -> Result<(State, Timeline), String> {
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
    let mut state = State::new();
    let mut writers: BTreeMap<Key, (Timestamp, TxnId)> = BTreeMap::new();
    let mut group: Group<'_> = BTreeMap::new();
    let mut timeline = Timeline::new();
    let mut now = Timestamp::ZERO;
    for ((at, id), txn) in committed {
        if *at > now {
            apply(now, &mut state, &mut group, &mut timeline)?;
            while let Some((_, who, seen)) = snapshots.next_if(|snapshot| snapshot.0 < *at) {
                compare(&who, seen, &state, router, &writers)?;
            }
            now = *at;
        }
        if !matches!(txn.reads_at, ReadsAt::Snapshot(_)) {
            compare(&format!("{id} at {at}"), &txn.seen, &state, router, &writers)?;
        }
        for (key, deeds) in &txn.writes {
            let group = group.entry(key.clone()).or_default();
            for (other, before) in &*group {
                let mut pairs = before.iter().flat_map(|a| deeds.iter().map(move |b| (a, b)));
                if !pairs.all(|(a, b)| a.commutes(b)) {
                    return Err(format!("I21: {other} and {id} both wrote {key} at {at}"));
                }
            }
            group.push((*id, deeds));
            writers.insert(key.clone(), (*at, *id));
        }
    }
    apply(now, &mut state, &mut group, &mut timeline)?;
    for (_, who, seen) in snapshots {
        compare(&who, seen, &state, router, &writers)?;
    }
    Ok((state, timeline))
}

/// What is written at one timestamp, by transaction.
type Group<'a> = BTreeMap<Key, Vec<(TxnId, &'a Vec<Deed>)>>;

/// The values of every key, each with when it began.
type Timeline = BTreeMap<Key, Vec<(Timestamp, Option<Bytes>)>>;

/// Operations of one timestamp are done in the order of their transactions.
fn apply(
    now: Timestamp,
    state: &mut State,
    group: &mut Group<'_>,
    timeline: &mut Timeline,
) -> Check {
    for (key, writers) in std::mem::take(group) {
        for (id, deeds) in writers {
            let value = fold(deeds, state.get(&key).cloned());
            match value.map_err(|what| format!("I21: {id} did {what} to {key}"))? {
                Some(value) => state.insert(key.clone(), value),
                None => state.remove(&key),
            };
        }
        let value = state.get(&key).cloned();
        timeline.entry(key).or_default().push((now, value));
    }
    Ok(())
}

fn compare(
    who: &str,
    seen: &Seen,
    state: &State,
    router: &Router,
    writers: &BTreeMap<Key, (Timestamp, TxnId)>,
) -> Check {
    let wrong = |key: &Key, saw: Option<&Bytes>, is: Option<&Bytes>| {
        let show =
            |value: Option<&Bytes>| value.map_or("nothing".to_owned(), |v| Escaped(v).to_string());
        let writer = writers.get(key).map(|(at, id)| format!(", written by {id} at {at}"));
        let writer = writer.unwrap_or_default();
        Err(format!("I22: {who} saw {key} = {}; it is {}{writer}", show(saw), show(is)))
    };
    for (key, value) in &seen.keys {
        if state.get(key) != value.as_ref() {
            return wrong(key, value.as_ref(), state.get(key));
        }
    }
    for (key, deeds, value) in &seen.after {
        let is = fold(deeds, state.get(key).cloned())?;
        if is != *value {
            return wrong(key, value.as_ref(), is.as_ref());
        }
    }
    for (range, part, rows) in &seen.ranges {
        let mine = |key: &Key| usize::from(router.shard_of(key).0) == *part;
        let is: BTreeMap<&Key, &Bytes> =
            within(state, range).filter(|(key, _)| mine(key)).collect();
        for (key, value) in rows {
            if is.get(key) != Some(&value) {
                return wrong(key, Some(value), is.get(key).copied());
            }
        }
        if let Some((key, value)) = is.iter().find(|(key, _)| !rows.contains_key(**key)) {
            return wrong(key, None, Some(value));
        }
    }
    Ok(())
}

fn within<'a>(state: &'a State, range: &'a KeyRange) -> impl Iterator<Item = (&'a Key, &'a Bytes)> {
    state.range(range.start.clone()..).take_while(|(key, _)| range.contains(key))
}
