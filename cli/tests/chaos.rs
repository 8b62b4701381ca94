//! Servers whose disk fails and whose clock jumps while money moves, and bugs planted in them.

#![cfg(feature = "chaos")]

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use common::{Scratch, http, post, until};
use serde_json::{Value, json};
use synod_cli::bank::{Bank, Load, Tally};
use synod_cli::runtime;
use synod_client::{Isolation, Options};
use synod_cluster::{ClusterOptions, LocalCluster, NodeName};

const C1: NodeName = NodeName::Coordinator(1);
const S1: NodeName = NodeName::Shard(1);
const S2: NodeName = NodeName::Shard(2);
/// How long transfers may take to go on.
const PATIENCE: Duration = Duration::from_secs(30);
/// Short, so that clients give up while a commit is in doubt.
const TIMEOUT: Duration = Duration::from_millis(800);
const HOUR_MS: i64 = 3_600_000;

/// A cluster of two shards, every transfer of which is between them.
struct Town {
    cluster: LocalCluster,
    bank: Bank,
}

impl Town {
    async fn new(coordinators: u16) -> Town {
        Town::with(coordinators, &[]).await
    }

    /// One in which the files of some servers have one more line.
    async fn with(coordinators: u16, lines: &[(NodeName, &str)]) -> Town {
        let bin = Some(env!("CARGO_BIN_EXE_synod").into());
        let options = ClusterOptions { shards: 2, coordinators, bin, ..ClusterOptions::default() };
        let mut cluster = LocalCluster::start(options).await.unwrap();
        if !lines.is_empty() {
            begin_again(&mut cluster, lines).await;
        }
        let bank = Bank::open(cluster.client().await.unwrap(), 100, 1000).await.unwrap();
        Town { cluster, bank }
    }

    fn load(&self) -> Load {
        Load::start(&self.bank, 8, 0, 1, Options::new().timeout(TIMEOUT))
    }

    async fn audit(self, load: Load) -> Tally {
        let tally = load.stop().await;
        let (_, wrong) = self.bank.audit(&tally).await.unwrap();
        assert!(wrong.is_empty(), "{} wrongs, among them: {}", wrong.len(), wrong[0]);
        self.bank.lock_all().await.unwrap();
        self.cluster.stop().await.unwrap();
        tally
    }

    fn admin(&self, name: NodeName) -> String {
        let file = fs::read_to_string(self.cluster.dir().join(format!("{name}.toml"))).unwrap();
        let line = file.lines().find_map(|line| line.strip_prefix("admin = ")).unwrap();
        line.trim_matches('"').to_owned()
    }

