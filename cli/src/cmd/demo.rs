//! `synod demo`.

use std::process::ExitCode;

use anyhow::Result;

use super::{Global, Usage};

#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _global: &Global) -> Result<ExitCode> {
    Err(Usage::later("demo"))
}
