//! What programs tell about themselves, and what of it must be true at once: what
//! the library reports is held against what the coordinator told it and what is
//! durable.

use synod_common::error::Reason;
use synod_common::id::TxnId;
use synod_common::message::client::Outcome;
use synod_common::time::Timestamp;

use super::super::super::deed::sent;
use super::super::super::history::{Seen, Snapshot, Txn, Writes};
use super::super::super::world::World;
use crate::invariants::Check;

/// Something for the history.
#[derive(Debug)]
pub enum Note {
    /// A transaction began.
    Began(TxnId),
    /// It is about to be committed. What it saw; what it wrote; whether it read
    /// all accounts.
    Meant(TxnId, Seen, Writes, bool),
    /// The library says that it committed, at a timestamp if it says one.
    Committed(TxnId, Option<Timestamp>),
    /// The library says that it had no effect.
    Aborted(TxnId),
    /// A snapshot was read.
    Viewed(Snapshot),
    /// The program dies.
    Vanish,
    /// A worker is done.
    Done,
    /// The library did something that it must not do.
    Wrong(String),
}

impl World {
    /// A program sends COMMIT: it carries what the program wrote.
    pub(super) fn commit_sent(&mut self, client: usize, id: TxnId, writes: &[u8]) -> Check {
        let sent = sent(writes).map_err(|what| format!("COMMIT of {id} is {what}"))?;
        // Transactions that the library begins by itself are met here first.
        let begun = self.time;
        let txn = self.history.txns.entry(id).or_insert_with(|| {
            let writes = sent.clone();
            Txn { writes, ..began(client, begun) }
        });
        txn.asked = true;
        if txn.writes != sent {
            return Err(format!("COMMIT of {id} carries {sent:?}; written was {:?}", txn.writes));
        }
        Ok(())
    }

    pub(super) fn noted(&mut self, client: usize, note: Note) -> Check {
        match note {
            Note::Began(id) => {
                self.trace.line(self.time, format_args!("client{client} begins {id}"));
                let txn = began(client, self.time);
                if self.history.txns.insert(id, txn).is_some() {
                    return Err(format!("{id} was named twice"));
                }
            }
            Note::Meant(id, seen, writes, full_scan) => {
                if let Some(txn) = self.history.txns.get_mut(&id) {
                    (txn.seen, txn.writes, txn.full_scan) = (seen, writes, full_scan);
                }
            }
            Note::Committed(id, at) => {
                self.trace.line(self.time, format_args!("client{client} has committed {id}"));
                return self.called_committed(id, at);
            }
            Note::Aborted(id) => {
                self.trace.line(self.time, format_args!("client{client} has aborted {id}"));
                return self.called_aborted(id);
            }
            Note::Viewed(snapshot) => self.history.snapshots.push(snapshot),
            Note::Wrong(what) => return Err(format!("client{client}: {what}")),
            Note::Vanish | Note::Done => {}
        }
        Ok(())
    }

    fn called_committed(&mut self, id: TxnId, at: Option<Timestamp>) -> Check {
        let now = self.time;
        let Some(txn) = self.history.txns.get_mut(&id) else { return Ok(()) };
        if !txn.asked {
            let nothing = txn.is_read_only() && txn.seen.keys.is_empty();
            let nothing = nothing && txn.seen.ranges.is_empty() && at.is_none();
            return if nothing { Ok(()) } else { Err(format!("{id} committed without COMMIT")) };
        }
        match txn.told {
            Some(Outcome::Committed(told)) if at.is_none_or(|at| at == told) => {
                txn.answered.get_or_insert(now);
                Ok(())
            }
            _ => Err(format!("I4: {id} is reported committed at {at:?}; told was {:?}", txn.told)),
        }
    }

    fn called_aborted(&mut self, id: TxnId) -> Check {
        let Some(txn) = self.history.txns.get_mut(&id) else { return Ok(()) };
        if txn.is_read_only() {
            return Ok(());
        }
        if let Some(at) = self.ledger.committed.get(&id) {
            return Err(format!("I4: {id} is reported aborted; it is committed at {at}"));
        }
        // From here on nobody may say otherwise.
        txn.told.get_or_insert(Outcome::Aborted(Reason::Presumed));
        Ok(())
    }
}

fn began(client: usize, begun: u64) -> Txn {
    Txn {
        client,
        begun,
        seen: Seen::default(),
        writes: Writes::new(),
        asked: false,
        full_scan: false,
        answered: None,
        told: None,
    }
}
