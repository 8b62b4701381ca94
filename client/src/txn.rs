//! A transaction: reads lock at the shards, writes wait here for the commit.
//!
//! ```text
//!   get ──▶ shard: lock, value, incarnation        (once per key, then from memory
//!   put, add ──▶ workspace                          if it was written here)
//!   commit ──▶ coordinator: parts = shards read or written, with their writes
//!   drop ──▶ every shard that was used: abort
//! ```

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use synod_common::commit::Protocol;
use synod_common::deadlock::Standing;
use synod_common::error::Reason;
use synod_common::id::{Incarnation, Peer, ShardId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::message::DataRequest;
use synod_common::message::data::LockWait;
use synod_common::operation::IntegerOp;
use synod_common::time::Timestamp;

use crate::client::Shared;
use crate::isolation::Reading;
use crate::read::{self, Get, GetMany, Lock, What};
use crate::reads::Reads;
use crate::savepoint::{Locks, Marks};
use crate::scan::{Scan, Source};
use crate::session::Session;
use crate::workspace::{Operand, Workspace, Written};
use crate::{AsKey, AsRange, Error, LockMode, Options, Refusal, Snapshot, value};

/// A transaction in progress. Dropping it aborts it and frees its locks.
pub struct Txn {
    pub(crate) age: Timestamp,
    pub(crate) options: Options,
    pub(crate) held: Arc<Held>,
}

/// What ends with the last handle to the transaction.
pub(crate) struct Held {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Arc<Session>,
    pub(crate) id: TxnId,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) workspace: Workspace,
    /// Shards that were sent something, with what they gave.
    pub(crate) used: BTreeMap<ShardId, Option<Incarnation>>,
    /// How often each shard was given back locks.
    pub(crate) returns: BTreeMap<ShardId, u32>,
    pub(crate) locks: Locks,
    pub(crate) marks: Marks,
    /// What reads without locks are made at, once there was one.
    pub(crate) snapshot: Option<Timestamp>,
    /// Keeps the versions that they need.
    pub(crate) pin: Option<Snapshot>,
    /// What was read without locks and is to be validated.
    pub(crate) reads: Reads,
    /// Why it can not commit any more.
    pub(crate) doomed: Option<Reason>,
    /// It was committed or aborted, with whatever result: nothing more is done.
    pub(crate) closed: bool,
    over: bool,
}

/// The answer to a request, on its way. Boxed, so that its type does not carry the
/// lifetimes of the key: else the future of a transaction could not be spawned.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A transaction that committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its name.
    pub txn: TxnId,
    /// Its place in the order of all transactions; `None` if it did nothing.
    pub at: Option<Timestamp>,
}

impl Txn {
    pub(crate) fn new(
        shared: Arc<Shared>,
        session: Arc<Session>,
        options: Options,
        age: Option<Timestamp>,
    ) -> Txn {
        let id = session.name();
        let age = age.unwrap_or_else(|| session.newest());
        let held = Arc::new(Held { shared, session, id, state: Mutex::default() });
        Txn { age, options, held }
    }

    /// Another handle to the same transaction.
    pub(crate) fn share(&self) -> Txn {
        Txn { age: self.age, options: self.options.clone(), held: Arc::clone(&self.held) }
    }

    /// Its name, for [`Client::outcome`](crate::Client::outcome).
    pub fn id(&self) -> TxnId {
        self.held.id
    }

    pub(crate) fn age(&self) -> Timestamp {
        self.age
    }

    /// Why it should be spared in a deadlock.
    pub(crate) fn standing(&self) -> Standing {
        Standing { age: self.age, priority: self.options.priority }
    }

    /// How it is committed.
    pub(crate) fn protocol(&self) -> Protocol {
        self.options.protocol
    }

    /// How it reads.
    pub(crate) fn reading(&self) -> Reading {
        self.options.isolation.reading()
    }

