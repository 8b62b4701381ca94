//! A restart: what the log says.
//!
//! A prepared transaction without an outcome is prepared again, with its locks,
//! before anything is served. Everything else that was in progress is gone, and
//! its incarnation with it.

use synod_common::commit::Verdict;
use synod_common::error::Corrupt;
use synod_common::message::commit::Decision;
use synod_common::node::{Lsn, Recovered, decode};

use crate::lock::LockTarget;
use crate::mutant::mutated;
use crate::over::End;
use crate::participant::{Participant, Stage};
use crate::record::{OnePhase, Prepared, Record};
use crate::shard::Shard;
use crate::writes;

impl Shard {
    pub(crate) fn recover_piece(&mut self, recovered: Recovered<'_>) -> Result<(), Corrupt> {
        match recovered {
            Recovered::Checkpoint(part) => self.restore_part(part),
            Recovered::Record(lsn, bytes) => {
                self.durable = lsn;
                let record = decode(format_args!("record {}", lsn.0), bytes)?;
                self.apply(lsn, record);
                Ok(())
            }
        }
    }

    /// Applies a record of the past.
    pub(crate) fn apply(&mut self, lsn: Lsn, record: Record) {
        match record {
            Record::Prepared(record) => self.prepared_again(lsn, record),
            Record::Committed { txn, at } => {
                let Some(Stage::Prepared { record, site, .. }) =
                    self.txns.get(&txn).map(|t| &t.stage)
                else {
                    // Installed before the checkpoint that this replay began from.
                    return;
                };
                let (h, writes) = (record.h, record.writes.clone());
                let is_site = site.is_some() && !mutated!(self, SiteEndForgotten);
                let end = self.end_of(record, at);
                self.stats.in_doubt -= 1;
                self.over.restore(txn, h, end);
                if is_site {
                    self.settled.insert(txn, h, Verdict::Commit(at));
                }
                self.decided.insert(txn, Decision::Commit(at));
                self.install(txn, at, &writes);
            }
            Record::Aborted { txn } => {
                if let Some(Stage::Prepared { record, site, .. }) =
                    self.txns.get(&txn).map(|t| &t.stage)
                {
                    if site.is_some() && !mutated!(self, SiteEndForgotten) {
                        self.settled.insert(txn, record.h, Verdict::Abort);
                    }
                    self.stats.in_doubt -= 1;
                    self.decided.insert(txn, Decision::Abort);
                    self.forget(txn);
                }
            }
            Record::Shards(shards) => self.shards = shards.into(),
            Record::Site { txn, stable } => self.site_recovered(lsn, txn, stable),
            Record::Resolved(resolution) => self.resolved_again(resolution),
            Record::Outcome { txn, verdict } => self.resolved_ended_again(txn, verdict),
            // Nothing is served before the window is closed above `m`, so it may
            // be installed at once.
            Record::OnePhase(OnePhase { txn, h, m, writes, .. }) => {
                self.over.insert(txn, h, End::OnePhase(m));
                self.install(txn, m, &writes);
            }
        }
    }

    fn prepared_again(&mut self, lsn: Lsn, record: Prepared) {
        let txn = record.txn;
        if self.txns.contains_key(&txn) {
            return;
        }
        for (key, mode) in writes::locks(&record.writes).unwrap_or_default() {
            self.locks.reinstate(txn, LockTarget::Key(key), mode);
        }
        let forgotten = mutated!(self, ForgetReadLocks);
        for lock in record.locks.iter().filter(|_| !forgotten) {
            let (target, mode) = lock.lock();
            self.locks.reinstate(txn, target, mode);
        }
        self.mark_intents(txn, record.m, &record.writes);
        self.stats.in_doubt += 1;
        let site = record.site(&self.settings);
        let participant = Participant {
            incarnation: self.next_incarnation(),
            client: None,
            standing: record.standing,
            waits: Default::default(),
            stage: Stage::Prepared {
                lsn,
                record,
                asked: 0,
                site,
                said: lsn,
                resolved: None,
                awaited: Vec::new(),
            },
            since: None,
            returns: 0,
        };
        self.txns.insert(txn, Box::new(participant));
    }
}
