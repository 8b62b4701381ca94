//! Groups of coordinators, as real processes that are killed without warning.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Scratch, base_port, until};
use serde_json::Value;
use synod_cli::runtime;
use synod_client::Client;
use synod_cluster::{ClusterOptions, LocalCluster, NodeName};

/// How long a group may take until it serves again.
const PATIENCE: Duration = Duration::from_secs(30);
const KEYS: u32 = 20;

#[test]
fn a_group_goes_on_when_its_leader_is_killed() {
    runtime::block_on(kill_leaders()).unwrap();
}

async fn kill_leaders() {
    let bin = Some(env!("CARGO_BIN_EXE_synod").into());
    let options = ClusterOptions { shards: 2, coordinators: 3, bin, ..ClusterOptions::default() };
    let mut cluster = LocalCluster::start(options).await.unwrap();
    let scratch = Scratch::new();
    let certs = cluster.certs().display().to_string();
    let url = cluster.url().to_owned();
    let synod = |args: &[&str]| {
        let env = [("SYNOD_URL", &*url), ("SYNOD_CERTS", &*certs)];
        scratch.run_with(args, &env)
    };
    let db = cluster.client().await.unwrap();
    for round in 1..=3u32 {
        put_all(&db, round).await;
        let leader = leader_of(&db).await;
        cluster.kill(leader).unwrap();
        let killed = Instant::now();

        // An old client and a new one go on, with all that was acknowledged.
        check_all(&db, round).await;
        put_all(&db, round + 100).await;
        assert!(killed.elapsed() < PATIENCE, "went on after {:?}", killed.elapsed());
        check_all(&cluster.client().await.unwrap(), round + 100).await;
        assert_eq!(synod(&["put", "one-shot", &round.to_string()]).ok(), "");
        assert_eq!(synod(&["get", "one-shot"]).ok(), round.to_string());
        assert_ne!(leader_of(&db).await, leader);

        // The others know that it is gone, and when it is back.
        let rows = coordinators(&synod(&["status", "--json"]));
        let dead: Vec<&Value> = rows.iter().filter(|row| row["alive"] == false).collect();
        assert_eq!(dead.len(), 1, "{rows:?}");
        assert_eq!(dead[0]["id"], leader.to_string());
        assert_eq!((&dead[0]["leader"], &dead[0]["sessions"]), (&Value::Bool(false), &Value::Null));
        cluster.restart(leader).await.unwrap();
        let rows = coordinators(&synod(&["status", "--json"]));
        assert!(rows.iter().all(|row| row["alive"] == true), "{rows:?}");
        assert_eq!(rows.iter().filter(|row| row["leader"] == true).count(), 1, "{rows:?}");
    }
    // One of three can not lead, but it can still be asked.
    let others = [NodeName::Coordinator(1), NodeName::Coordinator(2)];
    for name in others {
        cluster.kill(name).unwrap();
    }
    let killed = Instant::now();
    let led = |rows: Vec<Value>| rows.iter().any(|row| row["leader"] == true);
    while led(coordinators(&synod(&["status", "--json"]))) {
        assert!(killed.elapsed() < PATIENCE, "it still leads, alone");
    }
    let list = synod(&["txn", "list"]);
    assert!(list.err.contains("the coordinator is left out: none of the group leads"), "{list:?}");
    assert_eq!(list.code, 0);
    for name in others {
        cluster.spawn(name).unwrap();
    }
    put_all(&db, 0).await;
    db.close().await;
    cluster.stop().await.unwrap();
}

/// It is deposed without noticing. When it goes on, it starts anew from its log, within the
/// process, and follows.
#[test]
fn a_leader_that_stood_still_is_replaced_and_follows() {
    runtime::block_on(stop_leader()).unwrap();
}

async fn stop_leader() {
    let bin = Some(env!("CARGO_BIN_EXE_synod").into());
    let options = ClusterOptions { shards: 2, coordinators: 3, bin, ..ClusterOptions::default() };
    let cluster = LocalCluster::start(options).await.unwrap();
    let db = cluster.client().await.unwrap();
    put_all(&db, 1).await;
    let leader = leader_of(&db).await;
    let process = process_of(&cluster.dir().join(format!("{leader}.toml")));
    signal("-STOP", process);
    check_all(&db, 1).await;
    put_all(&db, 2).await;
    assert_ne!(leader_of(&db).await, leader);
    signal("-CONT", process);
    // What it has in mind is of no use: it has to be told what it missed.
    until("it follows", async || {
        let metrics = cluster.metrics(leader).await.unwrap();
        let shown = |name| metrics.value(name).unwrap_or_default();
        let follows = shown("synod_ready") == 1.0 && shown("synod_leads") == 0.0;
        follows && shown("synod_epoch") >= 2.0
    })
    .await;
    check_all(&cluster.client().await.unwrap(), 2).await;
    db.close().await;
    // None of them has ended.
    cluster.stop().await.unwrap();
}

/// With the disk its promises are gone; it comes back only if it is told to, and then counts:
/// the group goes on with it when another one dies.
#[test]
fn a_member_that_lost_its_folder_rejoins() {
    runtime::block_on(lose_folder()).unwrap();
}

