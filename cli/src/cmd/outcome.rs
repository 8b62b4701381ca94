//! `synod outcome`.

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use synod_client::TxnId;

use super::Global;
use crate::{connect, render};

#[derive(clap::Args)]
#[command(
    after_help = "Prints `committed TIMESTAMP`, `aborted REASON`, `undecided`, or `unknown` (older than \
    outcomes are kept, 1 h by default). Asking about a transaction that is not being \
    committed makes sure that it never commits."
)]
pub struct Args {
    /// The transaction, such as t3.40.12
    txn: TxnId,
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    let outcome = connect::with(global, async |db| Ok(db.client.outcome(args.txn).await?))?;
    render::outcome(&mut io::stdout().lock(), global.json, args.txn, &outcome)?;
    Ok(ExitCode::SUCCESS)
}
