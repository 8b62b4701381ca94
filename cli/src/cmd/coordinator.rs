//! `synod coordinator`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::server_file::CoordinatorFile;
use crate::servers::{self, Plan};

#[derive(clap::Args)]
#[command(after_help = "Prints READY when it serves and all its shards have joined.")]
pub struct Args {
    /// Its configuration, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let planned = CoordinatorFile::load(&args.config)?;
    servers::run_one(Plan::Coordinator(Box::new(planned.server)), planned.admin)
}