async fn lose_folder() {
    let bin = Some(env!("CARGO_BIN_EXE_synod").into());
    let options = ClusterOptions { shards: 2, coordinators: 3, bin, ..ClusterOptions::default() };
    let mut cluster = LocalCluster::start(options).await.unwrap();
    let scratch = Scratch::new();
    let db = cluster.client().await.unwrap();
    put_all(&db, 1).await;
    let lost = leader_of(&db).await;
    let config = cluster.dir().join(format!("{lost}.toml")).display().to_string();
    let data = cluster.dir().join(lost.to_string());
    let rejoin = ["coordinator", "--config", &config, "--rejoin"];
    scratch.run(&rejoin).fails(1, "in use by another process");
    cluster.kill(lost).unwrap();
    scratch.run(&rejoin).fails(1, "only a coordinator that has lost it may come back");
    put_all(&db, 2).await;
    std::fs::remove_dir_all(&data).unwrap();
    let refused = scratch.run(&["coordinator", "--config", &config]);
    refused.fails(1, "if the others go on, start it with --rejoin");

    let back = scratch.start(&rejoin);
    until("it is back", async || !data.join("rejoins").exists()).await;
    put_all(&db, 3).await;
    let other = leader_of(&db).await;
    let gone = if other == lost { NodeName::Coordinator(lost_but(lost)) } else { other };
    cluster.kill(gone).unwrap();
    check_all(&db, 3).await;
    put_all(&db, 4).await;
    check_all(&cluster.client().await.unwrap(), 4).await;

    // From now on it is as any other one.
    assert_eq!(back.stop("-TERM").0, 0);
    scratch.run(&rejoin).fails(1, "start this one without");
    cluster.spawn(lost).unwrap();
    check_all(&db, 4).await;
    cluster.restart(gone).await.unwrap();
    put_all(&db, 5).await;
    db.close().await;
    cluster.stop().await.unwrap();
}

/// Another one of three.
fn lost_but(name: NodeName) -> u16 {
    (1..=3).find(|id| NodeName::Coordinator(*id) != name).unwrap()
}

/// The process that was started with a configuration file.
fn process_of(config: &Path) -> u32 {
    let processes = std::fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let config = config.display().to_string();
    let started_with = |id: &u32| {
        let line = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.split('\0').any(|argument| argument == config)
    };
    ids.find(started_with).expect("the server runs")
}

fn signal(signal: &str, process: u32) {
    let sent = Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

async fn put_all(db: &Client, value: u32) {
    for key in 0..KEYS {
        db.put(("key", key), &value).await.unwrap();
    }
}

async fn check_all(db: &Client, value: u32) {
    let snapshot = db.snapshot().await.unwrap();
    let found = snapshot.get_many((0..KEYS).map(|key| ("key", key))).await.unwrap();
    for found in found {
        assert_eq!(found.decode::<u32>(), Ok(value));
    }
}

async fn leader_of(db: &Client) -> NodeName {
    NodeName::Coordinator(db.status().await.unwrap().id.0)
}

fn coordinators(status: &common::Run) -> Vec<Value> {
    let status: Value = serde_json::from_str(status.ok()).unwrap();
    status["coordinators"].as_array().unwrap().clone()
}

/// No group is back within no time.
#[test]
fn a_failover_that_takes_longer_than_it_may_is_a_failure() {
    let bench = ["bench", "failover", "--runs", "1", "--clients", "2", "--json"];
    let bounds = ["--back-within", "0s", "--in-doubt-within", "1h"];
    let run = Scratch::new().run(&[&bench[..], &bounds].concat());
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.err.starts_with("synod: nobody could write for "), "{run:?}");
    let shown: Value = serde_json::from_str(run.text()).unwrap();
    assert_eq!((&shown["runs"], &shown["lost"]), (&Value::from(1), &Value::from(0)));
}

#[test]
fn up_makes_groups_and_opens_them_as_they_were_made() {
    let scratch = Scratch::new();
    let base = base_port();
    let port = base.to_string();
    let with = |more: &[&'static str]| {
        let mut args = vec!["up", "--data", "d", "--shards", "2", "--base-port", &port];
        args.extend(more);
        args
    };
    let server = scratch.start(&with(&["--coordinators", "3"]));
    let addresses: Vec<String> = (base..base + 3).map(|port| format!("127.0.0.1:{port}")).collect();
    assert_eq!(server.url(), format!("synod://{}", addresses.join(",")));
    let url = server.url().to_owned();
    let run = |args: &[&str]| scratch.run_with(args, &[("SYNOD_URL", &url)]);
    assert_eq!(run(&["put", "a", "kept"]).ok(), "");
    let rows = coordinators(&run(&["status", "--json"]));
    let shown: Vec<&str> = rows.iter().filter_map(|row| row["addr"].as_str()).collect();
    assert_eq!(shown, addresses);
    // Any of them will do.
    for address in &addresses {
        let one = [("SYNOD_URL", &*format!("synod://{address}"))];
        assert_eq!(scratch.run_with(&["get", "a"], &one).ok(), "kept");
    }
    assert_eq!(server.stop("-TERM").0, 0);

    scratch.run(&with(&["--coordinators", "5"])).fails(1, "has 3 coordinators, not 5");
    let server = scratch.start(&with(&[]));
    assert_eq!(run(&["get", "a"]).ok(), "kept");
    assert_eq!(server.stop("-TERM").0, 0);

    // Who lost its folder has lost its promises.
    std::fs::rename(scratch.path("d/c2"), scratch.path("d/gone")).unwrap();
    let refused = scratch.run(&with(&[]));
    refused.fails(1, "has lost what it promised its group");
    assert!(!scratch.path("d/c2").exists());
}
