//! `synod-jepsen run`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use synod_client::{Isolation, Protocol};
use synod_jepsen::nemesis::Nemesis;
use synod_jepsen::report::run::{Fault, Run};
use synod_jepsen::runner::{self, Breaker, PAGE, Remote, Settings};
use synod_jepsen::workload::WORKLOADS;
use synod_jepsen::{Verdict, report};

use super::{refused, say};

/// What is to be run.
#[derive(clap::Args)]
pub struct RunArgs {
    /// What clients do: register, cas-register, list-append, rw-register, bank, long-fork,
    /// write-skew, set or counter
    #[arg(value_parser = workload_of)]
    workload: String,
    /// What is done to the cluster meanwhile, by commas; nothing if not given
    #[arg(long, value_delimiter = ',', value_parser = nemesis_of)]
    nemesis: Vec<Nemesis>,
    /// Where the history and the reports go [default: ./synod-jepsen/WORKLOAD-SEED]
    #[arg(long)]
    out: Option<PathBuf>,
    /// A cluster that is there, in place of one that is started; it is not broken
    #[arg(long, requires = "certs", conflicts_with = "nemesis")]
    url: Option<String>,
    /// The folder of the certificate `client` of that cluster
    #[arg(long, requires = "url")]
    certs: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What one run and many have in common.
#[derive(clap::Args)]
pub struct Common {
    /// How long operations are begun
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// From which operations and faults are drawn [default: a new one; of a suite 1]
    #[arg(long)]
    pub seed: Option<u64>,
    /// How transactions are isolated
    #[arg(long, default_value = "serializable")]
    isolation: Isolation,
    /// How they are committed
    #[arg(long, default_value = "auto")]
    protocol: Protocol,
    /// How many shards
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=16))]
    shards: u16,
    /// How many coordinators: 1, 3 or 5
    #[arg(long, default_value_t = 3)]
    coordinators: u16,
    /// How many clients, each with one operation at a time
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=256))]
    clients: u16,
    /// Operations a second at most; the workload's own if not given
    #[arg(long)]
    rate: Option<f64>,
    /// How links are broken: by a proxy, or by the kernel between namespaces, which only cuts
    /// them, and takes root and Linux
    #[arg(long, default_value = "proxy", value_parser = breaker_of)]
    links: Breaker,
    /// A deliberate bug of all coordinators, in a synod that was built with the feature chaos
    #[arg(long, value_name = "NAME")]
    coordinator_bug: Option<String>,
    /// A deliberate bug of all shards, in a synod that was built with the feature chaos
    #[arg(long, value_name = "NAME")]
    shard_bug: Option<String>,
    /// The synod executable [env: SYNOD_BIN] [default: the one beside this]
    #[arg(long)]
    bin: Option<PathBuf>,
}

/// The times and places of operations are kept until the end.
const LONGEST_S: f64 = 86_400.0;

/// The workload of that name.
pub fn workload_of(name: &str) -> Result<String, String> {
    match WORKLOADS.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!("workloads are {}", WORKLOADS.join(", "))),
    }
}

/// The nemesis of that name.
pub fn nemesis_of(name: &str) -> Result<Nemesis, String> {
    let found = Nemesis::ALL.iter().copied().find(|nemesis| nemesis.name() == name);
    let known = || Nemesis::ALL.iter().map(|nemesis| nemesis.name()).collect::<Vec<_>>();
    found.ok_or_else(|| format!("nemeses are {}", known().join(", ")))
}

fn breaker_of(name: &str) -> Result<Breaker, String> {
    let found = Breaker::ALL.into_iter().find(|breaker| breaker.name() == name);
    let known = || Breaker::ALL.map(Breaker::name).join(", ");
    found.ok_or_else(|| format!("links are broken by {}", known()))
}

impl Common {
    /// Settings that name no workload, no faults and no folder yet.
    pub fn settings(&self) -> Result<Settings, String> {
        if self.rate.is_some_and(|rate| !(0.01..=1e6).contains(&rate)) {
            return Err("--rate: from 0.01 to 1000000".to_owned());
        }
        Ok(Settings {
            workload: String::new(),
            nemeses: Vec::new(),
            length: length("--seconds", self.seconds)?,
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..1 << 32)),
            out: PathBuf::new(),
            isolation: self.isolation,
            protocol: self.protocol,
            shards: self.shards,
            coordinators: self.coordinators,
            clients: self.clients,
            rate: self.rate,
            remote: None,
            links: self.links,
            bugs: [self.coordinator_bug.clone(), self.shard_bug.clone()],
            bin: self.bin.clone(),
        })
    }
}

/// A time in seconds.
pub fn length(flag: &str, seconds: f64) -> Result<Duration, String> {
    match (0.001..=LONGEST_S).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err(format!("{flag}: from 0.001 to {LONGEST_S}")),
    }
}

/// Runs a workload.
pub fn run(args: &RunArgs) -> ExitCode {
    let mut settings = match args.common.settings() {
        Ok(settings) => settings,
        Err(reason) => return refused(&reason),
    };
    settings.workload.clone_from(&args.workload);
    settings.nemeses.clone_from(&args.nemesis);
    settings.remote = match (&args.url, &args.certs) {
        (Some(url), Some(certs)) => Some(Remote { url: url.clone(), certs: certs.clone() }),
        _ => None,
    };
    let folder = || format!("synod-jepsen/{}-{}", args.workload, settings.seed).into();
    settings.out = args.out.clone().unwrap_or_else(folder);
    let run = match one(&settings) {
        Ok(run) => run,
        Err(reason) => return refused(&reason),
    };
    match tell(args, &settings, &run) {
        Ok(()) if !run.troubles.is_empty() => ExitCode::from(1),
        Ok(()) => match run.finding.verdict {
            Verdict::Valid => ExitCode::SUCCESS,
            Verdict::Invalid => ExitCode::from(1),
            Verdict::Unknown => ExitCode::from(3),
        },
        Err(reason) => refused(&reason),
    }
}

/// Runs it, and waits for the end.
pub fn one(settings: &Settings) -> Result<Run, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        tokio::select! {
            run = runner::run(settings) => run.map_err(|error| format!("{error:#}")),
            // Dropped, the run takes its cluster and its files away.
            () = interrupted() => Err("interrupted".to_owned()),
        }
    })
}

/// Waits until somebody wants an end.
async fn interrupted() {
    let by_key = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = by_key => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    by_key.await;
}

fn tell(args: &RunArgs, settings: &Settings, run: &Run) -> Result<(), String> {
    if args.json {
        return say(&format!("{}\n", run.json()));
    }
    say(&report::text(&run.finding, &run.model))?;
    for fault in &run.faults {
        let Fault { name, target, from_ns, effect, .. } = fault;
        let from = *from_ns as f64 / 1e9;
        say(&format!("  {from:>7.3} s  {name} ({target}): {effect}\n"))?;
    }
    for trouble in &run.troubles {
        say(&format!("trouble: {trouble}\n"))?;
    }
    say(&format!(
        "{} operations, {} outcomes asked for at the end; writes went on {:.2} s after all was \
         healed\n{}\n{}\n",
        run.ops.len(),
        run.asked_for,
        run.recovered_after.as_secs_f64(),
        run.command,
        settings.out.join(PAGE).display()
    ))
}
