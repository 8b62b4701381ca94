//! Writes down what a transaction or a snapshot reads, in the form in which the
//! history is checked.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_client::{Row, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::route::Router;

use super::super::super::deed::Deed;
use super::super::super::history::{Loose, Seen, Writes};

/// What was read and written so far.
#[derive(Debug, Default)]
pub struct Reader {
    /// What was read of the state before.
    pub seen: Seen,
    /// What was written.
    pub writes: Writes,
    /// Whether each read is made at a time of its own.
    pub loose: bool,
    /// Whether what comes next is read under locks, or may be.
    pub locked: bool,
}

impl Reader {
    /// A key was read.
    ///
    /// # Errors
    /// If it was written before and this is something else.
    pub fn saw(&mut self, router: &Router, key: &Key, value: Option<Bytes>) -> Result<(), String> {
        if self.writes.contains_key(key) {
            return self.saw_own(key, value);
        }
        if self.loose {
            self.seen.loose.push(Loose { key: key.clone(), value, locked: self.locked });
            return Ok(());
        }
        if self.seen.keys.get(key).is_some_and(|before| *before != value) {
            // One of both is wrong, which shows if the transaction commits.
            let page = KeyRange { start: key.clone(), end: Some(key.successor()) };
            let rows = value.into_iter().map(|value| (key.clone(), value)).collect();
            let shard = usize::from(router.shard_of(key).0);
            self.seen.ranges.push((page, shard, rows));
            return Ok(());
        }
        self.seen.keys.insert(key.clone(), value);
        Ok(())
    }

    /// A key was read after it was written.
    fn saw_own(&mut self, key: &Key, value: Option<Bytes>) -> Result<(), String> {
        let own = self.writes.get(key).cloned().unwrap_or_default();
        match &own[..] {
            [Deed::Put(put)] if *put == value => Ok(()),
            [Deed::Put(put)] => Err(format!("{key} was read as {value:?} after {put:?} was put")),
            // At which time its base was read is not known.
            _ if self.loose => Ok(()),
            _ => {
                self.seen.after.push((key.clone(), own, value));
                Ok(())
            }
        }
    }

    /// A range was scanned, up to a limit.
    ///
    /// # Errors
    /// If the rows are out of order or out of range, or the own writes are wrong.
    pub fn scanned(
        &mut self,
        router: &Router,
        range: &KeyRange,
        limit: Option<usize>,
        reverse: bool,
        rows: Vec<Row>,
    ) -> Result<(), String> {
        let ordered = |a: &Row, b: &Row| if reverse { a.key > b.key } else { a.key < b.key };
        if !rows.is_sorted_by(ordered) {
            return Err(format!("rows of {range:?} are out of order: {rows:?}"));
        }
        let full = limit.is_some_and(|limit| rows.len() >= limit);
        if limit.is_some_and(|limit| rows.len() > limit) {
            return Err(format!("{} rows are more than {limit:?}", rows.len()));
        }
        // A scan that ended at its limit says nothing of what lies behind.
        let covered = match rows.last().filter(|_| full) {
            None if full => return Ok(()),
            None => range.clone(),
            Some(last) if reverse => KeyRange { start: last.key.clone(), ..range.clone() },
            Some(last) => KeyRange { end: Some(last.key.successor()), ..range.clone() },
        };
        let mut rows: BTreeMap<Key, Bytes> =
            rows.into_iter().map(|row| (row.key, row.value)).collect();
        if let Some(key) = rows.keys().find(|key| !range.contains(key)) {
            return Err(format!("{key} is no row of {range:?}"));
        }
        // Own writes hide what was there: what is left are the ranges in between.
        let mut start = covered.start.clone();
        let mut between = Vec::new();
        let own: Vec<Key> =
            self.writes.keys().filter(|key| covered.contains(key)).cloned().collect();
        for key in own {
            let row = rows.remove(&key);
            self.saw_own(&key, row)?;
            between.push(KeyRange { start, end: Some(key.clone()) });
            start = key.successor();
        }
        between.push(KeyRange { start, end: covered.end });
        if self.loose {
            let locked = self.locked;
            let rows =
                rows.into_iter().map(|(key, value)| Loose { key, value: Some(value), locked });
            self.seen.loose.extend(rows);
            return Ok(());
        }
        for page in between.into_iter().filter(|page| !page.is_empty()) {
            for shard in router.shards_of(range) {
                let mine = |key: &Key| page.contains(key) && router.shard_of(key) == shard;
                let rows = rows.iter().filter(|(key, _)| mine(key));
                let rows = rows.map(|(key, value)| (key.clone(), value.clone())).collect();
                self.seen.ranges.push((page.clone(), usize::from(shard.0), rows));
            }
        }
        Ok(())
    }
}

/// A value that no other transaction writes.
pub fn unique(text: &str, txn: TxnId) -> Bytes {
    Bytes::from(format!("{text} {txn}"))
}
