//! Synod beside the systems that people use today, on the same machine, in one run.
//!
//! ```text
//!   round 1   synod │ synod paxos │ postgres x 2 │ mariadb x 2 │ postgres │ etcd │ redis
//!   round 2   the same, begun with another one …
//!             └ fresh servers, keys, all cells one after the other, sums checked
//!   medians of the rounds ──▶ performance.md, performance.svg, performance.json
//! ```
//!
//! All systems see the same: 16-byte keys, 100-byte values, the same draws of them from the
//! same seeds, the same number of clients, an fsync before each answer. All clients of a
//! system run on one thread of one process, through the driver that its users would take, used
//! as it is fastest: statements are prepared, what need not wait is pipelined, connections are
//! shared where that helps. One meter counts for all: CPU of the whole machine, flushes of its
//! disks, bytes over loopback.
//!
//! *Deliberately absent*: any system tuned to be weaker, or without a disk; clusters that
//! replicate, as no server of Synod does; and machines of others, which nobody could check.

mod cell;
mod decisions;
mod etcd;
mod machine;
mod mariadb;
mod page;
mod plot;
mod postgres;
mod redis;
mod server;
mod system;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tokio::runtime::{Builder, LocalOptions};

use cell::{CELLS, Cell};
use page::{Comparison, Subject};
use system::{Size, System};

/// Measures Synod and its rivals, interleaved, and writes a page about it.
#[derive(Parser)]
struct Args {
    /// Where performance.md, performance.svg and performance.json go
    #[arg(long, default_value = "docs")]
    out: PathBuf,
    /// How often everything is measured; the page shows medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each cell is measured, after 2 s of warm-up
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many keys there are
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(200..))]
    keys: u32,
    /// Only these systems, by commas, named as in the tables
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,
    /// Only these workloads, by commas
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        tokio::select! {
            done = compare(&args) => done,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })
}

async fn compare(args: &Args) -> Result<()> {
    let systems: Vec<System> = chosen(&args.systems, &System::ALL, |system| system.about().name)?;
    let cells: Vec<Cell> = chosen(&args.workloads, &CELLS, |cell| cell.workload.name())?;
    // Before anything is measured: whatever is missing is missing now.
    let mut subjects = Vec::new();
    for system in &systems {
        subjects.push(Subject::of(*system, system.version().await?));
    }
    let size = Size { keys: args.keys, time: Duration::from_secs(args.seconds) };
    let mut rounds = Vec::new();
    for round in 0..args.rounds as usize {
        eprintln!("round {} of {}", round + 1, args.rounds);
        let mut rows = Vec::new();
        // Each round begins with another one, so that none always comes after the same.
        for n in 0..systems.len() {
            let system = systems[(n + round) % systems.len()];
            let own: Vec<Cell> = cells.iter().copied().filter(|cell| system.does(*cell)).collect();
            if own.is_empty() {
                continue;
            }
            let folder = tempfile::Builder::new().prefix("synod-compare-").tempdir()?;
            open_to_all(folder.path())?;
            let measured = system.measure(&own, size, folder.path()).await;
            rows.extend(measured.with_context(|| system.about().name.to_owned())?);
        }
        rounds.push(rows);
    }
    let comparison = Comparison { subjects, seconds: args.seconds, keys: args.keys, rounds };
    comparison.write(&args.out, &cells)
}

/// Servers that run as other users have to get in.
fn open_to_all(folder: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Those that were named, or all.
fn chosen<T: Copy>(names: &[String], all: &[T], name: fn(&T) -> &'static str) -> Result<Vec<T>> {
    for wanted in names {
        let known: Vec<&str> = all.iter().map(name).collect();
        ensure!(known.contains(&wanted.as_str()), "there is no {wanted}; there are {known:?}");
    }
    let is_chosen = |one: &T| names.is_empty() || names.iter().any(|wanted| wanted == name(one));
    Ok(all.iter().copied().filter(|one| is_chosen(one)).collect())
}
