//! Redis: one instance that syncs its log before it answers.

use std::path::Path;

use anyhow::{Context, Result, bail};
use redis::aio::MultiplexedConnection;
use rustix::process::Signal;
use synod_bench::deed::Deed;
use synod_bench::keyspace::{INITIAL, balance, key, value};
use synod_bench::{Keyspace, Session};

use crate::server::{self, Server};

const PORT: u16 = 16_379;
const BATCH: u32 = 1_000;
/// Each turn of its loop is synced before what it answers leaves.
const SETTINGS: [&str; 10] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--save",
    "",
    "--protected-mode",
    "no",
    "--auto-aof-rewrite-percentage",
    "0",
];

/// One instance.
pub struct Redis {
    server: Server,
}

impl Redis {
    /// What it says of itself.
    pub async fn version() -> Result<String> {
        server::version(&program()?).await
    }

    /// Starts it, without anything in it.
    ///
    /// # Errors
    /// If that does not work.
    pub async fn start(folder: &Path) -> Result<Redis> {
        let data = folder.join("data");
        server::folder(&data, None)?;
        let mut command = server::command(&program()?, None);
        command.args(["--bind", "127.0.0.1", "--port", &PORT.to_string()]);
        command.arg("--dir").arg(&data).args(SETTINGS);
        let server = Server::start("redis-server", command, &folder.join("log"), PORT).await?;
        Ok(Redis { server })
    }

    async fn connect(&self) -> Result<MultiplexedConnection> {
        let url = format!("redis://127.0.0.1:{}/", self.server.port());
        Ok(redis::Client::open(url)?.get_multiplexed_async_connection().await?)
    }

    /// Writes the keys.
    ///
    /// # Errors
    /// If that does not work.
    pub async fn fill(&self, keys: &Keyspace) -> Result<()> {
        let mut db = self.connect().await?;
        for from in (0..keys.len()).step_by(BATCH as usize) {
            let mut batch = redis::pipe();
            for n in from..keys.len().min(from + BATCH) {
                batch.cmd("SET").arg(key(n)).arg(&value(INITIAL)[..]).ignore();
            }
            batch.query_async::<()>(&mut db).await?;
        }
        Ok(())
    }

    /// Clients, which share one connection: the fastest way to use it.
    ///
    /// # Errors
    /// If they can not connect.
    pub async fn sessions(&self, clients: usize) -> Result<Vec<RedisSession>> {
        let shared = self.connect().await?;
        Ok((0..clients).map(|_| RedisSession(shared.clone())).collect())
    }

    /// Ends it.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(self) -> Result<()> {
        self.server.stop(Signal::TERM).await
    }
}

fn program() -> Result<std::path::PathBuf> {
    server::program("redis-server", &[], "redis-server")
}

/// A client.
pub struct RedisSession(MultiplexedConnection);

impl Session for RedisSession {
    async fn act(&mut self, deed: &Deed, attempts: &mut u64) -> Result<()> {
        *attempts += 1;
        match deed {
            Deed::Put(n) => {
                let mut set = redis::cmd("SET");
                set.arg(key(*n)).arg(&value(INITIAL)[..]);
                set.query_async::<()>(&mut self.0).await?;
            }
            Deed::Get(n) => {
                let mut get = redis::cmd("GET");
                let found: Vec<u8> = get.arg(key(*n)).query_async(&mut self.0).await?;
                balance(&found).context("a value is not one of this benchmark")?;
            }
            _ => bail!("Redis is not asked for {deed:?}"),
        }
        Ok(())
    }
}
