//! The coordinator as a server: the core on a thread of its own, with its folder, its
//! log and its endpoint.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use synod_common::driver::chaos::Chaos;
use synod_common::driver::folder::{Folder, FolderError};
use synod_common::driver::log::LogCounters;
use synod_common::driver::runner::{Place, Runner};
use synod_common::driver::server::Dial;
use synod_common::driver::stats;
use synod_common::id::Peer;

pub use synod_common::driver::runner::ServerError;

use crate::{Member, Settings, Stats};

/// What a coordinator server needs to know.
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
    /// Name of its certificate, such as `c1`.
    pub name: String,
    /// Size of a log segment in bytes.
    pub segment_bytes: u64,
    /// How it may begin without its folder.
    pub empty: Empty,
}

/// What a member of a group does whose data folder is empty. It may have promised something
/// that it does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Empty {
    /// It does not start.
    #[default]
    Refused,
    /// It begins, as the whole group does.
    Founding,
    /// It comes back to a group that goes on, once that has told it enough.
    Rejoining,
}

/// A coordinator server that runs.
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
        check_folder(&config)?;
        let dials = dials(&config.settings);
        let place = Place {
            name: config.name,
            cluster: config.settings.cluster,
            listen: config.listen,
            data: config.data,
            certs: config.certs,
            segment_bytes: config.segment_bytes,
            dials,
        };
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let shown = Arc::clone(&seen);
        let (settings, data) = (config.settings, place.data.clone());
        let mut marked = settings.group.len() > 1 && Folder::rejoins(&data)?;
        let make = make(settings, marked.then(|| data.clone()));
        let observe = move |member: &Member| {
            *shown.lock() = Seen { ready: member.is_ready(), stats: member.stats() };
            if marked && !member.is_rejoining() {
                // If that fails, the next start finds out that it is back.
                marked = Folder::end_rejoin(&data).is_err();
            }
        };
        let runner = Runner::start(make, place, observe)?;
        Ok(Server { runner, seen })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.runner.address()
    }

    /// Whether it serves, and all shards have joined.
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

/// Makes a member, and makes it anew when it asks for that. If it has lost its folder, the
/// mark in there says when it is back.
fn make(settings: Settings, lost: Option<PathBuf>) -> impl FnMut() -> Member + Send {
    move || match lost.as_ref().map(|data| Folder::rejoins(data)) {
        None | Some(Ok(false)) => Member::new(settings.clone()),
        Some(Ok(true) | Err(_)) => Member::rejoining(settings.clone()),
    }
}

/// Whether a member has what it must not forget, or may begin without it.
fn check_folder(config: &ServerConfig) -> Result<(), FolderError> {
    let data = &config.data;
    if config.settings.group.len() <= 1 {
        return Ok(());
    }
    if config.empty == Empty::Rejoining {
        return Folder::begin_rejoin(data);
    }
    let may = config.empty == Empty::Founding;
    match may || Folder::is_marked(data)? || Folder::rejoins(data)? {
        true => Ok(()),
        false => Err(FolderError::Lost(data.clone())),
    }
}

/// The members that it keeps a link to: of two, the one with the larger number dials.
fn dials(settings: &Settings) -> Vec<Dial> {
    let smaller = settings.group.iter().filter(|member| member.id < settings.id);
    let dial = smaller
        .map(|member| Dial { target: member.address.clone(), peer: Peer::Coordinator(member.id) });
    dial.collect()
}
