//! Sessions: who may commit, and who has vanished.
//!
//! A session is a lease. Its client names its transactions by counting, and
//! says with every heartbeat below which number none will be committed any
//! more. What the coordinator must remember of a session is thereby bounded:
//! the transactions at or above that mark that must not be committed (again).
//!
//! ```text
//!   sequence  … 41 42 43 44 45 46 …
//!                    ▲  ×     ×          × : over (aborted, fenced)
//!                  oldest
//! ```
//!
//! A client that reads at a snapshot says so with its heartbeats: its oldest
//! snapshot is *pinned* as long as the session lives.
//!
//! Sessions are not durable: a restart begins a new epoch and ends them all.

use std::collections::BTreeMap;
use std::time::Duration;

use synod_common::error::Reason;
use synod_common::id::{Epoch, SessionId, TxnId};
use synod_common::time::{Mono, Timestamp};

/// Sequences over at once in one session, beyond which it is ended.
const MAX_OVER: usize = 100_000;

/// The open sessions.
#[derive(Clone, Debug)]
pub struct Sessions {
    ttl: Duration,
    last: u64,
    open: BTreeMap<SessionId, Session>,
}

#[derive(Clone, Debug)]
struct Session {
    heard: Mono,
    oldest: u64,
    over: BTreeMap<u64, Reason>,
    pin: Option<Timestamp>,
}

impl Sessions {
    /// None yet; they lapse after `ttl` of silence.
    pub fn new(ttl: Duration) -> Sessions {
        Sessions { ttl, last: 0, open: BTreeMap::new() }
    }

    /// Grants a session.
    pub fn open(&mut self, epoch: Epoch, now: Mono) -> SessionId {
        self.last += 1;
        let id = SessionId { epoch, number: self.last };
        self.open.insert(id, Session { heard: now, oldest: 0, over: BTreeMap::new(), pin: None });
        id
    }

    /// Whether there is or was such a session, in this `epoch` or before.
    pub fn was_granted(&self, id: SessionId, epoch: Epoch) -> bool {
        id.epoch < epoch || id.epoch == epoch && id.number <= self.last
    }

    /// Keeps a session; false if it is not open.
    pub fn heartbeat(
        &mut self,
        id: SessionId,
        oldest: u64,
        pin: Option<Timestamp>,
        now: Mono,
    ) -> bool {
        let Some(session) = self.open.get_mut(&id) else { return false };
        session.pin = pin;
        session.heard = now;
        session.oldest = session.oldest.max(oldest);
        session.over = session.over.split_off(&session.oldest);
        true
    }

    /// The snapshots that are needed, as far as their sessions live.
    pub fn pins(&self) -> impl Iterator<Item = (SessionId, Timestamp)> {
        self.open.iter().filter_map(|(id, session)| Some((*id, session.pin?)))
    }

    /// Ends a session.
    pub fn close(&mut self, id: SessionId) {
        self.open.remove(&id);
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether `txn` may be committed; if not, why.
    pub fn check(&self, txn: TxnId) -> Result<(), Reason> {
        let session = self.open.get(&txn.session).ok_or(Reason::SessionLost)?;
        if let Some(reason) = session.over.get(&txn.sequence) {
            return Err(reason.clone());
        }
        if txn.sequence < session.oldest { Err(Reason::Presumed) } else { Ok(()) }
    }

    /// Remembers that `txn` is over and must not be committed (again).
    pub fn over(&mut self, txn: TxnId, reason: Reason) {
        let Some(session) = self.open.get_mut(&txn.session) else { return };
        if txn.sequence >= session.oldest {
            session.over.entry(txn.sequence).or_insert(reason);
        }
        if session.over.len() > MAX_OVER {
            self.open.remove(&txn.session);
        }
    }

    /// Ends the sessions that were silent for too long.
    pub fn lapse(&mut self, now: Mono) -> usize {
        let before = self.open.len();
        self.open.retain(|_, session| now.since(session.heard) < self.ttl);
        before - self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_stays_over_within_bounds() {
        let mut sessions = Sessions::new(Duration::from_secs(1));
        let id = sessions.open(Epoch(1), Mono(0));
        let txn = |sequence| TxnId { session: id, sequence };
        assert_eq!(sessions.check(txn(5)), Ok(()));
        sessions.over(txn(5), Reason::Fenced);
        assert_eq!(sessions.check(txn(5)), Err(Reason::Fenced));
        assert!(sessions.heartbeat(id, 6, None, Mono(900_000)));
        assert_eq!(sessions.check(txn(5)), Err(Reason::Presumed));
        assert_eq!(sessions.check(txn(6)), Ok(()));
        assert_eq!(sessions.lapse(Mono(1_800_000)), 0);
        assert_eq!(sessions.lapse(Mono(1_900_000)), 1);
        assert_eq!(sessions.check(txn(6)), Err(Reason::SessionLost));
        assert!(!sessions.heartbeat(id, 7, None, Mono(1_900_000)));
    }
}
