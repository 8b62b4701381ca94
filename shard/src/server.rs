//! The shard as a server: the core on a thread of its own, with its folder, its
//! log and its endpoint.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use synod_common::driver::chaos::Chaos;
use synod_common::driver::log::LogCounters;
use synod_common::driver::runner::{Place, Runner};
use synod_common::driver::server::Dial;
use synod_common::driver::stats;
use synod_common::id::Peer;

pub use synod_common::driver::runner::ServerError;

use crate::{Settings, Shard, Stats};

/// What a shard server needs to know.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// What the core needs to know.
    pub settings: Settings,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its data folder.
    pub data: PathBuf,
    /// The folder with its certificate.
    pub certs: PathBuf,
    /// Name of its certificate, such as `s1`.
    pub name: String,
    /// Size of a log segment in bytes.
    pub segment_bytes: u64,
    /// Where the coordinators of its settings are, each as `host:port`, in that order.
    pub coordinator_addresses: Vec<String>,
}

/// A shard server that runs.
#[derive(Debug)]
pub struct Server {
    runner: Runner,
    seen: Arc<Mutex<Seen>>,
}

/// What was last seen of the core.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    ready: bool,
    stats: Stats,
}

/// Counters of a server.
#[derive(Clone, Debug)]
pub struct ServerStatus {
    /// What the core has counted.
    pub core: Stats,
    /// What the driver has counted.
    pub net: Arc<stats::Stats>,
    /// What the log has counted.
    pub log: Arc<LogCounters>,
}

impl Server {
    /// Recovers and serves.
    ///
    /// # Errors
    /// If it can not start; the error is one line that says what to do.
    pub fn start(config: ServerConfig) -> Result<Server, ServerError> {
        let place = Place {
            name: config.name,
            cluster: config.settings.cluster,
            listen: config.listen,
            data: config.data,
            certs: config.certs,
            segment_bytes: config.segment_bytes,
            dials: std::iter::zip(&config.settings.coordinators, config.coordinator_addresses)
                .map(|(id, target)| Dial { target, peer: Peer::Coordinator(*id) })
                .collect(),
        };
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let shown = Arc::clone(&seen);
        let observe = move |core: &Shard| {
            *shown.lock() = Seen { ready: core.is_ready(), stats: core.stats() };
        };
        let settings = config.settings;
        let runner = Runner::start(move || Shard::new(settings.clone()), place, observe)?;
        Ok(Server { runner, seen })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.runner.address()
    }

    /// Whether it serves.
    pub fn is_ready(&self) -> bool {
        self.seen.lock().ready
    }

    /// Its counters.
    pub fn status(&self) -> ServerStatus {
        ServerStatus {
            core: self.seen.lock().stats,
            net: Arc::clone(self.runner.stats()),
            log: Arc::clone(self.runner.log()),
        }
    }

    /// The faults of its disk and its clock.
    pub fn chaos(&self) -> &Chaos {
        self.runner.chaos()
    }

    /// Waits until it has stopped by itself.
    pub async fn failed(&self) -> ServerError {
        self.runner.failed().await
    }

    /// Stops it: what was acknowledged is durable.
    ///
    /// # Errors
    /// If the log could not be closed properly.
    pub fn stop(self) -> Result<(), ServerError> {
        self.runner.stop()
    }
}
