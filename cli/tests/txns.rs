//! How far transactions are, on a real cluster whose coordinator is killed while one
//! is prepared: `synod txn list` and `synod txn show`.

mod common;

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use common::Run;
use common::ask::Ask;
use serde_json::{Value, json};
use synod_cli::runtime;
use synod_client::{Client, Key, Options, Protocol, ShardId, TxnId};
use synod_cluster::{ClusterOptions, LocalCluster, NodeName};
use synod_common::route::Router;

/// How often is looked before the test gives up.
const LOOKS: usize = 500;

#[test]
fn what_a_dead_coordinator_leaves_in_doubt_is_shown() {
    runtime::block_on(leave_in_doubt()).unwrap();
}

async fn leave_in_doubt() {
    let bin = Some(env!("CARGO_BIN_EXE_synod").into());
    let cluster = ClusterOptions { shards: 3, bin, ..ClusterOptions::default() };
    let mut cluster = LocalCluster::start(cluster).await.unwrap();
    let db = cluster.client().await.unwrap();
    let homes = homes(&db).await;
    let [(s1, a, at1), (s2, b, at2), (s3, c, at3)] = &homes;
    let ask = Ask::of(&cluster);

    // One holds what another one has yet to lock on the third shard.
    let patient = Options::new().lock_wait(Duration::from_secs(60));
    let holder = db.begin(patient).await.unwrap();
    holder.get_for_update(c).await.unwrap();
    let name = holder.id().to_string();
    let shown = ask.json(&["txn", "list"]).await;
    let expected = json!(["active", Value::Null, [s3.to_string()], ["its client"]]);
    assert_eq!((&shown["txns"][0]["txn"], brief(&shown["txns"][0])), (&json!(name), expected));
    assert_eq!(shown["txns"].as_array().map(Vec::len), Some(1));
    assert_eq!(ask.json(&["txn", "list", "--in-doubt"]).await["txns"], json!([]));

    let txn = db.begin(Options::new()).await.unwrap();
    let doubtful = txn.id();
    for key in [a, b, c] {
        txn.put(key, &1).unwrap();
    }
    let committing = tokio::task::spawn_local(txn.commit());
    until_prepared(&db, doubtful, &[*s1, *s2]).await;
    // Who might say that it has not voted goes, too: nobody can decide without them.
    let gone = [NodeName::Coordinator(1), NodeName::Shard(s3.0)];
    gone.iter().for_each(|node| cluster.kill(*node).unwrap());

    // Without the coordinator somebody must say where the shards are.
    ask.run(&["txn", "list"]).await.fails(1, "name them with --shard s1=HOST:PORT");
    let named = [(s1, at1), (s2, at2), (s3, at3)].map(|(id, at)| format!("--shard={id}={at}"));
    let [n1, n2, n3] = named.each_ref().map(String::as_str);
    let shown = ask.json(&["txn", "list", "--in-doubt", n1, n2]).await;
    let mut all = [s1, s2, s3].map(ToString::to_string);
    all.sort();
    assert_eq!(shown["txns"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(shown["txns"][0]["txn"], doubtful.to_string());
    let expected = json!(["in doubt", "2pc", all, ["the decision of c1"]]);
    assert_eq!(brief(&shown["txns"][0]), expected);
    assert_eq!(shown["silent"][0]["server"], "the coordinator");
    let text = ask.run(&["txn", "list", "--in-doubt", n1, n2, n3]).await;
    assert!(text.err.contains("synod: the coordinator is left out: "), "{text:?}");
    assert!(text.err.contains(&format!("synod: {s3} is left out: ")), "{text:?}");
    assert!(text.ok().lines().nth(1).unwrap().contains("the decision of c1"), "{text:?}");

    // What is locked meanwhile, who waits for it, and who else takes part.
    let name = doubtful.to_string();
    let mut waits = pin!(holder.get_for_update(a).into_future());
    let look = async {
        for _ in 0..LOOKS {
            let shown = ask.json(&["txn", "show", &name, n1]).await;
            if shown["on"][0]["waiters"] != json!([]) {
                return shown;
            }
        }
        panic!("nobody waits");
    };
    let shown = tokio::select! {
        end = &mut waits => panic!("it does not wait: {end:?}"),
        shown = look => shown,
    };
    let on = &shown["on"][0];
    assert_eq!((&on["shard"], &on["stage"]), (&json!(s1.to_string()), &json!("prepared")));
    assert_eq!((&on["participants"], &on["coordinator"]), (&json!(all), &json!("c1")));
    assert_eq!(on["locks"], json!([{ "key": a.to_string(), "mode": "X" }]));
    assert_eq!(on["waiters"][0]["txn"], holder.id().to_string());
    let text = ask.run(&["txn", "show", &name, n1]).await;
    assert!(text.ok().contains("has voted YES, without a decision for "), "{text:?}");
    assert!(text.ok().contains(&format!("  holds X on key {a}\n")), "{text:?}");
    assert!(text.err.contains(&format!("--shard {s2}=HOST:PORT")), "{text:?}");
    until_it_ages(&cluster, *s1).await;
    for (than, found) in [("1ms", 1), ("1h", 0)] {
        let list = ["txn", "list", "--in-doubt", "--older-than", than, n1, n2];
        assert_eq!(ask.json(&list).await["txns"].as_array().map(Vec::len), Some(found));
    }

    // An operator may not be able to wait, and nobody else may decide.
    let resolve = ["txn", "resolve", &name, "commit", "--why", "c1 is lost", n1, n2];
    ask.run(&resolve).await.fails(2, "add --yes");
    let resolve = [&resolve[..], &["--yes"]].concat();
    refused(&ask.run(&resolve).await, "the certificate's role may not do this");
    ask.run(&["cert", "issue", "--role", "operator", "ops"]).await.ok();
    let resolve = [&resolve[..], &["--identity", "ops"]].concat();
    let done = ask.run(&resolve).await;
    assert!(done.ok().starts_with(&format!("{s1}: committed by you")), "{done:?}");
    assert_eq!(ask.json(&["txn", "show", &name, n1]).await["state"], "resolved");
    // The one who waited goes on, with what was decided.
    assert_eq!(waits.await.unwrap().decode::<i32>().unwrap(), 1);
    refused(&ask.run(&resolve).await, "is not in doubt on any server that answers");

    // Whoever is silent might know one that is not known elsewhere.
    let unknown = ["txn", "show", "t1.1.999999", n1, n2];
    ask.run(&unknown).await.fails(1, "no server that answers works on t1.1.999999");

    // All are back: it is decided, and nobody is in doubt.
    gone.iter().for_each(|node| cluster.spawn(*node).unwrap());
    for node in gone {
        cluster.wait_ready(node).await.unwrap();
    }
    let mut end = Value::Null;
    for _ in 0..LOOKS {
        end = ask.json(&["txn", "show", &name]).await;
        if end["state"] == "aborted" {
            break;
        }
    }
    assert_eq!((&end["state"], &end["txn"]), (&json!("aborted"), &json!(name)));
    let shown = ask.json(&["txn", "list", "--in-doubt"]).await;
    assert_eq!((&shown["txns"], &shown["silent"]), (&json!([]), &json!([])));
    let mut audit = Value::Null;
    for _ in 0..LOOKS {
        audit = ask.json(&["txn", "resolved"]).await;
        if audit.as_array().unwrap().iter().all(|row| row["outcome"] != Value::Null) {
            break;
        }
    }
    let rows: Vec<_> = audit.as_array().unwrap().iter().map(audited).collect();
    let wrong = |shard: &ShardId| {
        json!([name, shard.to_string(), "committed", "ops", "c1 is lost", "aborted", true])
    };
    assert_eq!(rows, [wrong(s1), wrong(s2)]);
    let text = ask.run(&["txn", "resolved"]).await;
    assert!(text.ok().contains("MIXED: aborted"), "{text:?}");
    ask.run(&resolve).await.fails(1, "the coordinator answers, and decides");
    refused(&ask.run(&[&resolve[..], &["--force"]].concat()).await, "no server that answers knows");
    let status = ask.json(&["status"]).await;
    assert_eq!(status["shards"][0]["mixed"], 1);
    assert_eq!(status["shards"][0]["oldest_in_doubt_ms"], Value::Null);
    assert_eq!(status["shards"][0]["in_doubt"], 0);
    committing.abort();
}

#[test]
fn three_phase_commit_ends_without_its_coordinator() {
    runtime::block_on(lose_the_coordinator()).unwrap();
}

/// As above, but the sites that are left are enough: two of four, one of them the first.
async fn lose_the_coordinator() {
    let bin = Some(env!("CARGO_BIN_EXE_synod").into());
    let cluster = ClusterOptions { shards: 3, bin, ..ClusterOptions::default() };
    let mut cluster = LocalCluster::start(cluster).await.unwrap();
    let db = cluster.client().await.unwrap();
    let [(s1, a, at1), (s2, b, at2), (s3, c, _)] = &homes(&db).await;
    let ask = Ask::of(&cluster);
    let holder = db.begin(Options::new()).await.unwrap();
    holder.get_for_update(c).await.unwrap();
    let txn = db.begin(Options::new().protocol(Protocol::ThreePhase)).await.unwrap();
    let name = txn.id().to_string();
    for key in [a, b, c] {
        txn.put(key, &1).unwrap();
    }
    let doubtful = txn.id();
    let committing = tokio::task::spawn_local(txn.commit());
    until_prepared(&db, doubtful, &[*s1, *s2]).await;
    let shown = ask.json(&["txn", "show", &name]).await;
    assert_eq!(shown["protocol"], "3pc");
    let site =
        json!({ "phase": "waiting", "timestamp": null, "attempt": "b0.0", "elected": "b0.0" });
    assert_eq!(shown["on"][0]["site"], site);

    let gone = [NodeName::Coordinator(1), NodeName::Shard(s3.0)];
    gone.iter().for_each(|node| cluster.kill(*node).unwrap());
    let named = [(s1, at1), (s2, at2)].map(|(id, at)| format!("--shard={id}={at}"));
    let [n1, n2] = named.each_ref().map(String::as_str);
    let mut looks = 0..LOOKS;
    while ask.json(&["txn", "list", n1, n2]).await["txns"] != json!([]) {
        assert!(looks.next().is_some(), "it stays in doubt");
    }
    for shard in [*s1, *s2] {
        let metrics = cluster.metrics(NodeName::Shard(shard.0)).await.unwrap();
        assert_eq!(
            (metrics.value("synod_in_doubt"), metrics.value("synod_locks")),
            (Some(0.0), Some(0.0))
        );
    }

    // Who comes back learns it.
    gone.iter().for_each(|node| cluster.spawn(*node).unwrap());
    for node in gone {
        cluster.wait_ready(node).await.unwrap();
    }
    let outcome = ask.run(&["outcome", &name]).await;
    assert!(outcome.ok().starts_with("aborted"), "{outcome:?}");
    let db = cluster.client().await.unwrap();
    assert!(!db.get(a).await.unwrap().is_present());
    committing.abort();
}

fn refused(run: &Run, why: &str) {
    assert!(run.code == 1 && run.err.contains(why), "{run:?}");
}

/// Which, where, what, who, why, and how it ended.
fn audited(row: &Value) -> Value {
    let (decided, outcome) = (&row["decided"]["state"], &row["outcome"]["state"]);
    let names = ["txn", "shard"].map(|name| row[name].clone()).to_vec();
    let others = [decided, &row["by"], &row["why"], outcome, &row["mixed"]].map(Clone::clone);
    [names, others.to_vec()].concat().into()
}

/// State, protocol, shards, and what it waits for.
fn brief(row: &Value) -> Value {
    ["state", "protocol", "shards", "waits_for"].map(|name| row[name].clone()).to_vec().into()
}

/// Of each shard its name, a key and its address.
async fn homes(db: &Client) -> [(ShardId, Key, String); 3] {
    let placement = db.status().await.unwrap().placement;
    let router = Router::new(placement.clone()).unwrap();
    let mut keys = BTreeMap::new();
    for n in 0..1_000 {
        let key = Key::from(format!("key{n}").as_str());
        keys.entry(router.shard_of(&key)).or_insert(key);
    }
    let home = |(i, (shard, key)): (usize, (ShardId, Key))| {
        (shard, key, placement.shards[i].address.clone())
    };
    let homes: Vec<_> = keys.into_iter().enumerate().map(home).collect();
    homes.try_into().unwrap()
}

async fn until_prepared(db: &Client, txn: TxnId, shards: &[ShardId]) {
    for shard in shards {
        let mut looks = 0..LOOKS * 10;
        while db.shard_txns(*shard, None, true, 0).await.unwrap().rows.iter().all(|r| r.txn != txn)
        {
            assert!(looks.next().is_some(), "{shard} does not vote");
        }
    }
}

/// Until a shard says that its oldest transaction in doubt has some age. The oracle is
/// ahead of the clock for a while after a start.
async fn until_it_ages(cluster: &LocalCluster, shard: ShardId) {
    let mut looks = 0..LOOKS * 100;
    let node = NodeName::Shard(shard.0);
    loop {
        let metrics = cluster.metrics(node).await.unwrap();
        assert_eq!(metrics.value("synod_in_doubt"), Some(1.0));
        if metrics.value("synod_in_doubt_oldest_seconds").unwrap() > 0.0 {
            return;
        }
        assert!(looks.next().is_some(), "it does not age");
    }
}
