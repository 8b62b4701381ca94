//! `synod locks`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use synod_client::{LockRow, ShardId, Target};

use super::Global;
use crate::waits::graph::WaitGraph;
use crate::waits::{self, Locks, age_ms, span};
use crate::{connect, render};

#[derive(clap::Args)]
#[command(
    after_help = "Modes: S to read, X to write. A wait is `behind` those who hold what it needs, or \
    asked for it before. Keys are cut to 64 bytes."
)]
pub struct Args {
    /// Draw who waits for whom
    #[arg(long)]
    graph: bool,
    /// Write a drawing of who waits for whom into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Only what somebody waits for
    #[arg(long)]
    contended: bool,
    /// At most so many keys and ranges of each shard
    #[arg(long, value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    let drawn = args.graph || args.svg.is_some();
    let contended = args.contended || drawn;
    let locks =
        connect::with(global, async |db| waits::ask(&db, contended, args.limit as usize).await)?;
    for shard in &locks.silent {
        eprintln!("synod: {shard} does not answer and is left out");
    }
    if locks.more {
        eprintln!("synod: there are more locks; --limit N shows more of them");
    }
    if let Some(path) = &args.svg {
        std::fs::write(path, waits::svg::draw(&WaitGraph::of(&locks.rows)))
            .with_context(|| format!("can not write {}", path.display()))?;
    }
    let mut out = io::stdout().lock();
    match (args.graph, global.json) {
        (true, false) => waits::text::draw(&mut out, &WaitGraph::of(&locks.rows))?,
        (_, true) => render::json(&mut out, &as_json(&locks))?,
        (false, false) if args.svg.is_none() => print(&mut out, &locks.rows)?,
        (false, false) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, rows: &[(ShardId, LockRow)]) -> io::Result<()> {
    let age = |age| age_ms(age).map_or("-".to_owned(), span);
    let mut lines = Vec::new();
    for (shard, row) in rows {
        let line = |txn: String, mode: &str, state: String, age, behind| {
            let mode = mode.to_owned();
            [shard.to_string(), row.target.to_string(), txn, mode, state, age, behind]
        };
        for holder in &row.holders {
            let state = if holder.prepared { "holds, has voted" } else { "holds" }.to_owned();
            let txn = holder.txn.to_string();
            lines.push(line(txn, &holder.mode, state, age(holder.age), String::new()));
        }
        for waiter in &row.waiters {
            let state = format!("waits {}", span(u64::from(waiter.waited_ms)));
            let behind: Vec<String> = waiter.behind.iter().map(ToString::to_string).collect();
            let txn = waiter.txn.to_string();
            lines.push(line(txn, &waiter.mode, state, age(waiter.age), behind.join(" ")));
        }
        if row.more > 0 {
            let more = format!("and {} more", row.more);
            lines.push(line(more, "", String::new(), String::new(), String::new()));
        }
    }
    let heading = ["SHARD", "LOCK", "TRANSACTION", "MODE", "STATE", "AGE", "BEHIND"];
    render::table(out, heading, &lines)
}

fn as_json(locks: &Locks) -> Value {
    let row = |(shard, row): &(ShardId, LockRow)| {
        let holder = |holder: &synod_client::LockHolder| {
            json!({
                "txn": holder.txn.to_string(),
                "mode": holder.mode,
                "age_ms": age_ms(holder.age),
                "prepared": holder.prepared,
            })
        };
        let waiter = |waiter: &synod_client::LockWaiter| {
            let behind: Vec<String> = waiter.behind.iter().map(ToString::to_string).collect();
            json!({
                "txn": waiter.txn.to_string(),
                "mode": waiter.mode,
                "age_ms": age_ms(waiter.age),
                "waited_ms": waiter.waited_ms,
                "behind": behind,
            })
        };
        let mut value = target(&row.target);
        value["shard"] = json!(shard.to_string());
        value["holders"] = row.holders.iter().map(holder).collect();
        value["waiters"] = row.waiters.iter().map(waiter).collect();
        value["more"] = json!(row.more);
        value
    };
    let rows: Vec<Value> = locks.rows.iter().map(row).collect();
    let silent: Vec<String> = locks.silent.iter().map(ToString::to_string).collect();
    json!({ "locks": rows, "more": locks.more, "silent": silent })
}

/// A key or a range for JSON: `key`, or `start` and `end`; base64 where it is no text.
pub(super) fn target(target: &Target) -> Value {
    let mut value = json!({});
    let mut put = |name: &str, shown: &synod_client::Shown| {
        let (text, base64) = render::text_or_base64(&shown.key);
        match base64 {
            Some(base64) => value[format!("{name}_b64")] = json!(base64),
            None => value[name] = json!(text),
        }
        if shown.cut {
            value["cut"] = json!(true);
        }
    };
    match target {
        Target::Key(key) => put("key", key),
        Target::Range(start, end) => {
            put("start", start);
            match end {
                Some(end) => put("end", end),
                None => value["end"] = Value::Null,
            }
        }
    }
    value
}
