//! `synod scan`.

use std::process::ExitCode;

use anyhow::Result;

use super::{Global, Usage};
use crate::{connect, render, text};

#[derive(clap::Args)]
pub struct Args {
    /// The first key; "" is the first of all
    start: String,
    /// The key to stop before; "" is after the last of all
    end: String,
    /// Print at most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// From the end to the start
    #[arg(long)]
    reverse: bool,
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    let range = text::range(&args.start, &args.end).map_err(Usage::because)?;
    connect::with(global, async |db| {
        let snapshot = db.client.snapshot().await?;
        let rows = snapshot.scan(range);
        render::rows(rows, args.limit, args.reverse, global.json).await?;
        Ok(ExitCode::SUCCESS)
    })
}
