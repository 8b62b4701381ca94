//! What a shard writes into its log. Only append variants.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_common::commit::{Protocol, Site, SiteId, Stable, Verdict};
use synod_common::deadlock::Standing;
use synod_common::id::{CoordinatorId, Peer, ShardId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::message::txns::Resolution;
use synod_common::route::ShardAddress;
use synod_common::time::Timestamp;

use crate::Settings;
use crate::lock::{LockTarget, Mode};
use crate::mutant::planted;

/// A record of the shard's log. Applying one twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A transaction is prepared. Forced before the YES vote leaves.
    Prepared(Prepared),
    /// A prepared transaction is committed. Durable before it is acknowledged.
    Committed {
        /// Its name.
        txn: TxnId,
        /// Its timestamp.
        at: Timestamp,
    },
    /// A prepared transaction is aborted. Not forced: else it is asked for again.
    Aborted {
        /// Its name.
        txn: TxnId,
    },
    /// A one-phase transaction is committed. Forced before the answer leaves.
    OnePhase(OnePhase),
    /// The shards of the newest map. Not forced: it only helps to find others when there
    /// is no coordinator to ask.
    Shards(Vec<ShardAddress>),
    /// How far a prepared transaction is as a site of three-phase commit. Forced before it
    /// says so.
    Site {
        /// The transaction.
        txn: TxnId,
        /// What must not be forgotten.
        stable: Stable,
    },
    /// An operator has decided a transaction that was in doubt. Forced before it counts.
    Resolved(Resolution),
    /// What became of one that an operator had decided. Durable before it is acknowledged.
    Outcome {
        /// The transaction.
        txn: TxnId,
        /// Its outcome.
        verdict: Verdict,
    },
}

/// All that a prepared transaction needs to commit after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// Its name.
    pub txn: TxnId,
    /// When its commit began.
    pub h: Timestamp,
    /// The timestamp that was voted.
    pub m: Timestamp,
    /// Who decides.
    pub coordinator: CoordinatorId,
    /// Who takes part.
    pub participants: Vec<ShardId>,
    /// What it writes, as it came.
    pub writes: Bytes,
    /// What it locked beyond that.
    pub locks: Vec<HeldLock>,
    /// Why to spare it: it may still wait elsewhere.
    pub standing: Standing,
    /// How it is committed.
    pub protocol: Protocol,
    /// Whether it is committed by the votes alone, once all are YES.
    pub implicit: bool,
}

impl Prepared {
    /// What it knows as a site of three-phase commit, if it is committed so, when it has
    /// just voted. None if the participants do not name
    /// the shard with these settings.
    pub fn site(&self, settings: &Settings) -> Option<Box<Site>> {
        let rule = self.protocol.rule()?;
        let me = SiteId::of(Peer::Shard(settings.id), &self.participants)?;
        let count = Site::count(self.participants.len());
        let site = Site::new(me, count, Stable::voted(rule));
        Some(Box::new(planted!(settings, Site, site)))
    }
}

/// A lock of a prepared transaction on something it does not write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeldLock {
    /// It read the key.
    Shared(Key),
    /// It locked the key to write it.
    Exclusive(Key),
    /// It read the range.
    SharedRange(KeyRange),
    /// It read the key and might have written it.
    Update(Key),
    /// It adds to the key.
    Increment(Key),
    /// It appends to the key.
    Append(Key),
    /// It keeps the range to itself.
    ExclusiveRange(KeyRange),
}

impl HeldLock {
    /// As it is stored.
    pub fn new(target: LockTarget, mode: Mode) -> HeldLock {
        match (target, mode) {
            (LockTarget::Key(key), Mode::Shared) => HeldLock::Shared(key),
            (LockTarget::Key(key), Mode::Exclusive) => HeldLock::Exclusive(key),
            (LockTarget::Key(key), Mode::Update) => HeldLock::Update(key),
            (LockTarget::Key(key), Mode::Increment) => HeldLock::Increment(key),
            (LockTarget::Key(key), Mode::Append) => HeldLock::Append(key),
            (LockTarget::Range(range), Mode::Shared) => HeldLock::SharedRange(range),
            (
                LockTarget::Range(range),
                Mode::Exclusive | Mode::Update | Mode::Increment | Mode::Append,
            ) => HeldLock::ExclusiveRange(range),
        }
    }

    /// As it is held.
    pub fn lock(&self) -> (LockTarget, Mode) {
        match self {
            HeldLock::Shared(key) => (LockTarget::Key(key.clone()), Mode::Shared),
            HeldLock::Exclusive(key) => (LockTarget::Key(key.clone()), Mode::Exclusive),
            HeldLock::SharedRange(range) => (LockTarget::Range(range.clone()), Mode::Shared),
            HeldLock::Update(key) => (LockTarget::Key(key.clone()), Mode::Update),
            HeldLock::Increment(key) => (LockTarget::Key(key.clone()), Mode::Increment),
            HeldLock::Append(key) => (LockTarget::Key(key.clone()), Mode::Append),
            HeldLock::ExclusiveRange(range) => (LockTarget::Range(range.clone()), Mode::Exclusive),
        }
    }
}

/// A transaction that this shard committed by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnePhase {
    /// Its name.
    pub txn: TxnId,
    /// When its commit began.
    pub h: Timestamp,
    /// Its commit timestamp.
    pub m: Timestamp,
    /// Who was to be answered.
    pub coordinator: CoordinatorId,
    /// What it writes, as it came.
    pub writes: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lock_is_stored_as_it_was_held() {
        let key = LockTarget::Key(Key::from("k"));
        let range = LockTarget::Range(KeyRange::all());
        let modes = [Mode::Shared, Mode::Exclusive, Mode::Update, Mode::Increment, Mode::Append];
        for mode in modes {
            assert_eq!(HeldLock::new(key.clone(), mode).lock(), (key.clone(), mode));
            let on_range = (range.clone(), mode.on(&range));
            assert_eq!(HeldLock::new(range.clone(), mode).lock(), on_range);
        }
    }
}
