//! MariaDB: two instances under XA with a log of decisions.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Row};
use rustix::process::Signal;
use synod_bench::deed::{Deed, Order};
use synod_bench::keyspace::{INITIAL, Sum, balance, key, value};
use synod_bench::{Keyspace, Session};
use tokio::try_join;

use crate::decisions::Decisions;
use crate::server::{self, Server, User};

const PORT: u16 = 13_306;
const BATCH: usize = 2_000;
/// What differs from how it comes; nothing of it is about durability.
const SETTINGS: [&str; 5] = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=512M",
    "--innodb-log-file-size=2G",
    "--max-connections=300",
];
/// As it comes, and said again so that nobody has to wonder.
const DURABLE: [&str; 2] = ["--innodb-flush-log-at-trx-commit=1", "--innodb-doublewrite=1"];

/// Two instances.
pub struct MariaDb {
    servers: Vec<Server>,
    decisions: Decisions,
    next: Rc<Cell<u64>>,
}

impl MariaDb {
    /// What it says of itself.
    pub async fn version() -> Result<String> {
        server::version(&program("mariadbd")?).await
    }

    /// Starts both, without anything in them.
    ///
    /// # Errors
    /// If that does not work.
    pub async fn start(folder: &Path) -> Result<MariaDb> {
        let user = User::find("mysql").await?;
        let mut servers = Vec::new();
        for n in 0..2 {
            let (data, port) = (folder.join(format!("data{n}")), PORT + n);
            server::folder(&data, user)?;
            let mut install = server::command(&program("mariadb-install-db")?, None);
            install.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
            install.arg("--auth-root-authentication-method=normal");
            if user.is_some() {
                install.arg("--user=mysql");
            }
            server::run(install).await?;
            let mut command = server::command(&program("mariadbd")?, user);
            let socket = data.join("socket");
            command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
            command.arg(format!("--port={port}")).arg(format!("--socket={}", socket.display()));
            command.args(SETTINGS).args(DURABLE);
            let log = folder.join(format!("log{n}"));
            servers.push(Server::start("mariadbd", command, &log, port).await?);
            let mut create = server::command(&program("mariadb")?, None);
            create.arg("--no-defaults").arg("-S").arg(&socket).args(["-u", "root", "-e"]);
            create.arg(
                "CREATE DATABASE bench; CREATE USER bench@'127.0.0.1' IDENTIFIED BY 'bench'; \
                 GRANT ALL ON *.* TO bench@'127.0.0.1'",
            );
            server::run(create).await?;
        }
        let decisions = Decisions::create(&folder.join("decisions"))?;
        Ok(MariaDb { servers, decisions, next: Rc::default() })
    }

    async fn connect(&self, instance: usize) -> Result<Conn> {
        let port = self.servers[instance].port();
        let url = format!("mysql://bench:bench@127.0.0.1:{port}/bench");
        Ok(Conn::new(Opts::from_url(&url)?).await?)
    }

    /// Writes the keys.
    ///
    /// # Errors
    /// If that does not work.
    pub async fn fill(&self, keys: &Keyspace) -> Result<()> {
        for instance in 0..self.servers.len() {
            let mut db = self.connect(instance).await?;
            db.query_drop(
                "CREATE TABLE kv (k BINARY(16) PRIMARY KEY, v VARBINARY(100) NOT NULL) \
                 ENGINE=InnoDB",
            )
            .await?;
            let own = |n: &u32| usize::from(keys.part_of(*n)) == instance;
            let own: Vec<u32> = (0..keys.len()).filter(own).collect();
            for some in own.chunks(BATCH) {
                let row = |n: &u32| format!("({},{})", hex(key(*n)), hex(value(INITIAL)));
                let rows: Vec<String> = some.iter().map(row).collect();
                db.query_drop(format!("INSERT INTO kv VALUES {}", rows.join(","))).await?;
            }
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
            let mut db = self.connect(instance).await?;
            for row in all(&mut db, "SELECT v FROM kv").await? {
                sum.count(&bytes(row)?);
            }
            ensure!(all(&mut db, "XA RECOVER").await?.is_empty(), "a transaction is in doubt");
        }
        Ok(sum)
    }

