//! `synod bench`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use synod_bench::{
    BenchOptions, FailoverBounds, FailoverOptions, Report, Target, WARM_UP, Workload,
};
use synod_cli::runtime;
use synod_client::{Protocol, Scheme};

use super::{Global, Usage};
use crate::config::Config;
use crate::{render, server_file, text};

#[derive(clap::Args)]
pub struct Args {
    /// transfer, put, get, rmw-hot, snapshot10, scan100, commit, counter, counter-rmw,
    /// ycsb-a to ycsb-f, smallbank, load, deadlock or failover
    workload: Workload,
    /// Clients at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// How long to measure
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many seconds to warm up before that [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3_600))]
    warm_up: Option<u64>,
    /// So many transactions are due in a second, for all clients together, whether or not
    /// others have ended; how long they take is counted from when they were due
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    /// How transactions are committed that write on several shards: auto, 2pc, 3pc,
    /// paxos, paxos-faster or 3pc-classical
    #[arg(long, value_name = "PROTOCOL", default_value_t)]
    protocol: Protocol,
    /// How the cluster of the benchmark deals with deadlocks: graph, probes, wound-wait or
    /// wait-die
    #[arg(long, value_name = "SCHEME", default_value_t, conflicts_with_all = ["url", "embedded"])]
    deadlock_handling: Scheme,
    /// How many coordinators the cluster of the benchmark has: 1, 3 or 5 [default: 1; 3 for
    /// `failover`, and for `--protocol paxos`]
    #[arg(long, value_name = "N", conflicts_with_all = ["url", "embedded"],
          value_parser = server_file::group_size)]
    coordinators: Option<u16>,
    /// How many shards the cluster of the benchmark has [default: 2; for `commit`, as many as
    /// take part]
    #[arg(long, value_name = "N", conflicts_with_all = ["url", "embedded"],
          value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: Option<u16>,
    /// Allow 3pc-classical in the cluster of the benchmark: some shards may commit and others
    /// abort
    #[arg(long, conflicts_with_all = ["url", "embedded"])]
    unsafe_classical_3pc: bool,
    /// How often to measure on the same cluster; the run with the median rate is reported. For
    /// `failover`: how often the leader is killed [default: 1; 30 for `failover`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: Option<u32>,
    /// For `failover`: fail if nobody could write for longer than this, such as 1.5s, in more
    /// than one of a hundred kills
    #[arg(long, value_name = "DURATION", value_parser = text::duration)]
    back_within: Option<Duration>,
    /// For `failover`: fail if anything was seen in doubt for longer than this after a kill
    #[arg(long, value_name = "DURATION", value_parser = text::duration)]
    in_doubt_within: Option<Duration>,
    /// Without servers: coordinator and shards in this process
    #[arg(long, conflicts_with = "url")]
    embedded: bool,
    /// How many keys there are [default: 100,000; 1,000,000 for `load`]
    #[arg(long, value_parser = clap::value_parser!(u32).range(200..=100_000_000))]
    keys: Option<u32>,
    /// For `commit`: how many shards take part; of several numbers each is measured,
    /// one after the other
    #[arg(long, value_name = "N,N…", value_delimiter = ',', default_values_t = [2],
          value_parser = clap::value_parser!(u16).range(1..=64))]
    participants: Vec<u16>,
}

const KEYS: u32 = 100_000;
const MANY_KEYS: u32 = 1_000_000;

/// How often the leader is killed.
const KILLS: u32 = 30;