    /// Asks for faults; what is on then.
    fn ask(&self, name: NodeName, wish: &Value) -> Value {
        let (status, answer) = post(&self.admin(name), "/chaos", &wish.to_string());
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    fn refuses(&self, name: NodeName, body: &str, says: &str) {
        let (status, answer) = post(&self.admin(name), "/chaos", body);
        assert_eq!(status, 400, "{answer}");
        assert!(answer.contains(says), "{answer}");
    }

    fn said(&self, name: NodeName) -> String {
        fs::read_to_string(self.cluster.dir().join(format!("{name}.err"))).unwrap()
    }

    /// Breaks the disk of a server, which stops. When it was broken, and when it had stopped.
    async fn break_disk(
        &mut self,
        load: &Load,
        (name, disk): (NodeName, &str),
        says: &str,
    ) -> (Duration, Duration) {
        moves(load, "before").await;
        self.ask(name, &json!({ "disk": disk }));
        let broken = load.elapsed();
        let last_words = format!("synod: {name} has stopped");
        until("it stops", async || self.said(name).contains(&last_words)).await;
        let stopped = load.elapsed();
        let said = self.said(name);
        assert!(said.lines().last().unwrap().contains(says), "{said}");
        // It may be gone by itself.
        let _ = self.cluster.kill(name);
        (broken, stopped)
    }

    /// Breaks the disk of a server without which nothing goes on, and brings it back with a
    /// sound one. How many of the transfers that began with the broken disk, and ended before
    /// the sound one, were acknowledged.
    async fn live_through(mut self, name: NodeName, disk: &str, says: &str) -> usize {
        let load = self.load();
        let (broken, stopped) = self.break_disk(&load, (name, disk), says).await;
        self.cluster.restart(name).await.unwrap();
        moves(&load, "although it is back").await;
        let tally = self.audit(load).await;
        let meanwhile = |begun, acknowledged| begun > broken && acknowledged < stopped;
        tally.done.iter().filter(|done| meanwhile(done.begun, done.acknowledged)).count()
    }
}

/// Transfers that begin now are acknowledged.
async fn moves(load: &Load, when: &str) {
    let next = load.next_after(load.elapsed(), None, PATIENCE).await;
    assert!(next.is_some(), "nothing moves, {when}");
}

/// Gives servers one more line in their files, and all of them an empty folder: what has a log
/// already goes on with the segments that it has.
async fn begin_again(cluster: &mut LocalCluster, lines: &[(NodeName, &str)]) {
    let names: Vec<NodeName> = cluster.names().collect();
    for name in &names {
        cluster.kill(*name).unwrap();
        fs::remove_dir_all(cluster.dir().join(name.to_string())).unwrap();
    }
    for (name, line) in lines {
        let file = cluster.dir().join(format!("{name}.toml"));
        writeln!(OpenOptions::new().append(true).open(file).unwrap(), "{line}").unwrap();
    }
    for name in &names {
        cluster.spawn(*name).unwrap();
    }
    for name in names {
        cluster.wait_ready(name).await.unwrap();
    }
}

#[test]
fn a_shard_whose_fsync_fails_acknowledges_nothing_more_and_has_lost_nothing() {
    runtime::block_on(async {
        let town = Town::new(1).await;
        let acknowledged = town.live_through(S1, "fsync-fails", "Input/output error").await;
        assert_eq!(acknowledged, 0);
    })
    .unwrap();
}

#[test]
fn a_coordinator_whose_fsync_fails_acknowledges_nothing_more_and_has_lost_nothing() {
    runtime::block_on(async {
        let town = Town::new(1).await;
        let acknowledged = town.live_through(C1, "fsync-fails", "Input/output error").await;
        assert_eq!(acknowledged, 0);
    })
    .unwrap();
}

#[test]
fn a_group_goes_on_without_the_member_whose_fsync_fails() {
    runtime::block_on(async {
        let mut town = Town::new(3).await;
        let load = town.load();
        // One of them leads.
        for name in [1, 2, 3].map(NodeName::Coordinator) {
            town.break_disk(&load, (name, "fsync-fails"), "Input/output error").await;
            moves(&load, &format!("although only {name} is gone")).await;
            town.cluster.restart(name).await.unwrap();
        }
        town.audit(load).await;
    })
    .unwrap();
}

#[test]
fn a_shard_whose_disk_is_full_goes_on_in_what_it_has_and_then_stops() {
    runtime::block_on(async {
        let town = Town::with(1, &[(S1, "segment_bytes = 65536")]).await;
        let acknowledged = town.live_through(S1, "full", "nothing acknowledged is lost").await;
        assert!(acknowledged > 0, "a log has room to the end of its segment");
    })
    .unwrap();
}

#[test]
fn a_shard_that_can_not_write_a_checkpoint_stops_and_has_lost_nothing() {
    runtime::block_on(async {
        let town = Town::with(1, &[(S1, "checkpoint_bytes = 65536")]).await;
        town.live_through(S1, "full", "nothing acknowledged is lost").await;
    })
    .unwrap();
}

#[test]
fn commits_go_on_when_clocks_jump_by_an_hour() {
    runtime::block_on(async {
        let town = Town::new(3).await;
        let load = town.load();
        let mut round = 0;
        for offset in [HOUR_MS, -HOUR_MS, 0] {
            for name in town.cluster.names() {
                round += 1;
                let shown = town.ask(name, &json!({ "clock_offset_ms": offset }));
                assert_eq!(shown["clock_offset_ms"], offset);
                moves(&load, &format!("although {name} is only off by {offset} ms")).await;
                // What was acknowledged is seen, by whatever clock.
                let db = town.bank.db();
                db.put("round", &round).await.unwrap();
                assert_eq!(db.get("round").await.unwrap().decode::<u32>().unwrap(), round);
            }
        }
        for name in town.cluster.names() {
            let (_, page) = http(&town.admin(name), "/chaos");
            let shown: Value = serde_json::from_str(&page).unwrap();
            assert!(shown["took_effect"]["clock_reads_shifted"].as_u64() > Some(0), "{shown}");
        }
        town.audit(load).await;
    })
    .unwrap();
}

#[test]
fn only_what_makes_sense_is_granted() {
    runtime::block_on(async {
        let town = Town::new(1).await;
        let nothing = json!({
            "disk": "ok",
            "clock_offset_ms": 0,
            "took_effect": {
                "fsyncs_failed": 0,
                "fsyncs_slowed": 0,
                "writes_refused": 0,
                "clock_reads_shifted": 0,
            },
        });
        town.refuses(S1, r#"{"disc": "full"}"#, "unknown field `disc`");
        town.refuses(S1, r#"{"disk": "gone"}"#, "unknown variant `gone`");
        town.refuses(S1, r#"{"disk": {"slow_ms": 3600000}}"#, "not between 1 and 10000");
        town.refuses(
            S1,
            r#"{"disk": "full", "clock_offset_ms": -9000000000}"#,
            "not between -25920",
        );
        town.refuses(S1, "on", "expected");
        assert_eq!(town.ask(S1, &json!({})), nothing);

        let slow = json!({ "disk": { "slow_ms": 3 } });
        assert_eq!(town.ask(S1, &slow)["disk"], slow["disk"]);
        town.bank.lock_all().await.unwrap();
        let load = town.load();
        moves(&load, "although the disk is only slow").await;
        let shown = town.ask(S1, &json!({ "disk": "ok" }));
        assert_eq!(shown["disk"], "ok");
        assert!(shown["took_effect"]["fsyncs_slowed"].as_u64() > Some(0), "{shown}");
        town.audit(load).await;
    })
    .unwrap();
}

#[test]
fn a_planted_bug_shows() {
    runtime::block_on(async {
        let bug = "bug = \"SkipValidation\"";
        let town = Town::with(1, &[(S1, bug), (S2, bug)]).await;
        for shard in [S1, S2] {
            assert!(town.said(shard).contains("a deliberate bug is planted"));
        }
        let db = town.bank.db();
        db.put("n", &1).await.unwrap();
        // An update that another one overtakes, and that is not noticed.
        let late = db.begin(Options::new().isolation(Isolation::Optimistic)).await.unwrap();
        let n: i32 = late.get("n").await.unwrap().decode().unwrap();
        db.put("n", &10).await.unwrap();
        late.put("n", &(n + 1)).unwrap();
        late.commit().await.unwrap();
        assert_eq!(db.get("n").await.unwrap().decode::<i32>().unwrap(), 2);
        town.cluster.stop().await.unwrap();
    })
    .unwrap();
}

#[test]
fn an_unknown_bug_is_refused_with_those_that_there_are() {
    let scratch = Scratch::new();
    let common = "cluster = \"00000000000000000000000000c0ffee\"\nlisten = \"127.0.0.1:0\"\n\
                  data = \"data\"\ncerts = \"certs\"\nbug = \"Nonesuch\"\n";
    let file = format!("{common}id = 1\ncoordinator = \"127.0.0.1:1\"\n");
    fs::write(scratch.path("s1.toml"), file).unwrap();
    let run = scratch.run(&["shard", "--config", "s1.toml"]);
    run.fails(1, "bug: a shard has no bug 'Nonesuch', but SnapshotLeavesFloor, ");
    assert!(run.err.contains(", QuorumOfOne, "), "{run:?}");
    fs::write(scratch.path("c1.toml"), format!("{common}shards = [\"127.0.0.1:1\"]\n")).unwrap();
    let run = scratch.run(&["coordinator", "--config", "c1.toml"]);
    run.fails(1, "bug: a coordinator has no bug 'Nonesuch', but NoAdvance, ");
    for machine in [", MinorityAccepts, ", ", NeverConfirms, ", ", QuorumOfOne, "] {
        assert!(run.err.contains(machine), "{run:?}");
    }
}

#[test]
fn it_says_what_it_is() {
    let scratch = Scratch::new();
    assert!(scratch.run(&["--version"]).ok().trim_end().ends_with(" (chaos)"));
}