    /// A client of both instances, who coordinates its own transactions.
    ///
    /// # Errors
    /// If it can not connect.
    pub async fn session(&self) -> Result<XaSession> {
        let (mut a, mut b) = try_join!(self.connect(0), self.connect(1))?;
        for db in [&mut a, &mut b] {
            db.query_drop("SET innodb_lock_wait_timeout = 1").await?;
        }
        let (decisions, next) = (self.decisions.clone(), Rc::clone(&self.next));
        Ok(XaSession { a, b, decisions, next })
    }

    /// Ends both.
    ///
    /// # Errors
    /// If one does not end.
    pub async fn stop(self) -> Result<()> {
        for server in self.servers {
            server.stop(Signal::TERM).await?;
        }
        Ok(())
    }
}

fn program(name: &str) -> Result<std::path::PathBuf> {
    server::program(name, &[&format!("/usr/sbin/{name}")], "mariadb-server")
}

/// All rows that these statements give, in one round trip.
async fn all(db: &mut Conn, statements: &str) -> Result<Vec<Row>, mysql_async::Error> {
    let mut results = db.query_iter(statements).await?;
    let mut rows = Vec::new();
    loop {
        rows.extend(results.collect::<Row>().await?);
        if results.is_empty() {
            break;
        }
    }
    results.drop_result().await?;
    Ok(rows)
}

fn bytes(mut row: Row) -> Result<Vec<u8>> {
    row.take(0).context("a row has no value")
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    let digits = bytes.as_ref().iter().map(|byte| format!("{byte:02x}"));
    format!("x'{}'", digits.collect::<String>())
}

/// A client of both instances.
pub struct XaSession {
    a: Conn,
    b: Conn,
    decisions: Decisions,
    next: Rc<Cell<u64>>,
}

impl Session for XaSession {
    async fn act(&mut self, deed: &Deed, attempts: &mut u64) -> Result<()> {
        let Deed::Transfer(pair, Order::AtOnce) = deed else {
            bail!("two instances of MariaDB are not asked for {deed:?}");
        };
        *attempts += 1;
        let name = format!("'t{}'", self.next.replace(self.next.get() + 1));
        let mut parts = [(pair[0], -1), (pair[1], 1)];
        // The key of an even number lies in the first instance.
        parts.sort_by_key(|part| part.0 % 2);
        let [(a, change_a), (b, change_b)] = parts;
        let [a, b] = [a, b].map(|n| hex(key(n)));
        let read =
            |key: &str| format!("XA START {name}; SELECT v FROM kv WHERE k = {key} FOR UPDATE");
        let (read_a, read_b) = (read(&a), read(&b));
        let (rows_a, rows_b) = try_join!(all(&mut self.a, &read_a), all(&mut self.b, &read_b))?;
        let write = |key: &str, rows: Vec<Row>, change: i64| -> Result<String> {
            let row = rows.into_iter().next().context("a key is not there")?;
            let held = balance(&bytes(row)?).context("a value is not one of this benchmark")?;
            let value = hex(value(held + change));
            Ok(format!(
                "UPDATE kv SET v = {value} WHERE k = {key}; XA END {name}; XA PREPARE {name}"
            ))
        };
        let (write_a, write_b) = (write(&a, rows_a, change_a)?, write(&b, rows_b, change_b)?);
        try_join!(all(&mut self.a, &write_a), all(&mut self.b, &write_b))?;
        self.decisions.commit(&name).await?;
        let commit = format!("XA COMMIT {name}");
        try_join!(all(&mut self.a, &commit), all(&mut self.b, &commit))?;
        Ok(())
    }
}
