//! `synod coordinator`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::server_file::CoordinatorFile;
use crate::servers::{self, Plan};

#[derive(clap::Args)]
#[command(after_help = "Prints READY when it serves and all its shards have joined; a \
member of a group that does not lead, when it knows which one does.

A member of a group that lost its data folder may have promised something that it \
does not remember, and could undo what the others decided. So it only begins with \
an empty folder if it is told, with --new, that the whole group is new.")]
pub struct Args {
    /// Its configuration, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Its group is new: only then may it begin with an empty data folder
    #[arg(long)]
    new: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let planned = CoordinatorFile::load(&args.config, args.new)?;
    servers::run_one(Plan::Coordinator(Box::new(planned.server)), planned.admin)
}
