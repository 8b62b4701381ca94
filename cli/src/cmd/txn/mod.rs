//! `synod txn`.

mod json;
mod resolve;
mod text;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use synod_client::{Client, ShardId, TxnId};

use super::Global;
use crate::txns::Seen;
use crate::txns::ask::{Servers, Wanted};
use crate::{connect, render};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List the transactions that servers work on
    List(List),
    /// Show all that servers say of a transaction
    Show(Show),
    /// Decide a transaction that is in doubt, whatever its outcome
    Resolve(resolve::Resolve),
    /// List what operators have decided, and how it turned out
    Resolved(resolve::Resolved),
}

#[derive(clap::Args)]
#[command(
    after_help = "In doubt is what has voted on a shard that does not know the outcome. Each server is \
    asked by itself; without the coordinator, say where the shards are with --shard."
)]
struct List {
    /// Only those that have voted on a shard that does not know their outcome
    #[arg(long)]
    in_doubt: bool,
    /// Only those that began so long ago, such as 5s or 10m, as their clients say
    #[arg(long, value_name = "DURATION", value_parser = crate::text::duration)]
    older_than: Option<Duration>,
    /// At most so many of each server
    #[arg(long, value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    at: At,
}

#[derive(clap::Args)]
#[command(
    after_help = "If all servers answer and none works on it, prints what `synod outcome` does, which \
    makes sure that a transaction that is not being committed never commits."
)]
struct Show {
    /// The transaction, such as t3.40.12
    txn: TxnId,
    /// At most so many of its locks on each shard
    #[arg(long, value_name = "N", default_value_t = 20)]
    locks: u32,
    #[command(flatten)]
    at: At,
}

#[derive(clap::Args)]
struct At {
    /// Where a shard is, should the coordinator not say so; may be repeated
    #[arg(long = "shard", value_name = "sN=HOST:PORT", value_parser = named)]
    shards: Vec<(ShardId, String)>,
}

fn named(text: &str) -> Result<(ShardId, String), String> {
    let bad = || format!("'{text}' does not say where a shard is; write s1=127.0.0.1:7500");
    let (name, address) = text.split_once('=').ok_or_else(bad)?;
    let number = name.strip_prefix('s').and_then(|number| number.parse().ok());
    let number = number.filter(|number| *number > 0).ok_or_else(bad)?;
    Ok((ShardId(number), address.to_owned()))
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    match &args.action {
        Action::List(args) => list(args, global),
        Action::Show(args) => show(args, global),
        Action::Resolve(args) => resolve::resolve(args, global),
        Action::Resolved(args) => resolve::resolved(args, global),
    }
}

fn list(args: &List, global: &Global) -> Result<ExitCode> {
    let at = &args.at.shards;
    let (found, servers) = connect::with_servers(global, at, async |db| {
        let mut servers = Servers::find(&db, at).await?;
        let older_than = args.older_than.unwrap_or_default().as_millis();
        let older_than_ms = u64::try_from(older_than).unwrap_or(u64::MAX);
        let (in_doubt, limit) = (args.in_doubt, args.limit as usize);
        let found = servers.list(&db.client, Wanted { in_doubt, older_than_ms, limit }).await;
        Ok((found, servers))
    })?;
    name_silent(&servers, found.txns.values())?;
    if found.more {
        eprintln!("synod: there are more transactions; --limit N shows more of them");
    }
    let mut out = io::stdout().lock();
    match global.json {
        true => render::json(&mut out, &json::list(&found, &servers))?,
        false => text::list(&mut out, &found)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &Show, global: &Global) -> Result<ExitCode> {
    let at = &args.at.shards;
    connect::with_servers(global, at, async |db| {
        let mut servers = Servers::find(&db, at).await?;
        let mut out = io::stdout().lock();
        match servers.show(&db.client, args.txn, args.locks).await {
            Some(seen) => {
                name_silent(&servers, [&seen])?;
                match global.json {
                    true => render::json(&mut out, &json::one(&seen, &servers))?,
                    false => text::one(&mut out, &seen, &servers)?,
                }
            }
            None => unknown(&mut out, &db.client, args.txn, &servers, global.json).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Nobody who answers knows it: it is over, unless somebody is silent.
async fn unknown(
    out: &mut impl Write,
    client: &Client,
    txn: TxnId,
    servers: &Servers,
    as_json: bool,
) -> Result<()> {
    let silent: Vec<&str> = servers.silent.iter().map(|(server, _)| &**server).collect();
    if !silent.is_empty() {
        bail!(
            "no server that answers works on {txn}, and there is no answer from {}; \
             `synod outcome {txn}` asks what became of it",
            silent.join(", ")
        );
    }
    let outcome = client.outcome(txn).await?;
    eprintln!("synod: no server works on {txn}; its outcome:");
    Ok(render::outcome(out, as_json, txn, &outcome)?)
}

/// Says who is left out.
fn name_silent<'a>(servers: &Servers, seen: impl IntoIterator<Item = &'a Seen>) -> Result<()> {
    for (server, why) in &servers.silent {
        eprintln!("synod: {server} is left out: {why}");
    }
    if servers.silent.len() > servers.shards.len() {
        bail!("no server answers");
    }
    let takes_part = seen.into_iter().flat_map(Seen::on);
    let missing: BTreeSet<ShardId> =
        takes_part.filter(|shard| !servers.shards.contains(shard)).collect();
    for shard in missing {
        eprintln!(
            "synod: the address of {shard} is not known; give it with --shard {shard}=HOST:PORT"
        );
    }
    Ok(())
}
