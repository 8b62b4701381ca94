//! `synod status`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use synod_client::ShardStatus;
use synod_common::route::Router;

use super::Global;
use crate::connect::Connected;
use crate::coordinators::{self, Coordinator};
use crate::waits::{age_ms, span};
use crate::{connect, render};

/// A server that has not answered after this long is shown as not alive.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub struct Args {}

#[derive(Serialize)]
struct Status {
    coordinators: Vec<CoordinatorRow>,
    shards: Vec<ShardRow>,
    in_doubt: u64,
}

#[derive(Serialize)]
struct CoordinatorRow {
    id: String,
    addr: String,
    leader: bool,
    alive: bool,
    sessions: Option<u64>,
    committing: Option<u64>,
}

/// What only the shard itself knows is `null` if it does not answer.
#[derive(Serialize)]
struct ShardRow {
    id: String,
    addr: String,
    alive: bool,
    range: String,
    keys: Option<u64>,
    in_doubt: Option<u64>,
    /// How long the oldest of them has been; none if there are none.
    oldest_in_doubt_ms: Option<u64>,
    locks: Option<u64>,
    waiting: Option<u64>,
    /// Decisions of operators that turned out to be wrong.
    mixed: Option<u64>,
}

pub fn run(_args: &Args, global: &Global) -> Result<ExitCode> {
    connect::with_servers(global, &[], async |db| show(&db, global.json).await)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks every server how it is, and prints it.
///
/// # Errors
/// If no coordinator answers.
pub async fn show(db: &Connected, as_json: bool) -> Result<()> {
    let status = ask(db).await?;
    let mut out = io::stdout().lock();
    match as_json {
        true => render::json(&mut out, &status)?,
        false => print(&mut out, &status)?,
    }
    Ok(())
}

async fn ask(db: &Connected) -> Result<Status> {
    let coordinators = coordinators::ask(&db.client, &db.addresses).await?;
    let placement = &coordinators.newest.placement;
    let router = Router::new(placement.clone()).context("the coordinator's map")?;
    let shards = &placement.shards;
    db.client.learn_shards(shards.iter().map(|shard| (shard.id, &*shard.address)));
    let mut asked = tokio::task::JoinSet::new();
    for (i, shard) in shards.iter().enumerate() {
        let (client, id) = (db.client.clone(), shard.id);
        asked.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, client.shard_status(id)).await;
            (i, answer.ok().and_then(Result::ok))
        });
    }
    let mut answers: Vec<Option<ShardStatus>> = vec![None; shards.len()];
    for (i, answer) in asked.join_all().await {
        answers[i] = answer;
    }
    let rows = shards.iter().zip(&answers).map(|(shard, answer)| ShardRow {
        id: shard.id.to_string(),
        addr: shard.address.clone(),
        alive: answer.is_some_and(|status| status.ready),
        range: router.describe(shard.id),
        keys: answer.map(|status| status.keys),
        in_doubt: answer.map(|status| status.in_doubt),
        oldest_in_doubt_ms: answer.and_then(|status| age_ms(status.oldest_in_doubt)),
        locks: answer.map(|status| status.locks),
        waiting: answer.map(|status| status.waiting),
        mixed: answer.map(|status| status.mixed),
    });
    Ok(Status {
        coordinators: coordinators.rows.iter().map(coordinator_row).collect(),
        shards: rows.collect(),
        in_doubt: answers.iter().flatten().map(|status| status.in_doubt).sum(),
    })
}

fn coordinator_row(row: &Coordinator) -> CoordinatorRow {
    CoordinatorRow {
        id: row.id.to_string(),
        addr: row.address.clone(),
        leader: row.leads,
        alive: row.status.is_some(),
        sessions: row.status.as_ref().map(|status| status.sessions),
        committing: row.status.as_ref().map(|status| status.committing),
    }
}

fn print(out: &mut impl Write, status: &Status) -> io::Result<()> {
    let number = |value: Option<u64>| value.map_or("?".to_owned(), |value| value.to_string());
    let state = |alive| if alive { "alive" } else { "down" }.to_owned();
    let coordinators: Vec<_> = status
        .coordinators
        .iter()
        .map(|row| {
            let (sessions, committing) = (number(row.sessions), number(row.committing));
            let leader = if row.leader { "leader" } else { "" }.to_owned();
            [row.id.clone(), row.addr.clone(), state(row.alive), leader, sessions, committing]
        })
        .collect();
    let heading = ["COORDINATOR", "ADDRESS", "STATE", "", "SESSIONS", "COMMITTING"];
    render::table(out, heading, &coordinators)?;
    writeln!(out)?;
    let shards: Vec<_> = status
        .shards
        .iter()
        .map(|row| {
            let (id, addr, range) = (row.id.clone(), row.addr.clone(), row.range.clone());
            let (keys, in_doubt) = (number(row.keys), number(row.in_doubt));
            let (locks, waiting) = (number(row.locks), number(row.waiting));
            let oldest = row.oldest_in_doubt_ms.map_or(String::new(), span);
            [id, addr, state(row.alive), range, keys, in_doubt, oldest, locks, waiting]
        })
        .collect();
    let heading =
        ["SHARD", "ADDRESS", "STATE", "RANGE", "KEYS", "IN DOUBT", "SINCE", "LOCKS", "WAITING"];
    render::table(out, heading, &shards)?;
    for row in status.shards.iter().filter(|row| row.mixed.is_some_and(|mixed| mixed > 0)) {
        let (id, mixed) = (&row.id, row.mixed.unwrap_or(0));
        writeln!(out, "\n{id}: {mixed} decisions of operators were wrong: synod txn resolved")?;
    }
    Ok(())
}
