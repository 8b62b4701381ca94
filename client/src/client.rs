//! The client: sessions, transactions, snapshots, outcomes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use synod_common::deadlock::Happened;
use synod_common::id::{CoordinatorId, Peer, ShardId, TxnId};
use synod_common::message::bulk::List;
use synod_common::message::client::{CoordinatorStatus, Outcome};
use synod_common::message::data::{LockPlace, LockRow, ShardStatus};
use synod_common::message::{ClientReply, ClientRequest, DataReply, DataRequest, Message};
use synod_common::route::Router;
use synod_common::time::Timestamp;

use crate::coordinators::Coordinators;
use crate::net::{self, Net};
use crate::retry::Patience;
use crate::session::Session;
use crate::timestamps::Timestamps;
use crate::{AsKey, Error, Options, Snapshot, Txn, Value, retry};

/// A connection to a cluster. Cheap to clone; clones share the session.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

/// What the clones of a client share.
pub(crate) struct Shared {
    pub(crate) net: Arc<dyn Net>,
    pub(crate) coordinators: Arc<Coordinators>,
    pub(crate) timestamps: Arc<Timestamps>,
    session: Mutex<Option<Arc<Session>>>,
    opening: tokio::sync::Mutex<()>,
    #[cfg(feature = "mutants")]
    pub(crate) mutant: Option<crate::Mutant>,
}

impl Client {
    /// A client in the given world. Programs use
    /// [`Client::connect`](Client::connect) or `Client::embedded`.
    pub fn over(net: Arc<dyn Net>, coordinator: CoordinatorId) -> Client {
        let coordinators = Coordinators::one(Arc::clone(&net), coordinator);
        Client::with(net, coordinators)
    }

    /// As [`Client::over`], where there is a group of coordinators, at these addresses. The
    /// world hears of them as c1, c2, …, in this order.
    pub fn over_group(net: Arc<dyn Net>, addresses: impl IntoIterator<Item = String>) -> Client {
        let coordinators = Coordinators::at(Arc::clone(&net), addresses);
        Client::with(net, coordinators)
    }

    fn with(net: Arc<dyn Net>, coordinators: Arc<Coordinators>) -> Client {
        let timestamps = Timestamps::new(Arc::clone(&net), Arc::clone(&coordinators));
        let session = Mutex::new(None);
        let opening = tokio::sync::Mutex::new(());
        let shared = Shared {
            net,
            coordinators,
            timestamps,
            session,
            opening,
            #[cfg(feature = "mutants")]
            mutant: None,
        };
        Client { shared: Arc::new(shared) }
    }

    /// With a deliberate bug, if nobody shares it yet.
    #[cfg(feature = "mutants")]
    pub fn mutated(mut self, mutant: Option<crate::Mutant>) -> Client {
        let shared = Arc::get_mut(&mut self.shared).expect("it is not shared yet");
        shared.mutant = mutant;
        self
    }

    /// Runs `work` as a transaction and commits it. If it is aborted and may be
    /// tried again, it is: `work` runs once per try, each time from the start.
    /// It is an `async |tx| …` closure; where it changes what is outside,
    /// `|tx| { …; async move { … } }`.
    ///
    /// # Errors
    /// What `work` returns, and what [`Txn::commit`] does. [`Error::Aborted`]
    /// says after how many tries it gave up, and why the last one failed.
    pub async fn transact<T, W>(&self, work: impl FnMut(Txn) -> W) -> Result<T, Error>
    where
        W: Future<Output = Result<T, Error>>,
    {
        self.transact_with(Options::default(), work).await
    }

