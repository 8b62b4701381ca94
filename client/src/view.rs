//! Reading without locks: what a transaction sees that is not serializable by
//! locking.
//!
//! | level          | reads see the state as of | told with COMMIT             |
//! |----------------|---------------------------|------------------------------|
//! | read-committed | when each of them began   | nothing                      |
//! | snapshot       | `T`, when the first began | `T`                          |
//! | optimistic     | `T`, when the first began | `T`, and all that was read   |
//!
//! `T` is drawn with the first read, not with `begin`: the later it is, the less
//! has changed since. What a transaction locks is read as it is now, which must
//! not be newer than `T`.

use synod_common::error::Reason;
use synod_common::id::ShardId;
use synod_common::key::{Key, KeyRange};
use synod_common::message::commit::Validation;
use synod_common::time::Timestamp;

use crate::isolation::Reading;
use crate::{Error, Snapshot, Txn, Value};

impl Txn {
    /// The timestamp that its reads without locks are made at, if its level has one
    /// and it has read.
    pub fn reads_at(&self) -> Option<Timestamp> {
        self.held.state.lock().snapshot
    }

    /// The snapshot that the next reads are made at; none if they lock.
    pub(crate) async fn view(&self) -> Result<Option<Snapshot>, Error> {
        self.check_open()?;
        match self.reading() {
            Reading::Locks => Ok(None),
            Reading::Latest => self.fresh().await.map(Some),
            Reading::Snapshot | Reading::Validated => {
                if let Some(at) = self.held.state.lock().snapshot {
                    return Ok(Some(self.snapshot_at(at)));
                }
                let fresh = self.fresh().await?;
                let mut state = self.held.state.lock();
                // Another read of this transaction may have been faster.
                let at = *state.snapshot.get_or_insert(fresh.timestamp());
                state.pin.get_or_insert(fresh);
                drop(state);
                Ok(Some(self.snapshot_at(at)))
            }
        }
    }

    /// Makes sure that what is locked from now on is compared with a snapshot, if
    /// this level has one.
    pub(crate) async fn settle_snapshot(&self) -> Result<(), Error> {
        match self.reading() {
            Reading::Locks | Reading::Latest => Ok(()),
            Reading::Snapshot | Reading::Validated => self.view().await.map(drop),
        }
    }

    /// Reads keys that were not written by the transaction itself.
    pub(crate) async fn read_view(
        &self,
        view: &Snapshot,
        keys: Vec<Key>,
    ) -> Result<Vec<Value>, Error> {
        let found = view.read_many(keys).await.map_err(|error| self.view_failed(error))?;
        if self.reading() == Reading::Validated {
            let mut state = self.held.state.lock();
            for value in &found {
                state.reads.key(self.held.session.router.shard_of(&value.key), &value.key)?;
            }
        }
        Ok(found)
    }

    /// A range was read at a view.
    pub(crate) fn saw_range(&self, shard: ShardId, range: KeyRange) -> Result<(), Error> {
        if self.reading() == Reading::Validated {
            self.held.state.lock().reads.range(shard, range)?;
        }
        Ok(())
    }

    /// A read at a view failed. That its versions are gone ends the transaction:
    /// begun anew, it reads at a newer one.
    pub(crate) fn view_failed(&self, error: Error) -> Error {
        match error {
            Error::SnapshotTooOld(oldest) => self.doom(Reason::SnapshotTooOld(oldest)),
            error => error,
        }
    }

    /// What the shards are to make sure of before they vote.
    pub(crate) fn validation(&self) -> Validation {
        match (self.reading(), self.held.state.lock().snapshot) {
            (Reading::Snapshot, Some(at)) => Validation::Writes(at),
            (Reading::Validated, Some(at)) => Validation::Reads(at),
            // What read nothing did not begin before it commits.
            (Reading::Snapshot | Reading::Validated, None)
            | (Reading::Locks | Reading::Latest, _) => Validation::Locked,
        }
    }

    async fn fresh(&self) -> Result<Snapshot, Error> {
        self.held.shared.fresh_snapshot(&self.held.session).await
    }

    fn snapshot_at(&self, at: Timestamp) -> Snapshot {
        Snapshot::new(self.held.shared.clone(), self.held.session.clone(), at)
    }
}
