//! Clusters of real processes on this machine, to be measured and broken.
//!
//! ```text
//!   dir/certs/   ca.pem c1.pem s1.pem … client.pem     made at the start
//!   dir/c1.toml  dir/c1/   its configuration and its data folder
//!   dir/c1.err   what it said on stderr, shown when something fails
//! ```
//!
//! A kill is SIGKILL: the process gets no chance to write anything. Nothing
//! outlives the cluster: whoever drops it ends its processes and, unless the
//! folder was chosen by the caller, removes its files.
//!
//! On request, all that servers and clients say to each other goes through [`Links`],
//! which can be cut and spoiled by a proxy, or, with root, cut by the kernel between network
//! namespaces.

mod bin;
mod config;
mod folder;
mod links;
mod local;
mod node;
mod ports;
mod process;
mod scrape;

pub use bin::find_bin;
pub use folder::Folder;
pub use links::{Counts, Links, Partition, Party, Rule, Shape, probe_namespaces};
pub use local::{CLIENT, ClusterOptions, LocalCluster, Medium};
pub use node::NodeName;
pub use process::{Condition, Usage};
pub use scrape::Metrics;
