//! The thread that carries datagrams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::front::{self, Server};
use super::link::Link;
use crate::links::party::{Ends, Party, all_ends};
use crate::links::rule::{Counts, Rule};

/// A proxy in front of each server of a cluster.
pub(in crate::links) struct Proxy {
    table: Arc<Table>,
    /// Dropped, it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// All links, by who sends and who receives.
pub(super) struct Table(BTreeMap<Ends, Arc<Mutex<Link>>>);

impl Table {
    /// The links of these servers and their clients.
    pub(super) fn new(servers: &[Server], seed: u64) -> Table {
        let now = Instant::now();
        let link = |(from, to)| Arc::new(Mutex::new(Link::new(seed, from, to, now)));
        let ends = all_ends(servers.iter().map(|server| server.name));
        Table(ends.into_iter().map(|ends| (ends, link(ends))).collect())
    }

    pub(super) fn link(&self, from: Party, to: Party) -> Option<&Arc<Mutex<Link>>> {
        self.0.get(&(from, to))
    }
}

impl Proxy {
    /// Starts to carry datagrams. All servers must be named differently.
    pub(in crate::links) async fn start(servers: Vec<Server>, seed: u64) -> Result<Proxy> {
        let table = Arc::new(Table::new(&servers, seed));
        let (stop, stopped) = oneshot::channel();
        let (started, outcome) = oneshot::channel();
        let carried = Arc::clone(&table);
        let carry = move || {
            let mut runtime = Builder::new_current_thread();
            match runtime.enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime.block_on(front::run(carried, servers, started, stopped)),
                Err(error) => drop(started.send(Err(error))),
            }
        };
        let thread = std::thread::Builder::new().name("links".to_owned()).spawn(carry);
        let thread = Some(thread.context("no thread for the links")?);
        let proxy = Proxy { table, stop: Some(stop), thread };
        outcome.await.context("the links ended")?.context("the links can not be set up")?;
        Ok(proxy)
    }

    pub(in crate::links) fn set(&self, changed: &[(Ends, Rule)]) {
        for (ends, rule) in changed {
            *self.table.0[ends].lock().rule_mut() = *rule;
        }
    }

    pub(in crate::links) fn counts(&self) -> BTreeMap<Ends, Counts> {
        self.table.0.iter().map(|(ends, link)| (*ends, link.lock().counts())).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It has said why, if it panicked.
            let _ = thread.join();
        }
    }
}
