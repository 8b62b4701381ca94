//! Reads and scans under locks.
//!
//! What is read is locked first, absent keys too, and read when all its locks
//! are held; so a transaction never sees a value that could still change before
//! it ends. A page of a scan locks from where it starts to where it ends, and
//! says where the next one begins.

use std::borrow::Cow;

use bytes::Bytes;
use synod_common::error::Reason;
use synod_common::id::{Incarnation, Peer, RequestId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::limits::{self, Limit};
use synod_common::message::DataReply;
use synod_common::message::bulk::{Keys, Rows, Values};
use synod_common::message::data::{Access, LockWait, ReadMode};
use synod_common::node::Output;
use synod_common::time::{Now, Timestamp};

use crate::lock::{LockTarget, Mode};
use crate::mutant::mutated;
use crate::participant::{Participant, Stage};
use crate::shard::Shard;
use crate::wait::Purpose;

/// Keys to be read, once they are locked.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Who asked.
    pub from: Peer,
    /// Under which request.
    pub request: RequestId,
    /// The keys.
    pub keys: Bytes,
    /// What has changed since is refused.
    pub snapshot: Option<Timestamp>,
}

/// A page of a scan to be read, once it is locked.
#[derive(Clone, Debug)]
pub struct ScanRequest {
    /// Who asked.
    pub from: Peer,
    /// Under which request.
    pub request: RequestId,
    /// What was asked for.
    pub range: KeyRange,
    /// The part of it that this page locks.
    pub page: KeyRange,
    /// At most so many rows.
    pub limit: usize,
    /// From the end to the start.
    pub reverse: bool,
    /// What has changed since is refused.
    pub snapshot: Option<Timestamp>,
    /// Which lock.
    pub mode: ReadMode,
}

impl Shard {
    /// Locks and reads keys.
    pub(crate) fn read(
        &mut self,
        now: Now,
        access: &Access,
        mode: ReadMode,
        request: &ReadRequest,
        out: &mut Output,
    ) {
        let keys: Result<Vec<Key>, _> =
            Keys::read(&request.keys).map(|key| key.map(Key::from)).collect();
        let admitted = match &keys {
            Err(_) => Err(Reason::Malformed),
            Ok(keys) if keys.len() > limits::TXN_KEYS => Err(Reason::TooLarge(Limit::TxnKeys)),
            Ok(keys) if keys.iter().any(|key| !self.owns(key)) => Err(Reason::StaleMap),
            Ok(_) => self.admit(now, access, request.from),
        };
        let (Ok(keys), Ok(())) = (keys, &admitted) else {
            return self.refuse_access(access.txn, (request.from, request.request), admitted, out);
        };
        let mode = lock_mode(mode);
        if access.wait == LockWait::Skip {
            return self.read_free(now, access, keys, mode, (request.from, request.request), out);
        }
        let targets = keys.into_iter().map(|key| (LockTarget::Key(key), mode)).collect();
        let from = (request.from, request.request);
        let Some((targets, wait)) = self.willing(now, access, targets, from, out) else { return };
        let again = ReadRequest { keys: request.keys.clone(), ..*request };
        if self.lock(now, access.into(), targets.into_iter(), wait, Purpose::Read(again), out) {
            self.answer_read(access.txn, request, out);
        }
    }

    /// All keys are locked: answers with their values.
    pub(crate) fn answer_read(&mut self, txn: TxnId, request: &ReadRequest, out: &mut Output) {
        let changed = |at| {
            let mut keys = Keys::read(&request.keys).map_while(Result::ok);
            keys.any(|key| !self.is_unchanged(key, at))
        };
        if request.snapshot.is_some_and(changed) && !mutated!(self, ReadBeyondSnapshot) {
            let refused = Err(Reason::Conflict);
            return self.refuse_access(txn, (request.from, request.request), refused, out);
        }
        match values(&request.keys, |key| self.versions.newest(key)?.value) {
            Ok(values) => {
                let incarnation = self.txns.get(&txn).map(|participant| participant.incarnation);
                let reply = DataReply::Values { incarnation, values };
                out.send(request.from, request.request, reply);
            }
            Err(limit) => {
                let refused = Err(Reason::TooLarge(limit));
                self.refuse_access(txn, (request.from, request.request), refused, out);
            }
        }
    }

    /// Locks and reads a page of a range.
    pub(crate) fn scan(
        &mut self,
        now: Now,
        access: &Access,
        mut request: ScanRequest,
        out: &mut Output,
    ) {
        let admitted = self.admit(now, access, request.from);
        if admitted.is_err() {
            return self.refuse_access(access.txn, (request.from, request.request), admitted, out);
        }
        if access.wait == LockWait::Skip {
            return self.scan_free(now, access, &request, out);
        }
        let limit = request.limit;
        let (_, resume) = self.page(&request.range, Timestamp::MAX, request.reverse, limit);
        request.page = request.range.page(resume.as_ref(), request.reverse);
        let mode = lock_mode(request.mode);
        let mut targets = vec![(LockTarget::Range(request.page.clone()), mode)];
        if mutated!(self, GapsUnlocked) {
            let rows = self.versions.scan(&request.page, Timestamp::MAX, false);
            targets = rows.map(|(key, _)| (LockTarget::Key(Key::from(key)), mode)).collect();
        }
        let from = (request.from, request.request);
        let Some((targets, wait)) = self.willing(now, access, targets, from, out) else { return };
        let again =
            ScanRequest { range: request.range.clone(), page: request.page.clone(), ..request };
        let purpose = Purpose::Scan(again);
        if self.lock(now, access.into(), targets.into_iter(), wait, purpose, out) {
            self.answer_scan(access.txn, &request, out);
        }
    }

