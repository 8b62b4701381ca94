//! Clusters of real processes whose links are cut and spoiled.

mod common;

use std::io::Write;
use std::time::Duration;

use common::until;
use synod_cli::runtime;
use synod_client::Client;
use synod_cluster::{
    ClusterOptions, Condition, Counts, Links, LocalCluster, Medium, NodeName, Partition, Party,
    Rule, probe_namespaces,
};

const KEYS: u32 = 20;
const SHARDS: [Party; 2] = [Party::Node(NodeName::Shard(1)), Party::Node(NodeName::Shard(2))];

async fn start(links: Medium) -> (LocalCluster, Client) {
    let bin = Some(env!("CARGO_BIN_EXE_synod").into());
    let options =
        ClusterOptions { shards: 2, coordinators: 3, bin, links, ..ClusterOptions::default() };
    let cluster = LocalCluster::start(options).await.unwrap();
    let db = cluster.client().await.unwrap();
    (cluster, db)
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_follows_when_links_heal() {
    for medium in media() {
        runtime::block_on(cut_leader_off(medium)).unwrap();
    }
}

async fn cut_leader_off(medium: Medium) {
    let (cluster, db) = start(medium).await;
    let links = cluster.links().unwrap();
    put_all(&db, 1).await;
    let leader = leader_of(&db).await;
    let is_other =
        |one: &Party| ![leader.into(), Party::Client].contains(one) && !SHARDS.contains(one);
    let others: Vec<Party> = links.parties().into_iter().filter(is_other).collect();
    let between = [&SHARDS[..], &[Party::Client]].concat();
    let partition = Partition::split(&[leader.into()], &others, &between);
    let before = dropped(links, &partition);
    links.cut(&partition.cut).unwrap();
    put_all(&db, 2).await;
    assert_ne!(leader_of(&db).await, leader);
    // The fault has taken effect, and nothing else was touched.
    assert!(dropped(links, &partition) > before);
    let all = links.all_counts().unwrap();
    let spared = all.iter().filter(|(ends, _)| !partition.cut.contains(ends));
    assert!(spared.into_iter().all(|(_, counts)| counts.dropped == 0), "{all:?}");

    links.heal().unwrap();
    until("it follows", async || {
        let metrics = cluster.metrics(leader).await.unwrap();
        let shown = |name| metrics.value(name).unwrap_or_default();
        shown("synod_ready") == 1.0 && shown("synod_leads") == 0.0 && shown("synod_epoch") >= 2.0
    })
    .await;
    check_all(&db, 2).await;
    put_all(&db, 3).await;
    check_all(&cluster.client().await.unwrap(), 3).await;
    db.close().await;
    // None of them has ended.
    cluster.stop().await.unwrap();
}

/// Nor do they need each other, nor does a restart change anything for those who knew it.
#[test]
fn shards_that_do_not_reach_each_other_commit() {
    for medium in media() {
        runtime::block_on(cut_shards(medium)).unwrap();
    }
}

async fn cut_shards(medium: Medium) {
    let (mut cluster, db) = start(medium).await;
    let partition = Partition::split(&SHARDS[..1], &SHARDS[1..], &[]);
    cluster.links().unwrap().cut(&partition.cut).unwrap();
    put_all(&db, 1).await;
    check_all(&db, 1).await;
    let one = NodeName::Shard(1);
    cluster.kill(one).unwrap();
    cluster.restart(one).await.unwrap();
    check_all(&db, 1).await;
    put_all(&db, 2).await;
    check_all(&cluster.client().await.unwrap(), 2).await;
    db.close().await;
    cluster.stop().await.unwrap();
}

#[test]
fn a_cluster_goes_on_with_bad_links() {
    runtime::block_on(spoil_links()).unwrap();
}

async fn spoil_links() {
    let (cluster, db) = start(Medium::Proxy(1)).await;
    let links = cluster.links().unwrap();
    let ms = Duration::from_millis;
    let bad =
        Rule { loss: 0.02, duplicate: 0.1, delay: ms(2), jitter: ms(2), reorder: 0.1, cut: false };
    for (from, to) in links.all_counts().unwrap().into_keys() {
        links.set(from, to, bad).unwrap();
    }
    for round in 0..5 {
        put_all(&db, round).await;
        check_all(&db, round).await;
    }
    let total = |of: fn(&Counts) -> u64| links.all_counts().unwrap().values().map(of).sum::<u64>();
    assert!(total(|counts| counts.dropped) > 0);
    assert!(total(|counts| counts.duplicated) > 0);
    assert!(total(|counts| counts.delayed) > 0);
    assert!(total(|counts| counts.reordered) > 0);
    links.heal().unwrap();
    put_all(&db, 100).await;
    check_all(&cluster.client().await.unwrap(), 100).await;
    db.close().await;
    cluster.stop().await.unwrap();
}

/// The system cuts what the proxy does: one direction and not the other one, for connections
/// that are up and for new ones.
#[test]
fn namespaces_cut_one_direction_of_old_and_new_connections() {
    if media().contains(&Medium::Namespaces) {
        runtime::block_on(cut_one_direction()).unwrap();
    }
}

async fn cut_one_direction() {
    let (cluster, db) = start(Medium::Namespaces).await;
    put_all(&db, 1).await;
    check_all(&db, 1).await;
    let links = cluster.links().unwrap();
    let (there, back) = ((Party::Client, SHARDS[0]), (SHARDS[0], Party::Client));
    let count = |(from, to)| links.counts(from, to).unwrap();
    links.cut(&[back]).unwrap();
    for client in [db, cluster.client().await.unwrap()] {
        let before = (count(there), count(back));
        let asks = tokio::spawn(read_all(client));
        until("the shard hears the client, and is not heard", async || {
            count(there).passed > before.0.passed && count(back).dropped > before.1.dropped
        })
        .await;
        assert_eq!((count(there).dropped, count(back).passed), (0, before.1.passed));
        assert!(!asks.is_finished());
        // What is dropped next is not of its connection.
        asks.abort();
        assert!(asks.await.unwrap_err().is_cancelled());
    }
    links.cut(&[there]).unwrap();
    let cut = count(there);
    let asks = tokio::spawn(read_all(cluster.client().await.unwrap()));
    until("the shard does not hear the client", async || count(there).dropped > cut.dropped).await;
    assert_eq!(count(there).passed, cut.passed);
    assert!(!asks.is_finished());
    links.heal().unwrap();
    asks.await.unwrap();
    check_all(&cluster.client().await.unwrap(), 1).await;
    cluster.stop().await.unwrap();
}

/// All that is there as long as the cluster is, and nothing afterwards, even if the program
/// that uses it fails.
#[test]
fn namespaces_go_with_the_cluster() {
    if !media().contains(&Medium::Namespaces) {
        return;
    }
    let (tell, told) = std::sync::mpsc::channel();
    let failed = std::panic::catch_unwind(move || {
        runtime::block_on(async {
            let (mut cluster, _) = start(Medium::Namespaces).await;
            let hub = hub_of(cluster.url());
            assert_eq!(left_of(&hub).len(), 7, "{:?}", left_of(&hub));
            // It is the server that is stopped, and not what put it into its namespace.
            cluster.pause(NodeName::Shard(1)).unwrap();
            let is_paused = |cluster: &mut LocalCluster| {
                cluster.condition(NodeName::Shard(1)) == Condition::Paused
            };
            until("it stands still", async || is_paused(&mut cluster)).await;
            let admin = cluster.metrics(NodeName::Shard(1));
            assert!(tokio::time::timeout(Duration::from_millis(200), admin).await.is_err());
            tell.send(hub).unwrap();
            panic!("as was to be shown");
        })
    });
    let failed = failed.unwrap_err();
    assert_eq!(failed.downcast_ref(), Some(&"as was to be shown"));
    assert_eq!(left_of(&told.recv().unwrap()), [""; 0]);
}

/// The name of a network, from an address in it.
fn hub_of(url: &str) -> String {
    let first = url.trim_start_matches("synod://").split(',').next().unwrap();
    let address: std::net::SocketAddrV4 = first.parse().unwrap();
    let [_, high, low, _] = address.ip().octets();
    format!("synod-{}", u16::from(high - 18) << 8 | u16::from(low))
}

/// Namespaces and interfaces of that network.
fn left_of(hub: &str) -> Vec<String> {
    let is_of_it = |name: &String| name == hub || name.starts_with(&format!("{hub}-"));
    let names = |folder: &str| {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(is_of_it).collect::<Vec<_>>()
    };
    [names("/run/netns"), names("/sys/class/net")].concat()
}

/// What breaks links here. Namespaces take root and more, which not everybody has, so that
/// without them nothing fails; but it is said.
fn media() -> Vec<Medium> {
    let mut media = vec![Medium::Proxy(1)];
    match probe_namespaces() {
        Ok(()) => media.push(Medium::Namespaces),
        Err(error) => {
            // Not by a macro, whose text is shown of tests that fail only.
            let text = format!("SKIPPED, namespaces were not tested: {error:#}\n");
            std::io::stderr().write_all(text.as_bytes()).unwrap();
        }
    }
    media
}

/// Reads all keys, however often that takes trying.
async fn read_all(db: Client) {
    for key in 0..KEYS {
        let found = loop {
            if let Ok(found) = db.get(("key", key)).await {
                break found;
            }
        };
        assert_eq!(found.decode::<u32>(), Ok(1));
    }
}

/// What a partition has kept from arriving.
fn dropped(links: &Links, partition: &Partition) -> u64 {
    let counts = partition.cut.iter().map(|(from, to)| links.counts(*from, *to).unwrap());
    counts.map(|counts| counts.dropped).sum()
}

/// All keys in one transaction, on both shards, and each in one of its own.
async fn put_all(db: &Client, value: u32) {
    for key in 0..KEYS {
        db.put(("key", key), &value).await.unwrap();
    }
    db.transact(async |tx| (0..KEYS).try_for_each(|key| tx.put(("all", key), &value)))
        .await
        .unwrap();
}

async fn check_all(db: &Client, value: u32) {
    let snapshot = db.snapshot().await.unwrap();
    let keys = (0..KEYS).flat_map(|key| [("key", key), ("all", key)]);
    for found in snapshot.get_many(keys).await.unwrap() {
        assert_eq!(found.decode::<u32>(), Ok(value));
    }
}

async fn leader_of(db: &Client) -> NodeName {
    NodeName::Coordinator(db.status().await.unwrap().id.0)
}
