//! A cluster inside the process: coordinator and shards on one thread, their
//! logs on theirs, messages by memory. Every shard is linked with the coordinator
//! and with every other shard, whether it asks for that or not.
//!
//! The cores, the log and the client's logic are those of a cluster; only the
//! links differ. So a program can begin with a folder and later move to servers
//! by changing the line that makes the client.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use synod_common::driver::handle::{HostHandle, HostLimits, LocalClient};
use synod_common::driver::host::Host;
use synod_common::driver::log::LogThread;
use synod_common::driver::recover::OpenLog;
use synod_common::driver::runner::{ServerError, open_log};
use synod_common::id::{ClusterId, CoordinatorId, Peer, RequestId, ShardId};
use synod_common::message::Message;
use synod_common::node::Node;
use synod_common::route::{Partition, Placement, ShardAddress};
use synod_common::time::Mono;
use synod_coordinator::Member;
use synod_shard::Shard;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::net::{BoxFuture, Net, Reply};
use crate::{Client, Error};

const SEGMENT_BYTES: u64 = 16 << 20;
const SHARDS: u16 = 2;
const COORDINATOR: CoordinatorId = CoordinatorId(1);

impl Client {
    /// A store in a folder of this machine, without any server. Made with two
    /// shards if it is new. One process at a time; it stops when the last clone
    /// of the client is dropped. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the folder is in use or can not be written,
    /// [`Error::Corrupt`] if it is damaged or not a store.
    pub async fn embedded(dir: impl AsRef<Path>) -> Result<Client, Error> {
        let net = Arc::new(MemoryNet::start(dir.as_ref())?);
        let client = Client::over(net, COORDINATOR);
        client.shared.session().await?;
        Ok(client)
    }
}

