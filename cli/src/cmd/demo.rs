//! `synod demo`.

use std::process::ExitCode;

use anyhow::Result;
use synod_cli::demo::{self, DemoOptions};
use synod_cli::runtime;
use synod_client::Protocol;

use super::Global;

#[derive(clap::Args)]
pub struct Args {
    /// How the transfers are committed: auto, 2pc or 3pc
    #[arg(long, value_name = "PROTOCOL", default_value_t)]
    protocol: Protocol,
}

pub fn run(args: &Args, _global: &Global) -> Result<ExitCode> {
    let options = DemoOptions { protocol: args.protocol, ..DemoOptions::default() };
    let good = runtime::block_on(async {
        tokio::select! {
            good = demo::run(options) => good,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })??;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
