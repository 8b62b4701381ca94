//! The subcommands, one file each.

pub mod bench;
mod cert;
mod config;
mod coordinator;
mod deadlocks;
mod delete;
pub mod demo;
mod get;
mod later;
mod locks;
mod outcome;
mod put;
mod scan;
mod shard;
mod shell;
mod status;
mod txn;
mod up;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;
use synod_client::{Protocol, Reason};

pub use crate::config::Global;
pub use status::show as status;

/// The subcommands.
#[derive(clap::Subcommand)]
pub enum Command {
    /// See it work: a local cluster, money on the move, servers killed, nothing lost
    Demo(demo::Args),
    /// Run a local cluster in this process, until it is told to stop
    Up(up::Args),
    /// Run one coordinator
    Coordinator(coordinator::Args),
    /// Run one shard server
    Shard(shard::Args),
    /// Make a certificate authority, and certificates
    Cert(cert::Args),
    /// Type transactions, or run a script of them
    Shell(shell::Args),
    /// Print the value of a key
    Get(get::Args),
    /// Write a key
    Put(put::Args),
    /// Delete a key
    Delete(delete::Args),
    /// Print the keys of a range with their values
    Scan(scan::Args),
    /// Say what became of a transaction
    Outcome(outcome::Args),
    /// Show how the cluster is
    Status(status::Args),
    /// Measure throughput and latency
    Bench(bench::Args),
    /// Show the configuration
    Config(config::Args),
    /// Show how far transactions are, and what they wait for
    Txn(txn::Args),
    /// Show who holds which locks, and who waits for whom
    Locks(locks::Args),
    /// Show the last deadlocks
    Deadlocks(deadlocks::Args),
    /// Run sagas (not available in this version)
    #[command(hide = true)]
    Saga(later::Args),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// If it failed, or makes no sense ([`Usage`]).
    pub fn run(self, global: &Global) -> Result<ExitCode> {
        match self {
            Command::Demo(args) => demo::run(&args, global),
            Command::Up(args) => up::run(&args, global),
            Command::Coordinator(args) => coordinator::run(&args),
            Command::Shard(args) => shard::run(&args),
            Command::Cert(args) => cert::run(&args, global),
            Command::Shell(args) => shell::run(&args, global),
            Command::Get(args) => get::run(&args, global),
            Command::Put(args) => put::run(&args, global),
            Command::Delete(args) => delete::run(&args, global),
            Command::Scan(args) => scan::run(&args, global),
            Command::Outcome(args) => outcome::run(&args, global),
            Command::Status(args) => status::run(&args, global),
            Command::Bench(args) => bench::run(&args, global),
            Command::Config(args) => config::run(&args, global),
            Command::Txn(args) => txn::run(&args, global),
            Command::Locks(args) => locks::run(&args, global),
            Command::Deadlocks(args) => deadlocks::run(&args, global),
            Command::Saga(args) => later::run("saga", &args),
        }
    }
}

/// The command makes no sense as it was given: exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

impl Usage {
    /// From whatever says what is wrong.
    pub fn because(error: impl fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Usage(format!("{error:#}")))
    }

    /// Refuses a protocol that the cluster would refuse.
    pub fn check_protocol(protocol: Protocol, unsafe_classical_3pc: bool) -> Result<()> {
        if protocol == Protocol::ClassicalThreePhase && !unsafe_classical_3pc {
            return Err(Usage::because(Reason::UnsafeProtocol));
        }
        Ok(())
    }

    /// What is planned but not built.
    pub fn later(what: impl fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Usage(format!("{what}: not available in this version")))
    }
}
