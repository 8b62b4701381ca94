//! The only coordinator of a real cluster is killed while money moves. In two-phase commit
//! some transactions wait until it is back, shown and with their locks; in three-phase commit
//! the shards end all of them without it.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::ask::Ask;
use common::{PATIENCE, Run, until};
use serde_json::{Value, json};
use synod_cli::bank::{Bank, Load, Tally};
use synod_cli::runtime;
use synod_client::{AsKey, Client, Error, Key, Options, Protocol, ShardId, Txn, TxnId};
use synod_cluster::{ClusterOptions, LocalCluster, NodeName};

/// How often the coordinator is killed until the moment is the right one.
const ROUNDS: u32 = 20;
const SHARDS: [ShardId; 2] = [ShardId(1), ShardId(2)];
const COORDINATOR: NodeName = NodeName::Coordinator(1);
const ACCOUNTS: u32 = 200;
const INITIAL: i64 = 1_000;
const CLIENTS: u32 = 24;
/// So many transfers are made before the coordinator is killed.
const BEFORE: usize = 200;
/// Short, so that clients do not wait for the coordinator.
const TIMEOUT: Duration = Duration::from_millis(800);

#[test]
fn two_phase_commit_waits_for_its_coordinator() {
    runtime::block_on(wait_for_the_coordinator()).unwrap();
}

async fn wait_for_the_coordinator() {
    let mut world = World::start(Protocol::TwoPhase).await;
    let (blocked, killed) = loop {
        let killed = world.kill_under_load().await;
        let shown = world.ask_shards(&["txn", "list", "--in-doubt"]).await;
        let rows = shown["txns"].as_array().unwrap();
        let is_blocked =
            |row: &&Value| killed.voted.iter().any(|txn| row["txn"] == json!(txn.to_string()));
        if let Some(blocked) = rows.iter().find(is_blocked) {
            break (blocked.clone(), killed);
        }
        world.cluster.restart(COORDINATOR).await.unwrap();
        world.stop(killed.load).await;
    };
    let name = blocked["txn"].as_str().unwrap().to_owned();
    assert_eq!((&blocked["state"], &blocked["protocol"]), (&json!("in doubt"), &json!("2pc")));
    assert_eq!(blocked["waits_for"], json!(["the decision of c1"]));
    world.is_locked(&killed.reader, name.parse().unwrap()).await;

    // Nobody does anything but start it.
    world.cluster.restart(COORDINATOR).await.unwrap();
    world.stop(killed.load).await;
    until("nobody is in doubt", async || {
        world.ask.json(&["txn", "list", "--in-doubt"]).await["txns"] == json!([])
    })
    .await;
    let outcome = world.ask.json(&["outcome", &name]).await;
    assert!(["committed", "aborted"].map(Value::from).contains(&outcome["state"]), "{outcome}");
    world.end().await;
}

#[test]
fn three_phase_commit_ends_it_without_its_coordinator() {
    runtime::block_on(end_without_the_coordinator()).unwrap();
}

async fn end_without_the_coordinator() {
    let mut world = World::start(Protocol::ThreePhase).await;
    let committed = loop {
        let Killed { load, reader, voted } = world.kill_under_load().await;
        until("the shards end all", async || in_doubt(world.bank.db()).await.is_empty()).await;
        world.stop(load).await;
        assert_eq!(sum(&reader).await, INITIAL * i64::from(ACCOUNTS));
        let mut committed = None;
        for (txn, receipt, _) in &world.tally.in_doubt {
            if voted.contains(txn) && reader.get(receipt).await.unwrap().is_present() {
                committed = Some(*txn);
            }
        }
        if let Some(committed) = committed {
            break committed;
        }
        drop(reader);
        world.cluster.restart(COORDINATOR).await.unwrap();
    };
    assert_eq!(world.ask_shards(&["txn", "list", "--in-doubt"]).await["txns"], json!([]));

    // Until here it was gone. To compare all receipts with what was acknowledged it must be
    // back, and so it learns what was decided without it: until then it says that it does not
    // know.
    world.cluster.restart(COORDINATOR).await.unwrap();
    until("it learns what was decided", async || {
        let outcome = world.ask.json(&["outcome", &committed.to_string()]).await;
        assert_ne!(outcome["state"], "aborted");
        outcome["state"] == "committed"
    })
    .await;
    world.end().await;
}

/// The coordinator is dead.
struct Killed {
    /// Clients that were at work.
    load: Load,
    /// A transaction of before that can still read: its session needs no coordinator.
    reader: Txn,
    /// What has voted on all shards and is not known to be decided on any: by nobody.
    voted: BTreeSet<TxnId>,
}

/// A bank on a cluster of processes, and what its clients were told.
struct World {
    cluster: LocalCluster,
    ask: Ask,
    /// Where the shards are, for when the coordinator does not say it.
    named: Vec<String>,
    bank: Bank,
    protocol: Protocol,
    tally: Tally,
    rounds: u32,
}

