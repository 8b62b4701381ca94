//! `synod deadlocks`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use synod_client::{Cause, Happened, Scheme, Timestamp};

use super::Global;
use super::locks::target;
use crate::waits::{age_ms, span};
use crate::{connect, render};

#[derive(clap::Args)]
#[command(
    after_help = "The coordinator keeps the last 100 since it started; of those that lay within one \
    shard, only some when there are many."
)]
pub struct Args {}

pub fn run(_args: &Args, global: &Global) -> Result<ExitCode> {
    let list = connect::with(global, async |db| Ok(db.client.deadlocks().await?))?;
    let mut out = io::stdout().lock();
    if global.json {
        let list: Vec<Value> = list.iter().map(as_json).collect();
        render::json(&mut out, &json!({ "deadlocks": list }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for happened in &list {
        let ago = age_ms(Timestamp::of_wall(happened.at)).map_or("?".to_owned(), span);
        let place = happened.local.map_or("across shards".to_owned(), |s| format!("on {s}"));
        writeln!(out, "{ago} ago, {place}: {}", happened.deadlock)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(happened: &Happened) -> Value {
    let deadlock = &happened.deadlock;
    let steps = deadlock.steps.iter().map(|step| {
        let mut value = target(&step.target);
        value["waiter"] = json!(step.waiter.to_string());
        value["holder"] = json!(step.holder.to_string());
        value["mode"] = json!(step.mode);
        value["shard"] = json!(step.shard.to_string());
        value
    });
    json!({
        "at_ms": happened.at.0,
        "shard": happened.local.map(|shard| shard.to_string()),
        "victim": deadlock.victim.to_string(),
        "policy": chosen_by(deadlock.cause),
        "length": deadlock.length,
        "steps": steps.collect::<Vec<Value>>(),
    })
}

/// The policy that chose the victim, or the scheme that prevented the deadlock.
fn chosen_by(cause: Cause) -> String {
    match cause {
        Cause::Cycle(policy) => policy.to_string(),
        Cause::WoundWait => Scheme::WoundWait.to_string(),
        Cause::WaitDie => Scheme::WaitDie.to_string(),
    }
}
