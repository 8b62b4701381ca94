//! Joining a coordinator: before anything is served, and whenever the link came
//! back.
//!
//! The coordinator calls for its epoch, and the shard promises to begin no commit
//! of an older one. It tells the one-phase commits that it remembers, then asks to
//! join. So when it is taken in, no older commit is unknown there. A shard that restarted serves nothing until it is welcomed: the welcome
//! closes the oracle's window, and the floor starts at its end, above every
//! timestamp that was promised to anybody before the restart.

use synod_common::deadlock::Handling;
use synod_common::error::Reason;
use synod_common::id::{Epoch, Peer, RequestId, TxnId};
use synod_common::message::CommitMessage;
use synod_common::message::bulk::{OnePhaseOutcome, OnePhaseOutcomes};
use synod_common::node::{Neighbour, Output};
use synod_common::route::{Placement, Router};
use synod_common::time::{Now, Timestamp};

use crate::participant::Stage;
use crate::record::Record;
use crate::shard::{Shard, Timer};

/// One-phase commits told in one message.
const PER_MESSAGE: usize = 36 * 4096;

/// How far joining is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Joining {
    /// Whether the link to the coordinator is up.
    connected: bool,
    /// The attempt that is under way.
    nonce: Option<u64>,
    /// How often it was repeated.
    tries: u32,
    /// Whether the shard was welcomed since it started.
    welcomed: bool,
}

impl Shard {
    /// The link to the coordinator is up.
    pub(crate) fn connected(&mut self, now: Now, out: &mut Output) {
        let nonce = self.random();
        let welcomed = self.joining.welcomed;
        self.joining = Joining { connected: true, nonce: Some(nonce), tries: 0, welcomed };
        self.join(now, out);
    }

    /// The link to the coordinator is down.
    pub(crate) fn disconnected_from_coordinator(&mut self, now: Now, out: &mut Output) {
        self.joining.connected = false;
        self.timers.stop(Timer::Join);
        self.inquire_all(now, out);
    }

    /// Whether the shard was welcomed since it started.
    pub(crate) fn was_welcomed(&self) -> bool {
        self.joining.welcomed
    }

    /// Whether the link to the coordinator is up.
    pub(crate) fn has_coordinator(&self) -> bool {
        self.joining.connected
    }

    /// The coordinator is of another epoch than this shard knew. From here on
    /// nothing of an older one begins to commit; what did is told with the join.
    pub(crate) fn called(&mut self, now: Now, epoch: Epoch, out: &mut Output) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.abort_older_epochs(out);
            self.join(now, out);
        }
    }

    /// Asks to join, and again later unless welcomed. What is told is durable
    /// before it is told.
    pub(crate) fn join(&mut self, now: Now, out: &mut Output) {
        let Some(nonce) = self.joining.nonce.filter(|_| self.joining.connected) else { return };
        let last = out.last_lsn();
        let to = Peer::Coordinator(self.settings.coordinator);
        let mut remembered = 0;
        let mut list = OnePhaseOutcomes::default();
        let tell = |list: &mut OnePhaseOutcomes, out: &mut Output| {
            let outcomes = std::mem::take(list).finish();
            let message = CommitMessage::OnePhaseOutcomes { nonce, outcomes };
            out.send_after(last, to, RequestId::default(), message);
        };
        for outcome in self.over.one_phase().chain(self.one_phase_in_log()) {
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
        let epoch = self.epoch;
        let message = CommitMessage::Join { cluster, epoch, boot, nonce, remembered };
        out.send_after(last, to, RequestId::default(), message);
        let pause = self.settings.join_retry.saturating_mul(1 << self.joining.tries.min(5));
        self.joining.tries += 1;
        self.timers.set(Timer::Join, now.mono + pause);
    }

    /// One-phase commits that are on their way to the disk.
    fn one_phase_in_log(&self) -> impl Iterator<Item = OnePhaseOutcome> {
        self.one_phase_logged.iter().filter_map(|(_, txn)| match &self.txns.get(txn)?.stage {
            Stage::OnePhase { record, .. } => {
                let (h, committed) = (record.h, Some(record.m));
                Some(OnePhaseOutcome { txn: *txn, h, committed })
            }
            _ => None,
        })
    }

    /// The coordinator takes this shard in.
    #[expect(clippy::too_many_arguments, reason = "all of them are the message")]
    pub(crate) fn welcomed(
        &mut self,
        now: Now,
        nonce: u64,
        epoch: Epoch,
        floor: Timestamp,
        placement: Placement,
        handling: Handling,
        out: &mut Output,
    ) {
        if self.joining.nonce != Some(nonce) || epoch != self.epoch {
            return;
        }
        let Ok(router) = Router::new(placement) else { return };
        if !self.joining.welcomed {
            self.born = floor;
        }
        self.joining = Joining { nonce: None, welcomed: true, ..self.joining };
        self.timers.stop(Timer::Join);
        if router.placement().shards != self.shards {
            self.shards.clone_from(&router.placement().shards);
            out.append(&Record::Shards(self.shards.clone()));
        }
        self.router = Some(router);
        self.handling = handling;
        self.link_to_shards(out);
        self.floor = self.floor.max(floor);
        self.window = self.window.max(floor);
        self.inquire_all(now, out);
        self.ask_window(now, out);
    }

    /// Has links to the other shards made, for probes and for cooperative termination: of
    /// two shards the one with the larger number dials.
    pub(crate) fn link_to_shards(&self, out: &mut Output) {
        let others = self.shards.iter().filter(|other| other.id < self.settings.id);
        out.keep_links(others.map(|other| Neighbour {
            peer: Peer::Shard(other.id),
            address: other.address.clone(),
        }));
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
}
