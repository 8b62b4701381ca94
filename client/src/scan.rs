//! Scans: the shards' rows merged in key order, page by page.
//!
//! Every shard that may hold keys of the range has a cursor with the rest of its
//! page. The next row is the first among the cursors and the transaction's own
//! writes, which win over the shards' rows for the same key, or change them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use synod_common::id::ShardId;
use synod_common::key::{Key, KeyRange};
use synod_common::message::bulk::Rows;
use synod_common::message::data::LockWait;
use synod_common::message::{DataReply, DataRequest};
use synod_common::route::Router;

use crate::net::Reply;
use crate::read;
use crate::retry::Patience;
use crate::savepoint::Return;
use crate::workspace::Written;
use crate::{Error, LockMode, Snapshot, Txn, Value};

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Bytes,
}

impl Row {
    /// The value as it was put.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are no `T`; names the key.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.as_value().decode()
    }

    /// The number in an integer cell.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the value is no integer cell; names the key.
    pub fn number(&self) -> Result<i64, Error> {
        self.as_value().number()
    }

    fn as_value(&self) -> Value {
        Value { key: self.key.clone(), bytes: Some(self.value.clone()) }
    }
}

/// A scan in progress.
pub struct Scan<'a> {
    source: Source<'a>,
    cursors: Vec<Cursor>,
    own: BTreeMap<Key, Written>,
    left: Option<usize>,
    reverse: bool,
    /// Why it can not be read at all.
    bad: Option<Error>,
}

/// Who reads.
pub(crate) enum Source<'a> {
    Txn {
        txn: &'a Txn,
        /// Under which locks; none if the transaction's level decides.
        mode: Option<LockMode>,
        /// What to do about locks that are not free.
        wait: LockWait,
        /// What is read at, if there are no locks, once that is chosen.
        view: Option<Snapshot>,
    },
    Snapshot(&'a Snapshot),
}

