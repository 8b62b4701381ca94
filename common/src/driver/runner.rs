//! A server: a node with its folder, its log and its endpoint, on a thread of
//! its own.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::chaos::Chaos;
use super::endpoint::{BindError, Endpoint, Settings};
use super::folder::{Folder, FolderError};
use super::handle::{HostHandle, HostLimits};
use super::host::{Host, HostError, Remake};
use super::log::{LogCounters, LogThread};
use super::recover::{OpenLog, RecoverError, recover};
use super::server::{Dial, serve};
use super::stats::Stats;
use super::tls::{CertError, Identity};
use crate::id::ClusterId;
use crate::node::Node;
use crate::sync::{GroupCommit, Pace};
use crate::wal;

/// Where a server lives and whom it dials.
#[derive(Clone, Debug)]
pub struct Place {
    /// Name of the node, such as `s1`; also of its certificate.
    pub name: String,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its data folder.
    pub data: PathBuf,
    /// The folder with its certificate.
    pub certs: PathBuf,
    /// Size of a log segment in bytes.
    pub segment_bytes: u64,
    /// Servers that it keeps a link to.
    pub dials: Vec<Dial>,
}

/// A server can not start, or had to stop. One line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its data folder can not be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its log or checkpoint is damaged or unreadable.
    #[error("{name} can not start from its data folder: {error}")]
    Recover {
        /// Which server.
        name: String,
        /// Why.
        error: RecoverError,
    },
    /// Its certificate can not be used.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// Its address can not be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It had to stop.
    #[error("{name} has stopped: {error}")]
    Stopped {
        /// Which server.
        name: String,
        /// Why.
        error: String,
    },
    /// The system gives no thread.
    #[error("can not start a thread: {0}")]
    Thread(io::Error),
}

/// A server that runs.
#[derive(Debug)]
pub struct Runner {
    name: String,
    address: SocketAddr,
    handle: HostHandle,
    log: Arc<LogCounters>,
    ended: watch::Receiver<Option<String>>,
    thread: thread::JoinHandle<Result<(), ServerError>>,
}

struct Started {
    address: SocketAddr,
    handle: HostHandle,
    log: Arc<LogCounters>,
}

impl Runner {
    /// Recovers a node from its folder and serves. `make` makes one that knows nothing, at
    /// the start and when it asks to be made anew. `observe` sees the node after every
    /// batch, and must be quick.
    ///
    /// # Errors
    /// If it can not start; nothing was changed then but what recovery repairs.
    pub fn start<N: Node + Send + 'static>(
        make: impl FnMut() -> N + Send + 'static,
        place: Place,
        observe: impl FnMut(&N) + Send + 'static,
    ) -> Result<Runner, ServerError> {
        let (tell, told) = mpsc::sync_channel(1);
        let (ending, ended) = watch::channel(None);
        let name = place.name.clone();
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                let result = run(make, &place, Box::new(observe), &tell);
                let error = result.as_ref().err().map(|error| match error {
                    ServerError::Stopped { error, .. } => error.clone(),
                    error => error.to_string(),
                });
                ending.send_replace(Some(error.unwrap_or_default()));
                result
            })
            .map_err(ServerError::Thread)?;
        match told.recv() {
            Ok(Started { address, handle, log }) => {
                Ok(Runner { name, address, handle, log, ended, thread })
            }
            Err(_) => match join(&name, thread) {
                Ok(()) => Err(stopped(&name, "it ended before it started")),
                Err(error) => Err(error),
            },
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the driver has counted.
    pub fn stats(&self) -> &Arc<Stats> {
        self.handle.stats()
    }

    /// The faults of its disk and its clock.
    pub fn chaos(&self) -> &Chaos {
        self.handle.chaos()
    }

    /// What the log has counted.
    pub fn log(&self) -> &Arc<LogCounters> {
        &self.log
    }

    /// Waits until the server has stopped by itself.
    pub async fn failed(&self) -> ServerError {
        let mut ended = self.ended.clone();
        let why = match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "its thread is gone".to_owned(),
        };
        stopped(&self.name, &why)
    }

    /// Stops it: what was acknowledged is durable, links are closed.
    ///
    /// # Errors
    /// If the log could not be closed properly.
    pub fn stop(self) -> Result<(), ServerError> {
        self.handle.stop();
        join(&self.name, self.thread)
    }
}

