//! What a shard writes into its log. Only append variants.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_common::id::{CoordinatorId, ShardId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::time::Timestamp;

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
}

/// A lock of a prepared transaction on something it does not write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeldLock {
    /// It read the key.
    Shared(Key),
    /// It read the key for update.
    Exclusive(Key),
    /// It read the range.
    SharedRange(KeyRange),
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
