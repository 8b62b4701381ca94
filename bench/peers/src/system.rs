//! The systems that are compared, each as strong and as fast as it can be used.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use synod_bench::keyspace::Sum;
use synod_bench::measure::{self, Plan};
use synod_bench::synod::{Site, SynodSession};
use synod_bench::{BenchOptions, Keyspace, Session, Target, WARM_UP, Workload};
use synod_client::{Protocol, Scheme};

use crate::cell::{Cell, Row};
use crate::etcd::{Etcd, EtcdSession};
use crate::machine::Machine;
use crate::mariadb::{MariaDb, XaSession};
use crate::postgres::{Postgres, PostgresSession, TwoPhaseSession};
use crate::redis::{Redis, RedisSession};

/// A system, set up in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Two shards and one coordinator, two-phase commit.
    Synod,
    /// Two shards and three coordinators, Paxos Commit.
    SynodPaxos,
    /// Two instances and `PREPARE TRANSACTION`.
    PostgresTwice,
    /// Two instances under XA.
    MariaDbTwice,
    /// One instance.
    Postgres,
    /// One node.
    Etcd,
    /// One instance.
    Redis,
}

/// What a reader has to know of one.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name in tables.
    pub name: &'static str,
    /// What it is made of here.
    pub made_of: &'static str,
    /// When it answers.
    pub durable: &'static str,
    /// How strong its promises are, beside those of Synod.
    pub promises: &'static str,
}

impl System {
    /// All of them.
    pub const ALL: [System; 7] = [
        System::Synod,
        System::SynodPaxos,
        System::PostgresTwice,
        System::MariaDbTwice,
        System::Postgres,
        System::Etcd,
        System::Redis,
    ];

