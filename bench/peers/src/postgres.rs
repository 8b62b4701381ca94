//! PostgreSQL: one instance, or two with `PREPARE TRANSACTION` and a log of decisions.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use synod_bench::deed::{Deed, Order};
use synod_bench::keyspace::{INITIAL, Sum, balance, key, value};
use synod_bench::{Keyspace, Session};
use tokio::time::{Instant, sleep};
use tokio::try_join;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

use crate::decisions::Decisions;
use crate::server::{self, LOOK, PATIENCE, Server, User};

const PORT: u16 = 15_432;
const BATCH: usize = 5_000;
/// What differs from how it comes; nothing of it is about durability.
const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "max_prepared_transactions=200",
    "shared_buffers=512MB",
    "max_wal_size=4GB",
    "checkpoint_timeout=30min",
];
/// As it comes, and said again so that nobody has to wonder.
const DURABLE: [&str; 4] =
    ["fsync=on", "synchronous_commit=on", "wal_sync_method=fdatasync", "full_page_writes=on"];

/// One or two instances.
pub struct Postgres {
    servers: Vec<Server>,
    decisions: Decisions,
    next: Rc<Cell<u64>>,
}

impl Postgres {
    /// What it says of itself.
    pub async fn version() -> Result<String> {
        server::version(&program("postgres")?).await
    }

    /// Starts so many instances, without anything in them.
    ///
    /// # Errors
    /// If that does not work.
    pub async fn start(instances: u16, folder: &Path) -> Result<Postgres> {
        let user = User::find("postgres").await?;
        let mut servers = Vec::new();
        for n in 0..instances {
            let (data, port) = (folder.join(format!("data{n}")), PORT + n);
            server::folder(&data, user)?;
            let mut init = server::command(&program("initdb")?, user);
            init.arg("-D").arg(&data).args(["-A", "trust", "-U", "postgres", "--no-sync"]);
            server::run(init).await?;
            let mut command = server::command(&program("postgres")?, user);
            command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
            SETTINGS.iter().chain(&DURABLE).for_each(|set| _ = command.args(["-c", set]));
            let log = folder.join(format!("log{n}"));
            servers.push(Server::start("postgres", command, &log, port).await?);
            // It listens before it serves.
            let until = Instant::now() + PATIENCE;
            while let Err(error) = connect(port).await {
                let starts = error.code() == Some(&SqlState::CANNOT_CONNECT_NOW);
                ensure!(starts && Instant::now() < until, error);
                sleep(LOOK).await;
            }
        }
        let decisions = Decisions::create(&folder.join("decisions"))?;
        Ok(Postgres { servers, decisions, next: Rc::default() })
    }

    async fn connect(&self, instance: usize) -> Result<Client> {
        Ok(connect(self.servers[instance].port()).await?)
    }

    /// Writes the keys.
    ///
    /// # Errors
    /// If that does not work.
    pub async fn fill(&self, keys: &Keyspace) -> Result<()> {
        for instance in 0..self.servers.len() {
            let db = self.connect(instance).await?;
            db.batch_execute("CREATE TABLE kv (k bytea PRIMARY KEY, v bytea NOT NULL)").await?;
            let insert = "INSERT INTO kv SELECT * FROM unnest($1::bytea[], $2::bytea[])";
            let insert = db.prepare(insert).await?;
            let own = |n: &u32| usize::from(keys.part_of(*n)) == instance;
            let own: Vec<u32> = (0..keys.len()).filter(own).collect();
            for some in own.chunks(BATCH) {
                let keys: Vec<Vec<u8>> = some.iter().map(|n| key(*n).into_bytes()).collect();
                let values = vec![value(INITIAL).to_vec(); some.len()];
                db.execute(&insert, &[&keys, &values]).await?;
            }
            db.batch_execute("VACUUM ANALYZE kv").await?;
            db.batch_execute("CHECKPOINT").await?;
        }
        Ok(())
    }

    /// Adds up what is there.
    ///
    /// # Errors
    /// If it can not be read, or a transaction is left between its phases.
    pub async fn audit(&self) -> Result<Sum> {
        let mut sum = Sum::default();
        for instance in 0..self.servers.len() {
            let db = self.connect(instance).await?;
            for row in db.query("SELECT v FROM kv", &[]).await? {
                sum.count(row.get(0));
            }
            let left = db.query_one("SELECT count(*) FROM pg_prepared_xacts", &[]).await?;
            ensure!(left.get::<_, i64>(0) == 0, "a transaction is left in doubt");
        }
        Ok(sum)
    }

