//! Waiting for locks: requests that are queued, and what ends their wait.
//!
//! A request may need several locks; it goes on when it has them all. Its wait
//! ends with the last grant, with a time-out, or because its transaction is
//! aborted. A cycle of waits within the shard is looked for when a wait begins, and
//! when a request gets in front of those who wait: the only moments at which one can
//! close; see `deadlock`.

use std::collections::BTreeSet;
use std::time::Duration;

use synod_common::error::Reason;
use synod_common::id::TxnId;
use synod_common::limits::Limit;
use synod_common::message::DataReply;
use synod_common::node::Output;
use synod_common::time::{Mono, Now};

use crate::access::{ReadRequest, ScanRequest};
use crate::hold::LockRequest;
use crate::lock::{Acquired, LockTarget, Mode, Refused, Ticket};
use crate::shard::{Shard, Timer};
use crate::turn::Who;

/// Names a waiting request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitId(u64);

/// A request that waits.
#[derive(Clone, Debug)]
pub struct Wait {
    /// Whose it is.
    pub txn: TxnId,
    /// The locks that are missing.
    pub tickets: BTreeSet<Ticket>,
    /// When it began.
    pub since: Mono,
    purpose: Purpose,
}

/// What happens when all its locks are granted.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// Keys are read.
    Read(ReadRequest),
    /// A range is read.
    Scan(ScanRequest),
    /// The transaction votes.
    Prepare,
    /// Nothing further; who asked is told.
    Lock(LockRequest),
}

/// Why a lock is refused. Whoever asks for one is not prepared.
pub(crate) fn reason(txn: TxnId, refused: Refused) -> Reason {
    match refused {
        Refused::TxnFull(_) => Reason::TooLarge(Limit::TxnKeys),
        Refused::TableFull(_) => Reason::Overloaded,
        Refused::Pinned => panic!("{txn} is prepared and asked for a lock"),
    }
}

impl Shard {
    /// Takes locks for `txn`. True if all were granted at once; else the request
    /// waits and will be answered, or is refused together with its transaction.
    pub(crate) fn lock(
        &mut self,
        now: Now,
        who: Who,
        targets: impl Iterator<Item = (LockTarget, Mode)>,
        timeout: Duration,
        purpose: Purpose,
        out: &mut Output,
    ) -> bool {
        let mut tickets = BTreeSet::new();
        let mut refused = None;
        let mut overtaken = Vec::new();
        let txn = who.txn;
        for (target, mode) in targets {
            let asker = self.asker(now, who);
            if self.overtakes(asker, &target, mode) {
                overtaken.push(target.clone());
            }
            match self.locks.acquire(asker, target, mode, &mut self.granted) {
                Ok(Acquired::Granted) => {}
                Ok(Acquired::Waiting(ticket)) => {
                    tickets.insert(ticket);
                }
                Err(why) => refused = Some(reason(txn, why)),
            }
            if refused.is_some() {
                break;
            }
        }
        let alone = overtaken.is_empty() && !self.locks.is_waiting(txn);
        if tickets.is_empty() && refused.is_none() && alone {
            return true;
        }
        if refused.is_none() && self.waits.len() >= self.settings.max_waits {
            refused = Some(Reason::Overloaded);
        }
        self.last_wait += 1;
        let id = WaitId(self.last_wait);
        for ticket in &tickets {
            self.tickets.insert(*ticket, id);
        }
        self.waits.insert(id, Wait { txn, tickets, since: now.mono, purpose });
        if let Some(participant) = self.txns.get_mut(&txn) {
            participant.waits.insert(id);
        }
        match refused {
            Some(reason) => self.abort(txn, &reason, out),
            None => {
                self.timers.set(Timer::Wait(id), now.mono + timeout);
                self.settle(txn, &overtaken, out);
                self.see_that_reports_run(now.mono, out);
                if self.waits.get(&id).is_some_and(|wait| wait.tickets.is_empty()) {
                    self.end_wait(now, id, out);
                }
            }
        }
        false
    }

    /// Hands out the grants that releases have brought about.
    pub(crate) fn hand_out_grants(&mut self, now: Now, out: &mut Output) {
        while !self.granted.is_empty() {
            for grant in std::mem::take(&mut self.granted) {
                let Some(id) = self.tickets.remove(&grant.ticket) else { continue };
                let Some(wait) = self.waits.get_mut(&id) else { continue };
                wait.tickets.remove(&grant.ticket);
                if wait.tickets.is_empty() {
                    self.end_wait(now, id, out);
                }
            }
        }
    }

    fn end_wait(&mut self, now: Now, id: WaitId, out: &mut Output) {
        let Some(wait) = self.waits.remove(&id) else { return };
        self.timers.stop(Timer::Wait(id));
        if let Some(participant) = self.txns.get_mut(&wait.txn) {
            participant.waits.remove(&id);
        }
        match wait.purpose {
            Purpose::Read(request) => self.answer_read(wait.txn, &request, out),
            Purpose::Scan(request) => self.answer_scan(wait.txn, &request, out),
            Purpose::Prepare => self.vote(now, wait.txn, out),
            Purpose::Lock(request) => self.answer_lock(wait.txn, &request, out),
        }
    }

    /// A request waited as long as it was willing to.
    pub(crate) fn wait_timed_out(&mut self, id: WaitId, out: &mut Output) {
        if let Some(wait) = self.waits.get(&id) {
            self.stats.lock_timeouts += 1;
            self.abort(wait.txn, &Reason::LockTimeout, out);
        }
    }

    /// Refuses all requests of `txn` that wait.
    pub(crate) fn drop_waits(&mut self, txn: TxnId, reason: &Reason, out: &mut Output) {
        let Some(participant) = self.txns.get_mut(&txn) else { return };
        for id in std::mem::take(&mut participant.waits) {
            self.timers.stop(Timer::Wait(id));
            let Some(wait) = self.waits.remove(&id) else { continue };
            for ticket in wait.tickets {
                self.tickets.remove(&ticket);
                self.locks.cancel(ticket, &mut self.granted);
            }
            let (from, request) = match wait.purpose {
                Purpose::Read(ReadRequest { from, request, .. })
                | Purpose::Scan(ScanRequest { from, request, .. })
                | Purpose::Lock(LockRequest { from, request }) => (from, request),
                Purpose::Prepare => continue,
            };
            out.send(from, request, DataReply::Refused(reason.clone()));
        }
    }
}