    /// Reads a key: under a shared lock, unless its [`Isolation`](crate::Isolation)
    /// has no locks for reads.
    ///
    /// # Errors
    /// [`Error::Retry`] if the transaction was aborted, [`Error::Unavailable`] if
    /// the shard can not be reached, [`Error::TooLarge`] for a bad key,
    /// [`Error::Misuse`] if the transaction is over.
    pub fn get(&self, key: impl AsKey) -> Get<'_> {
        self.get_in(key, None)
    }

    /// Reads a key under a shared lock, also where [`Txn::get`] takes none.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn get_for_share(&self, key: impl AsKey) -> Get<'_> {
        self.get_in(key, Some(LockMode::Shared))
    }

    /// Reads a key under an update lock, because a write may follow: others may
    /// read it until this transaction commits the write, but not for update.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn get_for_update(&self, key: impl AsKey) -> Get<'_> {
        self.get_in(key, Some(LockMode::Update))
    }

    fn get_in(&self, key: impl AsKey, mode: Option<LockMode>) -> Get<'_> {
        Get { txn: self, key: key.as_key(), mode, wait: self.usual_wait() }
    }

    /// Reads many keys as [`Txn::get`] does, all shards at once.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn get_many<K: AsKey>(&self, keys: impl IntoIterator<Item = K>) -> GetMany<'_> {
        self.get_many_in(keys, None)
    }

    /// Reads many keys under update locks, all shards at once.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn get_many_for_update<K: AsKey>(&self, keys: impl IntoIterator<Item = K>) -> GetMany<'_> {
        self.get_many_in(keys, Some(LockMode::Update))
    }

    fn get_many_in<K: AsKey>(
        &self,
        keys: impl IntoIterator<Item = K>,
        mode: Option<LockMode>,
    ) -> GetMany<'_> {
        let keys = keys.into_iter().map(|key| key.as_key()).collect();
        GetMany { txn: self, keys, mode, wait: self.usual_wait() }
    }

    /// Locks a key without reading it. It need not exist.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn lock(&self, key: impl AsKey, mode: LockMode) -> Lock<'_> {
        self.lock_many([key], mode)
    }

    /// Locks many keys without reading them, on all shards at once.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn lock_many<K: AsKey>(
        &self,
        keys: impl IntoIterator<Item = K>,
        mode: LockMode,
    ) -> Lock<'_> {
        let keys = keys.into_iter().map(|key| key.as_key()).collect();
        Lock { txn: self, what: Ok(What::Keys(keys)), mode, wait: self.usual_wait() }
    }

    /// Locks every key in a range, absent ones too, without reading. On a range,
    /// update is exclusive.
    ///
    /// # Errors
    /// As [`Txn::get`], and [`Error::Misuse`] if no key can lie in the range; the
    /// transaction is unharmed.
    pub fn lock_range(&self, range: impl AsRange, mode: LockMode) -> Lock<'_> {
        let what = some_range(range.into_range()).map(What::Range);
        Lock { txn: self, what, mode, wait: self.usual_wait() }
    }

    /// What the options say about locks that are not free.
    pub(crate) fn usual_wait(&self) -> LockWait {
        read::millis(self.options.lock_wait)
    }

    /// Reads a range in key order, under a shared lock that covers absent keys, too:
    /// nothing can appear in what was read before the transaction ends. At a level
    /// without locks for reads, the whole scan sees the state at one moment.
    ///
    /// If the start lies behind the end, its first row is [`Error::Misuse`]; if
    /// both are equal, it has no rows.
    pub fn scan(&self, range: impl AsRange) -> Scan<'_> {
        self.scan_in(range, None)
    }

    /// Reads a range that nobody else may read, write or add to before the
    /// transaction ends, because writes follow.
    pub fn scan_for_update(&self, range: impl AsRange) -> Scan<'_> {
        self.scan_in(range, Some(LockMode::Update))
    }

    fn scan_in(&self, range: impl AsRange, mode: Option<LockMode>) -> Scan<'_> {
        let range = range.into_range();
        let own = self.held.state.lock().workspace.within(&range);
        let source = Source::Txn { txn: self, mode, wait: self.usual_wait(), view: None };
        Scan::new(source, &self.held.session.router, &range, own)
    }

    /// Deletes what is in a range, when the transaction commits, and keeps the
    /// range to itself until then: when it commits, nothing is in it but what it
    /// puts there later. Says how many keys that are.
    ///
    /// # Errors
    /// As [`Txn::get`] and [`Txn::put`]; [`Error::Misuse`] if no key can lie in the
    /// range. What is no [`Error::Retry`] or [`Error::Unavailable`] leaves the
    /// transaction unharmed, with nothing deleted.
    pub fn delete_range(&self, range: impl AsRange) -> Answer<'_, usize> {
        let range = some_range(range.into_range());
        Box::pin(async move {
            let range = range?;
            let rows = self.scan_for_update(range).collect().await?;
            self.check_open()?;
            let mut state = self.held.state.lock();
            let before = state.workspace.clone();
            for row in &rows {
                if let Err(limit) = state.workspace.write(row.key.clone(), None) {
                    state.workspace = before;
                    return Err(limit.into());
                }
            }
            Ok(rows.len())
        })
    }

    /// Makes sure that a key has this value, until the transaction ends.
    ///
    /// # Errors
    /// [`Error::Aborted`] with [`Reason::CheckFailed`] if it has another or none:
    /// the transaction is over then. As [`Txn::get`].
    pub fn check(&self, key: impl AsKey, expected: &(impl Serialize + ?Sized)) -> Answer<'_, ()> {
        let expected = value::encode(expected).map(Some);
        Box::pin(self.check_for(key.as_key(), expected))
    }

    /// As [`Txn::check`], with a value as it is.
    ///
    /// # Errors
    /// As [`Txn::check`].
    pub fn check_bytes(&self, key: impl AsKey, expected: impl Into<Bytes>) -> Answer<'_, ()> {
        Box::pin(self.check_for(key.as_key(), Ok(Some(expected.into()))))
    }

    /// Makes sure that a key has no value, until the transaction ends.
    ///
    /// # Errors
    /// As [`Txn::check`].
    pub fn check_absent(&self, key: impl AsKey) -> Answer<'_, ()> {
        Box::pin(self.check_for(key.as_key(), Ok(None)))
    }

    async fn check_for(
        &self,
        key: Key,
        expected: Result<Option<Bytes>, Error>,
    ) -> Result<(), Error> {
        let expected = expected?;
        let found = self.get_for_share(&key).await?;
        if found.into_bytes() == expected {
            return Ok(());
        }
        Err(self.doom(Reason::CheckFailed(key)))
    }

    /// Writes a key, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if a limit is passed; the transaction is unharmed.
    pub fn put(&self, key: impl AsKey, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.write(key.as_key(), Some(value::encode(value)?))
    }

    /// Writes a key with a value as it is.
    ///
    /// # Errors
    /// As [`Txn::put`].
    pub fn put_bytes(&self, key: impl AsKey, value: impl Into<Bytes>) -> Result<(), Error> {
        self.write(key.as_key(), Some(value.into()))
    }

    /// Deletes a key, when the transaction commits.
    ///
    /// # Errors
    /// As [`Txn::put`].
    pub fn delete(&self, key: impl AsKey) -> Result<(), Error> {
        self.write(key.as_key(), None)
    }

    /// Adds to an integer cell, when the transaction commits. The sum wraps around;
    /// an absent key counts as zero.
    ///
    /// Transactions that add to one key do not wait for each other; nor do those
    /// that take its minimum or maximum. One that has read the key does.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if a limit is passed; the transaction is unharmed. If
    /// the value is no integer cell, [`Error::Misuse`] here if it was written by
    /// this transaction, else when it is read or committed.
    pub fn add(&self, key: impl AsKey, n: i64) -> Result<(), Error> {
        self.operate(key.as_key(), Operand::Integer(IntegerOp::Add(n)))
    }

    /// Lowers an integer cell to `n` if it is greater, when the transaction
    /// commits. An absent key becomes `n`.
    ///
    /// # Errors
    /// As [`Txn::add`].
    pub fn min(&self, key: impl AsKey, n: i64) -> Result<(), Error> {
        self.operate(key.as_key(), Operand::Integer(IntegerOp::Min(n)))
    }

    /// Raises an integer cell to `n` if it is smaller, when the transaction
    /// commits. An absent key becomes `n`.
    ///
    /// # Errors
    /// As [`Txn::add`].
    pub fn max(&self, key: impl AsKey, n: i64) -> Result<(), Error> {
        self.operate(key.as_key(), Operand::Integer(IntegerOp::Max(n)))
    }

    /// Puts bytes behind the value of a key, when the transaction commits.
    /// Transactions that append to one key do not wait for each other.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if a limit is passed; the transaction is unharmed. If
    /// the whole value becomes too long, [`Txn::commit`] says so.
    pub fn append(&self, key: impl AsKey, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        self.operate(key.as_key(), Operand::Append(bytes.as_ref().to_vec()))
    }

    fn operate(&self, key: Key, operand: Operand) -> Result<(), Error> {
        self.check_open()?;
        self.held.state.lock().workspace.operate(key, operand)
    }

    fn write(&self, key: Key, value: Option<Bytes>) -> Result<(), Error> {
        self.check_open()?;
        Ok(self.held.state.lock().workspace.write(key, value)?)
    }

    /// Gives the transaction up. Dropping it does the same.
    pub fn abort(self) {
        self.held.give_up();
    }

    /// It can not commit any more, so nobody should wait for what it holds.
    pub(crate) fn doom(&self, reason: Reason) -> Error {
        let used = {
            let mut state = self.held.state.lock();
            state.doomed = Some(reason.clone());
            std::mem::take(&mut state.used)
        };
        self.held.tell_abort(used.into_keys());
        self.ended(reason)
    }

    /// It was aborted.
    pub(crate) fn ended(&self, reason: Reason) -> Error {
        let txn = Some(self.held.id);
        match reason {
            // Begun anew, it reads at a newer snapshot.
            Reason::SnapshotTooOld(_) => Error::Retry(Refusal { reason, txn, attempts: 1 }),
            reason => Error::from_reason(reason, txn),
        }
    }

    /// Whether anything can be done with it.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        let state = self.held.state.lock();
        if let Some(reason) = &state.doomed {
            return Err(self.ended(reason.clone()));
        }
        if state.closed {
            return Err(Error::Misuse(format!("{} was committed or aborted before", self.held.id)));
        }
        Ok(())
    }

    /// What this transaction wrote to the key, if it did.
    pub(crate) fn written(&self, key: &Key) -> Option<Written> {
        self.held.state.lock().workspace.written(key)
    }
}

impl Held {
    /// The transaction is decided; its participants know.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock();
        (state.over, state.closed) = (true, true);
        // A shard whose answer never came may hold locks that no part names.
        let strays: Vec<ShardId> =
            state.used.iter().filter(|(_, given)| given.is_none()).map(|(id, _)| *id).collect();
        drop(state);
        self.tell_abort(strays);
        self.session.over(self.id);
    }

    pub(crate) fn tell_abort(&self, shards: impl IntoIterator<Item = ShardId>) {
        for shard in shards {
            let message = DataRequest::Abort { txn: self.id };
            self.shared.net.tell(Peer::Shard(shard), message.into());
        }
    }

    /// It is aborted, or has had what it can have of a commit.
    pub(crate) fn give_up(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        if std::mem::replace(&mut state.over, true) {
            return;
        }
        let used: Vec<ShardId> = state.used.keys().copied().collect();
        drop(state);
        self.tell_abort(used);
        self.session.over(self.id);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// A range in which keys can lie.
fn some_range(range: KeyRange) -> Result<KeyRange, Error> {
    if range.is_empty() {
        return Err(Error::Misuse(format!("no key can lie in the range {range}")));
    }
    Ok(range)
}
