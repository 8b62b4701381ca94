//! Does what commands say, in the open transaction or one of their own.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::{Result, bail};
use synod_client::{
    Committed, Error, Escaped, Isolation, Key, KeyRange, LockMode, Outcome, Protocol, Reason,
    Savepoint, Snapshot, Timestamp, Txn, Value,
};

use super::command::{Command, Lockable};
use crate::cmd;
use crate::connect::Connected;
use crate::render;

/// A conversation with a cluster.
pub struct Session {
    db: Connected,
    json: bool,
    txn: Option<Txn>,
    /// Of the open transaction, by name.
    savepoints: BTreeMap<String, Savepoint>,
    at: Option<Timestamp>,
}

impl Session {
    /// With nothing open.
    pub fn new(db: Connected, json: bool) -> Session {
        Session { db, json, txn: None, savepoints: BTreeMap::new(), at: None }
    }

    /// What a terminal shows before the next command.
    pub fn prompt(&self) -> String {
        match (&self.txn, self.at) {
            (Some(txn), _) => format!("{}> ", txn.id()),
            (None, Some(at)) => format!("synod at {at}> "),
            (None, None) => "synod> ".to_owned(),
        }
    }

    /// Ends it; an open transaction is aborted.
    pub fn close(&mut self) {
        if let Some(txn) = self.txn.take() {
            eprintln!("synod: {} was not committed, it is aborted", txn.id());
            txn.abort();
        }
    }