    /// A client of one instance.
    ///
    /// # Errors
    /// If it can not connect.
    pub async fn session(&self) -> Result<PostgresSession> {
        let db = self.connect(0).await?;
        // Deadlocks are looked for a hundred times sooner than by default: to its advantage.
        db.batch_execute("SET deadlock_timeout = '10ms'").await?;
        let rows = "SELECT k, v FROM kv WHERE k = ANY($1::bytea[])";
        Ok(PostgresSession {
            both: db.prepare(&format!("{rows} ORDER BY k FOR UPDATE")).await?,
            one: db.prepare("SELECT v FROM kv WHERE k = $1 FOR UPDATE").await?,
            update: db.prepare("UPDATE kv SET v = $2 WHERE k = $1").await?,
            put: db
                .prepare(
                    "INSERT INTO kv VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
                )
                .await?,
            get: db.prepare("SELECT v FROM kv WHERE k = $1").await?,
            many: db.prepare(rows).await?,
            scan: db.prepare("SELECT v FROM kv WHERE k >= $1 AND k < $2 ORDER BY k").await?,
            db,
        })
    }

    /// A client of both instances, who coordinates its own transactions.
    ///
    /// # Errors
    /// If it can not connect.
    pub async fn two_phase_session(&self) -> Result<TwoPhaseSession> {
        let (a, b) = try_join!(self.instance(0), self.instance(1))?;
        let (decisions, next) = (self.decisions.clone(), Rc::clone(&self.next));
        Ok(TwoPhaseSession { instances: [a, b], decisions, next })
    }

    async fn instance(&self, instance: usize) -> Result<Instance> {
        let db = self.connect(instance).await?;
        // A deadlock across both is seen by neither.
        db.batch_execute("SET lock_timeout = '500ms'").await?;
        Ok(Instance {
            lock: db.prepare("SELECT v FROM kv WHERE k = $1 FOR UPDATE").await?,
            update: db.prepare("UPDATE kv SET v = $2 WHERE k = $1").await?,
            db,
        })
    }

    /// Ends all instances.
    ///
    /// # Errors
    /// If one does not end.
    pub async fn stop(self) -> Result<()> {
        for server in self.servers {
            server.stop(Signal::INT).await?;
        }
        Ok(())
    }
}

fn program(name: &str) -> Result<std::path::PathBuf> {
    let places = ["17", "16", "15"].map(|v| format!("/usr/lib/postgresql/{v}/bin/{name}"));
    server::program(name, &places.each_ref().map(String::as_str), "postgresql")
}

async fn connect(port: u16) -> Result<Client, tokio_postgres::Error> {
    let address = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn balance_of(value: &[u8]) -> Result<i64> {
    balance(value).context("a value is not one of this benchmark")
}

type Params<'a, const N: usize> = [&'a (dyn ToSql + Sync); N];

/// A client of one instance.
pub struct PostgresSession {
    db: Client,
    both: Statement,
    one: Statement,
    update: Statement,
    put: Statement,
    get: Statement,
    many: Statement,
    scan: Statement,
}

impl Session for PostgresSession {
    async fn act(&mut self, deed: &Deed, attempts: &mut u64) -> Result<()> {
        match deed {
            Deed::Transfer(pair, order) => {
                let keys = pair.map(|n| key(n).into_bytes());
                loop {
                    *attempts += 1;
                    if self.transfer(&keys, *order).await? {
                        return Ok(());
                    }
                }
            }
            Deed::Put(n) => {
                let (key, value) = (key(*n).into_bytes(), value(INITIAL).to_vec());
                self.db.execute(&self.put, &[&key, &value]).await?;
            }
            Deed::Get(n) => {
                let row = self.db.query_one(&self.get, &[&key(*n).into_bytes()]).await?;
                balance_of(row.get(0))?;
            }
            Deed::Snapshot(all) => {
                let keys: Vec<Vec<u8>> = all.iter().map(|n| key(*n).into_bytes()).collect();
                let found = self.at_one_moment(&self.many, &[&keys]).await?;
                ensure!(!found.is_empty(), "the keys are not there");
            }
            Deed::Scan(from, count) => {
                let ends = [*from, from + count].map(|n| key(n).into_bytes());
                let found = self.at_one_moment(&self.scan, &[&ends[0], &ends[1]]).await?;
                ensure!(
                    found.len() == *count as usize,
                    "of {count} keys {} are there",
                    found.len()
                );
            }
            Deed::PutAll(_)
            | Deed::Count(_)
            | Deed::Update(_)
            | Deed::Insert(_)
            | Deed::Raise(_)
            | Deed::Bank(_) => bail!("PostgreSQL is not asked for {deed:?}"),
        }
        *attempts += 1;
        Ok(())
    }
}

impl PostgresSession {
    async fn at_one_moment<const N: usize>(
        &self,
        statement: &Statement,
        params: &Params<'_, N>,
    ) -> Result<Vec<tokio_postgres::Row>> {
        let (_, found, _) = try_join!(
            self.db.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            self.db.query(statement, params),
            self.db.batch_execute("COMMIT"),
        )?;
        Ok(found)
    }

