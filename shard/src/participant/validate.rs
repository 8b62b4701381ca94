//! Validation: what a transaction that did not lock its reads is owed at PREPARE.
//!
//! | isolation      | locked when it is used   | validated at PREPARE                  |
//! |----------------|--------------------------|---------------------------------------|
//! | serializable   | reads, ranges            | –                                     |
//! | read-committed | –                        | –                                     |
//! | snapshot `T`   | –                        | no written key has a version above `T`|
//! | optimistic `T` | –                        | no key or range that was read has one,|
//! |                |                          | and all of them can be locked at once |
//!
//! All of them lock what they write at PREPARE, and what they asked to lock.
//!
//! ```text
//!   t1 (optimistic)   T──read a──────────PREPARE: lock a ✓, newest(a) <= T ✓ ── YES
//!   t2                     └ writes b            t2 read a, writes a: a is locked ── NO
//! ```
//!
//! An optimistic transaction that gets its locks holds all of them at one moment,
//! at which everything that it read is as it was at `T`: so it could have run
//! wholly at that moment, which is what strict two-phase locking gives, too. It
//! does not wait for the locks of its reads: whoever is in the way most likely
//! changes them, and two that wait for one another would be a deadlock.
//!
//! Below the safe point nothing is validated but refused: a tombstone above `T`
//! may be gone.
//!
//! Sources: Kung and Robinson, *On Optimistic Methods for Concurrency Control*
//! (1981), backward validation, here with locks from validation to decision;
//! Berenson et al., *A Critique of ANSI SQL Isolation Levels* (1995), §4.2, first
//! committer wins.

use synod_common::error::Reason;
use synod_common::key::{Key, KeyRange};
use synod_common::limits::{self, Limit};
use synod_common::message::bulk::{Malformed, ReadPiece, ReadSet, Write, WriteSet};
use synod_common::message::commit::Validation;
use synod_common::time::{Now, Timestamp};

use super::Preparing;
use crate::lock::{Acquired, LockTarget, Mode, Refused};
use crate::mutant::mutated;
use crate::shard::Shard;
use crate::turn::Who;

/// What a read set names.
pub(super) fn reads(bytes: &[u8]) -> Result<Vec<LockTarget>, Malformed> {
    let target = |piece| match piece {
        ReadPiece::Key(key) => LockTarget::Key(Key::from(key)),
        ReadPiece::Range(start, end) => {
            LockTarget::Range(KeyRange { start: Key::from(start), end: end.map(Key::from) })
        }
    };
    ReadSet::read(bytes).map(|piece| piece.map(target)).collect()
}

impl Shard {
    /// Locks what was read without locks, if nobody is in the way. What was locked
    /// until then goes with the transaction, which the caller aborts.
    pub(super) fn lock_reads(
        &mut self,
        now: Now,
        who: Who,
        reads: Vec<LockTarget>,
    ) -> Result<(), Reason> {
        if mutated!(self, OptimisticWithoutLocks) {
            return Ok(());
        }
        if reads.len() > limits::TXN_KEYS {
            return Err(Reason::TooLarge(Limit::TxnKeys));
        }
        for target in reads {
            if matches!(&target, LockTarget::Key(key) if !self.owns(key)) {
                return Err(Reason::StaleMap);
            }
            let asker = self.asker(now, who);
            match self.locks.acquire(asker, target, Mode::Shared, &mut self.granted) {
                Ok(Acquired::Granted) => {}
                Ok(Acquired::Waiting(ticket)) => {
                    self.locks.cancel(ticket, &mut self.granted);
                    return Err(Reason::Conflict);
                }
                Err(Refused::TxnFull(_)) => return Err(Reason::TooLarge(Limit::TxnKeys)),
                Err(Refused::TableFull(_)) => return Err(Reason::Overloaded),
                Err(Refused::Pinned) => {
                    panic!("{} has not voted and asks for a shared lock", who.txn)
                }
            }
        }
        Ok(())
    }

    /// Whether nothing has changed that must not have, now that all is locked.
    pub(super) fn validate(&self, preparing: &Preparing) -> Result<(), Reason> {
        let at = match preparing.terms.validation {
            Validation::Locked => return Ok(()),
            Validation::Writes(at) | Validation::Reads(at) => at,
        };
        // Its commit began after all its reads.
        if at >= preparing.h {
            return Err(Reason::SnapshotInFuture);
        }
        if at <= self.safe_point && !mutated!(self, ValidateBelowSafePoint) {
            return Err(Reason::SnapshotTooOld(self.safe_point.next()));
        }
        let fresh = match preparing.terms.validation {
            Validation::Locked => true,
            Validation::Writes(_) => WriteSet::read(&preparing.writes)
                .map_while(Result::ok)
                // Operations read nothing, so nothing is lost.
                .filter(|(_, write)| !matches!(write, Write::Operate(_)))
                .all(|(key, _)| self.is_unchanged(key, at)),
            Validation::Reads(_) => reads(&preparing.reads)?.iter().all(|target| match target {
                LockTarget::Key(key) => self.is_unchanged(key, at),
                LockTarget::Range(range) => !self.versions.has_changed(range, at),
            }),
        };
        if fresh || mutated!(self, SkipValidation) { Ok(()) } else { Err(Reason::Conflict) }
    }

    /// Whether a key has no version above a snapshot.
    pub(crate) fn is_unchanged(&self, key: &[u8], since: Timestamp) -> bool {
        self.versions.newest(key).is_none_or(|version| version.at <= since)
    }
}
