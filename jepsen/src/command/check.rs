//! `synod-jepsen check`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use synod_jepsen::checker::{Assume, MODELS, Refused};
use synod_jepsen::{Budget, Finding, Format, Level, Options, Verdict, check, report};

use super::{refused, say};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Cas {
    /// It happened, and saw another value
    Strict,
    /// It did not happen
    Drop,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Assumption {
    #[value(name = "wfr-keys")]
    Wfr,
    #[value(name = "sequential-keys")]
    Sequential,
    #[value(name = "linearizable-keys")]
    Linearizable,
}

#[derive(clap::Args)]
/// What is to be judged, and how.
pub struct CheckArgs {
    /// The histories: each a file, or the folder of cobra-binary
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How it is written
    #[arg(long, value_parser = format_of)]
    format: Format,
    /// What its operations mean
    #[arg(long, value_parser = model_of)]
    model: String,
    /// The state before the first operation, as EDN
    #[arg(long, allow_negative_numbers = true)]
    initial: Option<String>,
    /// The level that it is to have; the model's strongest if not given
    #[arg(long, value_parser = level_of)]
    level: Option<Level>,
    /// What orders the versions of registers, beside what reads show
    #[arg(long, value_enum, num_args = 1..)]
    assume: Vec<Assumption>,
    /// Values may be read that nobody wrote: the history is only a part
    #[arg(long)]
    allow_unwritten: bool,
    /// Each value is [KEY VALUE], as jepsen.independent writes it
    #[arg(long)]
    independent: bool,
    /// What a compare-and-set that failed says; strict if not given for jepsen-log, where a
    /// failure repeats what was compared, else drop
    #[arg(long, value_enum)]
    cas: Option<Cas>,
    /// Seconds after which it gives up
    #[arg(long)]
    timeout: Option<f64>,
    /// Megabytes of memory with which it gives up
    #[arg(long)]
    memory_mb: Option<u64>,
    /// Writes a page with what was found, drawn where it can be; for one history
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Prints JSON, one line for each history
    #[arg(long)]
    json: bool,
}

fn format_of(name: &str) -> Result<Format, String> {
    let known = || Format::ALL.map(|(name, _)| name).join(", ");
    Format::of_name(name).ok_or_else(|| format!("formats are {}", known()))
}

fn model_of(name: &str) -> Result<String, String> {
    let known: Vec<&str> = MODELS.iter().map(|(name, _)| *name).collect();
    if known.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!("models are {}", known.join(", ")))
}

fn level_of(name: &str) -> Result<Level, String> {
    let known = || Level::ALL.iter().map(|level| level.name()).collect::<Vec<_>>().join(", ");
    Level::of_name(name).ok_or_else(|| format!("levels are {}", known()))
}

/// Judges histories.
pub fn check_all(args: &CheckArgs) -> ExitCode {
    let timeout = args.timeout.map(Duration::try_from_secs_f64);
    let timeout = match timeout.transpose() {
        Ok(timeout) => timeout,
        Err(error) => return refused(&format!("--timeout: {error}")),
    };
    let mut options = Options::new(&args.model).expect("the model was looked up");
    options.level = args.level;
    options.initial.clone_from(&args.initial);
    options.allow_unwritten = args.allow_unwritten;
    options.cas_drop = match args.cas {
        Some(cas) => cas == Cas::Drop,
        None => args.format != Format::JepsenLog,
    };
    options.independent = args.independent;
    options.assume = Assume {
        wfr_keys: args.assume.contains(&Assumption::Wfr),
        sequential_keys: args.assume.contains(&Assumption::Sequential),
        linearizable_keys: args.assume.contains(&Assumption::Linearizable),
    };
    if args.report.is_some() && args.paths.len() > 1 {
        return refused("--report is for one history");
    }
    let mut worst = ExitCode::SUCCESS;
    let mut rank = 0;
    for path in &args.paths {
        let mut budget = Budget::new(timeout, args.memory_mb);
        let (of_this, code) = match check(path, args.format, &options, &mut budget) {
            Ok(finding) => match tell(args, path, &finding) {
                Ok(()) => ranked(finding.verdict),
                Err(reason) => (3, refused(&reason)),
            },
            Err(Refused::Malformed(malformed)) => {
                (3, refused(&format!("{}: {malformed}", path.display())))
            }
            Err(Refused::Options(reason)) => return refused(&reason),
        };
        if of_this > rank {
            (rank, worst) = (of_this, code);
        }
    }
    worst
}

/// Of several histories the worst counts: what could not be read, what is invalid, what is
/// unknown.
fn ranked(verdict: Verdict) -> (u8, ExitCode) {
    match verdict {
        Verdict::Valid => (0, ExitCode::SUCCESS),
        Verdict::Unknown => (1, ExitCode::from(3)),
        Verdict::Invalid => (2, ExitCode::from(1)),
    }
}

fn tell(args: &CheckArgs, path: &Path, finding: &Finding) -> Result<(), String> {
    let several = args.paths.len() > 1;
    if args.json {
        let mut json = report::json(finding, &args.model);
        if several {
            json["path"] = path.display().to_string().into();
        }
        say(&format!("{json}\n"))?;
    } else {
        let name = if several { format!("{}: ", path.display()) } else { String::new() };
        say(&format!("{name}{}", report::text(finding, &args.model)))?;
    }
    let Some(file) = &args.report else { return Ok(()) };
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let command = format!("synod-jepsen {}", words.join(" "));
    let page = report::page(finding, &args.model, &path.display().to_string(), &command);
    std::fs::write(file, page).map_err(|error| format!("{}: {error}", file.display()))
}
