//! Between a client and a shard: locks, reads, scans, snapshots.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::txns::{Holds, ShardTxn};
use crate::deadlock::{Standing, Target};
use crate::error::Reason;
use crate::id::{Incarnation, SessionId, TxnId};
use crate::key::{Key, KeyRange};
use crate::time::Timestamp;

/// What every access of a transaction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The transaction.
    pub txn: TxnId,
    /// Why it should be spared, should it be part of a deadlock.
    pub standing: Standing,
    /// Whether it holds locks at other shards. Who holds nothing yet lets others go
    /// first.
    pub holds_elsewhere: bool,
    /// What the shard gave at first contact; `None` at first contact.
    pub incarnation: Option<Incarnation>,
    /// Epoch of the shard map that the client used.
    pub map_epoch: u32,
    /// What to do about a lock that is not free.
    pub wait: LockWait,
    /// The snapshot that the transaction reads at, if it does; what has changed
    /// since is refused.
    pub snapshot: Option<Timestamp>,
    /// How often this transaction has given back locks on this shard before.
    pub returns: u32,
}

/// What to do about a lock that somebody else holds, or waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockWait {
    /// Wait for it, so many milliseconds; then the transaction is aborted.
    Millis(u32),
    /// Do nothing at all and say [`DataReply::Locked`].
    No,
    /// Leave out what it is on.
    Skip,
}

/// Which lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadMode {
    /// A shared lock: others may read.
    Shared,
    /// An exclusive lock: nobody else may do anything.
    Exclusive,
    /// An update lock, because a write may follow: others may read until it does.
    /// On a range it is exclusive.
    Update,
}

/// What a client asks of a shard. Every request but `Abort` and `Return` gets one
/// reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DataRequest {
    /// Lock these keys and read their newest values.
    Read {
        /// For whom.
        access: Access,
        /// Which lock.
        mode: ReadMode,
        /// The keys; see [`Keys`](super::bulk::Keys).
        #[serde(skip)]
        keys: Bytes,
    },
    /// Lock the range that is read, absent keys included, and read its rows. Who
    /// skips what is locked gets locks on the rows, and none on the range.
    Scan {
        /// For whom.
        access: Access,
        /// From where to where.
        range: KeyRange,
        /// At most so many rows.
        limit: u32,
        /// From the end to the start.
        reverse: bool,
        /// Which lock.
        mode: ReadMode,
    },
    /// Read these keys as of a timestamp, without locks.
    SnapshotRead {
        /// As of when. Must have been issued by the oracle.
        at: Timestamp,
        /// Epoch of the shard map that the client used.
        map_epoch: u32,
        /// The keys.
        #[serde(skip)]
        keys: Bytes,
    },
    /// Read the rows of a range as of a timestamp, without locks.
    SnapshotScan {
        /// As of when. Must have been issued by the oracle.
        at: Timestamp,
        /// Epoch of the shard map that the client used.
        map_epoch: u32,
        /// From where to where.
        range: KeyRange,
        /// At most so many rows.
        limit: u32,
        /// From the end to the start.
        reverse: bool,
    },
    /// Forget this transaction and drop its locks, unless it has voted. No reply.
    Abort {
        /// The transaction.
        txn: TxnId,
    },
    /// The session lives; its transactions before `oldest` are over.
    Heartbeat {
        /// The session.
        session: SessionId,
        /// Sequence of its oldest transaction that may still send requests.
        oldest: u64,
    },
    /// How is the shard?
    Status,
    /// Who holds what, and who waits?
    Locks {
        /// Go on behind this.
        after: Option<LockPlace>,
        /// Only where somebody waits.
        contended: bool,
        /// At most so many keys and ranges; zero asks for a whole page.
        limit: u32,
    },
    /// Lock keys, and a range, without reading.
    Lock {
        /// For whom.
        access: Access,
        /// Which lock.
        mode: ReadMode,
        /// A range.
        range: Option<KeyRange>,
        /// Keys; see [`Keys`](super::bulk::Keys).
        #[serde(skip)]
        keys: Bytes,
    },
    /// Make locks weaker, or drop them, that nothing has been read under since, or
    /// as far as what was read stays locked. No reply; it is ignored if it comes
    /// behind a later access.
    Return {
        /// For whom.
        access: Access,
        /// What is left of each lock, if anything.
        to: Option<ReadMode>,
        /// What is locked by ranges of this range.
        range: Option<KeyRange>,
        /// What is locked by itself of these keys; see [`Keys`](super::bulk::Keys).
        #[serde(skip)]
        keys: Bytes,
    },
    /// Which transactions do you know?
    Txns {
        /// Go on behind this.
        after: Option<TxnId>,
        /// Only those that have voted, and whose outcome is not known.
        in_doubt: bool,
        /// At most so many; zero asks for a whole page.
        limit: u32,
    },
    /// How is this transaction, and what does it hold?
    Txn {
        /// Its name.
        txn: TxnId,
        /// At most so many of its locks.
        locks: u32,
    },
    /// Decide this transaction, which is in doubt here: its outcome can not be waited for.
    /// For operators only.
    Resolve {
        /// The transaction.
        txn: TxnId,
        /// Whether to commit it; else to abort it.
        commit: bool,
        /// Who asks, if it is an operator. The transport says so, whatever came.
        by: Option<String>,
        /// For which reason, at most 1,000 bytes.
        why: String,
        /// Also if the shard's link to a coordinator is up, which then decides it.
        force: bool,
    },
    /// What have operators decided?
    Resolutions,
}

