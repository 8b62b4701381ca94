//! What the clients did and saw, as far as they know it.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};
use synod_common::message::client::Outcome;
use synod_common::time::Timestamp;

use super::deed::Deed;

/// What was read, by key and by range.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Keys with their values.
    pub keys: BTreeMap<Key, Option<Bytes>>,
    /// Pages of ranges with their rows.
    pub ranges: Vec<(KeyRange, Part, BTreeMap<Key, Bytes>)>,
    /// Keys to which the transaction itself had done something before.
    pub after: Vec<(Key, Vec<Deed>, Option<Bytes>)>,
    /// Keys that were read each at its own time.
    pub loose: Vec<Loose>,
}

/// A key that was read at a time of its own.
#[derive(Clone, Debug)]
pub struct Loose {
    /// The key.
    pub key: Key,
    /// What was there.
    pub value: Option<Bytes>,
    /// Whether it may have been read under a lock: then as of that moment, and not as
    /// of a timestamp.
    pub locked: bool,
}

impl Seen {
    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
            && self.ranges.is_empty()
            && self.after.is_empty()
            && self.loose.is_empty()
    }
}

/// When what a transaction reads is as it read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadsAt {
    /// At its commit timestamp.
    #[default]
    Commit,
    /// At its commit timestamp, and at this one.
    Validated(Timestamp),
    /// At this timestamp; what it writes has not changed since.
    Snapshot(Timestamp),
    /// Each read at a time of its own.
    Loose,
}

/// What a transaction does, in order for each key.
pub type Writes = BTreeMap<Key, Vec<Deed>>;

/// Which shard answered for a range, by index.
pub type Part = usize;

/// A transaction that a client began.
#[derive(Clone, Debug)]
pub struct Txn {
    /// Which client.
    pub client: usize,
    /// When it sent its first request.
    pub begun: u64,
    /// What it read.
    pub seen: Seen,
    /// What it wanted to write, once it asked to commit.
    pub writes: Writes,
    /// Whether COMMIT was sent.
    pub asked: bool,
    /// Whether it read all accounts, at one time.
    pub full_scan: bool,
    /// When it reads.
    pub reads_at: ReadsAt,
    /// When it first heard that it is committed.
    pub answered: Option<u64>,
    /// What the coordinator first said about it.
    pub told: Option<Outcome>,
}

impl Txn {
    /// Whether it writes nothing.
    pub fn is_read_only(&self) -> bool {
        self.writes.is_empty()
    }
}

/// A snapshot that was read.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Which client.
    pub client: usize,
    /// When it asked for its timestamp; zero if it chose one of the past.
    pub begun: u64,
    /// When the last answer came.
    pub answered: u64,
    /// Its timestamp.
    pub at: Timestamp,
    /// What it saw.
    pub seen: Seen,
    /// Whether it read all accounts.
    pub full: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub struct History {
    /// The transactions.
    pub txns: BTreeMap<TxnId, Txn>,
    /// The snapshots that were read to the end.
    pub snapshots: Vec<Snapshot>,
}
