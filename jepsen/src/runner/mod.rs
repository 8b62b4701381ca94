//! Runs of real clusters: clients that work, faults that are injected, and what all of
//! them saw written down and judged.
//!
//! ```text
//!   clients ──▶ workload ──▶ synod-client ──▶ cluster of processes ◀── nemeses
//!      └────────── what they asked and were told ──▶ history.edn ◀──┘ what took effect
//!                                                        │
//!                                                  the checker, which reads what was
//!                                                  written, as it would anybody's
//!
//!   │ set up │ work, with faults │ heal │ until writes go on │ ask what is in doubt, read all │
//! ```
//!
//! One thread: what is recorded first happened first. A client that can not learn the
//! outcome of its operation leaves it open and goes on under another number. When all is
//! healed the harness asks for each such outcome, as a program would after a restart: what
//! is told then ends the operation, with `ok` or `fail`, so that the checker judges these
//! answers like all others. An outcome that is still not known, a server that ended by
//! itself, and a cluster that does not recover are failures of their own.
//!
//! What is deliberately absent: nothing is asked but through the shipped client, and there
//! is no second model of what the database should do. That is the checker's.

mod conductor;
mod end;
mod recorder;
mod settings;
pub mod suite;
mod work;

use std::cell::RefCell;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use synod_client::Client;
use synod_cluster::{ClusterOptions, LocalCluster, find_bin};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Mutex;
use tokio::time::sleep_until;

use self::end::End;
pub use self::recorder::Recorder;
pub use self::settings::Settings;
use self::work::Clients;
use crate::checker::{Finding, Options};
use crate::nemesis::Ground;
use crate::progress::Progress;
use crate::report::run::{Case, Run, around, junit};
use crate::workload::{
    Ask, Bank, Counter, ListAppend, LongFork, Register, RwRegister, Set, Workload, WriteSkew,
};
use crate::{Budget, Format};

/// The files of a run, in its folder: what was recorded, and what is reported of it.
pub const HISTORY: &str = "history.edn";
/// For programs.
pub const RESULTS: &str = "results.json";
/// For people.
pub const PAGE: &str = "report.html";
/// For CI.
pub const JUNIT: &str = "junit.xml";

/// How often it is shown how far a run is.
const TICK: Duration = Duration::from_millis(200);

/// Of how many bytes a segment of a log is, and after how many a checkpoint is written: small,
/// so that both happen in a short run, and now and then so small that both always happen.
const SEGMENT_BYTES: [u32; 3] = [1 << 16, 1 << 18, 1 << 22];
const CHECKPOINT_BYTES: [u32; 3] = [1 << 12, 1 << 16, 1 << 20];

/// How long the checker may take, and how much memory.
const CHECK_TIME: Duration = Duration::from_secs(120);
const CHECK_MB: u64 = 4_096;

/// Runs a workload on a cluster of its own, and judges what its clients saw.
///
/// # Errors
///
/// If the run could not be made: no workload of that name, a cluster that does not start,
/// a folder that can not be written.
pub async fn run(settings: &Settings) -> Result<Run> {
    match settings.workload.as_str() {
        "register" => run_with(settings, Register::new(false)).await,
        "cas-register" => run_with(settings, Register::new(true)).await,
        "list-append" => run_with(settings, ListAppend::new()).await,
        "rw-register" => run_with(settings, RwRegister::new()).await,
        "bank" => run_with(settings, Bank).await,
        "long-fork" => run_with(settings, LongFork::new()).await,
        "write-skew" => run_with(settings, WriteSkew::new()).await,
        "set" => run_with(settings, Set::new()).await,
        "counter" => run_with(settings, Counter).await,
        other => anyhow::bail!("no workload is called {other:?}"),
    }
}