/// What a shard answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DataReply {
    /// The values of the keys, in order; see [`Values`](super::bulk::Values).
    Values {
        /// The transaction's incarnation here; `None` for snapshots.
        incarnation: Option<Incarnation>,
        /// The values.
        #[serde(skip)]
        values: Bytes,
    },
    /// Rows of a range; see [`Rows`](super::bulk::Rows).
    Rows {
        /// The transaction's incarnation here; `None` for snapshots.
        incarnation: Option<Incarnation>,
        /// Where the next page begins (in reverse: ends), if there may be more.
        resume: Option<Key>,
        /// The rows.
        #[serde(skip)]
        rows: Bytes,
    },
    /// The heartbeat was heard, or what was decided is in force.
    Done,
    /// The answer to [`DataRequest::Status`].
    Status(ShardStatus),
    /// The request was refused. A refused access also ends the transaction on
    /// this shard: its locks here are gone.
    Refused(Reason),
    /// The locks are held.
    Granted {
        /// The transaction's incarnation here.
        incarnation: Option<Incarnation>,
    },
    /// A lock was not free, and the request did not want to wait. Nothing was
    /// done; the transaction goes on.
    Locked {
        /// The transaction's incarnation here.
        incarnation: Option<Incarnation>,
        /// One of those who stand in the way.
        holder: TxnId,
    },
    /// The values of those keys that were free; see [`Found`](super::bulk::Found).
    Found {
        /// The transaction's incarnation here.
        incarnation: Option<Incarnation>,
        /// The values.
        #[serde(skip)]
        values: Bytes,
    },
    /// The answer to [`DataRequest::Locks`].
    Locks {
        /// Behind what the next page begins, if there is more.
        resume: Option<LockPlace>,
        /// A [`List`](super::bulk::List) of [`LockRow`].
        #[serde(skip)]
        locks: Bytes,
    },
    /// The answer to [`DataRequest::Txns`].
    Txns {
        /// Behind what the next page begins, if there is more.
        resume: Option<TxnId>,
        /// A [`List`](super::bulk::List) of [`ShardTxn`].
        #[serde(skip)]
        txns: Bytes,
    },
    /// The answer to [`DataRequest::Txn`]; none if it is not known here.
    Txn(Option<Box<(ShardTxn, Holds)>>),
    /// The answer to [`DataRequest::Resolutions`].
    Resolutions {
        /// The last ones, oldest first: a [`List`](super::bulk::List) of
        /// [`Resolution`](super::txns::Resolution).
        #[serde(skip)]
        list: Bytes,
    },
}

/// Something that can be locked: keys in order, then ranges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LockPlace {
    /// A key.
    Key(Key),
    /// A range.
    Range(KeyRange),
}

