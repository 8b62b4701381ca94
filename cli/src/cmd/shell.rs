//! `synod shell`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::Global;
use crate::shell;

#[derive(clap::Args)]
pub struct Args {
    /// Run the commands of a file, and stop at the first error
    #[arg(long, value_name = "SCRIPT")]
    file: Option<PathBuf>,
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    shell::run(args.file.as_deref(), global)
}