impl Args {
    /// Refuses what would have no effect.
    fn check(&self) -> Result<()> {
        let name = self.workload.name();
        let refuse = |flag: &str, why: &str| {
            Err(Usage::because(format!("{flag} is not for `synod bench {name}`, which {why}")))
        };
        let is_load = self.workload == Workload::Load;
        if self.rate.is_some() && !self.workload.is_loop() {
            return refuse("--rate", "is no loop of transactions");
        }
        if self.warm_up.is_some() && (is_load || self.workload == Workload::Failover) {
            return refuse("--warm-up", "has none");
        }
        if self.shards.is_some() && self.workload == Workload::Failover {
            return refuse("--shards", "has two");
        }
        if self.runs.is_some() && is_load {
            return refuse("--runs", "is measured once");
        }
        Ok(())
    }
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    if global.url.is_none() {
        Usage::check_protocol(args.protocol, args.unsafe_classical_3pc)?;
    }
    args.check()?;
    if args.workload == Workload::Failover {
        return failover(args, global);
    }
    if args.back_within.is_some() || args.in_doubt_within.is_some() {
        let why = "--back-within and --in-doubt-within are for `synod bench failover`";
        return Err(Usage::because(why.to_owned()));
    }
    let workloads = match args.workload {
        Workload::Commit(_) => args.participants.iter().copied().map(Workload::Commit).collect(),
        other => vec![other],
    };
    let mut reports = Vec::new();
    let mut failed = None;
    for workload in workloads {
        match measure(args, global, workload) {
            Ok(report) => {
                if global.json {
                    println!("{}", serde_json::to_string(&report)?);
                }
                reports.push(report);
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    match &reports[..] {
        _ if global.json => {}
        [] => {}
        [report] => println!("{report}"),
        reports => {
            print_prices(&mut std::io::stdout().lock(), reports)?;
            tell_troubles(reports);
        }
    }
    // What was measured before is told first.
    failed.map_or(Ok(()), Err)?;
    if reports.iter().any(|report| !report.sum_ok) {
        eprintln!("synod: the keys do not hold what they must: money was made or lost");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &Args, global: &Global, workload: Workload) -> Result<Report> {
    let keys = if workload == Workload::Load { MANY_KEYS } else { KEYS };
    let options = BenchOptions {
        workload,
        clients: args.clients,
        warm_up: args.warm_up.map_or(WARM_UP, Duration::from_secs),
        seconds: args.seconds,
        rate: args.rate,
        runs: args.runs.unwrap_or(1),
        protocol: args.protocol,
        keys: args.keys.unwrap_or(keys),
        target: target(args, global)?,
        progress: std::io::stderr().is_terminal(),
    };
    runtime::block_on(async {
        tokio::select! {
            report = synod_bench::run(&options) => report,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })?
}

fn failover(args: &Args, global: &Global) -> Result<ExitCode> {
    let options = FailoverOptions {
        coordinators: args.coordinators.unwrap_or(3),
        runs: args.runs.unwrap_or(KILLS),
        clients: args.clients,
        protocol: args.protocol,
    };
    let report = runtime::block_on(async {
        tokio::select! {
            report = synod_bench::failover(options) => report,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })??;
    match global.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => println!("{report}"),
    }
    let bounds = FailoverBounds { back: args.back_within, in_doubt: args.in_doubt_within };
    let faults = report.faults(bounds);
    faults.iter().for_each(|fault| eprintln!("synod: {fault}"));
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What commits cost: counted, and by the book.
fn print_prices(out: &mut impl Write, reports: &[Report]) -> Result<()> {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let ms = |us: u64| format!("{:.2}", us as f64 / 1000.0);
    let row = |report: &Report| {
        let commit = report.commit?;
        Some([
            commit.participants.to_string(),
            number(report.commit_messages_per_txn),
            commit.by_the_book.messages.to_string(),
            number(report.forced_writes_per_txn),
            commit.by_the_book.forced_writes.to_string(),
            commit.here.message_delays.to_string(),
            commit.by_the_book.message_delays.to_string(),
            number(report.fsyncs_per_txn),
            format!("{:.0}", report.txn_per_s),
            ms(report.p50_us),
            ms(report.p99_us),
        ])
    };
    let rows: Vec<_> = reports.iter().filter_map(row).collect();
    let heading = [
        "PARTICIPANTS",
        "MESSAGES",
        "BY THE BOOK",
        "FORCED WRITES",
        "BY THE BOOK",
        "DELAYS",
        "BY THE BOOK",
        "FSYNCS",
        "A SECOND",
        "P50 MS",
        "P99 MS",
    ];
    Ok(render::table(out, heading, &rows)?)
}

/// What the table of prices has no room for.
fn tell_troubles(reports: &[Report]) {
    for report in reports {
        let Report { aborts, retries, errors, .. } = report;
        let participants = report.commit.map_or(0, |commit| commit.participants);
        if let (Some(rate), Some(missed @ 1..)) = (report.rate, report.missed) {
            eprintln!(
                "synod: with {participants} participants {rate} were due in a second, and \
                 {missed} of all could not begin"
            );
        }
        if aborts + retries + errors == 0 {
            continue;
        }
        let last = report.last_error.as_ref().map(|error| format!("; last: {error}"));
        eprintln!(
            "synod: with {participants} participants {aborts} attempts were aborted, {retries} \
             made again, and {errors} transactions failed{}",
            last.unwrap_or_default()
        );
    }
}

/// A cluster of its own, unless the flag names another one. The environment does
/// not: a benchmark writes.
fn target(args: &Args, global: &Global) -> Result<Target> {
    if args.embedded {
        return Ok(Target::Embedded);
    }
    if global.url.is_none() {
        let by_group = matches!(args.protocol, Protocol::PaxosCommit | Protocol::FasterPaxosCommit);
        let coordinators = args.coordinators.unwrap_or(if by_group { 3 } else { 1 });
        let deadlocks = args.deadlock_handling;
        return Ok(Target::Own { deadlocks, coordinators, shards: args.shards });
    }
    let config = Config::load(global)?;
    let certs = config.certs.value.context("--url needs --certs, the folder of certificates")?;
    Ok(Target::Remote { url: config.url.value, certs, name: config.identity.value })
}
