//! `synod-jepsen suite`: many runs, one after the other.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;
use synod_jepsen::Verdict;
use synod_jepsen::nemesis::Nemesis;
use synod_jepsen::report::run::{Case, junit};
use synod_jepsen::runner::suite::{Plan, all_workloads};
use synod_jepsen::runner::{Breaker, JUNIT, RESULTS, Settings};

use super::run::{Common, length, nemesis_of, one, workload_of};
use super::{refused, say};

/// What is to be run.
#[derive(clap::Args)]
pub struct SuiteArgs {
    /// Where the runs go, a folder each; runs that are there already are not made again
    #[arg(long)]
    out: PathBuf,
    /// The workloads, by commas; all if not given
    #[arg(long, value_delimiter = ',', value_parser = workload_of)]
    workload: Vec<String>,
    /// The nemeses, by commas, each alone and in combinations; if not given, all that are possible
    /// with --links
    #[arg(long, value_delimiter = ',', value_parser = nemesis_of)]
    nemesis: Vec<Nemesis>,
    /// How many combinations of nemeses, workloads, protocols and levels
    #[arg(long, default_value_t = 20)]
    combinations: usize,
    /// How long operations are begun in each of these
    #[arg(long, default_value_t = 60.0)]
    combination_seconds: f64,
    /// So many of all these runs, drawn by the seed; all if not given
    #[arg(long)]
    sample: Option<usize>,
    #[command(flatten)]
    common: Common,
}

/// Runs all that is planned and not there yet.
pub fn suite(args: &SuiteArgs) -> ExitCode {
    match all(args) {
        Ok(code) => code,
        Err(reason) => refused(&reason),
    }
}

fn all(args: &SuiteArgs) -> Result<ExitCode, String> {
    let runs = planned(args)?;
    let (mut cases, total) = (Vec::new(), runs.len());
    for (number, (name, settings)) in (1..).zip(runs) {
        let case = match done(&name, &settings) {
            Some(case) => case,
            None => case_of(&name, &settings),
        };
        let Case { verdict, why, .. } = &case;
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        say(&format!("{:<7} {name} ({number} of {total}){why}\n", verdict.name()))?;
        cases.push(case);
        let path = args.out.join(JUNIT);
        std::fs::write(&path, junit(&cases))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let count = |verdict| cases.iter().filter(|case| case.verdict == verdict).count();
    let [invalid, unknown] = [Verdict::Invalid, Verdict::Unknown].map(count);
    say(&format!("{total} runs, {invalid} invalid, {unknown} unknown\n"))?;
    Ok(match (invalid, unknown) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(3),
        _ => ExitCode::from(1),
    })
}

fn planned(args: &SuiteArgs) -> Result<Vec<(String, Settings)>, String> {
    let mut common = args.common.settings()?;
    common.out.clone_from(&args.out);
    // The same one each time, or nothing could go on.
    let seed = args.common.seed.unwrap_or(1);
    common.seed = seed;
    let nemeses = match args.nemesis.is_empty() {
        true => Nemesis::ALL.iter().copied().filter(|nemesis| common.links.can(*nemesis)).collect(),
        false => args.nemesis.clone(),
    };
    // Else all runs would fail one by one.
    let checked = Settings { nemeses: nemeses.clone(), ..common.clone() }.check_links();
    let probed = checked.and_then(|()| match common.links {
        Breaker::Proxy => Ok(()),
        Breaker::Namespaces => synod_cluster::probe_namespaces(),
    });
    probed.map_err(|error| format!("{error:#}"))?;
    let plan = Plan {
        workloads: match args.workload.is_empty() {
            true => all_workloads(),
            false => args.workload.clone(),
        },
        nemeses,
        combinations: args.combinations,
        combination: length("--combination-seconds", args.combination_seconds)?,
        common,
    };
    let mut runs = plan.runs();
    if let Some(sample) = args.sample {
        fastrand::Rng::with_seed(seed).shuffle(&mut runs);
        runs.truncate(sample);
    }
    std::fs::create_dir_all(&args.out)
        .map_err(|error| format!("{}: {error}", args.out.display()))?;
    Ok(runs)
}

/// A run that could not be made has failed, and is made again the next time.
fn case_of(name: &str, settings: &Settings) -> Case {
    match one(settings) {
        Ok(run) => Case { name: name.to_owned(), ..Case::of(&run) },
        Err(reason) => Case {
            name: name.to_owned(),
            verdict: Verdict::Invalid,
            why: reason.clone(),
            words: reason,
            command: settings.command(),
            seconds: settings.length.as_secs_f64(),
        },
    }
}

/// A run that is there, from its results; none if there are none, or other settings.
fn done(name: &str, settings: &Settings) -> Option<Case> {
    let results = read(&settings.out.join(RESULTS))?;
    let text = |what: &str| Some(results.get(what)?.as_str()?.to_owned());
    if text("command")? != settings.command() {
        return None;
    }
    let troubles: Vec<&str> =
        results.get("troubles")?.as_array()?.iter().filter_map(Value::as_str).collect();
    let verdict = match text("verdict")?.as_str() {
        "valid" if troubles.is_empty() => Verdict::Valid,
        "unknown" if troubles.is_empty() => Verdict::Unknown,
        _ => Verdict::Invalid,
    };
    let why = match verdict {
        Verdict::Valid => String::new(),
        Verdict::Unknown => text("reason").unwrap_or_default(),
        Verdict::Invalid => format!("{} {}", results.get("anomalies")?, troubles.join("; ")),
    };
    Some(Case {
        name: name.to_owned(),
        verdict,
        words: why.clone(),
        why,
        command: settings.command(),
        seconds: settings.length.as_secs_f64(),
    })
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
