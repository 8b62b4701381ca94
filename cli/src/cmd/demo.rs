//! `synod demo`.

use std::process::ExitCode;

use anyhow::Result;
use synod_cli::demo::{self, DemoOptions};
use synod_cli::runtime;

use super::Global;

#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _global: &Global) -> Result<ExitCode> {
    let good = runtime::block_on(async {
        tokio::select! {
            good = demo::run(DemoOptions::default()) => good,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })??;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
