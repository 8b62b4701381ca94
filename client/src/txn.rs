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
use synod_common::key::Key;
use synod_common::limits;
use synod_common::message::bulk::{Keys, Values};
use synod_common::message::client::{Outcome, Part};
use synod_common::message::data::{Access, ReadMode};
use synod_common::message::{ClientReply, ClientRequest, DataReply, DataRequest, Message};
use synod_common::operation::IntegerOp;
use synod_common::time::Timestamp;

use crate::client::Shared;
use crate::net::{Reply, Unreachable};
use crate::scan::{Scan, Source};
use crate::session::Session;
use crate::workspace::{Operand, Workspace, Written};
use crate::{AsKey, AsRange, Error, Options, Refusal, Value, retry, value};

/// A transaction in progress. Dropping it aborts it and frees its locks.
pub struct Txn {
    age: Timestamp,
    options: Options,
    held: Arc<Held>,
}

/// What ends with the last handle to the transaction.
struct Held {
    shared: Arc<Shared>,
    session: Arc<Session>,
    id: TxnId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    workspace: Workspace,
    /// Shards that were sent something, with what they gave.
    used: BTreeMap<ShardId, Option<Incarnation>>,
    /// Why it can not commit any more.
    doomed: Option<Reason>,
    over: bool,
}

/// The answer to a read, on its way. Boxed, so that its type does not carry the
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
    /// the shard can not be reached, [`Error::TooLarge`] for a bad key.
    pub fn get(&self, key: impl AsKey) -> Answer<'_, Value> {
        Box::pin(self.read_one(key.as_key(), ReadMode::Shared))
    }

    /// Reads a key under an exclusive lock, because a write follows.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn get_for_update(&self, key: impl AsKey) -> Answer<'_, Value> {
        Box::pin(self.read_one(key.as_key(), ReadMode::Exclusive))
    }

    /// Reads many keys under shared locks, all shards at once.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn get_many<K: AsKey>(&self, keys: impl IntoIterator<Item = K>) -> Answer<'_, Vec<Value>> {
        let keys = keys.into_iter().map(|key| key.as_key()).collect();
        Box::pin(self.read_many(keys, ReadMode::Shared))
    }

    /// Reads many keys under exclusive locks, all shards at once.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn get_many_for_update<K: AsKey>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Answer<'_, Vec<Value>> {
        let keys = keys.into_iter().map(|key| key.as_key()).collect();
        Box::pin(self.read_many(keys, ReadMode::Exclusive))
    }

    async fn read_one(&self, key: Key, mode: ReadMode) -> Result<Value, Error> {
        limits::check_key(&key)?;
        let written = self.written(&key);
        if let Some(Written::Value(bytes)) = written {
            return Ok(Value { key, bytes });
        }
        let shard = self.held.session.router.shard_of(&key);
        let reply = self.request_read(shard, mode, Keys::one(&key))?;
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

    async fn read_many(&self, keys: Vec<Key>, mode: ReadMode) -> Result<Vec<Value>, Error> {
        let mut found: Vec<Value> = Vec::new();
        let mut operated = Vec::new();
        let mut by_shard: BTreeMap<ShardId, (Keys, Vec<usize>)> = BTreeMap::new();
        for (i, key) in keys.into_iter().enumerate() {
            limits::check_key(&key)?;
            match self.written(&key) {
                Some(Written::Value(bytes)) => found.push(Value { key, bytes }),
                written @ (Some(Written::Operations(_)) | None) => {
                    operated.extend(written.map(|written| (i, written)));
                    let shard = self.held.session.router.shard_of(&key);
                    let (list, places) = by_shard.entry(shard).or_default();
                    list.push(&key);
                    places.push(i);
                    found.push(Value { key, bytes: None });
                }
            }
        }
        let mut replies = Vec::new();
        for (shard, (list, places)) in by_shard {
            let reply = self.request_read(shard, mode, list.finish())?;
            replies.push((shard, places, reply));
        }
        for (shard, places, reply) in replies {
            let bytes = self.values(shard, reply.await)?;
            let mut values = Values::read(&bytes);
            for place in places {
                let value = values.next().ok_or_else(Error::protocol)?;
                let value = value.map_err(|_| Error::protocol())?;
                found[place].bytes = value.map(|value| bytes.slice_ref(value));
            }
        }
        for (place, written) in operated {
            found[place] = found[place].clone().below(Some(written))?;
        }
        Ok(found)
    }

    /// Reads a range under shared locks, in key order, absent keys included:
    /// nothing can appear in what was read before the transaction ends.
    pub fn scan(&self, range: impl AsRange) -> Scan<'_> {
        let range = range.into_range();
        let own = self.held.state.lock().workspace.within(&range);
        Scan::new(Source::Txn(self), &self.held.session.router, &range, own)
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
        self.held.state.lock().workspace.operate(key, operand)
    }

    fn write(&self, key: Key, value: Option<Bytes>) -> Result<(), Error> {
        Ok(self.held.state.lock().workspace.write(key, value)?)
    }

    /// Commits. When this returns, the transaction is durable on all its shards'
    /// behalf, and every transaction that begins later sees it.
    ///
    /// # Errors
    /// [`Error::Retry`] or [`Error::Aborted`] if it had no effect;
    /// [`Error::InDoubt`] if nobody could be asked.
    pub async fn commit(self) -> Result<Committed, Error> {
        let (parts, writes) = self.parts()?;
        if parts.is_empty() {
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
    pub fn abort(self) {}

    /// What this transaction wrote to the key, if it did.
    fn written(&self, key: &Key) -> Option<Written> {
        self.held.state.lock().workspace.written(key)
    }

    /// Sends a read to a shard.
    fn request_read(&self, shard: ShardId, mode: ReadMode, keys: Bytes) -> Result<Reply, Error> {
        let access = self.access(shard)?;
        let message = DataRequest::Read { access, mode, keys };
        Ok(self.held.shared.net.request(Peer::Shard(shard), message.into()))
    }

    /// What every access of this transaction to a shard carries.
    pub(crate) fn access(&self, shard: ShardId) -> Result<Access, Error> {
        let mut state = self.held.state.lock();
        if let Some(reason) = &state.doomed {
            return Err(Error::from_reason(reason.clone(), Some(self.held.id)));
        }
        let incarnation = *state.used.entry(shard).or_insert(None);
        self.held.session.use_shard(shard);
        let wait = self.options.lock_wait.as_millis();
        Ok(Access {
            txn: self.held.id,
            age: self.age,
            incarnation,
            map_epoch: self.held.session.router.epoch(),
            wait_ms: u32::try_from(wait).unwrap_or(u32::MAX),
        })
    }

    pub(crate) fn request_scan(
        &self,
        shard: ShardId,
        message: impl FnOnce(Access) -> DataRequest,
    ) -> Result<Reply, Error> {
        let access = self.access(shard)?;
        Ok(self.held.shared.net.request(Peer::Shard(shard), message(access).into()))
    }

    fn values(&self, shard: ShardId, reply: Result<Message, Unreachable>) -> Result<Bytes, Error> {
        match self.data_reply(shard, reply)? {
            DataReply::Values { incarnation, values } => {
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
        state.over = true;
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

impl Drop for Held {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.over {
            return;
        }
        let used: Vec<ShardId> = state.used.keys().copied().collect();
        self.tell_abort(used);
        self.session.over(self.id);
    }
}
