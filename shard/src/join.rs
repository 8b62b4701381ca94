//! Joining a coordinator: before anything is served, and whenever the link came
//! back.
//!
//! The shard first tells the one-phase commits that it remembers, then asks to
//! join. A shard that restarted serves nothing until it is welcomed: the welcome
//! closes the oracle's window, and the floor starts at its end, above every
//! timestamp that was promised to anybody before the restart.

use synod_common::error::Reason;
use synod_common::id::{Epoch, Peer, RequestId, TxnId};
use synod_common::message::CommitMessage;
use synod_common::message::bulk::OnePhaseOutcomes;
use synod_common::node::Output;
use synod_common::route::{Placement, Router};
use synod_common::time::{Now, Timestamp};

use crate::participant::Stage;
use crate::shard::{Shard, Timer};

/// One-phase commits told in one message.
const PER_MESSAGE: usize = 36 * 4096;

/// How far joining is.
#[derive(Debug, Default)]
pub struct Joining {
    /// The attempt that is under way.
    nonce: Option<u64>,
    /// Whether the shard was welcomed since it started.
    welcomed: bool,
}

impl Shard {
    /// Tries to join, and again later unless welcomed.
    pub(crate) fn join(&mut self, now: Now, out: &mut Output) {
        let nonce = self.random();
        self.joining.nonce = Some(nonce);
        let to = Peer::Coordinator(self.settings.coordinator);
        let mut remembered = 0;
        let mut list = OnePhaseOutcomes::default();
        let tell = |list: &mut OnePhaseOutcomes, out: &mut Output| {
            let outcomes = std::mem::take(list).finish();
            let message = CommitMessage::OnePhaseOutcomes { nonce, outcomes };
            out.send(to, RequestId::default(), message);
        };
        for outcome in self.over.one_phase() {
            list.push(&outcome);
            remembered += 1;
            if list.len() >= PER_MESSAGE {
                tell(&mut list, out);
            }
        }
        if !list.is_empty() {
            tell(&mut list, out);
        }
        let cluster = self.settings.cluster;
        let boot = !self.joining.welcomed;
        let message = CommitMessage::Join { cluster, boot, nonce, remembered };
        out.send(to, RequestId::default(), message);
        self.timers.set(Timer::Join, now.mono + self.settings.join_retry);
    }

    /// The coordinator takes this shard in.
    pub(crate) fn welcomed(
        &mut self,
        now: Now,
        nonce: u64,
        epoch: Epoch,
        floor: Timestamp,
        placement: Placement,
        out: &mut Output,
    ) {
        if self.joining.nonce != Some(nonce) || epoch < self.epoch {
            return;
        }
        let Ok(router) = Router::new(placement) else { return };
        self.joining = Joining { nonce: None, welcomed: true };
        self.timers.stop(Timer::Join);
        self.router = Some(router);
        self.floor = self.floor.max(floor);
        self.window = self.window.max(floor);
        if epoch > self.epoch {
            self.epoch = epoch;
            self.abort_older_epochs(out);
        }
        self.release_recovered_one_phase();
        self.inquire_all(now, out);
    }

    /// What has not voted can not commit any more: no coordinator will begin it.
    fn abort_older_epochs(&mut self, out: &mut Output) {
        let old = self.txns.iter().filter(|(txn, participant)| {
            txn.session.epoch < self.epoch && participant.stage.may_abort()
        });
        let old: Vec<TxnId> = old.map(|(txn, _)| *txn).collect();
        for txn in old {
            self.abort(txn, &Reason::StaleEpoch, out);
        }
    }

    /// The window was closed above what this shard committed in one phase, so
    /// the oracle is past it.
    fn release_recovered_one_phase(&mut self) {
        let durable = self.txns.iter().filter_map(|(txn, participant)| match &participant.stage {
            Stage::OnePhase { lsn, record } if *lsn <= self.durable && record.m <= self.floor => {
                Some((*txn, record.m))
            }
            _ => None,
        });
        let durable: Vec<(TxnId, Timestamp)> = durable.collect();
        for (txn, m) in durable {
            self.release_one_phase(txn, m);
        }
    }
}
