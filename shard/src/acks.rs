//! Acknowledgements of commits: many in one message.
//!
//! ```text
//!   COMMIT t1 ─▶ record      COMMIT t2 ─▶ record     5 ms after the first:
//!                                                    ACK [t1, t2], once both are durable
//! ```
//!
//! The coordinator remembers a commit until each participant that voted YES has made it
//! durable. Nobody waits for it to forget: so a shard tells it for all commits of some
//! milliseconds at once, and under load an acknowledgement costs next to nothing. One that
//! is lost is asked for: the coordinator sends COMMIT again.
//!
//! *Deliberately absent*: presumed commit, whose point is to need no acknowledgements
//! (Mohan, Lindsay, Obermarck 1986, §3.2). `docs/protocols.md` says why.

use std::time::Duration;

use synod_common::id::{RequestId, TxnId};
use synod_common::message::CommitMessage;
use synod_common::node::{Lsn, Output};
use synod_common::time::Now;

use crate::shard::{Shard, Timer};

/// So long one waits for more.
const PAUSE: Duration = Duration::from_millis(5);
/// So many fit into one message; then it leaves at once.
const MOST: usize = 1_000;

/// What the coordinator may forget as soon as it is durable here.
#[derive(Clone, Debug, Default)]
pub struct Acks {
    owed: Vec<TxnId>,
    /// All of it is durable up to here.
    upto: Lsn,
}

impl Shard {
    /// A commit is, or will be, durable up to `lsn`.
    pub(crate) fn owe_ack(&mut self, txn: TxnId, lsn: Lsn, out: &mut Output) {
        self.acks.owed.push(txn);
        self.acks.upto = self.acks.upto.max(lsn);
        if self.acks.owed.len() >= MOST {
            self.acknowledge(out);
        }
    }

    /// Sets the time at which what is owed is told.
    pub(crate) fn acknowledge_soon(&mut self, now: Now) {
        if !self.acks.owed.is_empty() && !self.timers.is_set(Timer::Acknowledge) {
            self.timers.set(Timer::Acknowledge, now.mono + PAUSE);
        }
    }

    /// Tells all that is owed.
    pub(crate) fn acknowledge(&mut self, out: &mut Output) {
        let Acks { owed, upto } = std::mem::take(&mut self.acks);
        if !owed.is_empty() {
            let ack = CommitMessage::Ack { txns: owed };
            out.send_after(upto, self.coordinator(), RequestId::default(), ack);
        }
    }
}
