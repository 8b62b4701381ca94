//! `synod-jepsen`: judges histories.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;
use synod_jepsen::checker::{Assume, MODELS, Refused};
use synod_jepsen::{Budget, Finding, Format, Level, Options, Verdict, check};

#[derive(Parser)]
#[command(
    name = "synod-jepsen",
    about = "Judges what databases did, by the histories of their clients"
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judges a history: exit 0 if it is valid, 1 if not, 3 if that cannot be said
    Check(CheckArgs),
}

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
struct CheckArgs {
    /// The history: a file, or the folder of cobra-binary
    path: PathBuf,
    /// How it is written
    #[arg(long, value_parser = format_of)]
    format: Format,
    /// What its operations mean
    #[arg(long, value_parser = model_of)]
    model: String,
    /// The state before the first operation, as EDN
    #[arg(long)]
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
    /// Prints JSON
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

fn main() -> ExitCode {
    let Command::Check(args) = Args::parse().command;
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
    options.assume = Assume {
        wfr_keys: args.assume.contains(&Assumption::Wfr),
        sequential_keys: args.assume.contains(&Assumption::Sequential),
        linearizable_keys: args.assume.contains(&Assumption::Linearizable),
    };
    let mut budget = Budget::new(timeout, args.memory_mb);
    match check(&args.path, args.format, &options, &mut budget) {
        Ok(finding) => {
            if args.json {
                println!("{}", json_of(&finding, &args.model));
            } else {
                print!("{}", text_of(&finding, &args.model));
            }
            match finding.verdict {
                Verdict::Valid => ExitCode::SUCCESS,
                Verdict::Invalid => ExitCode::from(1),
                Verdict::Unknown => ExitCode::from(3),
            }
        }
        Err(Refused::Malformed(malformed)) => {
            refused(&format!("{}: {malformed}", args.path.display()))
        }
        Err(Refused::Options(reason)) => refused(&reason),
    }
}

fn refused(reason: &str) -> ExitCode {
    eprintln!("synod-jepsen: {reason}");
    ExitCode::from(2)
}

fn json_of(finding: &Finding, model: &str) -> serde_json::Value {
    let violated: Vec<&str> = finding.violated.iter().map(|level| level.name()).collect();
    json!({
        "verdict": finding.verdict.name(),
        "model": model,
        "level": finding.level.name(),
        "anomalies": finding.names(),
        "violated": violated,
        "ops": finding.ops,
        "reason": finding.reason,
    })
}

fn text_of(finding: &Finding, model: &str) -> String {
    let mut text = format!(
        "{}: {} operations, {model}, {}\n",
        finding.verdict.name(),
        finding.ops,
        finding.level.name()
    );
    if let Some(reason) = &finding.reason {
        text.push_str(&format!("  {reason}\n"));
    }
    for found in &finding.anomalies {
        text.push_str(&format!("\n{}\n", found.name));
        for line in found.words.lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    if !finding.violated.is_empty() {
        let violated: Vec<&str> = finding.violated.iter().map(|level| level.name()).collect();
        text.push_str(&format!("\nviolated: {}\n", violated.join(" ")));
    }
    text
}
