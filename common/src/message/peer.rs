//! Between the shards of one transaction, when there is no coordinator to ask.

use serde::{Deserialize, Serialize};

use super::commit::Decision;
use crate::id::TxnId;
use crate::time::Timestamp;

/// A message of cooperative termination. Any may be lost, late or doubled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// I have voted and hear nothing of the coordinator. Do you know the outcome?
    Inquire {
        /// Of which transaction.
        txn: TxnId,
        /// When its commit began.
        h: Timestamp,
    },
    /// It is decided. Whoever does not know it, or has voted as well, says nothing.
    Decided {
        /// Which transaction.
        txn: TxnId,
        /// How: committed or aborted, never forgotten.
        decision: Decision,
    },
}
