//! The client against a cluster of real servers, over QUIC, with real files.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use synod_client::{Client, Credentials, Error, Options, Outcome, prefix};
use synod_common::driver::authority::Authority;
use synod_common::driver::tls::Role;
use synod_common::id::{ClusterId, CoordinatorId, ShardId};
use synod_common::route::{Partition, Placement, ShardAddress};
use synod_coordinator::server as coordinator;
use synod_shard::server as shard;

const CLUSTER: ClusterId = ClusterId(7);

struct Cluster {
    dir: tempfile::TempDir,
    coordinator: Option<coordinator::Server>,
    shards: Vec<shard::Server>,
}

fn free_port() -> SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

impl Cluster {
    fn start(shards: u16) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let certs = dir.path().join("certs");
        let authority = Authority::create(&certs).unwrap();
        authority.issue(Role::Coordinator, "c1").unwrap();
        authority.issue(Role::Client, "client").unwrap();
        let addresses: Vec<SocketAddr> = (0..shards).map(|_| free_port()).collect();
        let named = addresses
            .iter()
            .zip(1..)
            .map(|(address, id)| ShardAddress { id: ShardId(id), address: address.to_string() });
        let placement = Placement { epoch: 1, partition: Partition::Hash, shards: named.collect() };
        let settings = synod_coordinator::Settings::new(CoordinatorId(1), CLUSTER, placement);
        let coordinator = coordinator::Server::start(coordinator::ServerConfig {
            settings,
            listen: "127.0.0.1:0".parse().unwrap(),
            data: dir.path().join("c1"),
            certs,
            name: "c1".into(),
            segment_bytes: 1 << 20,
            empty: coordinator::Empty::Refused,
        })
        .unwrap();
        let at = coordinator.address();
        let shards = addresses.iter().zip(1..).map(|(address, id)| {
            authority.issue(Role::Shard, &format!("s{id}")).unwrap();
            start_shard(dir.path(), id, *address, at)
        });
        let shards = shards.collect();
        Cluster { dir, coordinator: Some(coordinator), shards }
    }

    async fn client(&self) -> Client {
        let at = self.coordinator.as_ref().unwrap().address();
        let credentials = Credentials::load(&self.dir.path().join("certs"), "client").unwrap();
        let db = Client::connect(&format!("synod://{at}"), credentials).await.unwrap();
        // What is retried finds out when all shards have joined.
        db.transact(async |tx| {
            for i in 0..16u32 {
                tx.delete(("nothing", i))?;
            }
            Ok(())
        })
        .await
        .unwrap();
        db
    }

    fn stop(self) {
        for shard in self.shards {
            shard.stop().unwrap();
        }
        self.coordinator.unwrap().stop().unwrap();
    }
}

fn start_shard(dir: &Path, id: u16, listen: SocketAddr, coordinator: SocketAddr) -> shard::Server {
    shard::Server::start(shard::ServerConfig {
        settings: synod_shard::Settings::new(ShardId(id), CLUSTER, &[CoordinatorId(1)]),
        listen,
        data: dir.join(format!("s{id}")),
        certs: dir.join("certs"),
        name: format!("s{id}"),
        segment_bytes: 1 << 20,
        coordinator_addresses: vec![coordinator.to_string()],
    })
    .unwrap()
}