struct Cursor {
    shard: ShardId,
    rows: VecDeque<Row>,
    /// What has not been asked for.
    rest: Option<KeyRange>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        source: Source<'a>,
        router: &Router,
        range: &KeyRange,
        own: BTreeMap<Key, Written>,
    ) -> Scan<'a> {
        let shards = if range.is_empty() { vec![] } else { router.shards_of(range) };
        let cursors = shards
            .into_iter()
            .map(|shard| Cursor { shard, rows: VecDeque::new(), rest: Some(range.clone()) })
            .collect();
        let reversed = range.end.as_ref().is_some_and(|end| *end < range.start);
        let bad =
            reversed.then(|| Error::Misuse(format!("the range {range} ends before it starts")));
        Scan { source, cursors, own, left: None, reverse: false, bad }
    }

    /// From the end to the start.
    pub fn reverse(mut self) -> Scan<'a> {
        self.reverse = true;
        self
    }

    /// At most so many rows.
    pub fn limit(mut self, rows: usize) -> Scan<'a> {
        self.left = Some(rows);
        self
    }

    /// Waits so long for each lock, whatever the options of the transaction say.
    /// (A snapshot takes no locks: there this, and the next two, change nothing.)
    pub fn wait(self, timeout: Duration) -> Scan<'a> {
        self.when_locked(read::millis(timeout))
    }

    /// Does not wait: a row is [`Error::Locked`] if a lock is not free. The
    /// transaction goes on.
    pub fn nowait(self) -> Scan<'a> {
        self.when_locked(LockWait::No)
    }

    /// Leaves out rows that others hold, locks those that it returns and nothing
    /// else: rows may appear in the range. This is not serializable; it is for
    /// queues, where any free job will do.
    pub fn skip_locked(self) -> Scan<'a> {
        self.when_locked(LockWait::Skip)
    }

    fn when_locked(mut self, wait: LockWait) -> Scan<'a> {
        if let Source::Txn { wait: usual, .. } = &mut self.source {
            *usual = wait;
        }
        self
    }

    /// The next row, or `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Row, Error>> {
        if let Some(bad) = self.bad.take() {
            self.left = Some(0);
            return Some(Err(bad));
        }
        if self.left == Some(0) {
            return None;
        }
        loop {
            if let Err(error) = self.fill().await {
                self.left = Some(0);
                return Some(Err(error));
            }
            let row = match self.first()? {
                Ok(Some(row)) => row,
                Ok(None) => continue,
                Err(error) => {
                    self.left = Some(0);
                    return Some(Err(error));
                }
            };
            if let Some(left) = &mut self.left {
                *left -= 1;
            }
            return Some(Ok(row));
        }
    }

    /// All rows that are left.
    ///
    /// # Errors
    /// As the reads of its source.
    pub async fn collect(mut self) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        while let Some(row) = self.next().await {
            rows.push(row?);
        }
        Ok(rows)
    }

    /// Takes the first of all rows; `Ok(None)` if it was deleted by the transaction
    /// itself.
    fn first(&mut self) -> Option<Result<Option<Row>, Error>> {
        let reverse = self.reverse;
        let better = |a: &Key, b: &Key| if reverse { a > b } else { a < b };
        let mut best: Option<(Key, Option<usize>)> = {
            let own = if reverse { self.own.last_key_value() } else { self.own.first_key_value() };
            own.map(|(key, _)| (key.clone(), None))
        };
        for (i, cursor) in self.cursors.iter().enumerate() {
            let Some(row) = cursor.rows.front() else { continue };
            if best.as_ref().is_none_or(|(key, _)| better(&row.key, key)) {
                best = Some((row.key.clone(), Some(i)));
            }
        }
        match best? {
            (key, Some(i)) => {
                self.source.taken(&key);
                Some(Ok(self.cursors[i].rows.pop_front()))
            }
            (key, None) => {
                let mut below = Value { key, bytes: None };
                for cursor in &mut self.cursors {
                    if cursor.rows.front().is_some_and(|row| row.key == below.key)
                        && let Some(row) = cursor.rows.pop_front()
                    {
                        self.source.taken(&row.key);
                        below.bytes = Some(row.value);
                    }
                }
                let written = self.own.remove(&below.key);
                let found = below.below(written);
                Some(found.map(|Value { key, bytes }| bytes.map(|value| Row { key, value })))
            }
        }
    }

    /// Fetches the next page of every cursor that has run out, all at once.
    async fn fill(&mut self) -> Result<(), Error> {
        // A page may be empty and yet not be the last one.
        while self.cursors.iter().any(|cursor| cursor.rows.is_empty() && cursor.rest.is_some()) {
            self.fetch().await?;
        }
        Ok(())
    }

    async fn fetch(&mut self) -> Result<(), Error> {
        // Rows that its own deletes will hide are asked for on top.
        let limit = self.left.map_or(0, |left| left.saturating_add(self.own.len()));
        let limit = u32::try_from(limit).unwrap_or(0);
        self.source.settle().await?;
        let mut replies = Vec::new();
        for (i, cursor) in self.cursors.iter().enumerate() {
            if cursor.rows.is_empty()
                && let Some(rest) = &cursor.rest
            {
                replies.push((i, self.source.ask(cursor.shard, rest, limit, self.reverse)?));
            }
        }
        for (i, reply) in replies {
            let cursor = &mut self.cursors[i];
            // Replaced only when the page is here: this future may be dropped.
            let Some(rest) = cursor.rest.clone() else { continue };
            let page = self.source.page(cursor.shard, reply, &rest, limit, self.reverse).await?;
            let (resume, rows) = page;
            for row in Rows::read(&rows) {
                let (key, value) = row.map_err(|_| Error::protocol())?;
                let value = rows.slice_ref(value);
                cursor.rows.push_back(Row { key: Key::from(key), value });
            }
            cursor.rest = resume
                .map(|key| match self.reverse {
                    false => KeyRange { start: key, ..rest },
                    true => KeyRange { end: Some(key), ..rest },
                })
                .filter(|rest| !rest.is_empty());
        }
        Ok(())
    }
}

