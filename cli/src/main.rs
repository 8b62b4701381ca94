//! The command `synod`: one binary for servers, clients and everything between.
//!
//! ```text
//!   main ── cmd/*       one file per subcommand: arguments, then what it does
//!     config            flags, environment, file, defaults, and which it was
//!     connect           a client of the cluster that the command is pointed at
//!     coordinators      how each coordinator of a group is
//!     server_file       the files of `synod coordinator` and `synod shard`
//!     servers, admin    servers of this process, their metrics and health
//!     chaos             faults and bugs for testers; nothing in a release
//!     local             the folder of `synod up`
//!     shell             what is typed into `synod shell`
//!     txns              how far transactions are, server by server
//!     waits             who holds which locks, who waits for whom
//!     render, text      what is printed, and keys as people type them
//! ```
//!
//! Data goes to stdout, talk to stderr. Exit codes: 0 success, 1 a failed
//! operation, 2 wrong usage.

mod admin;
mod chaos;
mod cmd;
mod config;
mod connect;
mod coordinators;
mod local;
mod render;
mod server_file;
mod servers;
mod shell;
mod state;
mod text;
mod txns;
mod waits;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
use tracing_subscriber::EnvFilter;

use config::{Config, Global};

/// What the system says when a disk is full. Servers pass it on as text.
const DISK_FULL: &str = "No space left on device";

/// Synod: ACID transactions over keys on many servers
#[derive(Parser)]
#[command(name = "synod", version = chaos::VERSION, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: cmd::Command,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return answer(&error),
    };
    log_to_stderr(&cli.global);
    match cli.command.run(&cli.global) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

/// Shows the help or version that was asked for, or says in one line what is
/// wrong with the arguments.
fn answer(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == DisplayHelpOnMissingArgumentOrSubcommand {
        // Nobody is left to tell if that fails.
        let _ = error.print();
        return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
    }
    let text = error.to_string();
    let about = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let about: Vec<&str> =
        about.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
    let line = about.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    eprintln!("synod: {line}; `synod --help` and `synod COMMAND --help` say what is right");
    ExitCode::from(2)
}

/// Says what went wrong, in one line, and how that counts.
fn report(error: &anyhow::Error) -> ExitCode {
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        let error = cause.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    // Whoever reads has seen enough.
    if error.chain().any(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    let mut line = format!("{error:#}").replace('\n', " ");
    if line.contains(DISK_FULL) {
        line += "; free some space, then start again: nothing acknowledged is lost";
    }
    eprintln!("synod: {line}");
    match error.is::<cmd::Usage>() {
        true => ExitCode::from(2),
        false => ExitCode::FAILURE,
    }
}

fn log_to_stderr(global: &Global) {
    let wanted = Config::load(global).map(|config| config.log.value);
    let filter = wanted.ok().and_then(|log| EnvFilter::try_new(log).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new("warn"));
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(ansi)
        .init();
}
