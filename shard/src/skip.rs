//! Reads that leave out what is locked.
//!
//! For queues: many take the first rows that nobody else has taken. Every row is
//! locked that is returned, and read under its lock; of those left out, and of
//! rows that do not exist, nothing is known. So this is not serializable, and no
//! lock is taken on the range.

use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId};
use synod_common::key::Key;
use synod_common::limits::{self, Limit};
use synod_common::message::DataReply;
use synod_common::message::bulk::{Found, Rows};
use synod_common::message::data::Access;
use synod_common::node::Output;
use synod_common::time::{Now, Timestamp};

use crate::access::{ScanRequest, lock_mode};
use crate::lock::{LockTarget, Mode, Tried};
use crate::shard::Shard;
use crate::wait::reason;

/// A page ends after so many rows, locked ones included.
const ROWS_PASSED: usize = limits::SCAN_PAGE_ROWS;

impl Shard {
    /// Locks and reads those keys that are free.
    pub(crate) fn read_free(
        &mut self,
        now: Now,
        access: &Access,
        keys: Vec<Key>,
        mode: Mode,
        from: (Peer, RequestId),
        out: &mut Output,
    ) {
        let mut found = Found::default();
        let mut overtaken = Vec::new();
        for key in keys {
            if self.is_beyond(access.snapshot, &key) {
                found.pass_over();
                continue;
            }
            let target = LockTarget::Key(key.clone());
            let asker = self.asker(now, access.into());
            if self.overtakes(asker, &target, mode) {
                overtaken.push(target.clone());
            }
            match self.locks.try_acquire(asker, target, mode, &mut self.granted) {
                Err(why) => {
                    let refused = Err(reason(access.txn, why));
                    return self.refuse_access(access.txn, from, refused, out);
                }
                Ok(Tried::Blocked(_)) => found.pass_over(),
                Ok(Tried::Granted) => {
                    let value = self.versions.newest(&key).and_then(|version| version.value);
                    found.push(value.as_deref());
                }
            }
            if found.len() > limits::REPLY_BYTES {
                let refused = Err(Reason::TooLarge(Limit::ReplyBytes));
                return self.refuse_access(access.txn, from, refused, out);
            }
        }
        let incarnation = self.txns.get(&access.txn).map(|known| known.incarnation);
        out.send(from.0, from.1, DataReply::Found { incarnation, values: found.finish() });
        self.settle(access.txn, &overtaken, out);
    }

    /// Locks and reads those rows of a range that are free, up to a page.
    pub(crate) fn scan_free(
        &mut self,
        now: Now,
        access: &Access,
        request: &ScanRequest,
        out: &mut Output,
    ) {
        let ScanRequest { from, request: number, range, limit, reverse, mode, .. } = request;
        let mode = lock_mode(*mode);
        let (mut rows, mut resume, mut refused) = (Rows::default(), None, None);
        let mut overtaken = Vec::new();
        let all = self.versions.scan(range, Timestamp::MAX, *reverse);
        for (passed, (key, value)) in (1..).zip(all) {
            let key = Key::from(key);
            let target = LockTarget::Key(key.clone());
            if !self.is_beyond(access.snapshot, &key) {
                let asker = self.asker(now, access.into());
                if self.overtakes(asker, &target, mode) {
                    overtaken.push(target.clone());
                }
                match self.locks.try_acquire(asker, target, mode, &mut self.granted) {
                    Ok(Tried::Granted) => rows.push(&key, &value),
                    Ok(Tried::Blocked(_)) => {}
                    Err(why) => {
                        refused = Some(reason(asker.txn, why));
                        break;
                    }
                }
            }
            if rows.is_full(*limit) || passed >= ROWS_PASSED {
                resume = Some(if *reverse { key } else { key.successor() });
                break;
            }
        }
        if let Some(refused) = refused {
            return self.refuse_access(access.txn, (*from, *number), Err(refused), out);
        }
        let incarnation = self.txns.get(&access.txn).map(|known| known.incarnation);
        out.send(*from, *number, DataReply::Rows { incarnation, resume, rows: rows.finish() });
        self.settle(access.txn, &overtaken, out);
    }

    /// Whether a key has changed since a snapshot, and so can not be read at it.
    fn is_beyond(&self, snapshot: Option<Timestamp>, key: &Key) -> bool {
        snapshot.is_some_and(|at| !self.is_unchanged(key, at))
    }
}
