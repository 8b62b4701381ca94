//! `synod txn resolve` and `synod txn resolved`: an operator decides what can not wait.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use synod_client::{Client, Error, Reason, Refusal, ShardId, ShardStage, TxnId};

use super::{At, json, name_silent, text};
use crate::cmd::{Global, Usage};
use crate::txns::Seen;
use crate::txns::ask::Servers;
use crate::{connect, render};

/// How long a shard may take to notice that a coordinator is gone that does not answer us.
const UNTIL_MISSED: Duration = Duration::from_secs(5);
/// How long until it is asked again.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
#[command(
    after_help = "Decides a transaction on every shard that answers and has it in doubt, so that its \
    locks are free. The decision may be wrong: whoever knows the outcome may have decided otherwise, \
    or does so later. It is written down with your name, and never taken for the outcome; `synod txn \
    resolved` shows how it turned out. Needs a certificate of an operator. While a coordinator answers, \
    or has a link to the shard, it decides by itself: then nothing is done without --force."
)]
pub struct Resolve {
    /// The transaction, such as t3.40.12
    txn: TxnId,
    /// What to decide
    decision: Decision,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Also while a coordinator answers, or has a link to the shard
    #[arg(long)]
    force: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    #[command(flatten)]
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Decision {
    /// Its writes become visible on the shards that answer
    Commit,
    /// Its writes are dropped there
    Abort,
}

impl Decision {
    fn will(self) -> &'static str {
        match self {
            Decision::Commit => "commit",
            Decision::Abort => "abort",
        }
    }
}

#[derive(clap::Args)]
#[command(
    after_help = "Of each decision the last columns say what became of the transaction elsewhere. MIXED \
    means that shards differ for good: what was written on some is missing on others. Each shard keeps \
    1,000 decisions: without an outcome for as long as it takes, those that are mixed for 30 days at \
    least. When it can forget none it refuses further ones."
)]
pub struct Resolved {
    #[command(flatten)]
    at: At,
}

/// `synod txn resolve`.
///
/// # Errors
/// If it is in doubt nowhere, or a shard refuses.
pub fn resolve(args: &Resolve, global: &Global) -> Result<ExitCode> {
    if args.why.len() > 1_000 {
        return Err(Usage::because("--why takes at most 1,000 bytes".to_owned()));
    }
    if !args.yes && !io::stdin().is_terminal() {
        let (txn, will) = (args.txn, args.decision.will());
        return Err(Usage::because(format!("to {will} {txn} without being asked, add --yes")));
    }
    let at = &args.at.shards;
    connect::with_servers(global, at, async |db| {
        let mut servers = Servers::find(&db, at).await?;
        if servers.coordinator && !args.force {
            bail!(
                "the coordinator answers, and decides {} by itself; \
                 --force does it nevertheless",
                args.txn
            );
        }
        let seen = servers.show(&db.client, args.txn, 20).await;
        let seen = seen.with_context(|| format!("no server that answers knows {}", args.txn))?;
        name_silent(&servers, [&seen])?;
        let shards = in_doubt(&seen);
        if shards.is_empty() {
            bail!("{} is not in doubt on any server that answers", args.txn);
        }
        if !args.yes {
            text::one(&mut io::stderr().lock(), &seen, &servers)?;
            confirm(args, &shards)?;
        }
        decide(&db.client, args, &seen, &shards, global.json).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn in_doubt(seen: &Seen) -> Vec<ShardId> {
    let in_doubt = seen.shards.iter().filter(|(_, row)| row.stage.is_in_doubt());
    in_doubt.map(|(shard, _)| *shard).collect()
}

/// Asks whoever sits there.
fn confirm(args: &Resolve, shards: &[ShardId]) -> Result<()> {
    let will = args.decision.will();
    let on: Vec<String> = shards.iter().map(ToString::to_string).collect();
    let on = on.join(" ");
    eprint!("\n{will} it on {on}, whatever was or will be decided elsewhere? Type {will}: ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() != will {
        bail!("nothing was done");
    }
    Ok(())
}

/// Decides it on one shard. That may notice later than we do that the coordinator is gone.
async fn decide_on(client: &Client, shard: ShardId, args: &Resolve) -> Result<(), Error> {
    let commit = args.decision == Decision::Commit;
    let began = Instant::now();
    loop {
        let done = client.resolve(shard, args.txn, commit, &args.why, args.force).await;
        match &done {
            Err(Error::Aborted(Refusal { reason: Reason::CoordinatorDecides, .. }))
                if began.elapsed() < UNTIL_MISSED =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            _ => return done,
        }
    }
}

async fn decide(
    client: &Client,
    args: &Resolve,
    seen: &Seen,
    shards: &[ShardId],
    as_json: bool,
) -> Result<()> {
    let commit = args.decision == Decision::Commit;
    for shard in shards {
        let done = decide_on(client, *shard, args).await;
        done.with_context(|| format!("{shard} did not {} {}", args.decision.will(), args.txn))?;
        // Who has only read has decided nothing by that.
        let has_read = seen
            .shards
            .iter()
            .any(|(on, row)| on == shard && matches!(row.stage, ShardStage::ReadVoted { .. }));
        let decided = if commit { "committed" } else { "aborted" };
        match (as_json, has_read) {
            (true, _) => {}
            (false, true) => println!("{shard}: it has only read there; its locks are free"),
            (false, false) => {
                println!("{shard}: {decided} by you; how it ends is in `synod txn resolved`");
            }
        }
    }
    if as_json {
        let shards: Vec<String> = shards.iter().map(ToString::to_string).collect();
        let decided = args.decision.will();
        let value = serde_json::json!({
            "txn": args.txn.to_string(), "decided": decided, "shards": shards
        });
        render::json(&mut io::stdout().lock(), &value)?;
    }
    Ok(())
}

/// `synod txn resolved`.
///
/// # Errors
/// If no shard answers.
pub fn resolved(args: &Resolved, global: &Global) -> Result<ExitCode> {
    let at = &args.at.shards;
    connect::with_servers(global, at, async |db| {
        let mut servers = Servers::find(&db, at).await?;
        let all = servers.resolutions(&db.client).await;
        name_silent(&servers, [])?;
        let mut out = io::stdout().lock();
        match global.json {
            true => render::json(&mut out, &json::resolved(&all))?,
            false => text::resolved(&mut out, &all)?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
