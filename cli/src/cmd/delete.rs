//! `synod delete`, and how a write is carried out.

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use synod_client::{Error, Txn};

use super::{Global, Usage};
use crate::connect::Connected;
use crate::{connect, render, text};

#[derive(clap::Args)]
pub struct Args {
    /// The key; \xNN stands for any byte, \\ for a backslash
    key: String,
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    let key = text::key(&args.key).map_err(Usage::because)?;
    connect::with(global, async |db| once(&db, global, |tx| tx.delete(&key)).await)
}

/// Writes in a transaction of its own. Prints its name and place if JSON is
/// asked for, and else nothing.
///
/// # Errors
/// If it did not commit.
pub async fn once(
    db: &Connected,
    global: &Global,
    write: impl Fn(&Txn) -> Result<(), Error>,
) -> Result<ExitCode> {
    let work = async |tx: Txn| write(&tx).map(|()| tx.id());
    let txn = db.client.transact_with(db.options.clone(), work).await?;
    if global.json {
        let outcome = db.client.outcome(txn).await?;
        render::outcome(&mut io::stdout().lock(), true, txn, &outcome)?;
    }
    Ok(ExitCode::SUCCESS)
}
