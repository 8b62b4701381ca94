//! Replays the ledger of a real bank as transfers, and checks it against the
//! bank's own figures.
//!
//! ```text
//!   ledger PATH [--url URL --certs DIR] [--clients 64] [--kill]
//! ```
//!
//! Without `--url` it starts a local cluster of its own, as processes; `--kill`
//! kills one of its shards in the middle, without warning, and starts it again.
//!
//! The file is the transaction table of the PKDD'99 Discovery Challenge: one row
//! per movement on a customer's account, in the order of days. A ledger is kept
//! by double entry, so each row becomes one transaction that moves the amount
//! between the customer's account and a counter-account of the bank: cash, other
//! banks, interest or fees. The two are on different shards more often than not,
//! and with the day's balance and the receipt almost every row crosses shards.

mod books;
mod check;
mod replay;
mod rows;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use synod_cli::runtime;
use synod_client::{Client, Credentials};
use synod_cluster::{CLIENT, ClusterOptions, LocalCluster, NodeName};

/// Replay a bank's ledger, and check every balance of every day
#[derive(Parser)]
struct Args {
    /// The file of transactions
    path: PathBuf,
    /// A cluster that is there; a local one is started otherwise
    #[arg(long, requires = "certs")]
    url: Option<String>,
    /// The folder of its certificates
    #[arg(long)]
    certs: Option<PathBuf>,
    /// Name of the client's certificate
    #[arg(long, default_value = CLIENT)]
    identity: String,
    /// Clients at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    clients: u32,
    /// Shards of the local cluster
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=16))]
    shards: u16,
    /// Kill a shard of the local cluster in the middle, and start it again
    #[arg(long, conflicts_with = "url")]
    kill: bool,
}

/// The shard that `--kill` kills, and how long it stays dead.
const VICTIM: NodeName = NodeName::Shard(1);
const DEAD: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let args = Args::parse();
    let result = runtime::block_on(run(&args)).context("no runtime").and_then(|result| result);
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ledger: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Replays and checks. Whether everything held.
async fn run(args: &Args) -> Result<bool> {
    let rows = rows::read(&args.path)?;
    let accounts = replay::by_account(&rows);
    println!(
        "{} rows of {} accounts, {} to {}",
        rows.len(),
        accounts.len(),
        rows.first().map_or(0, |row| row.date),
        rows.last().map_or(0, |row| row.date),
    );
    let (db, mut cluster) = connect(args).await?;
    let replay = replay::Replay::start(&db, &rows, &accounts, args.clients)?;
    if args.kill
        && let Some(cluster) = &mut cluster
    {
        replay.reached(rows.len() / 2).await?;
        cluster.kill(VICTIM)?;
        println!("kill -9 {VICTIM} after {} rows", replay.done());
        tokio::time::sleep(DEAD).await;
        cluster.restart(VICTIM).await?;
        println!("{VICTIM} is back, after {} rows", replay.done());
    }
    let replayed = replay.finish().await?;
    println!("{replayed}");
    let checked = check::check(&db, &rows).await?;
    println!("{checked}");
    drop(db);
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    Ok(checked.is_right())
}

async fn connect(args: &Args) -> Result<(Client, Option<LocalCluster>)> {
    if let (Some(url), Some(certs)) = (&args.url, &args.certs) {
        let credentials = Credentials::load(certs, &args.identity)?;
        return Ok((Client::connect(url, credentials).await?, None));
    }
    let options = ClusterOptions { shards: args.shards, ..ClusterOptions::default() };
    let cluster = LocalCluster::start(options).await?;
    Ok((cluster.client().await?, Some(cluster)))
}
