//! `synod demo`.

use std::process::ExitCode;

use anyhow::Result;
use synod_cli::demo::{self, DemoOptions};
use synod_cli::runtime;
use synod_client::Protocol;

use super::{Global, Usage};
use crate::server_file;

#[derive(clap::Args)]
pub struct Args {
    /// How the transfers are committed: auto, 2pc, 3pc, paxos, paxos-faster or 3pc-classical
    #[arg(long, value_name = "PROTOCOL", default_value_t)]
    protocol: Protocol,
    /// How many coordinators there are: 1, 3 or 5
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = server_file::group_size)]
    coordinators: u16,
    /// Allow 3pc-classical, under which some shards may commit and others abort
    #[arg(long)]
    unsafe_classical_3pc: bool,
}

pub fn run(args: &Args, _global: &Global) -> Result<ExitCode> {
    Usage::check_protocol(args.protocol, args.unsafe_classical_3pc)?;
    let mut options = DemoOptions { protocol: args.protocol, ..DemoOptions::default() };
    options.cluster.coordinators = args.coordinators;
    options.cluster.unsafe_classical_3pc = args.unsafe_classical_3pc;
    let good = runtime::block_on(async {
        tokio::select! {
            good = demo::run(options) => good,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })??;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
