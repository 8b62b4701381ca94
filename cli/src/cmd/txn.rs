//! `synod txn`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use synod_client::{Client, Commit, CommitStage, Holds, ShardId, ShardStage, ShardTxn, TxnId};

use super::locks::target;
use super::{Global, later};
use crate::txns::Seen;
use crate::txns::ask::{Found, Servers};
use crate::waits::span;
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
    /// Decide a transaction that is in doubt (not available in this version)
    #[command(hide = true)]
    Resolve(later::Args),
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
        Action::Resolve(_) => Err(super::Usage::later("txn resolve")),
    }
}

fn list(args: &List, global: &Global) -> Result<ExitCode> {
    let at = &args.at.shards;
    let (found, servers) = connect::with_servers(global, at, async |db| {
        let mut servers = Servers::find(&db.client, at).await?;
        let found = servers.list(&db.client, args.in_doubt, args.limit as usize).await;
        Ok((found, servers))
    })?;
    name_silent(&servers, found.txns.values())?;
    if found.more {
        eprintln!("synod: there are more transactions; --limit N shows more of them");
    }
    let mut out = io::stdout().lock();
    match global.json {
        true => render::json(&mut out, &list_as_json(&found, &servers))?,
        false => print_list(&mut out, &found)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &Show, global: &Global) -> Result<ExitCode> {
    let at = &args.at.shards;
    connect::with_servers(global, at, async |db| {
        let mut servers = Servers::find(&db.client, at).await?;
        let mut out = io::stdout().lock();
        match servers.show(&db.client, args.txn, args.locks).await {
            Some(seen) => {
                name_silent(&servers, [&seen])?;
                match global.json {
                    true => render::json(&mut out, &as_json(&seen, &servers))?,
                    false => print(&mut out, &seen, &servers)?,
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
    let missing: std::collections::BTreeSet<ShardId> =
        takes_part.filter(|shard| !servers.shards.contains(shard)).collect();
    for shard in missing {
        eprintln!(
            "synod: the address of {shard} is not known; give it with --shard {shard}=HOST:PORT"
        );
    }
    Ok(())
}

/// For how long, and that it may be longer.
fn at_least((ms, at_least): (u64, bool)) -> String {
    if at_least { format!("{} or more", span(ms)) } else { span(ms) }
}

fn names(shards: impl IntoIterator<Item = ShardId>) -> String {
    let names: Vec<String> = shards.into_iter().map(|shard| shard.to_string()).collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(" ") }
}

fn print_list(out: &mut impl Write, found: &Found) -> io::Result<()> {
    let row = |seen: &Seen| {
        [
            seen.txn.to_string(),
            seen.state().name().to_owned(),
            seen.protocol().unwrap_or("-").to_owned(),
            names(seen.on()),
            seen.age_ms().map_or("-".to_owned(), span),
            at_least(seen.for_ms()),
            seen.waits_for().join(", "),
        ]
    };
    let rows: Vec<_> = found.txns.values().map(row).collect();
    let heading = ["TRANSACTION", "STATE", "PROTOCOL", "SHARDS", "AGE", "IN STATE", "WAITS FOR"];
    render::table(out, heading, &rows)
}

fn print(out: &mut impl Write, seen: &Seen, servers: &Servers) -> io::Result<()> {
    let age = seen.age_ms().map_or(String::new(), |age| format!(", {} old", span(age)));
    let protocol = seen.protocol().map_or(String::new(), |name| format!(", {name}"));
    let (state, on) = (seen.state().name(), names(seen.on()));
    writeln!(out, "{}: {state}{protocol}, on {on}{age}", seen.txn)?;
    writeln!(out, "waits for {}", seen.waits_for().join(", "))?;
    match &seen.commit {
        Some(commit) => print_commit(out, commit)?,
        None if servers.coordinator => writeln!(out, "\ncoordinator: knows nothing of it")?,
        None => {}
    }
    for (shard, row) in &seen.shards {
        print_shard(out, *shard, row)?;
        let holds = seen.holds.iter().find(|(of, _)| of == shard);
        if let Some((_, holds)) = holds {
            print_holds(out, row, holds)?;
        }
    }
    Ok(())
}

fn print_commit(out: &mut impl Write, commit: &Commit) -> io::Result<()> {
    let since = at_least((commit.for_ms, commit.at_least));
    let name = |shards: &Vec<ShardId>| names(shards.iter().copied());
    write!(out, "\ncoordinator: ")?;
    match &commit.stage {
        CommitStage::OnePhase { shard } => writeln!(out, "left to {shard} for {since}")?,
        CommitStage::Preparing { yes, read, missing } => {
            writeln!(out, "collects votes for {since}")?;
            let (yes, read, missing) = (name(yes), name(read), name(missing));
            writeln!(out, "  YES: {yes}; READ: {read}; not yet: {missing}")?;
        }
        CommitStage::Deciding { at, yes, read } => {
            writeln!(out, "writes the decision to commit at {at} for {since}")?;
            writeln!(out, "  YES: {}; READ: {}", name(yes), name(read))?;
        }
        CommitStage::Committing { at, unacknowledged } => {
            writeln!(out, "committed at {at}, tells it for {since}")?;
            writeln!(out, "  not acknowledged by: {}", name(unacknowledged))?;
        }
    }
    match commit.h {
        synod_client::Timestamp::ZERO => Ok(()),
        h => writeln!(out, "  h {h}"),
    }
}

fn print_shard(out: &mut impl Write, shard: ShardId, row: &ShardTxn) -> io::Result<()> {
    let since = at_least((row.for_ms, row.at_least));
    write!(out, "\n{shard}: ")?;
    match &row.stage {
        ShardStage::Active => writeln!(out, "active for {since}"),
        ShardStage::Preparing { h, participants, coordinator } => {
            writeln!(out, "preparing for {since}")?;
            let participants = names(participants.iter().copied());
            writeln!(out, "  h {h}, coordinator {coordinator}, participants {participants}")
        }
        ShardStage::Prepared { h, m, participants, coordinator, asked } => {
            writeln!(out, "has voted YES, without a decision for {since}")?;
            let participants = names(participants.iter().copied());
            writeln!(out, "  h {h}, m {m}, participants {participants}")?;
            writeln!(out, "  coordinator {coordinator}, asked {asked} times")
        }
        ShardStage::ReadVoted { h, m, coordinator, asked } => {
            writeln!(out, "has voted READ, without a decision for {since}")?;
            writeln!(out, "  h {h}, m {m}, coordinator {coordinator}, asked {asked} times")
        }
        ShardStage::OnePhase { h, m, coordinator, asked } => {
            writeln!(out, "has committed it alone, which is not over for {since}")?;
            writeln!(out, "  h {h}, m {m}, coordinator {coordinator}, told {asked} times more")
        }
    }
}

fn print_holds(out: &mut impl Write, row: &ShardTxn, holds: &Holds) -> io::Result<()> {
    for (target, mode) in &holds.locks {
        writeln!(out, "  holds {mode} on {target}")?;
    }
    let more = row.locks.saturating_sub(holds.locks.len() as u64);
    if more > 0 {
        writeln!(out, "  and {more} more locks")?;
    }
    for (waiter, ms) in &holds.waiters {
        writeln!(out, "  {waiter} waits for it, for {}", span(u64::from(*ms)))?;
    }
    if holds.more_waiters > 0 {
        writeln!(out, "  and {} more wait for it", holds.more_waiters)?;
    }
    Ok(())
}

fn list_as_json(found: &Found, servers: &Servers) -> Value {
    let rows: Vec<Value> = found.txns.values().map(summary).collect();
    json!({ "txns": rows, "more": found.more, "silent": silent(servers) })
}

fn silent(servers: &Servers) -> Vec<Value> {
    let silent = servers.silent.iter();
    silent.map(|(server, why)| json!({ "server": server, "reason": why })).collect()
}

fn text(shards: impl IntoIterator<Item = ShardId>) -> Vec<String> {
    shards.into_iter().map(|shard| shard.to_string()).collect()
}

fn summary(seen: &Seen) -> Value {
    let (for_ms, at_least) = seen.for_ms();
    json!({
        "txn": seen.txn.to_string(),
        "state": seen.state().name(),
        "protocol": seen.protocol(),
        "shards": text(seen.on()),
        "age_ms": seen.age_ms(),
        "for_ms": for_ms,
        "at_least": at_least,
        "waits_for": seen.waits_for(),
    })
}

fn as_json(seen: &Seen, servers: &Servers) -> Value {
    let mut value = summary(seen);
    let servers_of_it = seen.shards.iter().map(|(shard, row)| {
        let holds = seen.holds.iter().find(|(of, _)| of == shard);
        let holds = holds.map(|(_, holds)| holds.clone()).unwrap_or_default();
        shard_as_json(*shard, row, &holds)
    });
    value["coordinator"] = seen.commit.as_ref().map(commit_as_json).into();
    value["on"] = servers_of_it.collect();
    value["silent"] = silent(servers).into();
    value
}

fn commit_as_json(commit: &Commit) -> Value {
    let mut value = match &commit.stage {
        CommitStage::OnePhase { shard } => {
            json!({ "stage": "one-phase", "shard": shard.to_string() })
        }
        CommitStage::Preparing { yes, read, missing } => json!({
            "stage": "preparing",
            "yes": text(yes.iter().copied()),
            "read": text(read.iter().copied()),
            "missing": text(missing.iter().copied()),
        }),
        CommitStage::Deciding { at, yes, read } => json!({
            "stage": "deciding",
            "timestamp": at.0,
            "yes": text(yes.iter().copied()),
            "read": text(read.iter().copied()),
        }),
        CommitStage::Committing { at, unacknowledged } => json!({
            "stage": "committing",
            "timestamp": at.0,
            "unacknowledged": text(unacknowledged.iter().copied()),
        }),
    };
    value["h"] = json!(Some(commit.h.0).filter(|h| *h != 0));
    value["for_ms"] = json!(commit.for_ms);
    value["at_least"] = json!(commit.at_least);
    value
}

fn shard_as_json(shard: ShardId, row: &ShardTxn, holds: &Holds) -> Value {
    let mut value = match &row.stage {
        ShardStage::Active => json!({ "stage": "active" }),
        ShardStage::Preparing { h, participants, coordinator } => json!({
            "stage": "preparing",
            "h": h.0,
            "participants": text(participants.iter().copied()),
            "coordinator": coordinator.to_string(),
        }),
        ShardStage::Prepared { h, m, participants, coordinator, asked } => json!({
            "stage": "prepared",
            "h": h.0,
            "m": m.0,
            "participants": text(participants.iter().copied()),
            "coordinator": coordinator.to_string(),
            "asked": asked,
        }),
        ShardStage::ReadVoted { h, m, coordinator, asked } => json!({
            "stage": "read-voted",
            "h": h.0,
            "m": m.0,
            "coordinator": coordinator.to_string(),
            "asked": asked,
        }),
        ShardStage::OnePhase { h, m, coordinator, asked } => json!({
            "stage": "one-phase",
            "h": h.0,
            "m": m.0,
            "coordinator": coordinator.to_string(),
            "asked": asked,
        }),
    };
    let lock = |(on, mode): &(synod_client::Target, String)| {
        let mut value = target(on);
        value["mode"] = json!(mode);
        value
    };
    let waiter = |(txn, ms): &(TxnId, u32)| json!({ "txn": txn.to_string(), "waited_ms": ms });
    value["shard"] = json!(shard.to_string());
    value["for_ms"] = json!(row.for_ms);
    value["at_least"] = json!(row.at_least);
    value["locks"] = holds.locks.iter().map(lock).collect();
    value["more_locks"] = json!(row.locks.saturating_sub(holds.locks.len() as u64));
    value["waiting"] = json!(row.waiting);
    value["waiters"] = holds.waiters.iter().map(waiter).collect();
    value["more_waiters"] = json!(holds.more_waiters);
    value
}