/// Who holds something and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRow {
    /// What it is, cut short.
    pub target: Target,
    /// Who holds it.
    pub holders: Vec<LockHolder>,
    /// Who waits, in the order of their turns.
    pub waiters: Vec<LockWaiter>,
    /// Holders and waiters beyond those listed.
    pub more: u32,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// The transaction.
    pub txn: TxnId,
    /// In which mode.
    pub mode: String,
    /// When its work began; zero for one that was prepared before a restart.
    pub age: Timestamp,
    /// Whether it has voted.
    pub prepared: bool,
}

/// Who waits for a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockWaiter {
    /// The transaction.
    pub txn: TxnId,
    /// In which mode.
    pub mode: String,
    /// When its work began.
    pub age: Timestamp,
    /// How long it has been waiting.
    pub waited_ms: u32,
    /// Who stands in its way. Those may be left out for whom another of these waits.
    pub behind: Vec<TxnId>,
}

/// How a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// Whether it serves.
    pub ready: bool,
    /// Keys that have a value or a tombstone.
    pub keys: u64,
    /// Transactions that have voted here, YES or READ, and whose outcome is not known here.
    pub in_doubt: u64,
    /// Locks that are held.
    pub locks: u64,
    /// Lock requests that wait.
    pub waiting: u64,
    /// The smallest timestamp that was voted by one of those in doubt; zero if there
    /// are none. It is as old as that one, by the oracle's clock.
    pub oldest_in_doubt: Timestamp,
    /// Decisions of operators that turned out to be wrong.
    pub mixed: u64,
}

impl DataRequest {
    pub(super) fn bulk(&self) -> Option<&Bytes> {
        match self {
            DataRequest::Read { keys, .. }
            | DataRequest::SnapshotRead { keys, .. }
            | DataRequest::Lock { keys, .. }
            | DataRequest::Return { keys, .. } => Some(keys),
            DataRequest::Scan { .. }
            | DataRequest::SnapshotScan { .. }
            | DataRequest::Abort { .. }
            | DataRequest::Heartbeat { .. }
            | DataRequest::Status
            | DataRequest::Locks { .. }
            | DataRequest::Txns { .. }
            | DataRequest::Txn { .. }
            | DataRequest::Resolve { .. }
            | DataRequest::Resolutions => None,
        }
    }

    pub(super) fn bulk_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            DataRequest::Read { keys, .. }
            | DataRequest::SnapshotRead { keys, .. }
            | DataRequest::Lock { keys, .. }
            | DataRequest::Return { keys, .. } => Some(keys),
            DataRequest::Scan { .. }
            | DataRequest::SnapshotScan { .. }
            | DataRequest::Abort { .. }
            | DataRequest::Heartbeat { .. }
            | DataRequest::Status
            | DataRequest::Locks { .. }
            | DataRequest::Txns { .. }
            | DataRequest::Txn { .. }
            | DataRequest::Resolve { .. }
            | DataRequest::Resolutions => None,
        }
    }
}

impl DataReply {
    pub(super) fn bulk(&self) -> Option<&Bytes> {
        match self {
            DataReply::Values { values, .. } | DataReply::Found { values, .. } => Some(values),
            DataReply::Rows { rows, .. } => Some(rows),
            DataReply::Locks { locks, .. } => Some(locks),
            DataReply::Txns { txns, .. } => Some(txns),
            DataReply::Resolutions { list } => Some(list),
            DataReply::Done
            | DataReply::Status(_)
            | DataReply::Refused(_)
            | DataReply::Granted { .. }
            | DataReply::Locked { .. }
            | DataReply::Txn(_) => None,
        }
    }

    pub(super) fn bulk_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            DataReply::Values { values, .. } | DataReply::Found { values, .. } => Some(values),
            DataReply::Rows { rows, .. } => Some(rows),
            DataReply::Locks { locks, .. } => Some(locks),
            DataReply::Txns { txns, .. } => Some(txns),
            DataReply::Resolutions { list } => Some(list),
            DataReply::Done
            | DataReply::Status(_)
            | DataReply::Refused(_)
            | DataReply::Granted { .. }
            | DataReply::Locked { .. }
            | DataReply::Txn(_) => None,
        }
    }
}