    /// As [`Client::transact`], with options.
    ///
    /// # Errors
    /// As [`Client::transact`].
    pub async fn transact_with<T, W>(
        &self,
        options: Options,
        mut work: impl FnMut(Txn) -> W,
    ) -> Result<T, Error>
    where
        W: Future<Output = Result<T, Error>>,
    {
        let began = self.shared.net.now();
        let mut age = None;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let result = match self.begin_aged(options.clone(), age).await {
                Ok(txn) => {
                    age = Some(txn.age());
                    match work(txn.share()).await {
                        Ok(value) => txn.commit().await.map(|_| value),
                        Err(error) => {
                            // Whoever kept a handle can do no more with it.
                            txn.abort();
                            Err(error)
                        }
                    }
                }
                Err(error) => Err(error),
            };
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let spent = self.shared.net.now().since(began) >= options.timeout;
            if !retry::is_worth_it(&error) {
                return Err(error);
            }
            if spent || attempts >= options.attempts {
                return Err(match error {
                    Error::Retry(refusal) => Error::Aborted(crate::Refusal { attempts, ..refusal }),
                    error => error,
                });
            }
            let pause = retry::pause(attempts, self.shared.net.random());
            self.shared.net.sleep(pause).await;
        }
    }

    /// Begins a transaction. It ends with [`Txn::commit`] or [`Txn::abort`], or
    /// is aborted when it is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no session can be had.
    pub async fn begin(&self, options: Options) -> Result<Txn, Error> {
        self.begin_aged(options, None).await
    }

    async fn begin_aged(&self, options: Options, age: Option<Timestamp>) -> Result<Txn, Error> {
        let session = self.shared.session().await?;
        Ok(Txn::new(Arc::clone(&self.shared), session, options, age))
    }

    /// Reads one key, strictly serializably, without locks.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or [`Error::TooLarge`] for a bad key.
    pub async fn get(&self, key: impl AsKey) -> Result<Value, Error> {
        self.snapshot().await?.get(key).await
    }

    /// Writes one key.
    ///
    /// # Errors
    /// As [`Client::transact`].
    pub async fn put(&self, key: impl AsKey, value: &impl Serialize) -> Result<(), Error> {
        let key = key.as_key();
        self.transact(async |tx| tx.put(&key, value)).await
    }

    /// Writes one key with a value as it is.
    ///
    /// # Errors
    /// As [`Client::transact`].
    pub async fn put_bytes(&self, key: impl AsKey, value: impl Into<Bytes>) -> Result<(), Error> {
        let (key, value) = (key.as_key(), value.into());
        self.transact(async |tx| tx.put_bytes(&key, value.clone())).await
    }

    /// Deletes one key.
    ///
    /// # Errors
    /// As [`Client::transact`].
    pub async fn delete(&self, key: impl AsKey) -> Result<(), Error> {
        let key = key.as_key();
        self.transact(async |tx| tx.delete(&key)).await
    }

    /// Adds to an integer cell; see [`Txn::add`].
    ///
    /// # Errors
    /// As [`Client::transact`], and [`Error::Misuse`] if the value is no integer
    /// cell.
    pub async fn add(&self, key: impl AsKey, n: i64) -> Result<(), Error> {
        let key = key.as_key();
        self.transact(async |tx| tx.add(&key, n)).await
    }

    /// A snapshot of now: it contains every transaction that was committed before
    /// this call, and blocks no writer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the coordinator can not be reached.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let session = self.shared.session().await?;
        self.shared.fresh_snapshot(&session).await
    }

    /// A snapshot of the past, as far as versions are kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the coordinator can not be reached. A timestamp
    /// that is too old or lies in the future shows when it is read.
    pub async fn snapshot_at(&self, at: Timestamp) -> Result<Snapshot, Error> {
        let session = self.shared.session().await?;
        Ok(Snapshot::new(Arc::clone(&self.shared), session, at))
    }

    /// What became of a transaction. If no commit of it is in progress, asking
    /// makes sure that it never commits.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the coordinator can not be reached.
    pub async fn outcome(&self, txn: TxnId) -> Result<Outcome, Error> {
        let mut patience = Patience::new(&self.shared);
        loop {
            match self.shared.outcome(txn).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => patience.after(error).await?,
            }
        }
    }

    /// Ends the session and tells the servers that this client is gone, for all
    /// its clones. Dropping the last clone does the same in the background, which
    /// a program that exits at once does not wait for.
    pub async fn close(self) {
        drop(self.shared.session.lock().take());
        self.shared.coordinators.close();
        self.shared.net.close().await;
    }

    /// How the coordinator that leads sees the cluster.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can not be reached.
    pub async fn status(&self) -> Result<CoordinatorStatus, Error> {
        status_in(self.shared.ask_patiently(ClientRequest::Status).await?)
    }

    /// How the coordinator at an address (`host:port`) sees itself and its group, whether
    /// it leads or not.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can not be reached.
    pub async fn coordinator_status(&self, address: &str) -> Result<CoordinatorStatus, Error> {
        let coordinators = &self.shared.coordinators;
        let one = coordinators.named(address);
        let one = one.ok_or_else(|| Error::Misuse("too many coordinators".to_owned()))?;
        let mut reply = coordinators.ask_one(one, ClientRequest::Status).await;
        if reply.is_err() {
            // Its link may just have been closed because another one leads.
            reply = coordinators.ask_one(one, ClientRequest::Status).await;
        }
        status_in(reply?)
    }

    /// How a shard is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can not be reached.
    pub async fn shard_status(&self, shard: ShardId) -> Result<ShardStatus, Error> {
        let to = Peer::Shard(shard);
        let reply = self.shared.net.request(to, DataRequest::Status.into()).await;
        match reply.map_err(|_| self.shared.unreachable(to))? {
            Message::DataReply(DataReply::Status(status)) => Ok(status),
            _ => Err(Error::protocol()),
        }
    }

    /// Who holds which locks on a shard and who waits for them, page by page:
    /// `after` is where the last page ended. `contended` leaves out what nobody
    /// waits for; `limit` bounds the keys and ranges, zero asks for a whole page.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can not be reached.
    pub async fn locks(
        &self,
        shard: ShardId,
        after: Option<LockPlace>,
        contended: bool,
        limit: u32,
    ) -> Result<LockPage, Error> {
        let to = Peer::Shard(shard);
        let request = DataRequest::Locks { after, contended, limit };
        let reply = self.shared.net.request(to, request.into()).await;
        match reply.map_err(|_| self.shared.unreachable(to))? {
            Message::DataReply(DataReply::Locks { resume, locks }) => {
                let rows: Result<_, _> = List::read(&locks).collect();
                Ok(LockPage { rows: rows.map_err(|_| Error::protocol())?, resume })
            }
            _ => Err(Error::protocol()),
        }
    }

    /// The last deadlocks that were broken, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the coordinator can not be reached.
    pub async fn deadlocks(&self) -> Result<Vec<Happened>, Error> {
        match self.shared.ask_patiently(ClientRequest::Deadlocks).await? {
            ClientReply::Deadlocks { list } => {
                let list: Result<_, _> = List::read(&list).collect();
                list.map_err(|_| Error::protocol())
            }
            _ => Err(Error::protocol()),
        }
    }
}

