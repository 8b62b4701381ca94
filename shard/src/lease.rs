//! Leases: whose clients are alive, and which of their transactions are over.
//!
//! A session is known here from its first request on. Whatever is heard from it
//! extends the lease; heartbeats also say which of its transactions are over, so
//! that a request that comes late can not leave locks behind.

use std::collections::BTreeMap;
use std::time::Duration;

use synod_common::id::{SessionId, TxnId};
use synod_common::time::Mono;

/// The sessions that hold or held locks here.
#[derive(Clone, Debug)]
pub struct Leases {
    ttl: Duration,
    leases: BTreeMap<SessionId, Lease>,
}

#[derive(Clone, Debug, Default)]
struct Lease {
    heard: Mono,
    oldest: u64,
}

impl Leases {
    /// None yet; they lapse after `ttl` of silence.
    pub fn new(ttl: Duration) -> Leases {
        Leases { ttl, leases: BTreeMap::new() }
    }

    /// A request of `txn` came; false if the client said that it is over.
    pub fn touch(&mut self, txn: TxnId, now: Mono) -> bool {
        let lease = self.leases.entry(txn.session).or_default();
        lease.heard = lease.heard.max(now);
        txn.sequence >= lease.oldest
    }

    /// A heartbeat came; its transactions before `oldest` are over.
    pub fn heartbeat(&mut self, session: SessionId, oldest: u64, now: Mono) {
        let Some(lease) = self.leases.get_mut(&session) else { return };
        lease.heard = lease.heard.max(now);
        lease.oldest = lease.oldest.max(oldest);
    }

    /// Takes out the sessions that were silent for too long.
    pub fn lapse(&mut self, now: Mono) -> Vec<SessionId> {
        let ttl = self.ttl;
        let silent = |lease: &Lease| now.since(lease.heard) >= ttl;
        let lapsed: Vec<SessionId> =
            self.leases.iter().filter(|(_, lease)| silent(lease)).map(|(id, _)| *id).collect();
        for session in &lapsed {
            self.leases.remove(session);
        }
        lapsed
    }

    /// Whether the session is known.
    pub fn knows(&self, session: SessionId) -> bool {
        self.leases.contains_key(&session)
    }

    /// How many sessions are known.
    pub fn len(&self) -> usize {
        self.leases.len()
    }
}