/// What the folder says about the cluster in it: its id and its shards.
fn identity(dir: &Path) -> Result<(ClusterId, u16), Error> {
    let unavailable = |error: std::io::Error| {
        Error::Unavailable(format!("can not use the folder {}: {error}", dir.display()))
    };
    let path = dir.join("embedded");
    match fs::read_to_string(&path) {
        Ok(text) => parse_identity(&text).ok_or_else(|| {
            Error::Corrupt(format!("{} does not describe an embedded store", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let half = || RandomState::new().hash_one(SystemTime::now());
            let cluster = ClusterId(u128::from(half()) << 64 | u128::from(half()));
            fs::create_dir_all(dir).map_err(unavailable)?;
            let text = format!("cluster {cluster}\nshards {SHARDS}\n");
            let temporary = dir.join("embedded.tmp");
            fs::write(&temporary, text).map_err(unavailable)?;
            fs::rename(&temporary, &path).map_err(unavailable)?;
            Ok((cluster, SHARDS))
        }
        Err(error) => Err(unavailable(error)),
    }
}

fn parse_identity(text: &str) -> Option<(ClusterId, u16)> {
    let mut lines = text.lines();
    let cluster = lines.next()?.strip_prefix("cluster ")?.parse().ok()?;
    let shards = lines.next()?.strip_prefix("shards ")?.parse().ok()?;
    (1..=256).contains(&shards).then_some((cluster, shards))
}

/// The world inside the process.
struct MemoryNet {
    links: BTreeMap<Peer, LocalClient>,
    pending: Arc<Pending>,
    hosts: Vec<HostHandle>,
    thread: Mutex<Option<JoinHandle<()>>>,
    runtime: Handle,
    origin: Instant,
    random: RandomState,
}

#[derive(Default)]
struct Pending {
    last: AtomicU64,
    /// None once a node has stopped: nothing is answered any more.
    replies: Mutex<Option<BTreeMap<RequestId, oneshot::Sender<Message>>>>,
}

impl Pending {
    fn new() -> Arc<Pending> {
        Arc::new(Pending { last: AtomicU64::new(0), replies: Mutex::new(Some(BTreeMap::new())) })
    }

    fn insert(&self, sender: oneshot::Sender<Message>) -> Option<RequestId> {
        let request = RequestId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        self.replies.lock().as_mut()?.insert(request, sender);
        Some(request)
    }

    fn remove(&self, request: RequestId) -> Option<oneshot::Sender<Message>> {
        self.replies.lock().as_mut()?.remove(&request)
    }

    fn close(&self) {
        // Dropping the senders answers the requests.
        drop(self.replies.lock().take());
    }
}

/// The hosts that one thread runs.
struct Hosts {
    dir: PathBuf,
    cluster: ClusterId,
    runtime: Runtime,
    running: Vec<tokio::task::JoinHandle<()>>,
    pending: Arc<Pending>,
    logs: Vec<LogThread>,
}

impl Hosts {
    /// Recovers a node and lets it run.
    fn add<N: Node + Send + 'static>(
        &mut self,
        name: &str,
        mut node: N,
    ) -> Result<HostHandle, Error> {
        let handle = HostHandle::new(HostLimits::default());
        let dir = self.dir.join(name);
        let opened = open_log(&mut node, name, self.cluster, &dir, SEGMENT_BYTES, &handle);
        let OpenLog { group, thread } = opened.map_err(|error| match error {
            ServerError::Recover { .. } => Error::Corrupt(error.to_string()),
            error => Error::Unavailable(error.to_string()),
        })?;
        self.logs.push(thread);
        let host = Host::new(node, group, handle.clone());
        let (name, pending) = (name.to_owned(), Arc::clone(&self.pending));
        self.running.push(self.runtime.spawn(async move {
            if let Err(error) = host.run().await {
                tracing::error!(node = name, %error, "stopped");
            }
            pending.close();
        }));
        Ok(handle)
    }

    /// Runs until all have stopped.
    fn run(self) {
        for running in self.running {
            let _ = self.runtime.block_on(running);
        }
        for log in self.logs {
            if let Err(error) = log.stop() {
                tracing::error!(%error, "the log was not closed properly");
            }
        }
    }
}

/// Makes all nodes of the store and lets them run.
fn open(dir: &Path, pending: Arc<Pending>) -> Result<(Hosts, BTreeMap<Peer, HostHandle>), Error> {
    let (cluster, shards) = identity(dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Unavailable(error.to_string()))?;
    let (running, logs) = (Vec::new(), Vec::new());
    let mut hosts = Hosts { dir: dir.to_owned(), cluster, runtime, running, pending, logs };
    let named =
        (1..=shards).map(|id| ShardAddress { id: ShardId(id), address: "embedded".to_owned() });
    let placement = Placement { epoch: 1, partition: Partition::Hash, shards: named.collect() };
    let settings = synod_coordinator::Settings::new(COORDINATOR, cluster, placement);
    let coordinator = hosts.add("c1", Member::new(settings))?;
    let you = Peer::Coordinator(COORDINATOR);
    let mut handles = BTreeMap::from([(you, coordinator.clone())]);
    for id in (1..=shards).map(ShardId) {
        let settings = synod_shard::Settings::new(id, cluster, &[COORDINATOR]);
        let shard = hosts.add(&id.to_string(), Shard::new(settings))?;
        shard.connect_host(Peer::Shard(id), &coordinator, you);
        for (other, host) in handles.range(Peer::Shard(ShardId(1))..) {
            shard.connect_host(Peer::Shard(id), host, *other);
        }
        handles.insert(Peer::Shard(id), shard);
    }
    Ok((hosts, handles))
}

impl MemoryNet {
    fn start(dir: &Path) -> Result<MemoryNet, Error> {
        let runtime = Handle::try_current()
            .map_err(|_| Error::Misuse("embedded must be called within a tokio runtime".into()))?;
        let (tell, told) = mpsc::sync_channel(1);
        let dir = dir.to_owned();
        let pending = Pending::new();
        let ours = Arc::clone(&pending);
        let thread = std::thread::Builder::new().name("synod-embedded".into()).spawn(move || {
            match open(&dir, ours) {
                Ok((hosts, handles)) => {
                    let _ = tell.send(Ok(handles));
                    hosts.run();
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
        });
        let thread = thread.map_err(|error| Error::Unavailable(error.to_string()))?;
        let handles = told
            .recv()
            .unwrap_or_else(|_| Err(Error::Unavailable("the store could not start".to_owned())))?;
        let connect = |handle: &HostHandle| {
            let pending = Arc::clone(&pending);
            handle.connect_client(move |request, message| {
                if let Some(reply) = pending.remove(request) {
                    let _ = reply.send(message);
                }
            })
        };
        let links = handles.iter().map(|(peer, handle)| (*peer, connect(handle))).collect();
        Ok(MemoryNet {
            links,
            pending,
            hosts: handles.into_values().collect(),
            thread: Mutex::new(Some(thread)),
            runtime,
            origin: Instant::now(),
            random: RandomState::new(),
        })
    }
}

impl Net for MemoryNet {
    fn request(&self, to: Peer, message: Message) -> Reply {
        let (sender, reply) = Reply::channel();
        let Some(link) = self.links.get(&to) else { return reply };
        let Some(request) = self.pending.insert(sender) else { return reply };
        if link.send(request, message).is_err() {
            self.pending.remove(request);
        }
        reply
    }

    fn tell(&self, to: Peer, message: Message) {
        if let Some(link) = self.links.get(&to) {
            // A lost message here is one that a lease makes good.
            let _ = link.send(RequestId(0), message);
        }
    }

    fn learn(&self, _peer: Peer, _address: &str) {}

    fn sleep(&self, time: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn now(&self) -> Mono {
        Mono(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn random(&self) -> u64 {
        self.random.hash_one(self.pending.last.fetch_add(1, Ordering::Relaxed))
    }

    fn spawn(&self, future: BoxFuture<()>) {
        self.runtime.spawn(future);
    }
}

impl Drop for MemoryNet {
    fn drop(&mut self) {
        for host in &self.hosts {
            host.stop();
        }
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}
