//! What whoever breaks links holds in the hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::link::Link;
use super::party::Party;
use super::proxy::{self, Server};
use super::rule::{Counts, Rule};

/// The links of a cluster, each in two directions. They live as long as this does.
pub struct Links {
    table: Arc<Table>,
    /// Dropped, it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// All links, by who sends and who receives.
pub(super) struct Table(BTreeMap<(Party, Party), Arc<Mutex<Link>>>);

impl Table {
    /// The links of these servers and their clients.
    pub(super) fn new(servers: &[Server], seed: u64) -> Table {
        let mut parties: Vec<Party> = servers.iter().map(|server| server.name.into()).collect();
        parties.push(Party::Client);
        let now = Instant::now();
        let link = |from, to| Arc::new(Mutex::new(Link::new(seed, from, to, now)));
        let pairs = parties.iter().flat_map(|&from| parties.iter().map(move |&to| (from, to)));
        let pairs = pairs.filter(|(from, to)| from != to);
        Table(pairs.map(|(from, to)| ((from, to), link(from, to))).collect())
    }

    pub(super) fn link(&self, from: Party, to: Party) -> Option<&Arc<Mutex<Link>>> {
        self.0.get(&(from, to))
    }
}

impl Links {
    /// Starts to carry datagrams. All servers must be named differently.
    pub(crate) async fn start(servers: Vec<Server>, seed: u64) -> Result<Links> {
        let table = Arc::new(Table::new(&servers, seed));
        let (stop, stopped) = oneshot::channel();
        let (started, outcome) = oneshot::channel();
        let carried = Arc::clone(&table);
        let carry = move || {
            let mut runtime = Builder::new_current_thread();
            match runtime.enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime.block_on(proxy::run(carried, servers, started, stopped)),
                Err(error) => drop(started.send(Err(error))),
            }
        };
        let thread = std::thread::Builder::new().name("links".to_owned()).spawn(carry);
        let thread = Some(thread.context("no thread for the links")?);
        let links = Links { table, stop: Some(stop), thread };
        outcome.await.context("the links ended")?.context("the links can not be set up")?;
        Ok(links)
    }

    /// Who is at their ends.
    pub fn parties(&self) -> Vec<Party> {
        let mut parties: Vec<Party> = self.table.0.keys().map(|(from, _)| *from).collect();
        parties.dedup();
        parties
    }

    /// From now on, what `from` sends to `to` obeys this rule. What was on its way comes when
    /// it would have come, but for a cut, which drops it.
    ///
    /// # Errors
    /// If there is no such link, or no such rule: shares are of 0 to 1, times at most a
    /// minute.
    pub fn set(&self, from: Party, to: Party, rule: Rule) -> Result<()> {
        rule.check()?;
        *self.link(from, to)?.lock().rule_mut() = rule;
        Ok(())
    }

    /// Cuts these, whatever else their rules say, and no others.
    ///
    /// # Errors
    /// If one of them does not exist; then none is cut.
    pub fn cut<'a>(&self, cut: impl IntoIterator<Item = &'a (Party, Party)>) -> Result<()> {
        let cut = cut.into_iter().map(|(from, to)| self.link(*from, *to));
        let cut: Vec<_> = cut.collect::<Result<_>>()?;
        for link in cut {
            link.lock().rule_mut().cut = true;
        }
        Ok(())
    }

    /// From now on, everything passes as it came.
    pub fn heal(&self) {
        for link in self.table.0.values() {
            *link.lock().rule_mut() = Rule::default();
        }
    }

    /// The rule of a link.
    ///
    /// # Errors
    /// If there is no such link.
    pub fn rule(&self, from: Party, to: Party) -> Result<Rule> {
        Ok(self.link(from, to)?.lock().rule())
    }

    /// What a link has done.
    ///
    /// # Errors
    /// If there is no such link.
    pub fn counts(&self, from: Party, to: Party) -> Result<Counts> {
        Ok(self.link(from, to)?.lock().counts())
    }

    /// What all links have done, by who sends and who receives.
    pub fn all_counts(&self) -> BTreeMap<(Party, Party), Counts> {
        self.table.0.iter().map(|(ends, link)| (*ends, link.lock().counts())).collect()
    }

    fn link(&self, from: Party, to: Party) -> Result<&Mutex<Link>> {
        let link = self.table.link(from, to);
        Ok(link.with_context(|| format!("there is no link from {from} to {to}"))?)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It has said why, if it panicked.
            let _ = thread.join();
        }
    }
}