    /// What a reader has to know.
    pub fn about(self) -> About {
        match self {
            System::Synod => About {
                name: "synod",
                made_of: "2 shards, 1 coordinator, QUIC with mutual TLS",
                durable: "fdatasync on every participant and on the coordinator",
                promises: "strict serializability over all shards; the outcome can be asked for",
            },
            System::SynodPaxos => About {
                name: "synod, Paxos Commit",
                made_of: "2 shards, 3 coordinators, QUIC with mutual TLS",
                durable: "fdatasync on every participant and on a majority of coordinators",
                promises: "the same; no coordinator is needed to go on",
            },
            System::PostgresTwice => About {
                name: "PostgreSQL x 2",
                made_of: "2 instances, PREPARE TRANSACTION, a log of decisions in the client; no TLS",
                durable: "fsync=on, synchronous_commit=on; fdatasync of the log of decisions",
                promises: "weaker: read committed, each instance by itself; no snapshot over both; \
                           who recovers the client's decisions is up to you",
            },
            System::MariaDbTwice => About {
                name: "MariaDB x 2",
                made_of: "2 instances, XA, a log of decisions in the client; no TLS",
                durable: "innodb_flush_log_at_trx_commit=1; fdatasync of the log of decisions",
                promises: "weaker: repeatable read, each instance by itself; no snapshot over both; \
                           who recovers the client's decisions is up to you",
            },
            System::Postgres => About {
                name: "PostgreSQL",
                made_of: "1 instance; no TLS",
                durable: "fsync=on, synchronous_commit=on",
                promises: "weaker: read committed (snapshots: repeatable read); nothing is spread",
            },
            System::Etcd => About {
                name: "etcd",
                made_of: "1 node, 8 HTTP/2 connections; no TLS",
                durable: "fdatasync of its log before it answers",
                promises: "as strong, in one group; transactions are compare-and-put; nothing is \
                           spread",
            },
            System::Redis => About {
                name: "Redis",
                made_of: "1 instance, 1 connection that all clients share; no TLS",
                durable: "appendonly yes, appendfsync always",
                promises: "single keys; nothing is spread",
            },
        }
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn version(self) -> Result<String> {
        match self {
            System::Synod | System::SynodPaxos => {
                crate::server::version(&synod_bench::synod::find_bin()?).await
            }
            System::PostgresTwice | System::Postgres => Postgres::version().await,
            System::MariaDbTwice => MariaDb::version().await,
            System::Etcd => Etcd::version().await,
            System::Redis => Redis::version().await,
        }
    }

    /// Starts it afresh, measures the cells one after the other, and looks whether the sums
    /// are right.
    ///
    /// # Errors
    /// If anything fails, or a sum is wrong.
    pub async fn measure(self, cells: &[Cell], size: Size, folder: &Path) -> Result<Vec<Row>> {
        let two = |n: u32| (n % 2) as u16;
        match self {
            System::Synod | System::SynodPaxos => {
                let synod = Synod::start(self == System::SynodPaxos, size).await?;
                let keys = Arc::clone(synod.site.keys());
                all(self, synod, keys, cells, size).await
            }
            System::PostgresTwice => {
                let keys = Arc::new(Keyspace::new(size.keys, 2, two));
                let postgres = Postgres::start(2, folder).await?;
                postgres.fill(&keys).await?;
                all(self, Twice(postgres), keys, cells, size).await
            }
            System::MariaDbTwice => {
                let keys = Arc::new(Keyspace::new(size.keys, 2, two));
                let mariadb = MariaDb::start(folder).await?;
                mariadb.fill(&keys).await?;
                all(self, mariadb, keys, cells, size).await
            }
            System::Postgres => {
                let keys = Arc::new(Keyspace::new(size.keys, 1, |_| 0));
                let postgres = Postgres::start(1, folder).await?;
                postgres.fill(&keys).await?;
                all(self, postgres, keys, cells, size).await
            }
            System::Etcd => {
                let keys = Arc::new(Keyspace::new(size.keys, 1, |_| 0));
                let etcd = Etcd::start(folder).await?;
                etcd.fill(&keys).await?;
                all(self, etcd, keys, cells, size).await
            }
            System::Redis => {
                let keys = Arc::new(Keyspace::new(size.keys, 1, |_| 0));
                let redis = Redis::start(folder).await?;
                redis.fill(&keys).await?;
                all(self, redis, keys, cells, size).await
            }
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How many keys there are.
    pub keys: u32,
    /// How long each cell is measured.
    pub time: Duration,
}

/// One that runs.
trait Running {
    type Session: Session + 'static;
    async fn sessions(&self, clients: u32) -> Result<Vec<Self::Session>>;
    /// None if there is no sum to be kept.
    async fn audit(&self) -> Result<Option<Sum>>;
    async fn stop(self) -> Result<()>;
}

/// So many clients, each with connections of its own.
async fn many<S>(clients: u32, one: impl AsyncFn() -> Result<S>) -> Result<Vec<S>> {
    let mut sessions = Vec::new();
    for _ in 0..clients {
        sessions.push(one().await?);
    }
    Ok(sessions)
}

async fn all<R: Running>(
    system: System,
    running: R,
    keys: Arc<Keyspace>,
    cells: &[Cell],
    size: Size,
) -> Result<Vec<Row>> {
    let name = system.about().name;
    let mut rows = Vec::new();
    for cell in cells {
        let plan = Plan {
            workload: cell.workload,
            keys: Arc::clone(&keys),
            warm_up: WARM_UP,
            time: size.time,
            rate: None,
            progress: false,
        };
        let sessions = running.sessions(cell.clients).await?;
        let measured = measure::run(sessions, &plan, async || Machine::read()).await?;
        rows.push(Row::of(system, *cell, measured).with_context(|| format!("{name}, {cell}"))?);
        eprintln!("  {}", rows[rows.len() - 1]);
    }
    if let Some(sum) = running.audit().await? {
        ensure!(
            sum.is_right() && sum.keys == u64::from(size.keys),
            "{name} does not hold what it must: {sum:?}"
        );
    }
    running.stop().await?;
    Ok(rows)
}

struct Synod {
    site: Site,
    protocol: Protocol,
}

impl Synod {
    async fn start(paxos: bool, size: Size) -> Result<Synod> {
        let (protocol, coordinators) = match paxos {
            true => (Protocol::PaxosCommit, 3),
            false => (Protocol::TwoPhase, 1),
        };
        let options = BenchOptions {
            protocol,
            keys: size.keys,
            target: Target::Own { deadlocks: Scheme::default(), coordinators, shards: None },
            ..BenchOptions::of(Workload::Transfer)
        };
        Ok(Synod { site: Site::open(&options).await?, protocol })
    }
}

impl Running for Synod {
    type Session = SynodSession;

    async fn sessions(&self, clients: u32) -> Result<Vec<SynodSession>> {
        Ok(self.site.sessions(clients, self.protocol))
    }

    async fn audit(&self) -> Result<Option<Sum>> {
        Ok(Some(self.site.audit().await?))
    }

    async fn stop(self) -> Result<()> {
        self.site.close().await
    }
}

/// Two instances of PostgreSQL.
struct Twice(Postgres);

impl Running for Twice {
    type Session = TwoPhaseSession;

    async fn sessions(&self, clients: u32) -> Result<Vec<TwoPhaseSession>> {
        many(clients, async || self.0.two_phase_session().await).await
    }

    async fn audit(&self) -> Result<Option<Sum>> {
        Ok(Some(self.0.audit().await?))
    }

    async fn stop(self) -> Result<()> {
        self.0.stop().await
    }
}

impl Running for Postgres {
    type Session = PostgresSession;

    async fn sessions(&self, clients: u32) -> Result<Vec<PostgresSession>> {
        many(clients, async || self.session().await).await
    }

    async fn audit(&self) -> Result<Option<Sum>> {
        Ok(Some(Postgres::audit(self).await?))
    }

    async fn stop(self) -> Result<()> {
        Postgres::stop(self).await
    }
}

impl Running for MariaDb {
    type Session = XaSession;

    async fn sessions(&self, clients: u32) -> Result<Vec<XaSession>> {
        many(clients, async || self.session().await).await
    }

    async fn audit(&self) -> Result<Option<Sum>> {
        Ok(Some(MariaDb::audit(self).await?))
    }

    async fn stop(self) -> Result<()> {
        MariaDb::stop(self).await
    }
}

impl Running for Etcd {
    type Session = EtcdSession;

    async fn sessions(&self, clients: u32) -> Result<Vec<EtcdSession>> {
        Etcd::sessions(self, clients as usize).await
    }

    async fn audit(&self) -> Result<Option<Sum>> {
        Ok(Some(Etcd::audit(self).await?))
    }

    async fn stop(self) -> Result<()> {
        Etcd::stop(self).await
    }
}

impl Running for Redis {
    type Session = RedisSession;

    async fn sessions(&self, clients: u32) -> Result<Vec<RedisSession>> {
        Redis::sessions(self, clients as usize).await
    }

    async fn audit(&self) -> Result<Option<Sum>> {
        Ok(None)
    }

    async fn stop(self) -> Result<()> {
        Redis::stop(self).await
    }
}
