//! What the network tests share: certificates, servers, clients.
#![allow(dead_code)]

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use synod_common::driver::authority::Authority;
use synod_common::driver::close::{CloseCode, CloseReason, ConnectError};
use synod_common::driver::endpoint::{Endpoint, Expect, Settings};
use synod_common::driver::handle::{HostHandle, HostLimits};
use synod_common::driver::host::{Host, HostError};
use synod_common::driver::link::{Link, Sink};
use synod_common::driver::server::{Dial, serve};
use synod_common::driver::tls::{Identity, Role};
use synod_common::error::Corrupt;
use synod_common::id::{ClusterId, CoordinatorId, Epoch, Peer, RequestId, ShardId};
use synod_common::message::{CommitMessage, DataReply, DataRequest, Message};
use synod_common::node::{Event, Lsn, Node, Output, Recovered};
use synod_common::sync::GroupCommit;
use synod_common::time::{Now, Timestamp};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub const S1: Peer = Peer::Shard(ShardId(1));
pub const C1: Peer = Peer::Coordinator(CoordinatorId(1));

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with an authority, removed at the end.
pub struct Certs {
    pub dir: PathBuf,
    pub authority: Authority,
}

impl Certs {
    pub fn new() -> Certs {
        let random = RandomState::new().hash_one(0);
        let dir = std::env::temp_dir().join(format!("synod-net-{random:016x}"));
        let authority = Authority::create(&dir).unwrap();
        Certs { dir, authority }
    }

    pub fn issue(&self, role: Role, name: &str) -> Identity {
        self.authority.issue(role, name).unwrap();
        Identity::load(&self.dir, name).unwrap()
    }
}

impl Drop for Certs {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A node that is one function.
pub struct FnNode<F>(pub F);

impl<F: FnMut(Now, Event, &mut Output)> Node for FnNode<F> {
    fn recover(&mut self, _: Recovered<'_>) -> Result<(), Corrupt> {
        Ok(())
    }

    fn handle(&mut self, now: Now, event: Event, out: &mut Output) {
        (self.0)(now, event, out);
    }
}

/// Answers reads with their keys: snapshot reads at once, locking reads when
/// their record is durable.
pub fn echo(_: Now, event: Event, out: &mut Output) {
    let Event::Message { from, request, message: Message::DataRequest(message) } = event else {
        return;
    };
    match message {
        DataRequest::SnapshotRead { keys, .. } => out.send(from, request, values(&keys)),
        DataRequest::Status => {
            let lsn = out.force(&7u64);
            out.send_after(lsn, from, request, DataReply::Done);
        }
        _ => {}
    }
}

pub fn values(bytes: &[u8]) -> DataReply {
    DataReply::Values { incarnation: None, values: Bytes::copy_from_slice(bytes) }
}

pub fn read(bytes: &[u8]) -> Message {
    let keys = Bytes::copy_from_slice(bytes);
    DataRequest::SnapshotRead { at: Timestamp(1), map_epoch: 1, keys }.into()
}

/// What only a shard may say.
pub fn join() -> Message {
    CommitMessage::Join {
        cluster: ClusterId(1),
        epoch: Epoch(1),
        boot: true,
        nonce: 1,
        remembered: 0,
    }
    .into()
}

/// A server on a thread of its own.
pub struct Server {
    pub addr: SocketAddr,
    pub handle: HostHandle,
    pub log: Arc<GroupCommit>,
    thread: Option<JoinHandle<Result<(), HostError>>>,
}

/// How to start a server.
pub struct Setup {
    pub settings: Settings,
    pub limits: HostLimits,
    pub port: u16,
    pub dials: Vec<Dial>,
}

impl Default for Setup {
    fn default() -> Setup {
        let (settings, limits) = (Settings::default(), HostLimits::default());
        Setup { settings, limits, port: 0, dials: Vec::new() }
    }
}

impl Server {
    /// Its log has no thread: the test plays it, through `log`.
    pub fn start(
        identity: Identity,
        setup: Setup,
        node: impl FnMut(Now, Event, &mut Output) + Send + 'static,
    ) -> Server {
        Server::start_node(identity, setup, FnNode(node))
    }

    pub fn start_node(
        identity: Identity,
        setup: Setup,
        node: impl Node + Send + 'static,
    ) -> Server {
        let handle = HostHandle::new(setup.limits);
        let log = Arc::new(GroupCommit::new(Lsn(0), handle.waker()));
        let host = Host::new(node, log.clone(), handle.clone());
        let (ready, addr) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            block_on(async {
                let addr = SocketAddr::from(([127, 0, 0, 1], setup.port));
                let endpoint = Endpoint::bind(addr, identity, setup.settings).unwrap();
                ready.send(endpoint.local_addr().unwrap()).unwrap();
                serve(host, endpoint, setup.dials).await
            })
        });
        let addr = addr.recv().unwrap();
        Server { addr, handle, log, thread: Some(thread) }
    }

    pub fn echo(certs: &Certs, setup: Setup) -> Server {
        Server::start(certs.issue(Role::Shard, "s1"), setup, echo)
    }

    /// Waits for its end.
    pub fn join(mut self) -> Result<(), HostError> {
        self.thread.take().unwrap().join().unwrap()
    }

    /// Stops it.
    pub fn stop(self) -> Result<(), HostError> {
        self.handle.stop();
        self.join()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().unwrap().unwrap();
        }
    }
}

/// Runs a test's client side; nothing takes for ever.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it never happens")
}

/// A link with what came over it.
pub struct Client {
    pub link: Link,
    pub replies: UnboundedReceiver<(RequestId, Message)>,
    pub end: UnboundedReceiver<CloseReason>,
}

pub struct Collect {
    pub replies: tokio::sync::mpsc::UnboundedSender<(RequestId, Message)>,
    pub end: tokio::sync::mpsc::UnboundedSender<CloseReason>,
}

impl Sink for Collect {
    async fn deliver(
        &mut self,
        messages: &mut Vec<(RequestId, Message)>,
        _: usize,
    ) -> Result<(), CloseCode> {
        for message in messages.drain(..) {
            let _ = self.replies.send(message);
        }
        Ok(())
    }

    fn closed(&mut self, reason: CloseReason) {
        let _ = self.end.send(reason);
    }
}

impl Client {
    pub async fn dial(
        endpoint: &Endpoint,
        addr: impl ToString,
        expect: &Expect,
    ) -> Result<Client, ConnectError> {
        let (replies_in, replies) = unbounded_channel();
        let (end_in, end) = unbounded_channel();
        let sink = Collect { replies: replies_in, end: end_in };
        let link = endpoint.dial(&addr.to_string(), expect, sink).await?;
        Ok(Client { link, replies, end })
    }

    /// Connects to shard 1 with an endpoint of its own.
    pub async fn connect(identity: Identity, addr: SocketAddr) -> Result<Client, ConnectError> {
        let endpoint = Endpoint::client(identity, Settings::default()).unwrap();
        Client::dial(&endpoint, addr, &Expect::node(S1).unwrap()).await
    }

    pub async fn reply(&mut self) -> (RequestId, Message) {
        soon(self.replies.recv()).await.expect("the link is up")
    }

    /// Sends some bytes and has them back.
    pub async fn echo(&mut self, number: u64) {
        let bytes = number.to_le_bytes();
        self.link.send(RequestId(number), &read(&bytes)).unwrap();
        assert_eq!(self.reply().await, (RequestId(number), values(&bytes).into()));
    }

    pub async fn end(&mut self) -> CloseReason {
        soon(self.end.recv()).await.expect("the sink is told once")
    }
}
