//! Loops of transactions, and what they cost.
//!
//! ```text
//!   bench process: N clients, one connection         c1   s1   s2   as processes
//!     fill ── warm up 2 s ── measure ── verify ──▶ latency, rate
//!               CPU, fsyncs, messages before and after ──▶ cost per transaction
//! ```
//!
//! A [`Workload`] draws [`Deed`]s, one for each transaction, which say what is read and
//! written, and nothing of how. A [`Session`] of a system does them: here that of Synod
//! ([`synod`]), in `bench/peers` those of what people use today, on the same keys and values.
//!
//! In a closed loop every client makes one transaction after the other, so the rate says how
//! many the whole machine manages, clients included; it slows down with what it measures, so
//! its percentiles say nothing of a fixed arrival rate. In an open loop ([`arrivals`])
//! transactions come at a rate, and how long they take is counted from when they came. All
//! clients share one thread and one connection per server, as the tasks of one program would.

mod alarm;
pub mod arrivals;
pub mod deed;
mod growth;
pub mod keyspace;
pub mod measure;
pub mod random;
mod report;
pub mod session;
pub mod smallbank;
pub mod synod;
mod workload;
pub mod ycsb;
pub mod zipf;

use std::time::Duration;

pub use deed::Deed;
pub use keyspace::Keyspace;
pub use report::{CommitCost, Report};
pub use session::Session;
pub use synod::{BenchOptions, Failover, FailoverBounds, FailoverOptions, Target, failover, run};
pub use workload::{BadWorkload, Workload};

/// Time before the measurement, for connections, caches and the allocator.
pub const WARM_UP: Duration = Duration::from_secs(2);
