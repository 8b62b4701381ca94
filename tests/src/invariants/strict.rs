//! **I20** A transaction that was answered before another began has the smaller
//! timestamp. **I21**, **I22** Run one after another in the order of their
//! timestamps against a plain map, all committed transactions read what they read,
//! and so do the snapshots. Operations of transactions of equal timestamps are done
//! in the order of their names.
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
use crate::sim::history::{History, Seen, Txn};
use crate::sim::ledger::Ledger;

type State = BTreeMap<Key, Bytes>;

/// Called at the end. Returns the final state.
pub fn check(history: &History, ledger: &Ledger, router: &Router) -> Result<State, String> {
    let committed = committed(history, ledger);
    real_time(history, &committed)?;
    replay(history, &committed, router)
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
) -> Result<State, String> {
    let mut snapshots: Vec<_> = history.snapshots.iter().collect();
    snapshots.sort_by_key(|snapshot| snapshot.at);
    let mut snapshots = snapshots.into_iter().peekable();
    let mut state = State::new();
    let mut writers: BTreeMap<Key, (Timestamp, TxnId)> = BTreeMap::new();
    let mut group: Group<'_> = BTreeMap::new();
    let mut now = Timestamp::ZERO;
    for ((at, id), txn) in committed {
        if *at > now {
            apply(&mut state, &mut group)?;
            while let Some(snapshot) = snapshots.next_if(|snapshot| snapshot.at < *at) {
                let who = format!("the snapshot at {}", snapshot.at);
                compare(&who, &snapshot.seen, &state, router, &writers)?;
            }
            now = *at;
        }
        compare(&format!("{id} at {at}"), &txn.seen, &state, router, &writers)?;
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
    apply(&mut state, &mut group)?;
    for snapshot in snapshots {
        let who = format!("the snapshot at {}", snapshot.at);
        compare(&who, &snapshot.seen, &state, router, &writers)?;
    }
    Ok(state)
}

/// What is written at one timestamp, by transaction.
type Group<'a> = BTreeMap<Key, Vec<(TxnId, &'a Vec<Deed>)>>;

/// Operations of one timestamp are done in the order of their transactions.
fn apply(state: &mut State, group: &mut Group<'_>) -> Check {
    for (key, writers) in std::mem::take(group) {
        for (id, deeds) in writers {
            let value = fold(deeds, state.get(&key).cloned());
            match value.map_err(|what| format!("I21: {id} did {what} to {key}"))? {
                Some(value) => state.insert(key.clone(), value),
                None => state.remove(&key),
            };
        }
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
