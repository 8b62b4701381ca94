//! One run, from a cluster that starts to reports.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep_until;

use super::end::End;
use super::site::Site;
use super::work::Clients;
use super::{Recorder, Settings, conductor, end};
use crate::checker::{Finding, Options};
use crate::history::Kind;
use crate::progress::Progress;
use crate::report::run::{Case, Op, Run, around, junit};
use crate::workload::{
    Bank, Counter, ListAppend, LongFork, Register, RwRegister, Set, Workload, WriteSkew,
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

/// Of so many tries one succeeds, whatever is done to the cluster.
const MANY: usize = 50;

/// How long the checker may take, and how much memory.
const CHECK_TIME: Duration = Duration::from_secs(120);
const CHECK_MB: u64 = 4_096;

/// Runs a workload on a cluster of its own, and judges what its clients saw.
///
/// # Errors
///
/// If the run could not be made: no workload of that name, links that do not break as is wanted,
/// a cluster that does not start, a folder that can not be written.
pub async fn run(settings: &Settings) -> Result<Run> {
    settings.check_links()?;
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
    let site = Site::reach(settings, &mut dice).await?;
    let asks = site.clients(settings).await?;
    workload.set_up(&asks[0]).await.context("nothing could be set up")?;

    let began = OffsetDateTime::now_utc().format(&Rfc3339)?;
    let recorder = Recorder::create(&history)
        .with_context(|| format!("{} can not be written", history.display()))?;
    let recorder = RefCell::new(recorder);
    let until = Instant::now() + settings.length;
    let clients = Clients::new(settings, workload, dice.fork(), &recorder, until);
    let faults = async {
        let troubles = match &site.ground {
            Some(ground) => {
                conductor::torment(settings, ground, dice.fork(), &recorder, until).await
            }
            None => {
                sleep_until(until.into()).await;
                Vec::new()
            }
        };
        (troubles, end::recovers(&asks[0]).await)
    };
    let (worked, (troubles, recovered), ()) =
        tokio::join!(clients.work(&asks), faults, show(settings.length, &recorder, until));
    worked?;
    let mut end = End { troubles, ..End::default() };
    match recovered {
        Ok(after) => end.recovered_after = after,
        Err(reason) => end.troubles.push(reason),
    }
    end.meet(&clients, &asks[0]).await?;
    drop((asks, clients));
    let system = site.system.clone();
    let stopped = site.leave().await;
    end.troubles.extend(stopped.err().map(|error| format!("{error:#}")));
    let (ops, faults) = recorder.into_inner().finish()?;
    end.troubles.extend(never_done(&ops));
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

/// What was tried again and again and never succeeded: then the run proves nothing of it.
fn never_done(ops: &[Op]) -> Vec<String> {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for op in ops {
        let (tried, done) = counts.entry(op.f).or_default();
        *tried += 1;
        *done += usize::from(op.kind == Kind::Ok);
    }
    if counts.values().all(|(_, done)| *done == 0) {
        return vec!["nothing succeeded at all".to_owned()];
    }
    let never = counts.iter().filter(|(_, (tried, done))| *tried >= MANY && *done == 0);
    never.map(|(f, (tried, _))| format!("none of {tried} tries to {f} succeeded")).collect()
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

/// Reads what was written, as `synod-jepsen check` would.
fn judge(history: &Path, options: &Options) -> Result<Finding> {
    let mut budget = Budget::new(Some(CHECK_TIME), Some(CHECK_MB));
    Ok(crate::check(history, Format::Edn, options, &mut budget)?)
}
