//! A snapshot: the state as of one timestamp, on all shards, without locks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use synod_common::id::{Peer, ShardId};
use synod_common::key::Key;
use synod_common::limits;
use synod_common::message::bulk::{Keys, Values};
use synod_common::message::{DataReply, DataRequest, Message};
use synod_common::time::Timestamp;

use crate::client::Shared;
use crate::net::{Reply, Unreachable};
use crate::retry::Patience;
use crate::scan::{Scan, Source};
use crate::session::Session;
use crate::txn::Answer;
use crate::{AsKey, AsRange, Error, Value};

/// The state as of a timestamp. Holds no locks and blocks nobody.
///
/// What it needs is kept while it exists and its session lives: the servers hear
/// of it every few seconds, well before versions go. If the session lapses, or the
/// timestamp was too old from the start, reads say [`Error::SnapshotTooOld`].
pub struct Snapshot {
    shared: Arc<Shared>,
    session: Arc<Session>,
    at: Timestamp,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Shared>, session: Arc<Session>, at: Timestamp) -> Snapshot {
        session.pin(at);
        Snapshot { shared, session, at }
    }

    /// As of when.
    pub fn timestamp(&self) -> Timestamp {
        self.at
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`Error::SnapshotTooOld`] if its versions are gone, [`Error::Unavailable`]
    /// if the shard can not be reached, [`Error::TooLarge`] for a bad key.
    pub fn get(&self, key: impl AsKey) -> Answer<'_, Value> {
        let key = key.as_key();
        Box::pin(async {
            let mut values = self.read_many(vec![key]).await?;
            values.pop().ok_or_else(Error::protocol)
        })
    }

    /// Reads many keys, all shards at once.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn get_many<K: AsKey>(&self, keys: impl IntoIterator<Item = K>) -> Answer<'_, Vec<Value>> {
        Box::pin(self.read_many(keys.into_iter().map(|key| key.as_key()).collect()))
    }

    pub(crate) async fn read_many(&self, keys: Vec<Key>) -> Result<Vec<Value>, Error> {
        let mut found: Vec<Value> = Vec::new();
        let mut by_shard: BTreeMap<ShardId, (Keys, Vec<usize>)> = BTreeMap::new();
        for (i, key) in keys.into_iter().enumerate() {
            limits::check_key(&key)?;
            let (list, places) = by_shard.entry(self.session.router.shard_of(&key)).or_default();
            list.push(&key);
            places.push(i);
            found.push(Value { key, bytes: None });
        }
        let mut replies = Vec::new();
        for (shard, (list, places)) in by_shard {
            let keys = list.finish();
            let reply = self.request_keys(shard, keys.clone());
            replies.push((shard, keys, places, reply));
        }
        for (shard, keys, places, reply) in replies {
            let mut patience = Patience::new(&self.shared);
            let mut answer = self.values(shard, reply.await);
            let bytes = loop {
                match answer {
                    Ok(bytes) => break bytes,
                    // Reading at a snapshot can be repeated without harm.
                    Err(error) => patience.after(error).await?,
                }
                answer = self.values(shard, self.request_keys(shard, keys.clone()).await);
            };
            let mut values = Values::read(&bytes);
            for place in places {
                let value = values.next().ok_or_else(Error::protocol)?;
                let value = value.map_err(|_| Error::protocol())?;
                found[place].bytes = value.map(|value| bytes.slice_ref(value));
            }
        }
        Ok(found)
    }

    /// Reads a range in key order.
    pub fn scan(&self, range: impl AsRange) -> Scan<'_> {
        let range = range.into_range();
        Scan::new(Source::Snapshot(self), &self.session.router, &range, Default::default())
    }

    fn request_keys(&self, shard: ShardId, keys: Bytes) -> Reply {
        let map_epoch = self.session.router.epoch();
        let message = DataRequest::SnapshotRead { at: self.at, map_epoch, keys };
        self.shared.net.request(Peer::Shard(shard), message.into())
    }

    pub(crate) fn request_scan(
        &self,
        shard: ShardId,
        message: impl FnOnce(Timestamp, u32) -> DataRequest,
    ) -> Reply {
        let message = message(self.at, self.session.router.epoch());
        self.shared.net.request(Peer::Shard(shard), message.into())
    }

    fn values(&self, shard: ShardId, reply: Result<Message, Unreachable>) -> Result<Bytes, Error> {
        match self.data_reply(shard, reply)? {
            DataReply::Values { values, .. } => Ok(values),
            _ => Err(Error::protocol()),
        }
    }

    pub(crate) fn data_reply(
        &self,
        shard: ShardId,
        reply: Result<Message, Unreachable>,
    ) -> Result<DataReply, Error> {
        match reply.map_err(|_| self.shared.unreachable(Peer::Shard(shard)))? {
            Message::DataReply(DataReply::Refused(reason)) => {
                if reason == synod_common::error::Reason::StaleMap {
                    self.session.lose();
                }
                Err(Error::from_reason(reason, None))
            }
            Message::DataReply(reply) => Ok(reply),
            _ => Err(Error::protocol()),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.session.unpin(self.at);
    }
}
