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
use synod_common::error::Reason;
use synod_common::id::{Incarnation, Peer, ShardId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::limits;
use synod_common::message::bulk::{Found, Keys, Values};
use synod_common::message::client::{Outcome, Part};
use synod_common::message::data::{Access, LockWait};
use synod_common::message::{ClientReply, ClientRequest, DataReply, DataRequest, Message};
use synod_common::operation::IntegerOp;
use synod_common::time::Timestamp;

use crate::client::Shared;
use crate::net::{Reply, Unreachable};
use crate::read::{self, Get, GetMany, Lock, What};
use crate::savepoint::{Locks, Marks, Return};
use crate::scan::{Scan, Source};
use crate::session::Session;
use crate::workspace::{Operand, Workspace, Written};
use crate::{AsKey, AsRange, Error, LockMode, Options, Refusal, Value, retry, value};

/// A transaction in progress. Dropping it aborts it and frees its locks.
pub struct Txn {
    age: Timestamp,
    options: Options,
    pub(crate) held: Arc<Held>,
}

/// What ends with the last handle to the transaction.
pub(crate) struct Held {
    shared: Arc<Shared>,
    session: Arc<Session>,
    id: TxnId,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) workspace: Workspace,
    /// Shards that were sent something, with what they gave.
    used: BTreeMap<ShardId, Option<Incarnation>>,
    /// How often each shard was given back locks.
    returns: BTreeMap<ShardId, u32>,
    pub(crate) locks: Locks,
    pub(crate) marks: Marks,
    /// Why it can not commit any more.
    doomed: Option<Reason>,
    /// It was committed or aborted, with whatever result: nothing more is done.
    closed: bool,
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

    /// Reads a key under a shared lock.
    ///
    /// # Errors
    /// [`Error::Retry`] if the transaction was aborted, [`Error::Unavailable`] if
    /// the shard can not be reached, [`Error::TooLarge`] for a bad key,
    /// [`Error::Misuse`] if the transaction is over.
    pub fn get(&self, key: impl AsKey) -> Get<'_> {
        self.get_in(key, LockMode::Shared)
    }

    /// Reads a key under a shared lock, also where [`Txn::get`] takes none.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn get_for_share(&self, key: impl AsKey) -> Get<'_> {
        self.get_in(key, LockMode::Shared)
    }

    /// Reads a key under an update lock, because a write may follow: others may
    /// read it until this transaction commits the write, but not for update.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn get_for_update(&self, key: impl AsKey) -> Get<'_> {
        self.get_in(key, LockMode::Update)
    }

    fn get_in(&self, key: impl AsKey, mode: LockMode) -> Get<'_> {
        Get { txn: self, key: key.as_key(), mode, wait: self.usual_wait() }
    }

    /// Reads many keys under shared locks, all shards at once.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn get_many<K: AsKey>(&self, keys: impl IntoIterator<Item = K>) -> GetMany<'_> {
        self.get_many_in(keys, LockMode::Shared)
    }

    /// Reads many keys under update locks, all shards at once.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn get_many_for_update<K: AsKey>(&self, keys: impl IntoIterator<Item = K>) -> GetMany<'_> {
        self.get_many_in(keys, LockMode::Update)
    }

    fn get_many_in<K: AsKey>(
        &self,
        keys: impl IntoIterator<Item = K>,
        mode: LockMode,
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

    pub(crate) async fn read_one(
        &self,
        key: Key,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<Value, Error> {
        limits::check_key(&key)?;
        self.check_open()?;
        let written = self.written(&key);
        if let Some(Written::Value(bytes)) = written {
            return Ok(Value { key, bytes });
        }
        let shard = self.held.session.router.shard_of(&key);
        self.held.state.lock().locks.key(&key, mode, true);
        let reply = self.request_read(shard, mode, Keys::one(&key), wait)?;
        let bytes = self.values(shard, reply.await)?;
        let mut values = Values::read(&bytes);
        match (values.next(), values.next()) {
            (Some(Ok(value)), None) => {
                let found = Value { key, bytes: value.map(|value| bytes.slice_ref(value)) };
                found.below(written)
            }
            _ => Err(Error::protocol()),
        }
    }

    /// Reads keys; those are none that were left out.
    pub(crate) async fn read_many(
        &self,
        keys: Vec<Key>,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<Vec<Option<Value>>, Error> {
        self.check_open()?;
        let mut found: Vec<Option<Value>> = Vec::new();
        let mut operated = Vec::new();
        let mut by_shard: BTreeMap<ShardId, (Keys, Vec<usize>)> = BTreeMap::new();
        for key in &keys {
            limits::check_key(key)?;
        }
        for (i, key) in keys.into_iter().enumerate() {
            match self.written(&key) {
                Some(Written::Value(bytes)) => found.push(Some(Value { key, bytes })),
                written @ (Some(Written::Operations(_)) | None) => {
                    operated.extend(written.map(|written| (i, written)));
                    let shard = self.held.session.router.shard_of(&key);
                    self.held.state.lock().locks.key(&key, mode, true);
                    let (list, places) = by_shard.entry(shard).or_default();
                    list.push(&key);
                    places.push(i);
                    found.push(Some(Value { key, bytes: None }));
                }
            }
        }
        let mut replies = Vec::new();
        for (shard, (list, places)) in by_shard {
            let reply = self.request_read(shard, mode, list.finish(), wait)?;
            replies.push((shard, places, reply));
        }
        let mut locked = None;
        for (shard, places, reply) in replies {
            let bytes = match self.values(shard, reply.await) {
                Ok(bytes) => bytes,
                // What the other shards say is still of interest: their locks are
                // held.
                Err(error @ Error::Locked(_)) => {
                    locked = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut values = Found::read(&bytes);
            for place in places {
                let value = values.next().ok_or_else(Error::protocol)?;
                match (value.map_err(|_| Error::protocol())?, &mut found[place]) {
                    (Some(value), Some(found)) => {
                        found.bytes = value.map(|value| bytes.slice_ref(value));
                    }
                    (_, found) => *found = None,
                }
            }
        }
        if let Some(locked) = locked {
            return Err(locked);
        }
        for (place, written) in operated {
            let below = found[place].take().map(|found| found.below(Some(written)));
            found[place] = below.transpose()?;
        }
        Ok(found)
    }

    pub(crate) async fn lock_keys(
        &self,
        keys: Vec<Key>,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<(), Error> {
        for key in &keys {
            limits::check_key(key)?;
        }
        let mut by_shard: BTreeMap<ShardId, Keys> = BTreeMap::new();
        for key in keys {
            self.held.state.lock().locks.key(&key, mode, false);
            by_shard.entry(self.held.session.router.shard_of(&key)).or_default().push(&key);
        }
        let asked = by_shard.into_iter().map(|(shard, keys)| (shard, None, keys.finish()));
        self.lock_all(asked, mode, wait).await
    }

    pub(crate) async fn lock_within(
        &self,
        range: KeyRange,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<(), Error> {
        self.held.state.lock().locks.range(&range, mode, false);
        let shards = self.held.session.router.shards_of(&range).into_iter();
        let asked = shards.map(|shard| (shard, Some(range.clone()), Bytes::new()));
        self.lock_all(asked, mode, wait).await
    }

    async fn lock_all(
        &self,
        asked: impl Iterator<Item = (ShardId, Option<KeyRange>, Bytes)>,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<(), Error> {
        let mut replies = Vec::new();
        for (shard, range, keys) in asked {
            let access = self.access(shard, wait)?;
            let message = DataRequest::Lock { access, mode, range, keys };
            let reply = self.held.shared.net.request(Peer::Shard(shard), message.into());
            replies.push((shard, reply));
        }
        let mut locked = Ok(());
        for (shard, reply) in replies {
            match self.data_reply(shard, reply.await) {
                Ok(DataReply::Granted { incarnation }) => self.contacted(shard, incarnation)?,
                Ok(_) => return Err(Error::protocol()),
                Err(error @ Error::Locked(_)) => locked = Err(error),
                Err(error) => return Err(error),
            }
        }
        locked
    }

    /// Tells the shards which locks go, or become weaker.
    pub(crate) fn give_back(&self, returns: Vec<Return>) -> Result<(), Error> {
        let router = &self.held.session.router;
        let mut keys: BTreeMap<(ShardId, u8), (Option<LockMode>, Keys)> = BTreeMap::new();
        let mut asked = Vec::new();
        for back in returns {
            match back {
                Return::Key(key, to) => {
                    let place = (router.shard_of(&key), to.map_or(0, |to| 1 + to as u8));
                    keys.entry(place).or_insert_with(|| (to, Keys::default())).1.push(&key);
                }
                Return::Range(range, to) => {
                    let shards = router.shards_of(&range).into_iter();
                    asked
                        .extend(shards.map(|shard| (shard, to, Some(range.clone()), Bytes::new())));
                }
            }
        }
        let keys =
            keys.into_iter().map(|((shard, _), (to, keys))| (shard, to, None, keys.finish()));
        for (shard, to, range, keys) in keys.chain(asked) {
            let access = self.access(shard, LockWait::No)?;
            // Of a shard that has not answered yet nothing is known to be held.
            if access.incarnation.is_none() {
                continue;
            }
            *self.held.state.lock().returns.entry(shard).or_default() += 1;
            let message = DataRequest::Return { access, to, range, keys };
            self.held.shared.net.tell(Peer::Shard(shard), message.into());
        }
        Ok(())
    }

    /// Reads a range under shared locks, in key order, absent keys included:
    /// nothing can appear in what was read before the transaction ends.
    ///
    /// If the start lies behind the end, its first row is [`Error::Misuse`]; if
    /// both are equal, it has no rows.
    pub fn scan(&self, range: impl AsRange) -> Scan<'_> {
        self.scan_in(range, LockMode::Shared)
    }

    /// Reads a range that nobody else may read, write or add to before the
    /// transaction ends, because writes follow.
    pub fn scan_for_update(&self, range: impl AsRange) -> Scan<'_> {
        self.scan_in(range, LockMode::Update)
    }

    fn scan_in(&self, range: impl AsRange, mode: LockMode) -> Scan<'_> {
        let range = range.into_range();
        let own = self.held.state.lock().workspace.within(&range);
        let source = Source::Txn(self, mode, self.usual_wait());
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
        let reason = Reason::CheckFailed(key);
        self.held.state.lock().doomed = Some(reason.clone());
        Err(Error::from_reason(reason, Some(self.held.id)))
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

    /// Commits. When this returns, the transaction is durable on all its shards'
    /// behalf, and every transaction that begins later sees it.
    ///
    /// # Errors
    /// [`Error::Retry`] or [`Error::Aborted`] if it had no effect;
    /// [`Error::InDoubt`] if nobody could be asked.
    pub async fn commit(self) -> Result<Committed, Error> {
        let committed = self.try_commit().await;
        if committed.is_err() {
            self.held.give_up();
        }
        committed
    }

    async fn try_commit(&self) -> Result<Committed, Error> {
        self.check_open()?;
        self.held.state.lock().closed = true;
        let (parts, writes) = self.parts()?;
        if parts.is_empty() {
            self.held.finish();
            return Ok(Committed { txn: self.held.id, at: None });
        }
        let message = ClientRequest::Commit { txn: self.held.id, parts, writes };
        let reply = self.held.shared.net.request(self.held.shared.coordinator, message.into());
        let outcome = match self.within_timeout(reply).await {
            Some(Ok(Message::ClientReply(ClientReply::Outcome(outcome)))) => outcome,
            // Refused before it was looked at: it has had no effect.
            Some(Ok(Message::ClientReply(ClientReply::Refused(reason)))) => {
                Outcome::Aborted(reason)
            }
            Some(Ok(_)) => return Err(Error::InDoubt(self.held.id)),
            Some(Err(Unreachable)) | None => self.resolve().await?,
        };
        match outcome {
            Outcome::Committed(at) => {
                self.held.session.saw(at);
                self.held.finish();
                Ok(Committed { txn: self.held.id, at: Some(at) })
            }
            Outcome::Aborted(reason) => {
                if matches!(reason, Reason::SessionLost | Reason::StaleEpoch) {
                    self.held.session.lose();
                }
                Err(Error::from_reason(reason, Some(self.held.id)))
            }
            Outcome::Undecided | Outcome::Unknown => Err(Error::InDoubt(self.held.id)),
        }
    }

    /// The shards that take part, with their writes one behind another.
    fn parts(&self) -> Result<(Vec<Part>, Bytes), Error> {
        let state = self.held.state.lock();
        if let Some(reason) = &state.doomed {
            return Err(Error::from_reason(reason.clone(), Some(self.held.id)));
        }
        Ok(state.workspace.parts(&self.held.session.router, &state.used)?)
    }

    /// The reply to COMMIT got lost: asks until the outcome is known.
    async fn resolve(&self) -> Result<Outcome, Error> {
        let net = &self.held.shared.net;
        let began = net.now();
        let mut attempt = 0;
        while net.now().since(began) < self.options.timeout {
            match self.held.shared.outcome(self.held.id).await {
                Ok(Outcome::Undecided) | Err(Error::Unavailable(_) | Error::Retry(_)) => {}
                Ok(outcome) => return Ok(outcome),
                Err(_) => break,
            }
            attempt += 1;
            net.sleep(retry::pause(attempt, net.random())).await;
        }
        Err(Error::InDoubt(self.held.id))
    }

    async fn within_timeout(&self, reply: Reply) -> Option<Result<Message, Unreachable>> {
        let mut late = self.held.shared.net.sleep(self.options.timeout);
        let mut reply = std::pin::pin!(reply);
        std::future::poll_fn(|cx| {
            if let std::task::Poll::Ready(reply) = reply.as_mut().poll(cx) {
                return std::task::Poll::Ready(Some(reply));
            }
            late.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// Gives the transaction up. Dropping it does the same.
    pub fn abort(self) {
        self.held.give_up();
    }

    /// Whether anything can be done with it.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        let state = self.held.state.lock();
        if let Some(reason) = &state.doomed {
            return Err(Error::from_reason(reason.clone(), Some(self.held.id)));
        }
        if state.closed {
            return Err(Error::Misuse(format!("{} was committed or aborted before", self.held.id)));
        }
        Ok(())
    }

    /// What this transaction wrote to the key, if it did.
    fn written(&self, key: &Key) -> Option<Written> {
        self.held.state.lock().workspace.written(key)
    }

    /// Sends a read to a shard.
    fn request_read(
        &self,
        shard: ShardId,
        mode: LockMode,
        keys: Bytes,
        wait: LockWait,
    ) -> Result<Reply, Error> {
        let access = self.access(shard, wait)?;
        let message = DataRequest::Read { access, mode, keys };
        Ok(self.held.shared.net.request(Peer::Shard(shard), message.into()))
    }

    /// What every access of this transaction to a shard carries.
    pub(crate) fn access(&self, shard: ShardId, wait: LockWait) -> Result<Access, Error> {
        self.check_open()?;
        let mut state = self.held.state.lock();
        let incarnation = *state.used.entry(shard).or_insert(None);
        self.held.session.use_shard(shard);
        let returns = state.returns.get(&shard).copied().unwrap_or(0);
        Ok(Access {
            txn: self.held.id,
            age: self.age,
            incarnation,
            map_epoch: self.held.session.router.epoch(),
            wait,
            returns,
        })
    }

    pub(crate) fn request_scan(
        &self,
        shard: ShardId,
        wait: LockWait,
        message: impl FnOnce(Access) -> DataRequest,
    ) -> Result<Reply, Error> {
        let access = self.access(shard, wait)?;
        Ok(self.held.shared.net.request(Peer::Shard(shard), message(access).into()))
    }

    fn values(&self, shard: ShardId, reply: Result<Message, Unreachable>) -> Result<Bytes, Error> {
        match self.data_reply(shard, reply)? {
            DataReply::Values { incarnation, values }
            | DataReply::Found { incarnation, values } => {
                self.contacted(shard, incarnation)?;
                Ok(values)
            }
            _ => Err(Error::protocol()),
        }
    }

    pub(crate) fn data_reply(
        &self,
        shard: ShardId,
        reply: Result<Message, Unreachable>,
    ) -> Result<DataReply, Error> {
        match reply.map_err(|_| self.held.shared.unreachable(Peer::Shard(shard)))? {
            Message::DataReply(DataReply::Refused(reason)) => {
                if matches!(reason, Reason::StaleEpoch | Reason::StaleMap) {
                    self.held.session.lose();
                }
                self.held.state.lock().doomed = Some(reason.clone());
                Err(Error::from_reason(reason, Some(self.held.id)))
            }
            Message::DataReply(DataReply::Locked { incarnation, holder }) => {
                self.contacted(shard, incarnation)?;
                Err(Error::Locked(holder))
            }
            Message::DataReply(reply) => Ok(reply),
            _ => Err(Error::protocol()),
        }
    }

    /// A shard named the stay of this transaction's locks. Two names from one
    /// shard mean that it lost them in between.
    pub(crate) fn contacted(
        &self,
        shard: ShardId,
        given: Option<Incarnation>,
    ) -> Result<(), Error> {
        let mut state = self.held.state.lock();
        let known = state.used.entry(shard).or_insert(None);
        match (*known, given) {
            (None, Some(_)) => *known = given,
            (Some(known), Some(given)) if known == given => {}
            _ => {
                state.doomed = Some(Reason::LocksLost);
                return Err(Error::Retry(Refusal {
                    reason: Reason::LocksLost,
                    txn: Some(self.held.id),
                    attempts: 1,
                }));
            }
        }
        Ok(())
    }
}

impl Held {
    /// The transaction is decided; its participants know.
    fn finish(&self) {
        let mut state = self.state.lock();
        (state.over, state.closed) = (true, true);
        // A shard whose answer never came may hold locks that no part names.
        let strays: Vec<ShardId> =
            state.used.iter().filter(|(_, given)| given.is_none()).map(|(id, _)| *id).collect();
        drop(state);
        self.tell_abort(strays);
        self.session.over(self.id);
    }

    fn tell_abort(&self, shards: impl IntoIterator<Item = ShardId>) {
        for shard in shards {
            let message = DataRequest::Abort { txn: self.id };
            self.shared.net.tell(Peer::Shard(shard), message.into());
        }
    }
}

impl Held {
    /// It is aborted, or has had what it can have of a commit.
    fn give_up(&self) {
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