async fn run_with<W: Workload>(settings: &Settings, workload: W) -> Result<Run> {
    let options = workload.judged(settings.isolation).map_err(anyhow::Error::msg)?;
    std::fs::create_dir_all(&settings.out)
        .with_context(|| format!("{} can not be made", settings.out.display()))?;
    let history = settings.out.join(HISTORY);
    let mut dice = Rng::with_seed(settings.seed);
    let system = version(settings).await?;
    let ground = Ground::new(start(settings, &mut dice).await?);
    ground.probe(&settings.nemeses).await?;
    let asks = connect(settings, &ground.cluster).await?;
    workload.set_up(&asks[0]).await.context("nothing could be set up")?;

    let began = OffsetDateTime::now_utc().format(&Rfc3339)?;
    let recorder = Recorder::create(&history)
        .with_context(|| format!("{} can not be written", history.display()))?;
    let recorder = RefCell::new(recorder);
    let until = Instant::now() + settings.length;
    let clients = Clients::new(settings, workload, dice.fork(), &recorder, until);
    let ground = Mutex::new(ground);
    let faults = async {
        conductor::torment(settings, &ground, dice.fork(), &recorder, until).await?;
        end::recovers(&asks[0]).await
    };
    let (worked, recovered, ()) =
        tokio::join!(clients.work(&asks), faults, show(settings.length, &recorder, until));
    worked?;
    let mut end = End::default();
    match recovered {
        Ok(after) => end.meet(&clients, &asks[0], after).await?,
        Err(error) => end.troubles.push(format!("{error:#}")),
    }
    drop((asks, clients));
    let stopped = ground.into_inner().cluster.stop().await;
    end.troubles.extend(stopped.err().map(|error| format!("{error:#}")));
    let (ops, faults) = recorder.into_inner().finish()?;
    let finding = judge(&history, &options)?;
    let around = around(&finding, BufReader::new(File::open(&history)?))?;
    let run = Run {
        workload: settings.workload.clone(),
        model: options.model,
        command: settings.command(),
        seed: settings.seed,
        system,
        nemeses: settings.nemeses.iter().map(|nemesis| nemesis.name().to_owned()).collect(),
        settings: settings.named(),
        began,
        length: settings.length,
        ops,
        faults,
        finding,
        recovered_after: end.recovered_after,
        asked_for: end.asked_for,
        troubles: end.troubles,
        around,
    };
    write(settings, &run)?;
    Ok(run)
}

/// Leaves the reports beside the history.
fn write(settings: &Settings, run: &Run) -> Result<()> {
    let files = [
        (RESULTS, format!("{:#}\n", run.json())),
        (PAGE, run.page()),
        (JUNIT, junit(&[Case::of(run)])),
    ];
    for (name, text) in files {
        let path = settings.out.join(name);
        std::fs::write(&path, text)
            .with_context(|| format!("{} can not be written", path.display()))?;
    }
    Ok(())
}

/// Shows how far the run is.
async fn show(length: Duration, recorder: &RefCell<Recorder>, until: Instant) {
    let mut progress = Progress::new(length);
    while Instant::now() < until {
        sleep_until((Instant::now() + TICK).min(until).into()).await;
        let recorder = recorder.borrow();
        progress.tick(recorder.ended(), &recorder.faults_on());
    }
    progress.finish();
}

/// What is tested says what it is.
async fn version(settings: &Settings) -> Result<String> {
    let bin = settings.bin.clone().map_or_else(find_bin, Ok)?;
    let said = tokio::process::Command::new(&bin).arg("--version").output().await;
    let said = said.with_context(|| format!("{} can not be started", bin.display()))?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

async fn start(settings: &Settings, dice: &mut Rng) -> Result<LocalCluster> {
    let of_all = [
        format!("segment_bytes = {}", SEGMENT_BYTES[dice.usize(..SEGMENT_BYTES.len())]),
        format!("checkpoint_bytes = {}", CHECKPOINT_BYTES[dice.usize(..CHECKPOINT_BYTES.len())]),
    ];
    let lines = settings.bugs.clone().map(|bug| {
        let bug = bug.map(|bug| format!("bug = \"{bug}\""));
        of_all.iter().cloned().chain(bug).collect()
    });
    let breaks_links = settings.nemeses.iter().any(|nemesis| nemesis.breaks_links());
    let options = ClusterOptions {
        shards: settings.shards,
        coordinators: settings.coordinators,
        bin: settings.bin.clone(),
        links: breaks_links.then_some(settings.seed),
        lines,
        ..ClusterOptions::default()
    };
    LocalCluster::start(options).await
}

/// Each client has connections and a session of its own.
async fn connect(settings: &Settings, cluster: &LocalCluster) -> Result<Vec<Ask>> {
    let mut asks = Vec::new();
    for _ in 0..settings.clients {
        let db: Client = cluster.client().await?;
        let (isolation, protocol) = (settings.isolation, settings.protocol);
        asks.push(Ask { db, isolation, protocol });
    }
    anyhow::ensure!(!asks.is_empty(), "there has to be a client");
    Ok(asks)
}

/// Reads what was written, as `synod-jepsen check` would.
fn judge(history: &Path, options: &Options) -> Result<Finding> {
    let mut budget = Budget::new(Some(CHECK_TIME), Some(CHECK_MB));
    Ok(crate::check(history, Format::Edn, options, &mut budget)?)
}