    /// The page is locked: answers with its rows, as they are now.
    pub(crate) fn answer_scan(&mut self, txn: TxnId, request: &ScanRequest, out: &mut Output) {
        let ScanRequest { range, page, limit, reverse, .. } = request;
        let changed = |at| self.versions.has_changed(page, at);
        if request.snapshot.is_some_and(changed) && !mutated!(self, ReadBeyondSnapshot) {
            let refused = Err(Reason::Conflict);
            return self.refuse_access(txn, (request.from, request.request), refused, out);
        }
        let (rows, resume) = self.page(page, Timestamp::MAX, *reverse, *limit);
        // If the page ended where it was cut, the range may go on behind it.
        let cut = if *reverse {
            (page.start != range.start).then(|| page.start.clone())
        } else {
            (page.end != range.end).then(|| page.end.clone()).flatten()
        };
        let reply = DataReply::Rows {
            incarnation: self.txns.get(&txn).map(|participant| participant.incarnation),
            resume: resume.or(cut),
            rows,
        };
        out.send(request.from, request.request, reply);
    }

    /// The rows of a page as of `at`, and where the next page begins (in
    /// reverse: ends), if this one is full.
    pub(crate) fn page(
        &self,
        range: &KeyRange,
        at: Timestamp,
        reverse: bool,
        limit: usize,
    ) -> (Bytes, Option<Key>) {
        let mut rows = Rows::default();
        for (key, value) in self.versions.scan(range, at, reverse) {
            rows.push(key, &value);
            if rows.is_full(limit) {
                let key = Key::from(key);
                let resume = if reverse { key } else { key.successor() };
                return (rows.finish(), Some(resume));
            }
        }
        (rows.finish(), None)
    }

    /// Whether a transaction may make this access; at first contact it becomes
    /// known here.
    pub(crate) fn admit(&mut self, now: Now, access: &Access, from: Peer) -> Result<(), Reason> {
        let Access { txn, incarnation, map_epoch, standing, .. } = *access;
        self.check_serving(map_epoch)?;
        if txn.session.epoch != self.epoch {
            return Err(Reason::StaleEpoch);
        }
        if self.leases.len() >= self.settings.max_txns && !self.leases.knows(txn.session) {
            return Err(Reason::Overloaded);
        }
        if !self.leases.touch(txn, now.mono) {
            return Err(Reason::LocksLost);
        }
        if let Some(participant) = self.txns.get_mut(&txn) {
            let same = incarnation.is_none_or(|carried| carried == participant.incarnation);
            participant.returns = participant.returns.max(access.returns);
            return match participant.stage {
                Stage::Active if same => Ok(()),
                Stage::Active => Err(Reason::LocksLost),
                _ => Err(Reason::Malformed),
            };
        }
        if incarnation.is_some() || self.over.get(txn).is_some() {
            return Err(self.why_lost(txn));
        }
        if self.txns.len() >= self.settings.max_txns {
            return Err(Reason::Overloaded);
        }
        let incarnation = self.next_incarnation();
        let waits = Default::default();
        let (client, returns) = (Some(from), access.returns);
        let stage = Stage::Active;
        let since = Some(now.mono);
        let participant =
            Participant { incarnation, client, stage, since, standing, waits, returns };
        self.txns.insert(txn, Box::new(participant));
        Ok(())
    }

    /// Refuses an access and ends its transaction here, unless that has gone
    /// beyond reading.
    pub(crate) fn refuse_access(
        &mut self,
        txn: TxnId,
        from: (Peer, RequestId),
        admitted: Result<(), Reason>,
        out: &mut Output,
    ) {
        let reason = admitted.err().unwrap_or(Reason::Malformed);
        if matches!(self.txns.get(&txn).map(|known| &known.stage), Some(Stage::Active)) {
            self.abort(txn, &reason, out);
        }
        out.send(from.0, from.1, DataReply::Refused(reason));
    }

    /// Whether requests of clients are served, and this one's map is ours.
    pub(crate) fn check_serving(&self, map_epoch: u32) -> Result<(), Reason> {
        match &self.router {
            Some(router) if router.epoch() == map_epoch => Ok(()),
            Some(_) => Err(Reason::StaleMap),
            None => Err(Reason::NotReady),
        }
    }

    /// The next name for a stay.
    pub(crate) fn next_incarnation(&mut self) -> Incarnation {
        self.last_incarnation += 1;
        Incarnation(self.last_incarnation)
    }
}

/// The lock that a mode on the wire means.
pub(crate) fn lock_mode(mode: ReadMode) -> Mode {
    match mode {
        ReadMode::Shared => Mode::Shared,
        ReadMode::Update => Mode::Update,
        ReadMode::Exclusive => Mode::Exclusive,
    }
}

/// The values of keys, as far as one reply may hold them.
pub(crate) fn values<'v>(
    keys: &[u8],
    read: impl Fn(&[u8]) -> Option<Cow<'v, [u8]>>,
) -> Result<Bytes, Limit> {
    let mut values = Values::default();
    for key in Keys::read(keys).map_while(Result::ok) {
        values.push(read(key).as_deref());
        if values.len() > limits::REPLY_BYTES {
            return Err(Limit::ReplyBytes);
        }
    }
    Ok(values.finish())
}

/// A limit from outside, within the page limits; zero asks for all.
pub(crate) fn page_limit(limit: u32) -> usize {
    match limit as usize {
        0 => limits::SCAN_PAGE_ROWS,
        limit => limit.min(limits::SCAN_PAGE_ROWS),
    }
}
