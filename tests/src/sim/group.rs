//! The log of a group of coordinators, as an all-seeing observer knows it: what each of
//! them has durably, and what is committed.
//!
//! **I29** What one of them calls committed, or has in a checkpoint, is durable on a majority,
//! and the same for all, for ever.
//!
//! Source: Ongaro, Ousterhout, *In Search of an Understandable Consensus Algorithm* (2014),
//! figure 3: log matching, leader completeness, state machine safety.

use std::collections::{BTreeMap, BTreeSet};

use synod_common::id::Epoch;
use synod_coordinator::{Member, Record};

/// The logs of all members.
#[derive(Debug, Default)]
pub struct GroupLog {
    /// By server.
    members: BTreeMap<usize, Vec<Entry>>,
    /// Those on disks that were lost.
    former: Vec<(usize, Vec<Entry>)>,
    /// What is committed, and was entered.
    committed: Vec<Entry>,
    /// Those who never come back.
    lost: BTreeSet<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    epoch: Epoch,
    record: Record,
}

impl GroupLog {
    /// A record of a member has become durable.
    pub fn durable(&mut self, server: usize, record: Record) {
        let log = self.members.entry(server).or_default();
        match record {
            Record::Promised(_) | Record::Accepted(_) => {}
            Record::Cut { index } => log.truncate(usize::try_from(index).unwrap_or(usize::MAX)),
            record => {
                let epoch = log.last().map_or(Epoch::default(), |entry| entry.epoch);
                let epoch = record.begins().unwrap_or(epoch);
                log.push(Entry { epoch, record });
            }
        }
    }

    /// A member has recovered: perhaps another one's state in place of its own log.
    ///
    /// # Errors
    /// If that state is of more than what is committed.
    pub fn recovered(&mut self, server: usize, member: &Member) -> Result<(), String> {
        let log = member.recovered();
        let (base, last) = (log.base().index, log.last().index);
        if let Some(open) = member.core().open().into_iter().find(|open| !self.has_committed(open))
        {
            let name = super::server::peer(server);
            return Err(format!("I29: {name} has {open:?}, which is not committed"));
        }
        let Some(state) = self.committed.get(..base as usize) else {
            let name = super::server::peer(server);
            let committed = self.committed.len();
            return Err(format!("I29: {name} has all up to {base}; committed is {committed}"));
        };
        let mut entries = state.to_vec();
        for entry in (base + 1..=last).filter_map(|index| log.get(index)) {
            let record = postcard::from_bytes(&entry.record).map_err(|error| error.to_string())?;
            entries.push(Entry { epoch: entry.epoch, record });
        }
        self.members.insert(server, entries);
        Ok(())
    }

    /// Whether what is open in a checkpoint is committed. Who has not acknowledged it yet, and
    /// what was promised to other sites, changes.
    fn has_committed(&self, open: &Record) -> bool {
        self.committed.iter().any(|entry| match (&entry.record, open) {
            (Record::Committed { txn, at, .. }, Record::Committed { txn: open, at: as_of, .. }) => {
                (txn, at) == (open, as_of)
            }
            (Record::Site { txn, stable, .. }, Record::Site { txn: open, stable: kept, .. }) => {
                txn == open && stable.attempt >= kept.attempt && stable.elected >= kept.elected
            }
            _ => false,
        })
    }

    /// A member calls all up to here committed. Returns what is news.
    ///
    /// # Errors
    /// If no majority of so many members has it durably.
    pub fn committed(&mut self, upto: u64, members: usize) -> Result<Vec<Record>, String> {
        let mut news = Vec::new();
        while (self.committed.len() as u64) < upto {
            let at = self.committed.len();
            let former = self.former.iter().map(|(server, log)| (server, log));
            let mut found: Vec<(&Entry, BTreeSet<usize>)> = Vec::new();
            for (server, log) in self.members.iter().chain(former) {
                let Some(entry) = log.get(at) else { continue };
                match found.iter_mut().find(|(other, _)| *other == entry) {
                    Some((_, have)) => _ = have.insert(*server),
                    None => found.push((entry, BTreeSet::from([*server]))),
                }
            }
            let chosen = found.iter().find(|(_, have)| 2 * have.len() > members);
            let Some((entry, _)) = chosen else {
                return Err(format!(
                    "I29: entry {} is committed, and durable as {found:?}",
                    at + 1
                ));
            };
            let entry = (*entry).clone();
            news.push(entry.record.clone());
            self.committed.push(entry);
        }
        Ok(news)
    }

    /// A member has lost its disk. Who counted on it before may say so late.
    pub fn lost_disk(&mut self, server: usize) {
        self.former.extend(self.members.remove_entry(&server));
    }

    /// A member never comes back. What it has durably counts as before.
    pub fn lost(&mut self, server: usize) {
        self.lost.insert(server);
    }

    /// Called at the end: what is committed is the same everywhere, and everywhere.
    ///
    /// # Errors
    /// If a member has something else.
    pub fn check_end(&self) -> Result<(), String> {
        let left = self.members.iter().filter(|(server, _)| !self.lost.contains(server));
        for (server, log) in left {
            for (index, entry) in (1..).zip(&self.committed) {
                let here = log.get(index - 1);
                if here.is_some_and(|here| here != entry) || here.is_none() {
                    let name = super::server::peer(*server);
                    return Err(format!("I29: {name} has {here:?} at {index}, not {entry:?}"));
                }
            }
        }
        Ok(())
    }
}
