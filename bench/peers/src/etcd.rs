//! etcd: one node.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use etcd_client::{Client, Compare, CompareOp, GetOptions, Txn, TxnOp, TxnOpResponse};
use rustix::process::Signal;
use synod_bench::deed::Deed;
use synod_bench::keyspace::{INITIAL, PREFIX, Sum, balance, key, value};
use synod_bench::{Keyspace, Session};

use crate::server::{self, Server};

const PORT: u16 = 12_379;
/// It takes no more in one transaction.
const BATCH: u32 = 100;
/// Clients share so many HTTP/2 connections.
const CONNECTIONS: usize = 8;

/// One node.
pub struct Etcd {
    server: Server,
}

impl Etcd {
    /// What it says of itself.
    pub async fn version() -> Result<String> {
        server::version(&program()?).await
    }

    /// Starts it, without anything in it.
    ///
    /// # Errors
    /// If that does not work.
    pub async fn start(folder: &Path) -> Result<Etcd> {
        let data = folder.join("data");
        server::folder(&data, None)?;
        let mut command = server::command(&program()?, None);
        let (here, peers) =
            (format!("http://127.0.0.1:{PORT}"), format!("http://127.0.0.1:{}", PORT + 1));
        command.args(["--name", "one", "--log-level", "error"]).arg("--data-dir").arg(&data);
        command.args(["--listen-client-urls", &here, "--advertise-client-urls", &here]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("one={peers}")]);
        command.args(["--quota-backend-bytes", "8589934592"]);
        let server = Server::start("etcd", command, &folder.join("log"), PORT).await?;
        let etcd = Etcd { server };
        // It listens before it leads.
        etcd.connect().await?.get("ready", None).await.context("etcd does not serve")?;
        Ok(etcd)
    }

    async fn connect(&self) -> Result<Client> {
        let address = format!("127.0.0.1:{}", self.server.port());
        Ok(Client::connect([address], None).await?)
    }

    /// Writes the keys.
    ///
    /// # Errors
    /// If that does not work.
    pub async fn fill(&self, keys: &Keyspace) -> Result<()> {
        let mut db = self.connect().await?;
        for from in (0..keys.len()).step_by(BATCH as usize) {
            let some = from..keys.len().min(from + BATCH);
            let puts = some.map(|n| TxnOp::put(key(n), value(INITIAL).to_vec(), None));
            db.txn(Txn::new().and_then(puts.collect::<Vec<_>>())).await?;
        }
        Ok(())
    }

    /// Adds up what is there.
    ///
    /// # Errors
    /// If it can not be read.
    pub async fn audit(&self) -> Result<Sum> {
        const PAGE: i64 = 10_000;
        let mut db = self.connect().await?;
        let (mut sum, mut from) = (Sum::default(), PREFIX.as_bytes().to_vec());
        loop {
            let page = GetOptions::new().with_range("bench0").with_limit(PAGE);
            let found = db.get(from.clone(), Some(page)).await?;
            found.kvs().iter().for_each(|row| sum.count(row.value()));
            let Some(last) = found.kvs().last().filter(|_| found.more()) else { return Ok(sum) };
            from = [last.key(), &[0]].concat();
        }
    }

    /// Clients, which share connections.
    ///
    /// # Errors
    /// If they can not connect.
    pub async fn sessions(&self, clients: usize) -> Result<Vec<EtcdSession>> {
        let mut shared = Vec::new();
        for _ in 0..CONNECTIONS.min(clients) {
            shared.push(self.connect().await?);
        }
        Ok((0..clients).map(|n| EtcdSession(shared[n % shared.len()].clone())).collect())
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
    if let Some(path) = std::env::var_os("ETCD") {
        return Ok(path.into());
    }
    server::program("etcd", &[], "etcd-server")
}

/// A client.
pub struct EtcdSession(Client);

impl Session for EtcdSession {
    async fn act(&mut self, deed: &Deed, attempts: &mut u64) -> Result<()> {
        match deed {
            // It has no locks: whoever comes too late tries again, in whichever order.
            Deed::Transfer(pair, _) => loop {
                *attempts += 1;
                if self.transfer(pair.map(key)).await? {
                    return Ok(());
                }
            },
            Deed::Put(n) => _ = self.0.put(key(*n), value(INITIAL).to_vec(), None).await?,
            Deed::Get(n) => {
                let found = self.0.get(key(*n), None).await?;
                let row = found.kvs().first().context("a key is not there")?;
                balance(row.value()).context("a value is not one of this benchmark")?;
            }
            Deed::Snapshot(all) => {
                let gets: Vec<TxnOp> = all.iter().map(|n| TxnOp::get(key(*n), None)).collect();
                let found = self.0.txn(Txn::new().and_then(gets)).await?;
                ensure!(found.op_responses().len() == all.len(), "keys are not there");
            }
            Deed::Scan(from, count) => {
                let range = GetOptions::new().with_range(key(from + count));
                let found = self.0.get(key(*from), Some(range)).await?;
                let n = found.kvs().len();
                ensure!(n == *count as usize, "of {count} keys {n} are there");
            }
            Deed::PutAll(_)
            | Deed::Count(_)
            | Deed::Update(_)
            | Deed::Insert(_)
            | Deed::Raise(_)
            | Deed::Bank(_) => bail!("etcd is not asked for {deed:?}"),
        }
        *attempts += 1;
        Ok(())
    }
}

impl EtcdSession {
    /// Reads both, then writes both if nobody has meanwhile. Whether it was done.
    async fn transfer(&mut self, keys: [String; 2]) -> Result<bool> {
        let gets: Vec<TxnOp> = keys.iter().map(|key| TxnOp::get(key.as_str(), None)).collect();
        let found = self.0.txn(Txn::new().and_then(gets)).await?.op_responses();
        let (mut unchanged, mut puts) = (Vec::new(), Vec::new());
        for ((key, found), change) in keys.iter().zip(&found).zip([-1, 1]) {
            let TxnOpResponse::Get(found) = found else { bail!("that is no answer to a get") };
            let row = found.kvs().first().context("a key is not there")?;
            let held = balance(row.value()).context("a value is not one of this benchmark")?;
            let revision = row.mod_revision();
            unchanged.push(Compare::mod_revision(key.as_str(), CompareOp::Equal, revision));
            puts.push(TxnOp::put(key.as_str(), value(held + change).to_vec(), None));
        }
        Ok(self.0.txn(Txn::new().when(unchanged).and_then(puts)).await?.succeeded())
    }
}
