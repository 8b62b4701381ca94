//! `synod shard`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::server_file::ShardFile;
use crate::servers::{self, Plan};

#[derive(clap::Args)]
#[command(after_help = "Prints READY when it has joined the coordinator and serves.")]
pub struct Args {
    /// Its configuration, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let planned = ShardFile::load(&args.config)?;
    servers::run_one(Plan::Shard(Box::new(planned.server)), planned.admin)
}
