//! `synod coordinator`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use synod_coordinator::server::Empty;

use crate::server_file::CoordinatorFile;
use crate::servers::{self, Plan};

#[derive(clap::Args)]
#[command(after_help = "Prints READY when it serves and all its shards have joined; a \
member of a group that does not lead, when it knows which one does.

A member of a group that lost its data folder may have promised something that it \
does not remember, and could undo what the others decided. So it only begins with \
an empty folder if it is told, with --new, that the whole group is new; or, with \
--rejoin, that the others go on. Then it waits until a majority of the group, without \
itself, has told it all that it may have said, and serves after that.")]
pub struct Args {
    /// Its configuration, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Its group is new: only then may it begin with an empty data folder
    #[arg(long)]
    new: bool,
    /// It has lost its data folder, and the others of its group go on: it comes back once
    /// they have told it enough. They elect a leader anew for that
    #[arg(long, conflicts_with = "new")]
    rejoin: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let empty = match (args.new, args.rejoin) {
        (true, _) => Empty::Founding,
        (false, true) => Empty::Rejoining,
        (false, false) => Empty::Refused,
    };
    let planned = CoordinatorFile::load(&args.config, empty)?;
    servers::run_one(Plan::Coordinator(Box::new(planned.server)), planned.admin)
}
