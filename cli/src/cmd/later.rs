//! Commands whose names are taken, for versions to come.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use super::Usage;

#[derive(clap::Args)]
pub struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<OsString>,
}

pub fn run(name: &str, args: &Args) -> Result<ExitCode> {
    let action = args.rest.first().map_or(String::new(), |word| format!(" {}", word.display()));
    Err(Usage::later(format!("{name}{action}")))
}
