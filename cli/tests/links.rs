//! Clusters of real processes whose links are cut and spoiled.

mod common;

use std::time::Duration;

use common::until;
use synod_cli::runtime;
use synod_client::Client;
use synod_cluster::{
    ClusterOptions, Counts, Links, LocalCluster, NodeName, Partition, Party, Rule,
};

const KEYS: u32 = 20;
const SHARDS: [Party; 2] = [Party::Node(NodeName::Shard(1)), Party::Node(NodeName::Shard(2))];

async fn start() -> (LocalCluster, Client) {
    let bin = Some(env!("CARGO_BIN_EXE_synod").into());
    let links = Some(1);
    let options =
        ClusterOptions { shards: 2, coordinators: 3, bin, links, ..ClusterOptions::default() };
    let cluster = LocalCluster::start(options).await.unwrap();
    let db = cluster.client().await.unwrap();
    (cluster, db)
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_follows_when_links_heal() {
    runtime::block_on(cut_leader_off()).unwrap();
}

async fn cut_leader_off() {
    let (cluster, db) = start().await;
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
    let all = links.all_counts();
    let spared = all.iter().filter(|(ends, _)| !partition.cut.contains(ends));
    assert!(spared.into_iter().all(|(_, counts)| counts.dropped == 0), "{all:?}");

    links.heal();
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
    runtime::block_on(cut_shards()).unwrap();
}

async fn cut_shards() {
    let (mut cluster, db) = start().await;
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
    let (cluster, db) = start().await;
    let links = cluster.links().unwrap();
    let ms = Duration::from_millis;
    let bad =
        Rule { loss: 0.02, duplicate: 0.1, delay: ms(2), jitter: ms(2), reorder: 0.1, cut: false };
    for (from, to) in links.all_counts().into_keys() {
        links.set(from, to, bad).unwrap();
    }
    for round in 0..5 {
        put_all(&db, round).await;
        check_all(&db, round).await;
    }
    let total = |of: fn(&Counts) -> u64| links.all_counts().values().map(of).sum::<u64>();
    assert!(total(|counts| counts.dropped) > 0);
    assert!(total(|counts| counts.duplicated) > 0);
    assert!(total(|counts| counts.delayed) > 0);
    assert!(total(|counts| counts.reordered) > 0);
    links.heal();
    put_all(&db, 100).await;
    check_all(&cluster.client().await.unwrap(), 100).await;
    db.close().await;
    cluster.stop().await.unwrap();
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
