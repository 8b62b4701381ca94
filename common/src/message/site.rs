//! Between the sites of a transaction under three-phase commit: its participants that
//! write, and its coordinator.

use serde::{Deserialize, Serialize};

use crate::commit::Say;
use crate::id::TxnId;
use crate::time::Timestamp;

/// What one site says to another. Any may be lost, late or doubled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteMessage {
    /// About which transaction.
    pub txn: TxnId,
    /// When its commit began.
    pub h: Timestamp,
    /// What.
    pub say: Say,
}
