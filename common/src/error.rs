//! Errors say what the caller may conclude.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::deadlock::Deadlock;
use crate::key::Key;
use crate::limits::Limit;
use crate::time::Timestamp;

/// Something durable can not be understood, or contradicts itself. Never
/// repaired silently; the server refuses to start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt: {0}")]
pub struct Corrupt(pub String);

impl Corrupt {
    /// With a reason.
    pub fn new(reason: impl Into<String>) -> Corrupt {
        Corrupt(reason.into())
    }
}

/// Why a server refused a request or aborted a transaction. Whatever carries a
/// reason has had no effect, and will have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// It was chosen to break a deadlock.
    Deadlock(Box<Deadlock>),
    /// It waited longer for a lock than it was willing to.
    LockTimeout,
    /// A shard no longer holds its locks: the shard restarted, or the lease of
    /// the session lapsed.
    LocksLost,
    /// A commit timestamp above the oracle's durable window would have been needed.
    WindowPassed,
    /// Its session is not, or no longer, known to the coordinator.
    SessionLost,
    /// It belongs to an epoch before the coordinator's last restart.
    StaleEpoch,
    /// The request was made with a shard map that is not the current one.
    StaleMap,
    /// A shard did not vote in time.
    VoteTimeout,
    /// The server is starting and can not serve yet.
    NotReady,
    /// A bound on memory was reached; what is in progress goes on.
    Overloaded,
    /// Somebody asked for its outcome while no commit was in progress, and was
    /// told that it is aborted.
    Fenced,
    /// The client gave it up.
    ByClient,
    /// The coordinator has no trace of a commit, and that means abort.
    Presumed,
    /// The versions needed for the snapshot are gone; the oldest that is left.
    SnapshotTooOld(Timestamp),
    /// The snapshot lies ahead of every timestamp that was issued.
    SnapshotInFuture,
    /// Something is too large.
    TooLarge(Limit),
    /// The request contradicts itself or the protocol.
    Malformed,
    /// The certificate's role may not do this.
    Denied,
    /// Something that it read or writes was changed after its snapshot, by a
    /// transaction that committed or may still commit.
    Conflict,
    /// An integer operation on this key, whose value is no integer cell.
    NotAnInteger(Key),
    /// The value of this key is not the one that the client relied on.
    CheckFailed(Key),
    /// Its participants missed the coordinator, and aborted it without it.
    Abandoned,
    /// It is not in doubt on this shard, so there is nothing for an operator to decide.
    NotInDoubt,
    /// Another coordinator of the group leads: the one at this address, if it is known.
    NotLeader(Option<String>),
    /// Classical three-phase commit was asked for, and this cluster does not allow it.
    UnsafeProtocol,
    /// An operator is not needed: the shard's link to a coordinator is up.
    CoordinatorDecides,
    /// The shard keeps as many decisions of operators as it can, and may forget none yet.
    AuditFull,
}

impl Reason {
    /// Whether the same work, begun anew as another transaction, may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Reason::Deadlock(_)
            | Reason::LockTimeout
            | Reason::LocksLost
            | Reason::WindowPassed
            | Reason::SessionLost
            | Reason::StaleEpoch
            | Reason::StaleMap
            | Reason::VoteTimeout
            | Reason::NotReady
            | Reason::Overloaded
            | Reason::Fenced
            | Reason::Presumed
            | Reason::Abandoned
            | Reason::NotLeader(_)
            | Reason::Conflict => true,
            Reason::ByClient
            | Reason::SnapshotTooOld(_)
            | Reason::SnapshotInFuture
            | Reason::TooLarge(_)
            | Reason::Malformed
            | Reason::Denied
            | Reason::NotInDoubt
            | Reason::UnsafeProtocol
            | Reason::CoordinatorDecides
            | Reason::AuditFull
            | Reason::NotAnInteger(_)
            | Reason::CheckFailed(_) => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Deadlock(deadlock) => deadlock.fmt(f),
            Reason::LockTimeout => f.write_str("waited too long for a lock"),
            Reason::LocksLost => f.write_str("its locks were lost in a restart or a lapse"),
            Reason::WindowPassed => f.write_str("its timestamp fell out of the oracle's window"),
            Reason::SessionLost => f.write_str("its session has lapsed"),
            Reason::StaleEpoch => f.write_str("it is older than the coordinator's last restart"),
            Reason::StaleMap => f.write_str("the shard map has changed"),
            Reason::VoteTimeout => f.write_str("a shard did not answer in time"),
            Reason::NotReady => f.write_str("the server is still starting"),
            Reason::Overloaded => f.write_str("the server is at one of its limits"),
            Reason::Fenced => f.write_str("its outcome was asked for before it was committed"),
            Reason::ByClient => f.write_str("given up by the client"),
            Reason::Presumed => f.write_str("no commit of it is known"),
            Reason::NotInDoubt => f.write_str("it is not in doubt on this shard"),
            Reason::CoordinatorDecides => f.write_str(
                "the shard's link to a coordinator is up, and that one decides it; \
                 --force does it nevertheless",
            ),
            Reason::AuditFull => f.write_str(
                "the shard keeps 1,000 decisions of operators, each of which has no outcome yet \
                 or turned out mixed within 30 days",
            ),
            Reason::NotLeader(Some(at)) => write!(f, "the coordinator at {at} leads the group"),
            Reason::NotLeader(None) => f.write_str("no coordinator leads the group"),
            Reason::Abandoned => {
                f.write_str("its participants missed the coordinator, and aborted it without it")
            }
            Reason::UnsafeProtocol => f.write_str(
                "3pc-classical may commit on one shard and abort on another; only a cluster \
                 that was started with --unsafe-classical-3pc allows it",
            ),
            Reason::SnapshotTooOld(oldest) => {
                write!(f, "the snapshot is too old, the oldest is {oldest}")
            }
            Reason::SnapshotInFuture => f.write_str("the snapshot lies in the future"),
            Reason::TooLarge(limit) => limit.fmt(f),
            Reason::Malformed => f.write_str("the request is malformed"),
            Reason::Denied => f.write_str("the certificate's role may not do this"),
            Reason::Conflict => f.write_str("somebody else changed what it read or writes"),
            Reason::CheckFailed(key) => {
                write!(f, "the value of key {key} is not the one it was checked for")
            }
            Reason::NotAnInteger(key) => {
                write!(f, "the value of key {key} is no integer cell (8 bytes)")
            }
        }
    }
}