fn stopped(name: &str, error: &str) -> ServerError {
    ServerError::Stopped { name: name.to_owned(), error: error.to_owned() }
}

fn join(
    name: &str,
    thread: thread::JoinHandle<Result<(), ServerError>>,
) -> Result<(), ServerError> {
    thread.join().unwrap_or_else(|_| Err(stopped(name, "its thread panicked; this is a bug")))
}

/// What looks at a node after every batch.
pub type Observe<N> = Box<dyn FnMut(&N) + Send>;

fn run<N: Node + Send + 'static>(
    make: impl FnMut() -> N + Send + 'static,
    place: &Place,
    observe: Observe<N>,
    tell: &mpsc::SyncSender<Started>,
) -> Result<(), ServerError> {
    let identity = Identity::load(&place.certs, &place.name)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ServerError::Thread)?;
    let _inside = runtime.enter();
    let endpoint = Endpoint::bind(place.listen, identity, Settings::default())?;
    let address = endpoint.local_addr().unwrap_or(place.listen);
    let handle = HostHandle::new(HostLimits::default());
    let (mut opener, log) = (Opener::new(make, place.clone(), handle.clone()), handle.log());
    let (node, group) = opener.open()?;
    let thread = Arc::clone(&opener.thread);
    let host = Host::new(node, group, handle.clone()).observed(observe).remade(opener.remake());
    let _ = tell.send(Started { address, handle, log });
    let served = runtime.block_on(serve(host, endpoint, place.dials.clone()));
    let thread = thread.lock().take();
    let closed = thread.map_or(Ok(()), LogThread::stop);
    served.map_err(|error: HostError| stopped(&place.name, &error.to_string()))?;
    closed.map_err(|error| stopped(&place.name, &error.to_string()))
}

/// Opens a node's folder, again and again.
struct Opener<M> {
    make: M,
    place: Place,
    handle: HostHandle,
    /// Of the log that is open.
    thread: Arc<Mutex<Option<LogThread>>>,
}

impl<M> Opener<M> {
    fn new(make: M, place: Place, handle: HostHandle) -> Opener<M> {
        Opener { make, place, handle, thread: Arc::default() }
    }

    fn open<N: Node>(&mut self) -> Result<(N, Arc<GroupCommit>), ServerError>
    where
        M: FnMut() -> N,
    {
        let Place { name, cluster, data, segment_bytes, .. } = &self.place;
        let mut node = (self.make)();
        let open = open_log(&mut node, name, *cluster, data, *segment_bytes, &self.handle)?;
        *self.thread.lock() = Some(open.thread);
        Ok((node, open.group))
    }

    fn remake<N: Node>(mut self) -> Remake<N>
    where
        M: FnMut() -> N + Send + 'static,
    {
        Box::new(move || {
            let failed = |error: &dyn std::fmt::Display| HostError::Log(error.to_string());
            let thread = self.thread.lock().take();
            thread.map_or(Ok(()), LogThread::stop).map_err(|error| failed(&error))?;
            self.open().map_err(|error| failed(&error))
        })
    }
}

/// Opens the folder of a node and recovers the node from it. `handle` is the one
/// that its host will be made with.
///
/// # Errors
/// If the folder is not this node's, or damaged.
pub fn open_log(
    node: &mut impl Node,
    name: &str,
    cluster: ClusterId,
    data: &Path,
    segment_bytes: u64,
    handle: &HostHandle,
) -> Result<OpenLog, ServerError> {
    let identity = wal::Identity { cluster, node: name.to_owned() };
    let (folder, files) = Folder::open(data, &identity)?;
    let files = files.under(handle.chaos());
    let options = wal::Options { segment_bytes };
    let opened = recover(node, files, identity, options, Pace::default(), handle);
    let opened = opened.map_err(|error| ServerError::Recover { name: name.to_owned(), error })?;
    folder.mark()?;
    Ok(opened)
}
