//! What the system refuses as too large, in one place.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A key has 1 to this many bytes.
pub const KEY_BYTES: usize = 4_096;
/// A value has at most this many bytes.
pub const VALUE_BYTES: usize = 1 << 20;
/// The writes of a transaction, keys and values together, in bytes.
pub const TXN_BYTES: usize = 16 << 20;
/// Keys that one transaction may write, and as many that it may read.
pub const TXN_KEYS: usize = 100_000;
/// What an optimistic transaction may have read, as it travels with COMMIT, in bytes.
pub const READ_BYTES: usize = 8 << 20;
/// One frame on the wire, in bytes; holds the largest COMMIT.
pub const FRAME_BYTES: usize = 32 << 20;
/// The postcard header of a frame, in bytes, without its bulk.
pub const HEADER_BYTES: usize = 64 << 10;
/// Bytes of rows in one scan reply; the client asks for the next page.
pub const SCAN_PAGE_BYTES: usize = 1 << 20;
/// Rows in one scan reply.
pub const SCAN_PAGE_ROWS: usize = 4_096;
/// Values that one read returns from one shard, in bytes; read fewer keys at a
/// time beyond that.
pub const REPLY_BYTES: usize = 16 << 20;
/// Shards of one cluster.
pub const SHARDS: usize = 256;

/// How many coordinators a group may have: one more would need a larger majority, and
/// survive no more failures.
pub const GROUP_SIZES: [usize; 3] = [1, 3, 5];

/// A limit that was passed, by name, so that an error can state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// [`KEY_BYTES`].
    KeyBytes,
    /// [`VALUE_BYTES`].
    ValueBytes,
    /// [`TXN_BYTES`].
    TxnBytes,
    /// [`TXN_KEYS`].
    TxnKeys,
    /// [`REPLY_BYTES`].
    ReplyBytes,
    /// [`READ_BYTES`].
    ReadBytes,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::KeyBytes => write!(f, "a key has 1 to {KEY_BYTES} bytes"),
            Limit::ValueBytes => write!(f, "a value has at most {VALUE_BYTES} bytes"),
            Limit::TxnBytes => write!(f, "a transaction writes at most {TXN_BYTES} bytes"),
            Limit::ReplyBytes => {
                write!(f, "one read returns at most {REPLY_BYTES} bytes; read fewer keys at a time")
            }
            Limit::ReadBytes => write!(
                f,
                "an optimistic transaction reads keys of at most {READ_BYTES} bytes in all"
            ),
            Limit::TxnKeys => write!(f, "a transaction touches at most {TXN_KEYS} keys"),
        }
    }
}

/// Checks a key that came from outside.
///
/// # Errors
/// [`Limit::KeyBytes`] if it is empty or too long.
pub fn check_key(key: &[u8]) -> Result<(), Limit> {
    if key.is_empty() || key.len() > KEY_BYTES { Err(Limit::KeyBytes) } else { Ok(()) }
}

/// Checks a value that came from outside.
///
/// # Errors
/// [`Limit::ValueBytes`] if it is too long.
pub fn check_value(value: &[u8]) -> Result<(), Limit> {
    if value.len() > VALUE_BYTES { Err(Limit::ValueBytes) } else { Ok(()) }
}