impl World {
    async fn start(protocol: Protocol) -> World {
        let bin = Some(env!("CARGO_BIN_EXE_synod").into());
        let options = ClusterOptions { shards: 2, bin, ..ClusterOptions::default() };
        let cluster = LocalCluster::start(options).await.unwrap();
        let ask = Ask::of(&cluster);
        let db = cluster.client().await.unwrap();
        let shards = db.status().await.unwrap().placement.shards;
        let named = shards.iter().map(|shard| format!("--shard={}={}", shard.id, shard.address));
        let named = named.collect();
        let bank = Bank::open(db, ACCOUNTS, INITIAL).await.unwrap();
        World { cluster, ask, named, bank, protocol, tally: Tally::default(), rounds: 0 }
    }

    /// Kills the coordinator while clients are at work.
    async fn kill_under_load(&mut self) -> Killed {
        assert!(self.rounds < ROUNDS, "{ROUNDS} kills, and none came at the right moment");
        let options = Options::new().timeout(TIMEOUT).protocol(self.protocol);
        let first = self.rounds * CLIENTS;
        let load = Load::start(&self.bank, CLIENTS, first, u64::from(self.rounds), options);
        self.rounds += 1;
        until("money moves", async || load.acknowledged() >= BEFORE).await;
        let reader = self.bank.db().begin(Options::new().timeout(PATIENCE)).await.unwrap();
        self.cluster.kill(COORDINATOR).unwrap();
        let [one, other] = SHARDS.map(|shard| in_doubt_on(self.bank.db(), shard));
        let voted = &one.await & &other.await;
        Killed { load, reader, voted }
    }

    /// Lets the clients come to an end, and remembers what they were told.
    async fn stop(&mut self, load: Load) {
        let told = load.stop().await;
        self.tally = std::mem::take(&mut self.tally).merge(told);
    }

    /// An account that it writes can not be read.
    async fn is_locked(&self, reader: &Txn, txn: TxnId) {
        let shown = self.ask_shards(&["txn", "show", &txn.to_string()]).await;
        let on = shown["on"].as_array().unwrap();
        assert!(on.len() == 2 && on.iter().all(|row| row["stage"] == "prepared"), "{shown}");
        let text = self.run_shards(&["txn", "show", &txn.to_string()]).await;
        let is_locked = |key: &Key| text.ok().contains(&format!("  holds X on key {key}\n"));
        let accounts: Vec<Key> = (0..ACCOUNTS).map(account).filter(is_locked).collect();
        assert_eq!(accounts.len(), 2, "{text:?}");
        for account in accounts {
            let read = reader.get_for_share(account).nowait().await.map(drop);
            assert_eq!(read, Err(Error::Locked(txn)));
        }
    }

    /// Asks without the coordinator.
    async fn run_shards(&self, args: &[&str]) -> Run {
        let named: Vec<&str> = self.named.iter().map(String::as_str).collect();
        self.ask.run(&[args, &named].concat()).await
    }

    async fn ask_shards(&self, args: &[&str]) -> Value {
        let run = self.run_shards(&[args, &["--json"]].concat()).await;
        serde_json::from_str(run.ok()).unwrap()
    }

    /// No acknowledged transfer is lost, the sum is exact, and no lock is left.
    async fn end(self) {
        let World { cluster, bank, tally, protocol, rounds, .. } = self;
        println!(
            "{protocol}: {rounds} kills, {} transfers acknowledged, {} in doubt",
            tally.done.len(),
            tally.in_doubt.len()
        );
        let (_, wrong) = bank.audit(&tally).await.unwrap();
        assert!(wrong.is_empty(), "{} wrongs, among them: {}", wrong.len(), wrong[0]);
        bank.lock_all().await.unwrap();
        // Those locks were given back with the next message.
        for shard in SHARDS {
            until("nothing is left", async || {
                let metrics = cluster.metrics(NodeName::Shard(shard.0)).await.unwrap();
                let left = ["synod_in_doubt", "synod_locks"].map(|name| metrics.value(name));
                left == [Some(0.0); 2]
            })
            .await;
        }
        cluster.stop().await.unwrap();
    }
}

fn account(n: u32) -> Key {
    ("acct", n).as_key()
}

async fn in_doubt_on(db: &Client, shard: ShardId) -> BTreeSet<TxnId> {
    let page = db.shard_txns(shard, None, true, 0).await.unwrap();
    page.rows.into_iter().map(|row| row.txn).collect()
}

async fn in_doubt(db: &Client) -> BTreeSet<TxnId> {
    let [one, other] = SHARDS.map(|shard| in_doubt_on(db, shard));
    &one.await | &other.await
}

/// All the money, read under locks.
async fn sum(reader: &Txn) -> i64 {
    let balances = reader.get_many((0..ACCOUNTS).map(account)).await.unwrap();
    balances.iter().map(|balance| balance.decode::<i64>().unwrap()).sum()
}
