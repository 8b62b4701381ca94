//! Requests for locks, with and without a read, before they are sent: await them,
//! or say first what to do about a lock that is not free.
//!
//! ```text
//!   tx.get("k").await?                                       wait, as the options say
//!   tx.get_for_update("k").wait(Duration::from_secs(5)).await?
//!   tx.get_for_update("k").nowait().await?                   or Error::Locked
//!   tx.get_many_for_update(jobs).skip_locked().await?        only what is free
//!   tx.lock("k", LockMode::Exclusive).nowait().await?
//! ```

use std::future::IntoFuture;
use std::time::Duration;

use synod_common::key::{Key, KeyRange};
use synod_common::message::data::LockWait;

use crate::txn::Answer;
use crate::{Error, LockMode, Txn, Value};

/// A read of one key. Await it.
#[must_use = "nothing is read before it is awaited"]
pub struct Get<'a> {
    pub(crate) txn: &'a Txn,
    pub(crate) key: Key,
    /// None if the transaction's level decides.
    pub(crate) mode: Option<LockMode>,
    pub(crate) wait: LockWait,
}

/// A read of many keys, of all shards at once. Await it.
#[must_use = "nothing is read before it is awaited"]
pub struct GetMany<'a> {
    pub(crate) txn: &'a Txn,
    pub(crate) keys: Vec<Key>,
    /// None if the transaction's level decides.
    pub(crate) mode: Option<LockMode>,
    pub(crate) wait: LockWait,
}

/// A request for locks without a read. Await it.
#[must_use = "nothing is locked before it is awaited"]
pub struct Lock<'a> {
    pub(crate) txn: &'a Txn,
    pub(crate) what: Result<What, Error>,
    pub(crate) mode: LockMode,
    pub(crate) wait: LockWait,
}

/// What is locked.
pub(crate) enum What {
    /// Keys.
    Keys(Vec<Key>),
    /// Every key in a range, absent ones too.
    Range(KeyRange),
}

/// A wait of this length, as it is sent.
pub(crate) fn millis(timeout: Duration) -> LockWait {
    LockWait::Millis(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX))
}

macro_rules! waits {
    ($name:ident) => {
        impl $name<'_> {
            /// Waits so long for each lock, whatever the options of the transaction
            /// say. After that the transaction is aborted.
            pub fn wait(mut self, timeout: Duration) -> Self {
                self.wait = millis(timeout);
                self
            }

            /// Does not wait: [`Error::Locked`] if a lock is not free, and the
            /// transaction goes on. Then nothing is locked on the shard that says
            /// so; what was asked of other shards at the same time may be.
            pub fn nowait(mut self) -> Self {
                self.wait = LockWait::No;
                self
            }
        }
    };
}

waits!(Get);
waits!(GetMany);
waits!(Lock);

impl<'a> GetMany<'a> {
    /// Reads and locks only those keys that are free; the others are `None`. This
    /// is not serializable, as nothing is known of what was left out: it is for
    /// queues, where any free job will do.
    pub fn skip_locked(self) -> Answer<'a, Vec<Option<Value>>> {
        Box::pin(self.txn.read_many(self.keys, self.mode, LockWait::Skip))
    }
}

impl<'a> IntoFuture for Get<'a> {
    type Output = Result<Value, Error>;
    type IntoFuture = Answer<'a, Value>;

    fn into_future(self) -> Answer<'a, Value> {
        Box::pin(self.txn.read_one(self.key, self.mode, self.wait))
    }
}

impl<'a> IntoFuture for GetMany<'a> {
    type Output = Result<Vec<Value>, Error>;
    type IntoFuture = Answer<'a, Vec<Value>>;

    fn into_future(self) -> Answer<'a, Vec<Value>> {
        Box::pin(async move {
            let found = self.txn.read_many(self.keys, self.mode, self.wait).await?;
            found.into_iter().map(|value| value.ok_or_else(Error::protocol)).collect()
        })
    }
}

impl<'a> IntoFuture for Lock<'a> {
    type Output = Result<(), Error>;
    type IntoFuture = Answer<'a, ()>;

    fn into_future(self) -> Answer<'a, ()> {
        Box::pin(async move {
            match self.what? {
                What::Keys(keys) => self.txn.lock_keys(keys, self.mode, self.wait).await,
                What::Range(range) => self.txn.lock_within(range, self.mode, self.wait).await,
            }
        })
    }
}