fn status_in(reply: ClientReply) -> Result<CoordinatorStatus, Error> {
    match reply {
        ClientReply::Status(status) => Ok(status),
        ClientReply::Refused(reason) => Err(Error::from_reason(reason, None)),
        _ => Err(Error::protocol()),
    }
}

/// A page of a shard's locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockPage {
    /// Keys in order, then ranges.
    pub rows: Vec<LockRow>,
    /// Behind what the next page begins, if there is more.
    pub resume: Option<LockPlace>,
}

impl Shared {
    /// A snapshot at a timestamp that is drawn after this call.
    pub(crate) async fn fresh_snapshot(
        self: &Arc<Shared>,
        session: &Arc<Session>,
    ) -> Result<Snapshot, Error> {
        let mut patience = Patience::new(self);
        let at = loop {
            match self.timestamps.fresh().await {
                Ok(at) => break at,
                Err(error) => patience.after(error).await?,
            }
        };
        session.saw(at);
        Ok(Snapshot::new(Arc::clone(self), Arc::clone(session), at))
    }

    /// The open session, or a new one.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.current() {
            return Ok(session);
        }
        let _turn = self.opening.lock().await;
        if let Some(session) = self.current() {
            return Ok(session);
        }
        let mut patience = Patience::new(self);
        let session = loop {
            match self.open_session().await {
                Ok(session) => break session,
                Err(error) => patience.after(error).await?,
            }
        };
        *self.session.lock() = Some(Arc::clone(&session));
        Ok(session)
    }

    fn current(&self) -> Option<Arc<Session>> {
        self.session.lock().as_ref().filter(|session| !session.is_lost()).cloned()
    }

    async fn open_session(&self) -> Result<Arc<Session>, Error> {
        let (granter, reply) = self.coordinators.ask(ClientRequest::OpenSession).await?;
        let ClientReply::SessionOpened { session, ttl_ms, now, placement } = reply else {
            return Err(Error::protocol());
        };
        self.coordinators.granted(granter, session.epoch);
        for shard in &placement.shards {
            self.net.learn(Peer::Shard(shard.id), &shard.address);
        }
        let router = Router::new(placement).map_err(|bad| Error::Corrupt(bad.to_string()))?;
        let net = Arc::clone(&self.net);
        let by = (Arc::clone(&self.coordinators), granter);
        let session = Session::new(net, by, session, router, now);
        let pause = Duration::from_millis(u64::from(ttl_ms / 3).max(1));
        self.net.spawn(Box::pin(Session::keep_alive(Arc::downgrade(&session), pause)));
        Ok(session)
    }

    /// Opens the session, patient only with a server that is still starting.
    pub(crate) async fn session_at_once(&self) -> Result<(), Error> {
        let mut patience = Patience::new(self);
        let session = loop {
            match self.open_session().await {
                Ok(session) => break session,
                Err(error @ Error::Retry(_)) => patience.after(error).await?,
                Err(error) => return Err(error),
            }
        };
        *self.session.lock() = Some(session);
        Ok(())
    }

    /// Why a server did not answer.
    pub(crate) fn unreachable(&self, peer: Peer) -> Error {
        net::unreachable(&*self.net, peer)
    }

    /// Asks the coordinator that leads, patient only while none does. A refusal is an error.
    pub(crate) async fn ask_patiently(&self, request: ClientRequest) -> Result<ClientReply, Error> {
        let mut patience = Patience::new(self);
        loop {
            match self.coordinators.ask(request.clone()).await {
                Ok((_, reply)) => return Ok(reply),
                Err(error) if retry::is_leaderless(&error) => patience.after(error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for an outcome once.
    pub(crate) async fn outcome(&self, txn: TxnId) -> Result<Outcome, Error> {
        match self.coordinators.ask(ClientRequest::Outcome { txn }).await? {
            (_, ClientReply::Outcome(outcome)) => Ok(outcome),
            _ => Err(Error::protocol()),
        }
    }
}
