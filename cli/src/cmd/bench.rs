//! `synod bench`.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use synod_cli::bench::{self, BenchOptions, Target, Workload};
use synod_cli::runtime;
use synod_client::Scheme;

use super::{Global, Usage};
use crate::config::Config;

#[derive(clap::Args)]
pub struct Args {
    /// transfer, put, get, rmw-hot, snapshot10, scan100, commit, counter, counter-rmw,
    /// load or deadlock
    workload: Workload,
    /// Clients at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// How long to measure, after 2 s of warm-up
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Commit protocol
    #[arg(long, default_value = "2pc")]
    protocol: String,
    /// How the cluster of the benchmark deals with deadlocks: graph, probes, wound-wait or
    /// wait-die
    #[arg(long, value_name = "SCHEME", default_value_t, conflicts_with_all = ["url", "embedded"])]
    deadlock_handling: Scheme,
    /// Without servers: coordinator and shards in this process
    #[arg(long, conflicts_with = "url")]
    embedded: bool,
    /// How many keys there are [default: 100,000; 1,000,000 for `load`]
    #[arg(long, value_parser = clap::value_parser!(u32).range(200..=100_000_000))]
    keys: Option<u32>,
    /// For `commit`: how many shards take part
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    participants: u16,
}

const KEYS: u32 = 100_000;
const MANY_KEYS: u32 = 1_000_000;

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    if !matches!(args.protocol.as_str(), "2pc" | "auto") {
        return Err(Usage::later(format!("bench --protocol {}", args.protocol)));
    }
    let workload = match args.workload {
        Workload::Commit(_) => Workload::Commit(args.participants),
        other => other,
    };
    let keys = if workload == Workload::Load { MANY_KEYS } else { KEYS };
    let options = BenchOptions {
        workload,
        clients: args.clients,
        seconds: args.seconds,
        keys: args.keys.unwrap_or(keys),
        target: target(args, global)?,
        progress: std::io::stderr().is_terminal(),
    };
    let report = runtime::block_on(async {
        tokio::select! {
            report = bench::run(&options) => report,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })??;
    if global.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    if !report.sum_ok {
        eprintln!("synod: the keys do not hold what they must: money was made or lost");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// A cluster of its own, unless the flag names another one. The environment does
/// not: a benchmark writes.
fn target(args: &Args, global: &Global) -> Result<Target> {
    if args.embedded {
        return Ok(Target::Embedded);
    }
    if global.url.is_none() {
        return Ok(Target::Own { deadlocks: args.deadlock_handling });
    }
    let config = Config::load(global)?;
    let certs = config.certs.value.context("--url needs --certs, the folder of certificates")?;
    Ok(Target::Remote { url: config.url.value, certs, name: config.identity.value })
}
