//! The world outside the cores: files, threads, the network.
//!
//! ```text
//!   endpoint ── one UDP socket: accepts links, dials links
//!      │ tls, authority: who is who        limit: how many
//!      ▼
//!    link ── frames over one stream ──▶ inbox ──▶ host ──▶ node.handle
//!      ▲                                           │
//!      └────────────── handle ◀── sends ───────────┤
//!                                                  └─ records ─▶ sync::GroupCommit ─▶ log, files
//! ```
//!
//! [`server::serve`] puts these together for a server across a network, and dials:
//! whom the configuration names, and the neighbours that the node asks for. The
//! embedded store and the one-process cluster join hosts by
//! [`handle::HostHandle::connect_host`]. Everything of one host runs on one
//! current-thread runtime: that costs half the CPU of a multi-thread one. The
//! log has threads of its own.
//!
//! The only place with tokio, quinn and real files.

pub mod authority;
pub mod chaos;
pub mod close;
pub mod endpoint;
pub mod files;
pub mod folder;
pub mod handle;
pub mod host;
mod inbox;
mod limit;
pub mod link;
pub mod log;
mod neighbours;
pub mod recover;
mod reset;
pub mod runner;
pub mod server;
pub mod stats;
pub mod tls;

#[cfg(test)]
fn test_dir(name: &str) -> std::path::PathBuf {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(name);
    std::env::temp_dir().join(format!("synod-{name}-{random:016x}"))
}
