//! What a run is to be.

use std::path::PathBuf;
use std::time::Duration;

use synod_client::{Isolation, Protocol};

use crate::nemesis::Nemesis;

/// What a run is to be. The same settings make the same operations and the same faults;
/// their timing is the machine's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One of [`WORKLOADS`](crate::workload::WORKLOADS).
    pub workload: String,
    /// What is done to the cluster meanwhile.
    pub nemeses: Vec<Nemesis>,
    /// How long operations are begun.
    pub length: Duration,
    /// From which all is drawn.
    pub seed: u64,
    /// Where the history goes, and what is reported of it.
    pub out: PathBuf,
    /// How transactions are isolated.
    pub isolation: Isolation,
    /// How they are committed.
    pub protocol: Protocol,
    /// How many shards.
    pub shards: u16,
    /// How many coordinators.
    pub coordinators: u16,
    /// How many clients, each with one operation at a time.
    pub clients: u16,
    /// How many operations a second are begun at most; the workload's own if none is given.
    pub rate: Option<f64>,
    /// A deliberate bug of all coordinators, and one of all shards, in servers built for that.
    pub bugs: [Option<String>; 2],
    /// The `synod` executable, if it is not the one beside this.
    pub bin: Option<PathBuf>,
}
