//! What a transaction asks of the shards: reads, and locks without a read.
//!
//! A key that the transaction wrote is read from its workspace. Of the others, those
//! that are read without locks are read at the transaction's view (see `view`).

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_common::error::Reason;
use synod_common::id::{Incarnation, Peer, ShardId};
use synod_common::key::{Key, KeyRange};
use synod_common::limits;
use synod_common::message::bulk::{Found, Keys, Values};
use synod_common::message::data::{Access, LockWait};
use synod_common::message::{DataReply, DataRequest, Message};

use crate::mutant::mutated;
use crate::net::{Reply, Unreachable};
use crate::savepoint::Return;
use crate::workspace::Written;
use crate::{Error, LockMode, Txn, Value};

impl Txn {
    /// Reads a key; without a mode, as the transaction's level says.
    pub(crate) async fn read_one(
        &self,
        key: Key,
        mode: Option<LockMode>,
        wait: LockWait,
    ) -> Result<Value, Error> {
        limits::check_key(&key)?;
        self.check_open()?;
        let written = self.written(&key);
        if let Some(Written::Value(bytes)) = written {
            return Ok(Value { key, bytes });
        }
        let mut found = self.read_below(vec![key], mode, wait).await?;
        found.pop().flatten().ok_or_else(Error::protocol)?.below(written)
    }

    /// Reads keys; those are none that were left out.
    pub(crate) async fn read_many(
        &self,
        keys: Vec<Key>,
        mode: Option<LockMode>,
        wait: LockWait,
    ) -> Result<Vec<Option<Value>>, Error> {
        self.check_open()?;
        for key in &keys {
            limits::check_key(key)?;
        }
        let mut found: Vec<Option<Value>> = Vec::new();
        let (mut asked, mut places) = (Vec::new(), Vec::new());
        for key in keys {
            match self.written(&key) {
                Some(Written::Value(bytes)) => found.push(Some(Value { key, bytes })),
                written @ (Some(Written::Operations(_)) | None) => {
                    places.push((found.len(), written));
                    asked.push(key);
                    found.push(None);
                }
            }
        }
        if !asked.is_empty() {
            let below = self.read_below(asked, mode, wait).await?;
            for ((place, written), value) in places.into_iter().zip(below) {
                found[place] = value.map(|value| value.below(written)).transpose()?;
            }
        }
        Ok(found)
    }

    /// Reads what the shards hold, below the transaction's own writes.
    async fn read_below(
        &self,
        keys: Vec<Key>,
        mode: Option<LockMode>,
        wait: LockWait,
    ) -> Result<Vec<Option<Value>>, Error> {
        if mode.is_none()
            && let Some(view) = self.view().await?
        {
            return Ok(self.read_view(&view, keys).await?.into_iter().map(Some).collect());
        }
        self.settle_snapshot().await?;
        let mode = mode.unwrap_or(LockMode::Shared);
        match &keys[..] {
            [key] if wait != LockWait::Skip => self.lock_and_read_one(key, mode, wait).await,
            _ => self.lock_and_read(keys, mode, wait).await,
        }
    }

    async fn lock_and_read_one(
        &self,
        key: &Key,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<Vec<Option<Value>>, Error> {
        let shard = self.held.session.router.shard_of(key);
        self.held.state.lock().locks.key(key, mode, true);
        let reply = self.request_read(shard, mode, Keys::one(key), wait)?;
        let bytes = self.values(shard, reply.await)?;
        let mut values = Values::read(&bytes);
        match (values.next(), values.next()) {
            (Some(Ok(value)), None) => {
                let bytes = value.map(|value| bytes.slice_ref(value));
                Ok(vec![Some(Value { key: key.clone(), bytes })])
            }
            _ => Err(Error::protocol()),
        }
    }

    async fn lock_and_read(
        &self,
        keys: Vec<Key>,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<Vec<Option<Value>>, Error> {
        let mut found: Vec<Option<Value>> = Vec::new();
        let mut by_shard: BTreeMap<ShardId, (Keys, Vec<usize>)> = BTreeMap::new();
        for key in keys {
            self.held.state.lock().locks.key(&key, mode, true);
            let shard = self.held.session.router.shard_of(&key);
            let (list, places) = by_shard.entry(shard).or_default();
            list.push(&key);
            places.push(found.len());
            found.push(Some(Value { key, bytes: None }));
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
        let mut stays = state.used.iter().filter(|(_, stay)| stay.is_some());
        let holds_elsewhere = stays.any(|(other, _)| *other != shard);
        Ok(Access {
            txn: self.held.id,
            standing: self.standing(),
            holds_elsewhere,
            incarnation: incarnation.filter(|_| !mutated!(self.held.shared, LastStayCounts)),
            map_epoch: self.held.session.router.epoch(),
            wait,
            snapshot: state.snapshot,
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
                Err(self.doom(reason))
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
            (Some(_), Some(_)) if mutated!(self.held.shared, LastStayCounts) => *known = given,
            (Some(known), Some(given)) if known == given => {}
            _ => {
                drop(state);
                return Err(self.doom(Reason::LocksLost));
            }
        }
        Ok(())
    }
}
