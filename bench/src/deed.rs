//! What one transaction does, in words that every store understands.

use crate::smallbank::Banking;

/// One transaction. Keys are numbers below that of all keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// One is read.
    Get(u32),
    /// One is written, whatever it held.
    Put(u32),
    /// One is written, whatever it held, so that its last writer is known, where that is
    /// looked at.
    Update(u32),
    /// One is written that was not loaded.
    Insert(u32),
    /// One is read, and written with one more in its balance.
    Raise(u32),
    /// All are written in one transaction, whatever they held.
    PutAll(Vec<u32>),
    /// One is taken from the balance of the first and added to that of the second.
    Transfer([u32; 2], Order),
    /// All are read as of one moment.
    Snapshot(Vec<u32>),
    /// So many from one on are read, in order, as of one moment.
    Scan(u32, u32),
    /// One is added to one key, the same for all.
    Count(Way),
    /// One of a bank.
    Bank(Banking),
}

/// How both keys of a transfer are read and locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// At once, in whichever order the system likes.
    AtOnce,
    /// The first one, then the second.
    OneByOne,
}

/// How one is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As an operation.
    Add,
    /// The number is read, and put one higher.
    ReadAndPut,
}
