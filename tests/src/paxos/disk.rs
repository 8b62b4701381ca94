//! A member's disk: it loses in a crash an end of what was not durable.

use std::collections::VecDeque;

use synod_common::message::paxos::Bundle;
use synod_coordinator::group::{Entry, Log, Promise};

/// What is written to it.
#[derive(Clone, Debug)]
pub enum Record {
    /// A promise.
    Promise(Promise),
    /// The log of the group ends with this index.
    Cut(u64),
    /// One more entry of it.
    Entry(Entry),
    /// All votes on a transaction are accepted.
    Accepted(Bundle),
}

/// What is durable, and what was written behind that.
#[derive(Debug, Default)]
pub struct Disk {
    /// The last promise.
    pub promise: Promise,
    /// The log.
    pub entries: Vec<Entry>,
    /// What was accepted.
    pub accepted: Vec<Bundle>,
    /// The mark of one that was lost: who has it counts for nothing.
    pub rejoins: bool,
    pending: VecDeque<Record>,
    written: u64,
}

impl Disk {
    /// An empty one in place of one that was lost.
    pub fn in_place(rejoins: bool) -> Disk {
        Disk { rejoins, ..Disk::default() }
    }

    /// Becomes an empty one.
    pub fn clear(&mut self) {
        let Disk { promise, entries, accepted, rejoins, pending, written } = self;
        (*promise, *rejoins, *written) = (Promise::default(), false, 0);
        entries.clear();
        accepted.clear();
        pending.clear();
    }

    /// Writes one more; its number.
    pub fn append(&mut self, record: Record) -> u64 {
        self.pending.push_back(record);
        self.written += 1;
        self.written
    }

    /// The number of the last one that was written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The number of the last one that is durable.
    pub fn flushed(&self) -> u64 {
        self.written - self.pending.len() as u64
    }

    /// How many are not.
    pub fn dirty(&self) -> usize {
        self.pending.len()
    }

    /// The next one that is not durable.
    pub fn next(&self) -> Option<&Record> {
        self.pending.front()
    }

    /// That one is.
    pub fn wrote(&mut self) {
        match self.pending.pop_front() {
            Some(Record::Promise(promise)) => {
                self.promise = promise;
                self.rejoins &= promise.to.is_none();
            }
            Some(Record::Cut(index)) => self.entries.truncate(index as usize),
            Some(Record::Entry(entry)) => self.entries.push(entry),
            Some(Record::Accepted(bundle)) => self.accepted.push(bundle),
            None => {}
        }
    }

    /// The entries that are durable and will not be cut off by what waits.
    pub fn durable(&self) -> u64 {
        let cuts = self.pending.iter().filter_map(|record| match record {
            Record::Cut(index) => Some(*index),
            Record::Promise(_) | Record::Entry(_) | Record::Accepted(_) => None,
        });
        cuts.fold(self.entries.len() as u64, u64::min)
    }

    /// What is not durable is lost.
    pub fn crash(&mut self) {
        self.pending.clear();
    }

    /// The log.
    pub fn log(&self) -> Log {
        let mut log = Log::default();
        self.entries.iter().for_each(|entry| log.push(entry.clone()));
        log
    }
}
