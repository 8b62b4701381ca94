//! Locks without a read: taken, and given back before the end.
//!
//! A savepoint that is rolled back gives back locks under which nothing was read,
//! or what goes beyond a shared lock. The client knows which; here it is only made
//! sure that what it gives back is what it had when it said so. A message may
//! arrive late or twice, and the transaction may have locked the same key again
//! and read it in the meantime. So every access carries how many returns its
//! client had sent before it, and a return that comes behind such an access is
//! ignored: to hold more is always right.

use std::time::Duration;

use bytes::Bytes;
use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::limits::{self, Limit};
use synod_common::message::DataReply;
use synod_common::message::bulk::Keys;
use synod_common::message::data::{Access, LockWait, ReadMode};
use synod_common::node::Output;
use synod_common::time::Now;

use crate::access::lock_mode;
use crate::lock::{LockTarget, Mode};
use crate::mutant::mutated;
use crate::participant::Stage;
use crate::shard::Shard;
use crate::wait::Purpose;

/// Whom to tell when locks are held.
#[derive(Clone, Copy, Debug)]
pub struct LockRequest {
    /// Who asked.
    pub from: Peer,
    /// Under which request.
    pub request: RequestId,
}

impl Shard {
    /// Locks keys and a range.
    pub(crate) fn lock_only(
        &mut self,
        now: Now,
        access: &Access,
        mode: ReadMode,
        (range, keys): (Option<KeyRange>, &Bytes),
        request: LockRequest,
        out: &mut Output,
    ) {
        let from = (request.from, request.request);
        let mode = lock_mode(mode);
        let targets = targets(keys, range, mode);
        let admitted = match &targets {
            Err(reason) => Err(reason.clone()),
            Ok(_) if access.wait == LockWait::Skip => Err(Reason::Malformed),
            Ok(targets) if !targets.iter().all(|(target, _)| self.may_own(target)) => {
                Err(Reason::StaleMap)
            }
            Ok(_) => self.admit(now, access, request.from),
        };
        let (Ok(targets), Ok(())) = (targets, &admitted) else {
            return self.refuse_access(access.txn, from, admitted, out);
        };
        let Some((targets, wait)) = self.willing(now, access, targets, from, out) else { return };
        let targets = targets.into_iter();
        if self.lock(now, access.into(), targets, wait, Purpose::Lock(request), out) {
            self.answer_lock(access.txn, &request, out);
        }
    }

    /// The locks are held: says so.
    pub(crate) fn answer_lock(&self, txn: TxnId, request: &LockRequest, out: &mut Output) {
        let incarnation = self.txns.get(&txn).map(|participant| participant.incarnation);
        out.send(request.from, request.request, DataReply::Granted { incarnation });
    }

    /// How long to wait for locks. `None` if the request is not willing to, and
    /// one of them is not free: then it is answered.
    pub(crate) fn willing(
        &self,
        now: Now,
        access: &Access,
        targets: Vec<(LockTarget, Mode)>,
        (from, request): (Peer, RequestId),
        out: &mut Output,
    ) -> Option<(Vec<(LockTarget, Mode)>, Duration)> {
        let millis = match access.wait {
            LockWait::Millis(millis) => millis,
            LockWait::No | LockWait::Skip => 0,
        };
        let asker = self.asker(now, access.into());
        let blocker =
            |(target, mode): &(LockTarget, Mode)| self.locks.blocker(asker, target, *mode);
        if access.wait == LockWait::No
            && let Some(holder) = targets.iter().find_map(blocker)
        {
            let incarnation = self.txns.get(&access.txn).map(|known| known.incarnation);
            out.send(from, request, DataReply::Locked { incarnation, holder });
            return None;
        }
        Some((targets, Duration::from_millis(u64::from(millis))))
    }

    /// Makes locks weaker, or drops them.
    pub(crate) fn take_back(
        &mut self,
        access: &Access,
        to: Option<ReadMode>,
        (range, keys): (Option<KeyRange>, &Bytes),
        out: &mut Output,
    ) {
        let Some(participant) = self.txns.get_mut(&access.txn) else { return };
        let late = access.returns < participant.returns && !mutated!(self, LateReturns);
        if !matches!(participant.stage, Stage::Active)
            || access.incarnation != Some(participant.incarnation)
            || late
        {
            return;
        }
        participant.returns = participant.returns.max(access.returns.saturating_add(1));
        let Ok(targets) = targets(keys, range, Mode::Shared) else { return };
        for (target, _) in targets {
            self.locks.downgrade(access.txn, &target, to.map(lock_mode), &mut self.granted);
        }
        if self.locks.is_waiting(access.txn) {
            self.settle(access.txn, &[], out);
        }
    }

    /// Whether the map allows that something of it is here.
    fn may_own(&self, target: &LockTarget) -> bool {
        match target {
            LockTarget::Key(key) => self.owns(key),
            LockTarget::Range(_) => true,
        }
    }
}

/// What keys and a range from outside mean.
fn targets(
    keys: &Bytes,
    range: Option<KeyRange>,
    mode: Mode,
) -> Result<Vec<(LockTarget, Mode)>, Reason> {
    let mut targets = Vec::new();
    for key in Keys::read(keys) {
        targets.push((LockTarget::Key(Key::from(key?)), mode));
        if targets.len() > limits::TXN_KEYS {
            return Err(Reason::TooLarge(Limit::TxnKeys));
        }
    }
    if range.as_ref().is_some_and(KeyRange::is_empty) {
        return Err(Reason::Malformed);
    }
    targets.extend(range.map(|range| (LockTarget::Range(range), mode)));
    Ok(targets)
}