/// Whoever leaves out what is locked must not lock more than it returns: the
/// shards do not know of each other's rows, and lock some that are not wanted.
impl Drop for Scan<'_> {
    fn drop(&mut self) {
        let Source::Txn { txn, wait: LockWait::Skip, view: None, .. } = self.source else { return };
        let rows = self.cursors.iter().flat_map(|cursor| &cursor.rows);
        let mut returns = Vec::new();
        {
            let state = txn.held.state.lock();
            let unknown = rows.filter(|row| !state.locks.knows(&row.key));
            returns.extend(unknown.map(|row| Return::Key(row.key.clone(), None)));
        }
        // If the transaction is over, its locks are gone anyway.
        _ = txn.give_back(returns);
    }
}

impl Source<'_> {
    /// Chooses the view, if there is to be one.
    async fn settle(&mut self) -> Result<(), Error> {
        match self {
            Source::Txn { txn, mode: None, view: view @ None, .. } => *view = txn.view().await?,
            Source::Txn { txn, mode: Some(_), .. } => txn.settle_snapshot().await?,
            Source::Txn { view: Some(_), .. } | Source::Snapshot(_) => {}
        }
        Ok(())
    }

    /// A row is used that was locked by itself.
    fn taken(&self, key: &Key) {
        if let Source::Txn { txn, mode, wait: LockWait::Skip, view: None } = self {
            let mode = mode.unwrap_or(LockMode::Shared);
            txn.held.state.lock().locks.key(key, mode, true);
        }
    }

    fn ask(
        &self,
        shard: ShardId,
        range: &KeyRange,
        limit: u32,
        reverse: bool,
    ) -> Result<Reply, Error> {
        let range = range.clone();
        let snapshot = match self {
            Source::Txn { txn, mode, wait, view: None } => {
                let mode = mode.unwrap_or(LockMode::Shared);
                if *wait != LockWait::Skip {
                    txn.held.state.lock().locks.range(&range, mode, true);
                }
                return txn.request_scan(shard, *wait, |access| DataRequest::Scan {
                    access,
                    range,
                    limit,
                    reverse,
                    mode,
                });
            }
            Source::Txn { view: Some(view), .. } => view,
            Source::Snapshot(snapshot) => snapshot,
        };
        Ok(snapshot.request_scan(shard, |at, map_epoch| DataRequest::SnapshotScan {
            at,
            map_epoch,
            range,
            limit,
            reverse,
        }))
    }

    async fn page(
        &self,
        shard: ShardId,
        reply: Reply,
        range: &KeyRange,
        limit: u32,
        reverse: bool,
    ) -> Result<(Option<Key>, Bytes), Error> {
        let snapshot = match self {
            Source::Txn { txn, view: None, .. } => {
                let reply = txn.data_reply(shard, reply.await)?;
                let DataReply::Rows { incarnation, resume, rows } = reply else {
                    return Err(Error::protocol());
                };
                txn.contacted(shard, incarnation)?;
                return Ok((resume, rows));
            }
            Source::Txn { view: Some(view), .. } => view,
            Source::Snapshot(snapshot) => snapshot,
        };
        let rows = |reply| match snapshot.data_reply(shard, reply)? {
            DataReply::Rows { resume, rows, .. } => Ok((resume, rows)),
            _ => Err(Error::protocol()),
        };
        let mut patience = Patience::new(snapshot.shared());
        let mut answer = rows(reply.await);
        let page = loop {
            match answer {
                Ok(page) => break page,
                // Reading at a snapshot can be repeated without harm.
                Err(error) => patience.after(error).await.map_err(|error| self.failed(error))?,
            }
            answer = rows(self.ask(shard, range, limit, reverse)?.await);
        };
        if let Source::Txn { txn, .. } = self {
            txn.saw_range(shard, range.page(page.0.as_ref(), reverse))?;
        }
        Ok(page)
    }

    fn failed(&self, error: Error) -> Error {
        match self {
            Source::Txn { txn, .. } => txn.view_failed(error),
            Source::Snapshot(_) => error,
        }
    }
}
