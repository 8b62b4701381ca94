//! The session: the lease under which this client holds locks, the name space of
//! its transactions, and the shard map.
//!
//! A task on the side says every third of the time to live that the client is
//! alive, to the coordinator and to every shard that it has used, which of its
//! transactions are over, and which is the oldest of its snapshots. When the coordinator no
//! longer knows the session (it restarted, another one leads, or the client was silent for
//! too long), the next transaction opens another one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use synod_common::id::{Peer, SessionId, ShardId, TxnId};
use synod_common::message::{ClientReply, ClientRequest, DataRequest, Message};
use synod_common::route::Router;
use synod_common::time::Timestamp;

use crate::coordinators::Coordinators;
use crate::net::Net;

/// An open session.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) router: Router,
    net: Arc<dyn Net>,
    coordinators: Arc<Coordinators>,
    /// Who granted it. It means nothing to another one.
    coordinator: Peer,
    /// The newest timestamp seen, as the age of new transactions.
    newest: AtomicU64,
    lost: AtomicBool,
    names: Mutex<Names>,
    /// The snapshots that exist, by timestamp.
    pins: Mutex<BTreeMap<Timestamp, usize>>,
}

#[derive(Default)]
struct Names {
    last: u64,
    live: BTreeSet<u64>,
    used: BTreeSet<ShardId>,
}

impl Session {
    pub(crate) fn new(
        net: Arc<dyn Net>,
        (coordinators, coordinator): (Arc<Coordinators>, Peer),
        id: SessionId,
        router: Router,
        now: Timestamp,
    ) -> Arc<Session> {
        Arc::new(Session {
            id,
            router,
            net,
            coordinators,
            coordinator,
            newest: AtomicU64::new(now.0),
            lost: AtomicBool::new(false),
            names: Mutex::default(),
            pins: Mutex::default(),
        })
    }

    /// A name for a new transaction. It counts as live until [`Session::over`].
    pub(crate) fn name(&self) -> TxnId {
        let mut names = self.names.lock();
        names.last += 1;
        let sequence = names.last;
        names.live.insert(sequence);
        TxnId { session: self.id, sequence }
    }

    /// Nothing more will be sent for this transaction.
    pub(crate) fn over(&self, txn: TxnId) {
        self.names.lock().live.remove(&txn.sequence);
    }

    /// There is a snapshot; what it needs is kept while the session lives.
    pub(crate) fn pin(&self, at: Timestamp) {
        *self.pins.lock().entry(at).or_default() += 1;
    }

    /// A snapshot is gone.
    pub(crate) fn unpin(&self, at: Timestamp) {
        let mut pins = self.pins.lock();
        if let Some(count) = pins.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&at);
            }
        }
    }

    /// A shard will be sent something that it keeps for the session.
    pub(crate) fn use_shard(&self, shard: ShardId) {
        self.names.lock().used.insert(shard);
    }

    /// A commit at this timestamp was seen.
    pub(crate) fn saw(&self, at: Timestamp) {
        self.newest.fetch_max(at.0, Ordering::Relaxed);
    }

    /// The newest timestamp seen.
    pub(crate) fn newest(&self) -> Timestamp {
        Timestamp(self.newest.load(Ordering::Relaxed))
    }

    /// The coordinator does not know the session any more.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Whether another session is needed.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) || self.coordinators.is_past(self.id.epoch)
    }

    /// Keeps the session until it is dropped or lost.
    pub(crate) async fn keep_alive(session: Weak<Session>, pause: Duration) {
        loop {
            let Some(alive) = session.upgrade() else { return };
            if alive.is_lost() {
                return;
            }
            let reply = alive.heartbeat();
            let sleep = alive.net.sleep(pause);
            // While it sleeps, it must not keep the client alive.
            drop(alive);
            sleep.await;
            let refused = match reply.try_now() {
                Some(Ok(Message::ClientReply(ClientReply::Refused(_)))) => true,
                Some(_) | None => false,
            };
            if refused && let Some(alive) = session.upgrade() {
                alive.lose();
            }
        }
    }

    fn heartbeat(&self) -> crate::net::Reply {
        let (oldest, used) = {
            let names = self.names.lock();
            let oldest = names.live.first().copied().unwrap_or(names.last + 1);
            (oldest, names.used.clone())
        };
        let session = self.id;
        for shard in used {
            let message = DataRequest::Heartbeat { session, oldest };
            drop(self.net.request(Peer::Shard(shard), message.into()));
        }
        let pin = self.pins.lock().first_key_value().map(|(at, _)| *at);
        let message = match pin {
            Some(pin) => ClientRequest::Pinned { session, oldest, pin },
            None => ClientRequest::Heartbeat { session, oldest },
        };
        self.net.request(self.coordinator, message.into())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_lost() {
            let message = ClientRequest::CloseSession { session: self.id };
            drop(self.net.request(self.coordinator, message.into()));
        }
    }
}
