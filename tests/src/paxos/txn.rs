//! Transactions, and what the log of the group says of them.

use bytes::Bytes;
use synod_common::id::{CoordinatorId, Epoch, SessionId, ShardId, TxnId};
use synod_common::time::Timestamp;

use crate::group::record;

/// Transactions that one schedule may have.
pub const MOST: usize = 3;

/// Timestamps that one epoch may draw.
const WINDOW: u64 = 16;

/// Where the window of an epoch begins: above those of all earlier ones.
pub fn window(epoch: Epoch) -> Timestamp {
    Timestamp(u64::from(epoch.0) * WINDOW)
}

/// A transaction. What its messages say of it they say by its number.
#[derive(Clone, Debug, Hash)]
pub struct Txn {
    /// Its name.
    pub id: TxnId,
    /// When its commit began.
    pub h: Timestamp,
    /// Who counts who has accepted it.
    pub leader: CoordinatorId,
    /// Who takes part.
    pub participants: Vec<ShardId>,
    /// Those that only read, a bit for each.
    pub readers: u8,
    /// Who is asked to accept it.
    pub acceptors: Vec<CoordinatorId>,
    /// Whether these tell the participants, too.
    pub faster: bool,
}

/// A bit for a shard.
pub fn bit(shard: ShardId) -> u8 {
    1 << (shard.0 - 1)
}

impl Txn {
    /// The name of a transaction with this number.
    pub fn name(number: usize, epoch: Epoch) -> TxnId {
        TxnId { session: SessionId { epoch, number: number as u64 + 1 }, sequence: 1 }
    }

    /// The number of the one with this name.
    pub fn number(name: TxnId) -> usize {
        name.session.number as usize - 1
    }

    /// Whether this one only reads.
    pub fn reads(&self, shard: ShardId) -> bool {
        self.readers & bit(shard) != 0
    }

    /// Who must acknowledge a commit, a bit for each.
    pub fn writers(&self) -> u8 {
        self.participants.iter().map(|shard| bit(*shard)).sum::<u8>() & !self.readers
    }
}

/// An entry of the group's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// An epoch begins.
    Started,
    /// This one is committed.
    Committed(usize),
    /// All who must have acknowledged that.
    Ended(usize),
    /// This one is given up.
    GivenUp(usize),
    /// All that began before this are decided.
    Decided(Timestamp),
}

impl Entry {
    /// As a record.
    pub fn bytes(self) -> Bytes {
        let number = match self {
            Entry::Started => 0,
            Entry::Committed(txn) => 1 + txn,
            Entry::Ended(txn) => 1 + MOST + txn,
            Entry::GivenUp(txn) => 1 + 2 * MOST + txn,
            Entry::Decided(below) => 1 + 3 * MOST + below.0 as usize,
        };
        record(number as u32).expect("a schedule has fewer epochs")
    }

    /// What a record says.
    pub fn read(record: &Bytes) -> Entry {
        let number = record.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        let Some(number) = number.checked_sub(1) else { return Entry::Started };
        match (number / MOST, number % MOST) {
            (0, txn) => Entry::Committed(txn),
            (1, txn) => Entry::Ended(txn),
            (2, txn) => Entry::GivenUp(txn),
            _ => Entry::Decided(Timestamp((number - 3 * MOST) as u64)),
        }
    }
}
