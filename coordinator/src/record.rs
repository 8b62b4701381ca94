//! What a coordinator writes into its log. Only append variants.

use serde::{Deserialize, Serialize};
use synod_common::commit::Stable;
use synod_common::id::{Epoch, ShardId, TxnId};
use synod_common::time::Timestamp;

/// A record of the coordinator's log. Applying one twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The coordinator started. Forced before it serves.
    Started {
        /// Its new epoch.
        epoch: Epoch,
    },
    /// The oracle may hand out timestamps below `hi`. Forced before use.
    Window {
        /// End of the window.
        hi: Timestamp,
    },
    /// A transaction is committed. Forced before anybody is told, unless its sites have
    /// accepted that before (three-phase commit).
    Committed {
        /// Its name.
        txn: TxnId,
        /// Its timestamp.
        at: Timestamp,
        /// Those who voted YES and must acknowledge.
        yes: Vec<ShardId>,
    },
    /// All have acknowledged.
    Ended {
        /// Its name.
        txn: TxnId,
    },
    /// A transaction is committed and needs no acknowledgement: its one
    /// participant has it, or it wrote nothing. Forced in the latter case.
    Outcome {
        /// Its name.
        txn: TxnId,
        /// Its timestamp.
        at: Timestamp,
    },
    /// Nobody may read at or below this any more. Forced before shards are told.
    SafePoint {
        /// The safe point.
        at: Timestamp,
    },
    /// How far this coordinator is as a site of three-phase commit. Forced before it says
    /// so.
    Site {
        /// The transaction.
        txn: TxnId,
        /// When its commit began.
        h: Timestamp,
        /// The participants that write, in the order of their numbers.
        sites: Vec<ShardId>,
        /// What must not be forgotten.
        stable: Stable,
    },
}
