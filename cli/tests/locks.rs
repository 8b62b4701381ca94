//! Who holds what and who waits for whom, on a real cluster: `synod locks` and
//! `synod deadlocks`.

mod common;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use common::Scratch;
use serde_json::Value;
use synod_cli::runtime;
use synod_client::{Client, Error, Key, Options, Reason, Scheme};
use synod_cluster::{ClusterOptions, LocalCluster};
use synod_common::route::Router;

/// How often is looked before the test gives up.
const LOOKS: usize = 500;

#[test]
fn waits_and_deadlocks_are_shown() {
    for deadlocks in [Scheme::Graph, Scheme::Probes] {
        runtime::block_on(see_them(deadlocks)).unwrap();
    }
}

async fn see_them(deadlocks: Scheme) {
    let bin = Some(env!("CARGO_BIN_EXE_synod").into());
    let cluster = ClusterOptions { shards: 2, deadlocks, bin, ..ClusterOptions::default() };
    let cluster = LocalCluster::start(cluster).await.unwrap();
    let db = cluster.client().await.unwrap();
    let [a, b] = &keys(&db).await;
    let scratch = Arc::new(Scratch::new());
    let (url, certs) = (cluster.url().to_owned(), cluster.certs().display().to_string());
    // Beside the client, which must go on.
    let run = async |args: &'static [&'static str]| {
        let (scratch, url, certs) = (Arc::clone(&scratch), url.clone(), certs.clone());
        let env = move || scratch.run_with(args, &[("SYNOD_URL", &url), ("SYNOD_CERTS", &certs)]);
        tokio::task::spawn_blocking(env).await.unwrap()
    };

    // One waits for the other.
    let patient = || Options::new().lock_wait(Duration::from_secs(60));
    let one = db.begin(patient()).await.unwrap();
    let other = db.begin(patient()).await.unwrap();
    one.get_for_update(a).await.unwrap();
    other.get_for_update(b).await.unwrap();
    let mut first = pin!(other.get_for_update(a).into_future());
    let look = async {
        for _ in 0..LOOKS {
            let json = run(&["locks", "--contended", "--json"]).await;
            if let Some(row) = contended(json.ok()) {
                return row;
            }
        }
        panic!("the wait does not show");
    };
    let row = tokio::select! {
        _ = &mut first => panic!("it does not wait"),
        row = look => row,
    };
    let names = (one.id().to_string(), other.id().to_string());
    assert_eq!(row["key"], a.to_string());
    assert_eq!(row["holders"][0]["txn"], names.0);
    assert_eq!(
        (&row["waiters"][0]["txn"], &row["waiters"][0]["mode"]),
        (&names.1.clone().into(), &"U".into())
    );
    assert_eq!(row["waiters"][0]["behind"][0], names.0);
    let list = run(&["locks"]).await;
    assert_eq!(list.ok().lines().count(), 1 + 3, "two locks, one wait: {list:?}");
    let graph = run(&["locks", "--graph"]).await;
    let arrow = format!("└─ {} waits ", names.1);
    assert!(graph.ok().contains(&arrow) && graph.ok().contains(&names.0), "{graph:?}");
    assert_eq!(run(&["locks", "--svg", "waits.svg"]).await.ok(), "");
    let svg = std::fs::read_to_string(scratch.path("waits.svg")).unwrap();
    assert!(svg.contains(&names.0) && svg.contains(&format!("U on key {a}")), "{svg}");

    // Now they wait for each other, across shards. The one that gets through may be the
    // first to hear.
    let (first, second) = tokio::join!(first, one.get_for_update(b).into_future());
    let end = [first, second].into_iter().find(Result::is_err).expect("one is aborted");
    let Err(Error::Retry(refusal)) = end else { panic!("{end:?}") };
    let Reason::Deadlock(deadlock) = refusal.reason else { panic!("{refusal}") };
    assert_eq!(deadlock.steps.len(), 2);
    // Whoever broke it tells the coordinator.
    let mut told = Value::Null;
    for _ in 0..LOOKS {
        let list = run(&["deadlocks", "--json"]).await;
        let list: Value = serde_json::from_str(list.ok()).unwrap();
        told = list["deadlocks"][0].clone();
        if !told.is_null() {
            break;
        }
    }
    assert_eq!(told["victim"], deadlock.victim.to_string());
    assert_eq!((&told["policy"], &told["shard"]), (&"youngest".into(), &Value::Null));
    assert_eq!(told["steps"].as_array().map(Vec::len), Some(2));
    assert!(run(&["deadlocks"]).await.ok().contains(&deadlock.to_string()));
    drop(cluster);
}

/// Two keys on two shards.
async fn keys(db: &Client) -> [Key; 2] {
    let router = Router::new(db.status().await.unwrap().placement).unwrap();
    let mut keys = (0..1_000).map(|n| Key::from(format!("key{n}").as_str()));
    let first = keys.next().unwrap();
    let home = router.shard_of(&first);
    let second = keys.find(|key| router.shard_of(key) != home).unwrap();
    [first, second]
}

/// The one lock that somebody waits for, if there is one yet.
fn contended(json: &str) -> Option<Value> {
    let locks: Value = serde_json::from_str(json).unwrap();
    locks["locks"].as_array().unwrap().first().cloned()
}