    /// Whether it was done: not if it was the victim of a deadlock.
    async fn transfer(&self, keys: &[Vec<u8>; 2], order: Order) -> Result<bool> {
        let db = &self.db;
        let read = match order {
            Order::AtOnce => self.lock_both(keys).await,
            Order::OneByOne => self.lock_one_by_one(keys).await,
        };
        let [from, to] = match read {
            Ok(balances) => balances,
            Err(error) => {
                let code = error.downcast_ref::<tokio_postgres::Error>().and_then(|e| e.code());
                // What was pipelined behind the victim fails, too.
                let is_victim = code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
                    || code == Some(&SqlState::IN_FAILED_SQL_TRANSACTION);
                ensure!(is_victim, error);
                db.batch_execute("ROLLBACK").await?;
                return Ok(false);
            }
        };
        let values = [value(from - 1).to_vec(), value(to + 1).to_vec()];
        let first: Params<'_, 2> = [&keys[0], &values[0]];
        let second: Params<'_, 2> = [&keys[1], &values[1]];
        try_join!(
            db.execute(&self.update, &first),
            db.execute(&self.update, &second),
            db.batch_execute("COMMIT"),
        )?;
        Ok(true)
    }

    async fn lock_both(&self, keys: &[Vec<u8>; 2]) -> Result<[i64; 2]> {
        let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let params: Params<'_, 1> = [&asked];
        let (_, rows) =
            try_join!(self.db.batch_execute("BEGIN"), self.db.query(&self.both, &params))?;
        let mut balances = [0; 2];
        for row in &rows {
            let second = row.get::<_, &[u8]>(0) != keys[0].as_slice();
            balances[usize::from(second)] = balance_of(row.get(1))?;
        }
        Ok(balances)
    }

    async fn lock_one_by_one(&self, keys: &[Vec<u8>; 2]) -> Result<[i64; 2]> {
        let (first, second): (Params<'_, 1>, Params<'_, 1>) = ([&keys[0]], [&keys[1]]);
        let (_, a, b) = try_join!(
            self.db.batch_execute("BEGIN"),
            self.db.query_one(&self.one, &first),
            self.db.query_one(&self.one, &second),
        )?;
        Ok([balance_of(a.get(0))?, balance_of(b.get(0))?])
    }
}

struct Instance {
    db: Client,
    lock: Statement,
    update: Statement,
}

/// A client of both instances.
pub struct TwoPhaseSession {
    instances: [Instance; 2],
    decisions: Decisions,
    next: Rc<Cell<u64>>,
}

impl Session for TwoPhaseSession {
    async fn act(&mut self, deed: &Deed, attempts: &mut u64) -> Result<()> {
        let Deed::Transfer(pair, Order::AtOnce) = deed else {
            bail!("two instances of PostgreSQL are not asked for {deed:?}");
        };
        loop {
            *attempts += 1;
            let name = format!("t{}", self.next.replace(self.next.get() + 1));
            let Err(error) = self.attempt(pair, &name).await else { return Ok(()) };
            let code = error.downcast_ref::<tokio_postgres::Error>().and_then(|e| e.code());
            ensure!(code == Some(&SqlState::LOCK_NOT_AVAILABLE), error);
            for Instance { db, .. } in &self.instances {
                // Whichever of them it takes.
                let _ = db.batch_execute("ROLLBACK").await;
                let _ = db.batch_execute(&format!("ROLLBACK PREPARED '{name}'")).await;
            }
        }
    }
}

impl TwoPhaseSession {
    /// Three round trips to both at once, the decision between the last two.
    async fn attempt(&self, pair: &[u32; 2], name: &str) -> Result<()> {
        let mut parts = pair.map(|n| (n, 0, key(n).into_bytes(), Vec::new()));
        // The key of an even number lies in the first instance.
        parts.iter_mut().zip([-1, 1]).for_each(|(part, change)| part.1 = change);
        parts.sort_by_key(|part| part.0 % 2);
        let [a, b] = &self.instances;
        let [(_, change_a, key_a, value_a), (_, change_b, key_b, value_b)] = &mut parts;
        let (lock_a, lock_b): (Params<'_, 1>, Params<'_, 1>) = ([&*key_a], [&*key_b]);
        let (_, row_a, _, row_b) = try_join!(
            a.db.batch_execute("BEGIN"),
            a.db.query_one(&a.lock, &lock_a),
            b.db.batch_execute("BEGIN"),
            b.db.query_one(&b.lock, &lock_b),
        )?;
        *value_a = value(balance_of(row_a.get(0))? + *change_a).to_vec();
        *value_b = value(balance_of(row_b.get(0))? + *change_b).to_vec();
        let (write_a, write_b): (Params<'_, 2>, Params<'_, 2>) =
            ([&*key_a, &*value_a], [&*key_b, &*value_b]);
        let prepare = format!("PREPARE TRANSACTION '{name}'");
        try_join!(
            a.db.execute(&a.update, &write_a),
            a.db.batch_execute(&prepare),
            b.db.execute(&b.update, &write_b),
            b.db.batch_execute(&prepare),
        )?;
        self.decisions.commit(name).await?;
        let commit = format!("COMMIT PREPARED '{name}'");
        try_join!(a.db.batch_execute(&commit), b.db.batch_execute(&commit))?;
        Ok(())
    }
}
