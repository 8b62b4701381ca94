//! Errors say what the caller may conclude.

use std::fmt;

use synod_common::error::Reason;
use synod_common::id::TxnId;
use synod_common::limits::Limit;
use synod_common::time::Timestamp;

/// Why something was not done, or why it is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The transaction is aborted and had no effect. The same work, begun anew,
    /// may succeed; [`Client::transact`](crate::Client::transact) does that.
    #[error("aborted, may be tried again: {0}")]
    Retry(Refusal),
    /// The transaction is aborted and had no effect. It was tried as often as
    /// allowed, or trying again is pointless.
    #[error("aborted: {0}")]
    Aborted(Refusal),
    /// Whether the transaction committed is not known, because the coordinator
    /// could not be asked. Never assume either; ask
    /// [`Client::outcome`](crate::Client::outcome) later.
    #[error("in doubt: the outcome of {0} is not known yet; ask for it with `synod outcome {0}`")]
    InDoubt(TxnId),
    /// The request makes no sense. Nothing was done; the transaction goes on,
    /// unless it was to be committed: then it is aborted.
    #[error("misuse: {0}")]
    Misuse(String),
    /// Somebody else, of whom this is one, holds what was to be locked at once or
    /// not at all. Nothing was done; the transaction goes on.
    #[error("locked by {0}, and the request was not to wait")]
    Locked(TxnId),
    /// Something is too large. Nothing was done; the transaction goes on.
    #[error("too large: {0}")]
    TooLarge(Limit),
    /// The versions for this snapshot are gone; the oldest one that can be read.
    #[error("the snapshot is too old; the oldest that can be read is {0}")]
    SnapshotTooOld(Timestamp),
    /// The certificate's role may not do this.
    #[error("denied: {0}")]
    Denied(String),
    /// No server could be reached. Nothing was done.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// What was stored can not be understood.
    #[error("corrupt: {0}")]
    Corrupt(String),
}

/// Why a transaction was aborted, and after how many tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why the last try was aborted.
    pub reason: Reason,
    /// The last try.
    pub txn: Option<TxnId>,
    /// How many tries there were.
    pub attempts: u32,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(txn) = self.txn {
            write!(f, "{txn}: ")?;
        }
        self.reason.fmt(f)?;
        if self.attempts > 1 {
            write!(f, " (gave up after {} attempts)", self.attempts)?;
        }
        Ok(())
    }
}

impl Error {
    /// From a server's reason.
    pub(crate) fn from_reason(reason: Reason, txn: Option<TxnId>) -> Error {
        match reason {
            Reason::SnapshotTooOld(oldest) => Error::SnapshotTooOld(oldest),
            Reason::SnapshotInFuture | Reason::NotAnInteger(_) => Error::Misuse(reason.to_string()),
            Reason::Denied => Error::Denied(reason.to_string()),
            reason if reason.is_retryable() => Error::Retry(Refusal { reason, txn, attempts: 1 }),
            reason => Error::Aborted(Refusal { reason, txn, attempts: 1 }),
        }
    }

    /// A server answered something else than what it was asked.
    pub(crate) fn protocol() -> Error {
        Error::Unavailable("the server's answer does not fit the question".to_owned())
    }
}

impl From<Limit> for Error {
    fn from(limit: Limit) -> Error {
        Error::TooLarge(limit)
    }
}
