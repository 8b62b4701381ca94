//! What a coordinator writes into its log: the entries of its group's log, each as it is,
//! and what only it has to remember. Only append variants.

use serde::{Deserialize, Serialize};
use synod_common::commit::Stable;
use synod_common::id::{Epoch, ShardId, TxnId};
use synod_common::message::paxos::Bundle;
use synod_common::time::Timestamp;

use crate::group::Promise;

/// A record of the coordinator's log. Applying one twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A coordinator leads the group, or started. Its first entry; forced before it serves.
    Started {
        /// Its new epoch.
        epoch: Epoch,
    },
    /// The oracle may hand out timestamps below `hi`. Forced before use.
    Window {
        /// End of the window.
        hi: Timestamp,
    },
    /// A transaction is committed. Forced before anybody is told, unless others know by then:
    /// all its participants, each of which has voted YES (`commit/implicit.rs`), its sites
    /// (three-phase commit), or a majority (Paxos Commit).
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
    /// A member of a group has promised this. Forced before it says so. Of its own log
    /// only.
    Promised(Promise),
    /// The entries of the group's log behind this one, as they stand before this, were
    /// another leader's, and are none. Of a member's own log only.
    Cut {
        /// The last entry that counts.
        index: u64,
    },
    /// This member has accepted the votes of a transaction in Paxos Commit. Forced before it
    /// says so. Of its own log only.
    Accepted(Bundle),
    /// A transaction of Paxos Commit is aborted though not all of its participants have
    /// voted: what acceptors have of it counts no more. Forced before anybody is told.
    GivenUp {
        /// Its name.
        txn: TxnId,
        /// When its commit began.
        h: Timestamp,
    },
    /// All transactions of Paxos Commit that began before this are committed by an entry
    /// before this one, or aborted: what acceptors have of them counts no more.
    Mark {
        /// The mark.
        below: Timestamp,
    },
    /// A transaction of two-phase commit is aborted though nobody has voted NO: the votes of its
    /// participants count no more, should all of them be YES. Forced before anybody is told.
    Aborted {
        /// Its name.
        txn: TxnId,
        /// When its commit began.
        h: Timestamp,
    },
    /// All transactions of two-phase commit that began before this are committed by an entry
    /// before this one, or aborted: votes on them count no more, and when this is durable
    /// shards may forget them.
    Decided {
        /// The mark.
        below: Timestamp,
    },
}

impl Record {
    /// The epoch that begins with this entry.
    pub fn begins(&self) -> Option<Epoch> {
        match self {
            Record::Started { epoch } => Some(*epoch),
            Record::Window { .. }
            | Record::Committed { .. }
            | Record::Ended { .. }
            | Record::Outcome { .. }
            | Record::SafePoint { .. }
            | Record::Site { .. }
            | Record::Promised(_)
            | Record::Cut { .. }
            | Record::Accepted(_)
            | Record::GivenUp { .. }
            | Record::Mark { .. }
            | Record::Aborted { .. }
            | Record::Decided { .. } => None,
        }
    }

    /// Whether it is an entry of the group's log; the others are of a member's own log only.
    pub fn is_entry(&self) -> bool {
        match self {
            Record::Started { .. }
            | Record::Window { .. }
            | Record::Committed { .. }
            | Record::Ended { .. }
            | Record::Outcome { .. }
            | Record::SafePoint { .. }
            | Record::Site { .. }
            | Record::GivenUp { .. }
            | Record::Mark { .. }
            | Record::Aborted { .. }
            | Record::Decided { .. } => true,
            Record::Promised(_) | Record::Cut { .. } | Record::Accepted(_) => false,
        }
    }

    /// That a transaction is committed. Without writes nobody acknowledges it.
    pub fn committed(txn: TxnId, at: Timestamp, yes: &[ShardId]) -> Record {
        match yes {
            [] => Record::Outcome { txn, at },
            yes => Record::Committed { txn, at, yes: yes.to_vec() },
        }
    }
}
