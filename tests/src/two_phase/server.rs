//! A server: a real core, its clock, its log and what the log holds back.

use std::collections::VecDeque;

use synod_common::node::{Event, Lsn, Output, Recovered, Send};
use synod_common::time::{Mono, Now, Wall};
use synod_coordinator::Member;
use synod_shard::Shard;
use xxhash_rust::xxh3::xxh3_128;

use super::bug::Bug;
use super::net::COORDINATOR;
use super::settings::{self, Shape};
use crate::sim::ledger::{Fact, parse};
use crate::sim::server::Core;

/// A server, running or not.
#[derive(Debug)]
pub struct Server {
    /// The core, while it runs.
    pub core: Option<Core>,
    /// Its clock, which is nobody else's.
    pub clock: Mono,
    /// Its log.
    pub log: Log,
    /// What the core asks for.
    pub out: Output,
    /// Messages that wait for the log.
    pub held: VecDeque<(Lsn, Send)>,
    /// Whether anything has happened to it since somebody looked.
    pub touched: bool,
}

/// A log: records that are durable, and behind them some that are not.
#[derive(Debug, Default)]
pub struct Log {
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
    /// How many are durable.
    durable: usize,
    /// What is written in those that are not.
    pending: VecDeque<Fact>,
    /// Somebody waits until it is durable up to here.
    forced: usize,
}

impl Log {
    /// The number of the last record.
    pub fn last(&self) -> Lsn {
        Lsn(self.ends.len() as u64)
    }

    /// Somebody waits for all of it.
    pub fn force(&mut self) {
        self.forced = self.ends.len();
    }

    /// Whether somebody waits for what is not durable.
    pub fn is_forced(&self) -> bool {
        self.forced > self.durable
    }

    /// How many records are not durable.
    pub fn dirty(&self) -> usize {
        self.pending.len()
    }

    /// The number of the last one that is.
    pub fn durable(&self) -> Lsn {
        Lsn(self.durable as u64)
    }

    /// Writes one more, and says what it is.
    ///
    /// # Errors
    /// If it can not be read.
    pub fn append(&mut self, site: usize, record: &[u8]) -> Result<&Fact, String> {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
        self.pending.push_back(parse(site, record)?);
        Ok(&self.pending[self.pending.len() - 1])
    }

    /// The next one becomes durable.
    pub fn write(&mut self) -> Option<Fact> {
        let fact = self.pending.pop_front()?;
        self.durable += 1;
        Some(fact)
    }

    /// What is not durable is lost.
    fn lose(&mut self) {
        self.pending.clear();
        self.ends.truncate(self.durable);
        self.forced = self.forced.min(self.durable);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    fn records(&self) -> impl Iterator<Item = (Lsn, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let places = starts.zip(self.ends.iter().copied());
        (1..).map(Lsn).zip(places.map(|(start, end)| &self.bytes[start..end]))
    }
}

impl Clone for Log {
    fn clone(&self) -> Log {
        let mut log = Log::default();
        log.clone_from(self);
        log
    }

    fn clone_from(&mut self, other: &Log) {
        let Log { bytes, ends, durable, pending, forced } = self;
        bytes.clone_from(&other.bytes);
        ends.clone_from(&other.ends);
        pending.clone_from(&other.pending);
        (*durable, *forced) = (other.durable, other.forced);
    }
}

impl Clone for Server {
    /// Of a server that has nothing to be carried out.
    fn clone(&self) -> Server {
        let mut server = Server::new();
        server.clone_from(self);
        server
    }

    fn clone_from(&mut self, other: &Server) {
        let Server { core, clock, log, out, held, touched } = self;
        core.clone_from(&other.core);
        log.clone_from(&other.log);
        out.begin_anew(other.log.last());
        out.wake = other.out.wake;
        held.clone_from(&other.held);
        (*clock, *touched) = (other.clock, other.touched);
    }
}

impl Server {
    /// One that never ran.
    pub fn new() -> Server {
        Server {
            core: None,
            clock: Mono(1),
            log: Log::default(),
            out: Output::default(),
            held: VecDeque::new(),
            touched: true,
        }
    }

    /// All that makes a difference to what it does.
    pub fn digest(&self) -> u128 {
        let Server { core, clock, log, out, held, touched: _ } = self;
        let state = format!("{core:?} {clock:?} {log:?} {:?} {held:?}", out.wake);
        xxh3_128(state.as_bytes())
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.core.is_some()
    }

    /// The coordinator, if it is one and runs.
    pub fn coordinator(&self) -> Option<&Member> {
        self.core.as_ref()?.coordinator()
    }

    /// The shard, if it is one and runs.
    pub fn shard(&self) -> Option<&Shard> {
        self.core.as_ref()?.shard()
    }

    /// Something happens to it. What it asks for is in `out`.
    pub fn handle(&mut self, event: Event) {
        // All dates lie in the same minute.
        self.touched = true;
        let now = Now { mono: self.clock, wall: Wall(1_000_000 + self.clock.0 / 1_000) };
        if let Some(core) = &mut self.core {
            core.handle(now, event, &mut self.out);
        }
    }

    /// Its core is gone, and what was not durable.
    pub fn crash(&mut self) {
        self.touched = true;
        self.core = None;
        self.log.lose();
        self.held.clear();
        self.out.begin_anew(self.log.last());
    }

    /// It runs again, from its log, but for the records that it does not see.
    ///
    /// # Errors
    /// If it does not understand them.
    pub fn start(
        &mut self,
        site: usize,
        shape: Shape,
        seed: u64,
        bug: Option<Bug>,
    ) -> Result<(), String> {
        let mut core = match site {
            COORDINATOR => {
                Core::Coordinator(Box::new(Member::new(settings::coordinator(shape, bug))))
            }
            shard => Core::Shard(Box::new(Shard::new(settings::shard(shard, bug)))),
        };
        for (lsn, record) in self.log.records() {
            if !bug.is_some_and(|bug| bug.forgets(site, record)) {
                let recovered = Recovered::Record(lsn, record);
                core.recover(recovered).map_err(|error| error.to_string())?;
            }
        }
        self.core = Some(core);
        self.handle(Event::Start { seed });
        Ok(())
    }
}
