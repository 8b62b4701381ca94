//! `synod-jepsen`: judges histories, and runs clusters of Synod under faults to make some.

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    Check(command::check::CheckArgs),
    /// Runs a cluster of Synod under faults, and judges what its clients saw: exits as check
    #[cfg(feature = "runner")]
    Run(command::run::RunArgs),
    /// Runs all workloads under all faults and under combinations of them; goes on where it
    /// was stopped
    #[cfg(feature = "runner")]
    Suite(command::suite::SuiteArgs),
}

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Check(args) => command::check::check_all(&args),
        #[cfg(feature = "runner")]
        Command::Run(args) => command::run::run(&args),
        #[cfg(feature = "runner")]
        Command::Suite(args) => command::suite::suite(&args),
    }
}