#[tokio::test]
async fn money_moves_between_shards() {
    let cluster = Cluster::start(2);
    let db = cluster.client().await;
    db.transact(async |tx| {
        for i in 0..10u32 {
            tx.put(("acct", i), &100i64)?;
        }
        Ok(())
    })
    .await
    .unwrap();
    let tasks = (0..8u32).map(|seed| {
        let db = db.clone();
        tokio::spawn(async move {
            for i in 0..20 {
                let (from, to) = ((seed + i) % 10, (seed * 3 + i * 7 + 1) % 10);
                if from == to {
                    continue;
                }
                // Across shards a deadlock ends with the wait for the lock.
                let options = Options::new().lock_wait(Duration::from_millis(50));
                db.transact_with(options, async |tx| {
                    let a: i64 = tx.get_for_update(("acct", from)).await?.decode()?;
                    let b: i64 = tx.get_for_update(("acct", to)).await?.decode()?;
                    tx.put(("acct", from), &(a - 1))?;
                    tx.put(("acct", to), &(b + 1))
                })
                .await
                .unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let snapshot = db.snapshot().await.unwrap();
    let rows = snapshot.scan(..).collect().await.unwrap();
    assert_eq!(rows.len(), 10);
    let sum: i64 = rows.iter().map(|row| row.decode::<i64>().unwrap()).sum();
    assert_eq!(sum, 1000);
    cluster.stop();
}

#[tokio::test]
async fn a_transaction_sees_its_own_writes_and_leaves_nothing_when_dropped() {
    let cluster = Cluster::start(2);
    let db = cluster.client().await;
    db.put("k1", &1u32).await.unwrap();
    db.put("k2", &2u32).await.unwrap();
    let tx = db.begin(Options::new()).await.unwrap();
    tx.put("k3", &3u32).unwrap();
    tx.delete("k1").unwrap();
    assert!(!tx.get("k1").await.unwrap().is_present());
    let rows = tx.scan(prefix("k")).collect().await.unwrap();
    let keys: Vec<String> = rows.iter().map(|row| row.key.to_string()).collect();
    assert_eq!(keys, ["k2", "k3"]);
    let back = tx.scan(prefix("k")).reverse().limit(1).collect().await.unwrap();
    assert_eq!(back[0].key.to_string(), "k3");
    drop(tx);
    assert_eq!(db.get("k1").await.unwrap().decode::<u32>(), Ok(1));
    assert!(matches!(db.get("k3").await.unwrap().decode::<u32>(), Err(Error::Misuse(_))));
    // Its locks are gone too.
    db.put("k2", &5u32).await.unwrap();
    cluster.stop();
}

#[tokio::test]
async fn outcomes_can_be_asked_for_and_asking_fences() {
    let cluster = Cluster::start(2);
    let db = cluster.client().await;
    let tx = db.begin(Options::new()).await.unwrap();
    tx.put("a", &1u32).unwrap();
    let done = tx.commit().await.unwrap();
    assert_eq!(db.outcome(done.txn).await, Ok(Outcome::Committed(done.at.unwrap())));
    let tx = db.begin(Options::new()).await.unwrap();
    tx.put("a", &2u32).unwrap();
    assert!(matches!(db.outcome(tx.id()).await, Ok(Outcome::Aborted(_))));
    assert!(matches!(tx.commit().await, Err(Error::Retry(_))));
    assert_eq!(db.get("a").await.unwrap().decode::<u32>(), Ok(1));
    cluster.stop();
}

#[tokio::test]
async fn data_survives_a_restart_of_a_shard() {
    let mut cluster = Cluster::start(2);
    let db = cluster.client().await;
    for i in 0..50u32 {
        db.put(("key", i), &i).await.unwrap();
    }
    let old = cluster.shards.remove(0);
    let (address, at) = (old.address(), cluster.coordinator.as_ref().unwrap().address());
    old.stop().unwrap();
    cluster.shards.insert(0, start_shard(cluster.dir.path(), 1, address, at));
    for i in 0..50u32 {
        assert_eq!(db.get(("key", i)).await.unwrap().decode::<u32>(), Ok(i));
        db.put(("key", i), &(i + 1)).await.unwrap();
    }
    cluster.stop();
}

#[tokio::test]
async fn operations_from_many_clients_add_up() {
    let cluster = Cluster::start(2);
    let db = cluster.client().await;
    let tasks = (0..16i64).map(|who| {
        let db = db.clone();
        tokio::spawn(async move {
            for i in 0..10 {
                db.add("hits", 1).await.unwrap();
                db.transact(async |tx| {
                    tx.add("total", who)?;
                    tx.min("least", who * 10 + i)?;
                    tx.max("most", who * 10 + i)?;
                    tx.append("log", format!("[{who}.{i}]"))
                })
                .await
                .unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let found = db.snapshot().await.unwrap();
    let numbers = found.get_many(["hits", "total", "least", "most"]).await.unwrap();
    let numbers: Vec<i64> = numbers.iter().map(|value| value.number().unwrap()).collect();
    assert_eq!(numbers, [160, 1200, 0, 159]);
    let log = found.get("log").await.unwrap().into_bytes().unwrap();
    let log = String::from_utf8(log.to_vec()).unwrap();
    for (who, i) in (0..16).flat_map(|who| (0..10).map(move |i| (who, i))) {
        assert_eq!(log.matches(&format!("[{who}.{i}]")).count(), 1);
    }
    cluster.stop();
}

#[tokio::test]
async fn a_transaction_reads_what_its_own_operations_make() {
    let cluster = Cluster::start(2);
    let db = cluster.client().await;
    db.add("c1", 40).await.unwrap();
    db.put_bytes("text", "ab").await.unwrap();
    db.transact(async |tx| {
        tx.add("c1", 2)?;
        tx.add("c2", 7)?;
        tx.append("text", "cd")?;
        assert_eq!(tx.get("c1").await?.number(), Ok(42));
        assert_eq!(tx.get_many(["c2", "c1"]).await?[0].number(), Ok(7));
        tx.max("c1", 50)?;
        let rows = tx.scan(prefix("c")).collect().await?;
        let numbers: Vec<i64> = rows.iter().map(|row| row.number().unwrap()).collect();
        assert_eq!(numbers, [50, 7]);
        assert_eq!(tx.get_for_update("text").await?.bytes().unwrap(), "abcd");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(db.get("c1").await.unwrap().number(), Ok(50));
    assert_eq!(db.get("text").await.unwrap().bytes().unwrap(), "abcd");
    cluster.stop();
}

#[tokio::test]
async fn an_integer_operation_on_text_is_a_misuse_that_names_the_key() {
    let cluster = Cluster::start(2);
    let db = cluster.client().await;
    db.put_bytes("text", "hello").await.unwrap();
    let misuse = |error: Error| matches!(error, Error::Misuse(why) if why.contains("key text"));
    assert!(misuse(db.add("text", 1).await.unwrap_err()));
    let tx = db.begin(Options::new()).await.unwrap();
    tx.add("text", 1).unwrap();
    assert!(misuse(tx.get("text").await.unwrap_err()));
    drop(tx);
    let both = db.transact(async |tx| {
        tx.put("other", &1u32)?;
        tx.add("text", 1)
    });
    assert!(misuse(both.await.unwrap_err()));
    assert!(!db.get("other").await.unwrap().is_present());
    assert!(misuse(db.get("text").await.unwrap().number().unwrap_err()));
    assert!(matches!(db.get("nothing").await.unwrap().number(), Err(Error::Misuse(_))));
    // Nor does what is there become too long.
    db.put_bytes("long", vec![0; 1 << 20]).await.unwrap();
    let longer = db.transact(async |tx| tx.append("long", "x")).await;
    assert!(matches!(longer, Err(Error::Aborted(_))), "{longer:?}");
    cluster.stop();
}

#[tokio::test]
async fn limits_leave_the_transaction_unharmed() {
    let cluster = Cluster::start(1);
    let db = cluster.client().await;
    let tx = db.begin(Options::new()).await.unwrap();
    tx.put("kept", &1u32).unwrap();
    assert!(matches!(tx.put("", &1u32), Err(Error::TooLarge(_))));
    assert!(matches!(tx.put(&[7u8; 4097][..], &1u32), Err(Error::TooLarge(_))));
    assert!(matches!(tx.put_bytes("v", vec![0; (1 << 20) + 1]), Err(Error::TooLarge(_))));
    assert!(matches!(tx.get("").await, Err(Error::TooLarge(_))));
    let value = vec![1; 1 << 20];
    let mut full = 0;
    while tx.put_bytes(("big", full), value.clone()).is_ok() {
        full += 1;
    }
    assert_eq!(full, 15);
    tx.commit().await.unwrap();
    assert_eq!(db.get("kept").await.unwrap().decode::<u32>(), Ok(1));
    assert_eq!(db.get(("big", 14)).await.unwrap().into_bytes().unwrap().len(), 1 << 20);
    cluster.stop();
}