    /// Does what a command says, and prints what it finds.
    ///
    /// # Errors
    /// If it fails. The open transaction is over then, unless the error is one
    /// that leaves it unharmed.
    pub async fn execute(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Begin(isolation, protocol) => self.begin(isolation, protocol).await,
            Command::Get(key) => self.get(key, false).await,
            Command::GetForUpdate(key) => self.get(key, true).await,
            Command::Put(key, value) => self.write(|txn| txn.put_bytes(&key, value.clone())).await,
            Command::Delete(key) => self.write(|txn| txn.delete(&key)).await,
            Command::Add(key, n) => self.write(|txn| txn.add(&key, n)).await,
            Command::Min(key, n) => self.write(|txn| txn.min(&key, n)).await,
            Command::Max(key, n) => self.write(|txn| txn.max(&key, n)).await,
            Command::Append(key, bytes) => self.write(|txn| txn.append(&key, &bytes)).await,
            Command::Scan { range, limit, reverse } => self.scan(range, limit, reverse).await,
            Command::Lock { what, mode, nowait } => self.lock(what, mode, nowait).await,
            Command::Savepoint(name) => self.savepoint(name),
            Command::RollbackTo(name) => self.rollback_to(&name),
            Command::Commit => self.commit().await,
            Command::Abort => self.abort(),
            Command::At(at) => self.travel(at),
            Command::Outcome(txn) => {
                let outcome = self.db.client.outcome(txn).await?;
                Ok(render::outcome(&mut io::stdout().lock(), self.json, txn, &outcome)?)
            }
            Command::Status => cmd::status(&self.db, self.json).await,
            Command::Help | Command::Exit => Ok(()),
        }
    }

    async fn begin(
        &mut self,
        isolation: Option<Isolation>,
        protocol: Option<Protocol>,
    ) -> Result<()> {
        if let Some(txn) = &self.txn {
            bail!("{} is open; commit or abort it first", txn.id());
        }
        if self.at.is_some() {
            bail!("reads are as of a past timestamp; type `at now` first");
        }
        let mut options = self.db.options.clone();
        if let Some(level) = isolation {
            options = options.isolation(level);
        }
        if let Some(protocol) = protocol {
            options = options.protocol(protocol);
        }
        let txn = self.db.client.begin(options).await?;
        let id = txn.id().to_string();
        self.txn = Some(txn);
        self.savepoints.clear();
        let mut out = io::stdout().lock();
        match self.json {
            true => render::json(&mut out, &serde_json::json!({ "txn": id }))?,
            false => writeln!(out, "{id}")?,
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<()> {
        let Some(txn) = self.txn.take() else { bail!("there is no transaction to abort") };
        let id = txn.id();
        txn.abort();
        let mut out = io::stdout().lock();
        match self.json {
            true => render::outcome(&mut out, true, id, &Outcome::Aborted(Reason::ByClient))?,
            false => writeln!(out, "aborted")?,
        }
        Ok(())
    }

    async fn lock(&mut self, what: Lockable, mode: LockMode, nowait: bool) -> Result<()> {
        let Some(txn) = &self.txn else { bail!("a lock needs a transaction; type `begin` first") };
        let lock = match what {
            Lockable::Key(key) => txn.lock(&key, mode),
            Lockable::Range(range) => txn.lock_range(range, mode),
        };
        let lock = if nowait { lock.nowait() } else { lock };
        lock.await.map_err(|error| self.failed(error))
    }

    fn savepoint(&mut self, name: String) -> Result<()> {
        let Some(txn) = &self.txn else {
            bail!("a savepoint needs a transaction; type `begin` first")
        };
        self.savepoints.insert(name, txn.savepoint());
        Ok(())
    }

    fn rollback_to(&mut self, name: &str) -> Result<()> {
        let Some(txn) = &self.txn else { bail!("there is no transaction to roll back") };
        let Some(savepoint) = self.savepoints.get(name) else {
            bail!("there is no savepoint '{name}'; {} goes on", txn.id());
        };
        txn.rollback_to(savepoint).map_err(|error| self.failed(error))
    }

    async fn commit(&mut self) -> Result<()> {
        let Some(txn) = self.txn.take() else { bail!("there is no transaction to commit") };
        let committed = txn.commit().await?;
        self.committed(committed)
    }

    fn committed(&self, Committed { txn, at }: Committed) -> Result<()> {
        let mut out = io::stdout().lock();
        match at {
            Some(at) => render::outcome(&mut out, self.json, txn, &Outcome::Committed(at))?,
            // It did nothing, so it has no place in the order.
            None if !self.json => writeln!(out, "committed")?,
            None => render::json(
                &mut out,
                &serde_json::json!({ "txn": txn.to_string(), "state": "committed",
                                     "timestamp": null, "reason": null }),
            )?,
        }
        Ok(())
    }

    fn travel(&mut self, at: Option<Timestamp>) -> Result<()> {
        if let Some(txn) = &self.txn {
            bail!("{} is open and reads the present; commit or abort it first", txn.id());
        }
        self.at = at;
        Ok(())
    }

    async fn snapshot(&self) -> Result<Snapshot, Error> {
        match self.at {
            Some(at) => self.db.client.snapshot_at(at).await,
            None => self.db.client.snapshot().await,
        }
    }

    async fn get(&mut self, key: Key, for_update: bool) -> Result<()> {
        let read = match &self.txn {
            Some(txn) if for_update => txn.get_for_update(&key).await,
            Some(txn) => txn.get(&key).await,
            None if for_update => bail!("a lock needs a transaction; type `begin` first"),
            None => match self.snapshot().await {
                Ok(snapshot) => snapshot.get(&key).await,
                Err(error) => Err(error),
            },
        };
        let value: Value = read.map_err(|error| self.failed(error))?;
        let mut out = io::stdout().lock();
        match value.bytes() {
            value if self.json => render::json_row(&mut out, &key, value.map(AsRef::as_ref))?,
            Some(value) => writeln!(out, "{}", Escaped(value))?,
            None => writeln!(out, "(no value)")?,
        }
        Ok(())
    }

    async fn write(&mut self, write: impl Fn(&Txn) -> Result<(), Error>) -> Result<()> {
        if self.at.is_some() {
            bail!("the past can not be written; type `at now` first");
        }
        if let Some(txn) = &self.txn {
            return write(txn).map_err(|error| self.failed(error));
        }
        let options = self.db.options.clone();
        let work = async |txn: Txn| write(&txn).map(|()| txn.id());
        let txn = self.db.client.transact_with(options, work).await?;
        let outcome = self.db.client.outcome(txn).await?;
        Ok(render::outcome(&mut io::stdout().lock(), self.json, txn, &outcome)?)
    }

    async fn scan(&mut self, range: KeyRange, limit: Option<usize>, reverse: bool) -> Result<()> {
        let json = self.json;
        let scanned = match &self.txn {
            Some(txn) => render::rows(txn.scan(range), limit, reverse, json).await,
            None => match self.snapshot().await {
                Ok(snapshot) => render::rows(snapshot.scan(range), limit, reverse, json).await,
                Err(error) => Err(error.into()),
            },
        };
        scanned.map_err(|error| match error.downcast::<Error>() {
            Ok(error) => self.failed(error),
            Err(error) => error,
        })
    }

    /// What an error does to the open transaction.
    fn failed(&mut self, error: Error) -> anyhow::Error {
        let unharmed = matches!(
            error,
            Error::Misuse(_) | Error::Locked(_) | Error::TooLarge(_) | Error::SnapshotTooOld(_)
        );
        match self.txn.take_if(|_| !unharmed) {
            Some(txn) => {
                let id = txn.id();
                txn.abort();
                anyhow::Error::new(error).context(format!("{id} is over"))
            }
            None => error.into(),
        }
    }
}
