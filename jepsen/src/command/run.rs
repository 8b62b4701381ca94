//! `synod-jepsen run`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use synod_client::{Isolation, Protocol};
use synod_jepsen::nemesis::Nemesis;
use synod_jepsen::report::run::{Fault, Run};
use synod_jepsen::runner::{self, PAGE, Settings};
use synod_jepsen::workload::WORKLOADS;
use synod_jepsen::{Verdict, report};

use super::{refused, say};

#[derive(clap::Args)]
/// What is to be run.
pub struct RunArgs {
    /// What clients do: register, cas-register, list-append, rw-register, bank, long-fork,
    /// write-skew, set or counter
    #[arg(value_parser = workload_of)]
    workload: String,
    /// What is done to the cluster meanwhile, by commas; nothing if not given
    #[arg(long, value_delimiter = ',', value_parser = nemesis_of)]
    nemesis: Vec<Nemesis>,
    /// How long operations are begun
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// From which operations and faults are drawn; a new one if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Where the history and the reports go [default: ./synod-jepsen/WORKLOAD-SEED]
    #[arg(long)]
    out: Option<PathBuf>,
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
    /// A deliberate bug of all coordinators, in a synod that was built with the feature chaos
    #[arg(long, value_name = "NAME")]
    coordinator_bug: Option<String>,
    /// A deliberate bug of all shards, in a synod that was built with the feature chaos
    #[arg(long, value_name = "NAME")]
    shard_bug: Option<String>,
    /// The synod executable [env: SYNOD_BIN] [default: the one beside this]
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

fn workload_of(name: &str) -> Result<String, String> {
    match WORKLOADS.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!("workloads are {}", WORKLOADS.join(", "))),
    }
}

fn nemesis_of(name: &str) -> Result<Nemesis, String> {
    let found = Nemesis::ALL.iter().copied().find(|nemesis| nemesis.name() == name);
    let known = || Nemesis::ALL.iter().map(|nemesis| nemesis.name()).collect::<Vec<_>>();
    found.ok_or_else(|| format!("nemeses are {}", known().join(", ")))
}

/// Runs a workload.
pub fn run(args: &RunArgs) -> ExitCode {
    let settings = match settings(args) {
        Ok(settings) => settings,
        Err(reason) => return refused(&reason),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let run = match runtime {
        Ok(runtime) => runtime.block_on(runner::run(&settings)),
        Err(error) => return refused(&format!("no runtime: {error}")),
    };
    let run = match run {
        Ok(run) => run,
        Err(error) => return refused(&format!("{error:#}")),
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

fn settings(args: &RunArgs) -> Result<Settings, String> {
    let length = Duration::try_from_secs_f64(args.seconds);
    let length = length.map_err(|error| format!("--seconds: {error}"))?;
    if args.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
        return Err("--rate: it is to be above 0".to_owned());
    }
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let out = args.out.clone();
    Ok(Settings {
        out: out.unwrap_or_else(|| format!("synod-jepsen/{}-{seed}", args.workload).into()),
        workload: args.workload.clone(),
        nemeses: args.nemesis.clone(),
        length,
        seed,
        isolation: args.isolation,
        protocol: args.protocol,
        shards: args.shards,
        coordinators: args.coordinators,
        clients: args.clients,
        rate: args.rate,
        bugs: [args.coordinator_bug.clone(), args.shard_bug.clone()],
        bin: args.bin.clone(),
    })
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
