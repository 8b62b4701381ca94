//! Joining a coordinator: before anything is served, and whenever the link came
//! back.
//!
//! The coordinator calls for its epoch, and the shard promises to begin no commit
//! of an older one. It tells the commits that it remembers, and what it has in doubt of
//! two-phase commit, then asks to join. So when it is taken in, no older commit is unknown there,
//! nor a vote that may have made one. A shard that restarted
//! serves nothing until it is welcomed: the welcome closes the oracle's window, and the floor
//! starts at its end, above every timestamp that was promised to anybody before the restart.
//!
//! Of a group it obeys the leader whose epoch is the latest that it was called for:
//!
//! | it follows | on                                          | do                        | then |
//! |------------|---------------------------------------------|---------------------------|------|
//! | nobody yet | CALL(e), and e is not the last number       | JOIN(e)                   | e    |
//! | e          | CALL(e') with e' > e, by at most a million  | JOIN(e')                  | e'   |
//! | e          | CALL(e') beyond that, or with the last number | nothing                 | e    |
//! | e          | CALL, WELCOME of an older one               | STALE(e) to its sender    | e    |
//! | e          | whatever else another coordinator says, but ACCEPTED | STALE(e) to its sender | e |
//!
//! What it refuses is counted (`synod_common::refusal`). A STALE is answered by nobody; whoever
//! leads a later epoch than it says ignores it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_common::deadlock::Handling;
use synod_common::error::Reason;
use synod_common::id::{CoordinatorId, Epoch, Peer, RequestId, TxnId};
use synod_common::message::bulk::{List, OnePhaseOutcome};
use synod_common::message::commit::{Knows, Voted};
use synod_common::message::{CommitMessage, Message};
use synod_common::node::{Neighbour, Output};
use synod_common::refusal::Refusal;
use synod_common::route::{Placement, Router};
use synod_common::time::{Mono, Now, Timestamp};

use crate::mutant::mutated;
use crate::participant::Stage;
use crate::record::Record;
use crate::shard::{Shard, Timer};

/// Bytes of what is told in one message.
const PER_MESSAGE: usize = 36 * 4096;

/// How far joining is.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The coordinators to whom there is a link.
    connected: BTreeSet<CoordinatorId>,
    /// The one that called last, or the only one.
    pub(crate) leader: CoordinatorId,
    /// The attempt that is under way.
    nonce: Option<u64>,
    /// How often it was repeated.
    tries: u32,
    /// Whether the shard was welcomed since it started.
    welcomed: bool,
    /// Since when there was no link to the one that leads, when there was none last.
    alone_since: Mono,
}

impl Joining {
    /// Nobody is reached yet.
    pub(crate) fn new(coordinators: &[CoordinatorId]) -> Joining {
        Joining {
            connected: BTreeSet::new(),
            leader: coordinators.first().copied().unwrap_or(CoordinatorId(1)),
            nonce: None,
            tries: 0,
            welcomed: false,
            alone_since: Mono::default(),
        }
    }
}

/// Hands on lists of all these, so that each fits into a message. Says how many there were.
fn in_lists<T>(records: impl Iterator<Item = T>, mut hand_on: impl FnMut(Bytes)) -> u32
where
    T: Serialize + DeserializeOwned,
{
    let (mut list, mut count) = (List::default(), 0);
    for record in records {
        list.push(&record);
        count += 1;
        if list.len() >= PER_MESSAGE {
            hand_on(std::mem::take(&mut list).finish());
        }
    }
    if !list.is_empty() {
        hand_on(list.finish());
    }
    count
}

impl Shard {
    /// The link to a coordinator is up. It may lead.
    pub(crate) fn connected(&mut self, now: Now, coordinator: CoordinatorId, out: &mut Output) {
        self.joining.connected.insert(coordinator);
        if coordinator == self.joining.leader || !self.has_coordinator() {
            self.join_anew(now, out);
        } else {
            // If it does, it answers with its epoch.
            self.ask_to_join(coordinator, out);
        }
    }

    /// The link to a coordinator is down.
    pub(crate) fn disconnected_from_coordinator(
        &mut self,
        now: Now,
        coordinator: CoordinatorId,
        out: &mut Output,
    ) {
        self.joining.connected.remove(&coordinator);
        if coordinator != self.joining.leader {
            return;
        }
        self.joining.alone_since = now.mono;
        self.timers.stop(Timer::Join);
        self.inquire_all(now, out);
        self.join_anew(now, out);
    }

    /// How long nobody is there that leads.
    pub(crate) fn alone_for(&self, now: Now) -> Duration {
        match self.has_coordinator() {
            true => Duration::ZERO,
            false => now.mono.since(self.joining.alone_since.max(self.started)),
        }
    }

    /// Whether the shard was welcomed since it started.
    pub(crate) fn was_welcomed(&self) -> bool {
        self.joining.welcomed
    }

    /// Whether the link to the coordinator that leads is up.
    pub(crate) fn has_coordinator(&self) -> bool {
        self.joining.connected.contains(&self.joining.leader)
    }

    /// The coordinator that leads, as far as is known.
    pub(crate) fn coordinator(&self) -> Peer {
        Peer::Coordinator(self.joining.leader)
    }

    /// A coordinator leads an epoch that this shard did not know. From here on nothing of an
    /// older one begins to commit; what did is told with the join.
    pub(crate) fn called(
        &mut self,
        now: Now,
        leader: CoordinatorId,
        epoch: Epoch,
        out: &mut Output,
    ) {
        let is_first = self.epoch == Epoch::default() && epoch < Epoch(u32::MAX);
        if epoch < self.epoch {
            return self.refuse_deposed(leader, Refusal::OldEpoch, out);
        } else if !is_first && !epoch.may_follow(self.epoch) {
            return out.refuse(Peer::Coordinator(leader), Refusal::EpochOutOfBounds);
        } else if epoch == self.epoch && leader == self.joining.leader {
            return;
        }
        self.joining.leader = leader;
        if epoch > self.epoch {
            self.epoch = epoch;
            self.over.begin_epoch(epoch);
            self.abort_older_epochs(out);
        }
        self.join_anew(now, out);
    }

    /// Begins an attempt to join, under a name of its own.
    fn join_anew(&mut self, now: Now, out: &mut Output) {
        self.joining.nonce = Some(self.random());
        self.joining.tries = 0;
        self.join(now, out);
    }

    /// Asks whoever may lead, and again later unless welcomed.
    pub(crate) fn join(&mut self, now: Now, out: &mut Output) {
        if self.joining.nonce.is_none() || self.joining.connected.is_empty() {
            return;
        }
        for coordinator in self.joining.connected.clone() {
            self.ask_to_join(coordinator, out);
        }
        let pause = self.settings.join_retry.saturating_mul(1 << self.joining.tries.min(5));
        self.joining.tries += 1;
        self.timers.set(Timer::Join, now.mono + pause);
    }

    /// Asks one coordinator. What is told is durable before it is told.
    fn ask_to_join(&self, coordinator: CoordinatorId, out: &mut Output) {
        let nonce = self.joining.nonce.unwrap_or_default();
        let last = out.last_lsn();
        let to = Peer::Coordinator(coordinator);
        let outcomes = self.over.one_phase().chain(self.one_phase_in_log());
        let mut remembered = in_lists(outcomes, |outcomes| {
            let message = CommitMessage::OnePhaseOutcomes { nonce, outcomes };
            out.send_after(last, to, RequestId::default(), message);
        });
        remembered += in_lists(self.over.voted().chain(self.doubts()), |txns| {
            out.send_after(last, to, RequestId::default(), CommitMessage::Voted { nonce, txns });
        });
        let cluster = self.settings.cluster;
        let boot = !self.joining.welcomed;
        let epoch = self.epoch;
        let message = CommitMessage::Join { cluster, epoch, boot, nonce, remembered };
        out.send_after(last, to, RequestId::default(), message);
    }

    /// What is in doubt of older epochs, and may be committed by the votes. An operator's
    /// decision does not change that it was voted on.
    fn doubts(&self) -> impl Iterator<Item = Voted> {
        let old = self.txns.iter().filter(|(txn, _)| txn.session.epoch < self.epoch);
        let old = old.filter(|_| !mutated!(self, DoubtsUntold));
        old.filter_map(|(&txn, participant)| match &participant.stage {
            Stage::Prepared { resolved: Some(_), .. } if mutated!(self, ResolvedUntold) => None,
            Stage::Prepared { record, .. } if record.implicit => {
                let (h, knows) = (record.h, Knows::InDoubt(record.m));
                Some(Voted { txn, h, participants: record.participants.clone(), knows })
            }
            _ => None,
        })
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
    pub(crate) fn welcomed(
        &mut self,
        now: Now,
        (leader, nonce, epoch): (CoordinatorId, u64, Epoch),
        floor: Timestamp,
        placement: Placement,
        handling: Handling,
        out: &mut Output,
    ) {
        if epoch < self.epoch {
            return self.refuse_deposed(leader, Refusal::OldEpoch, out);
        }
        if self.joining.nonce != Some(nonce) || epoch != self.epoch {
            return;
        }
        let Ok(router) = Router::new(placement) else { return };
        if !self.joining.welcomed {
            self.born = floor;
        }
        self.joining.leader = leader;
        self.joining.nonce = None;
        self.joining.welcomed = true;
        self.timers.stop(Timer::Join);
        let shards = &router.placement().shards;
        if **shards != *self.shards {
            self.shards = shards.as_slice().into();
            out.append(&Record::Shards(shards.clone()));
        }
        self.router = Some(Arc::new(router));
        self.handling = handling;
        self.link_to_shards(out);
        self.floor = self.floor.max(floor);
        self.window = self.window.max(floor);
        self.inquire_all(now, out);
        self.ask_window(now, out);
    }

    /// Whether this shard obeys a coordinator: only the one that leads, and any other that says
    /// that it does now. All members of a group tell what they have accepted.
    pub(crate) fn obeys(&self, coordinator: CoordinatorId, message: &Message) -> bool {
        let is_leader = coordinator == self.joining.leader || mutated!(self, ObeysDeposed);
        is_leader
            || matches!(
                message,
                Message::Commit(CommitMessage::Call { .. } | CommitMessage::Welcome { .. })
                    | Message::Paxos(_)
            )
    }

    /// A coordinator that does not lead is told that another one does.
    pub(crate) fn refuse_deposed(&self, who: CoordinatorId, why: Refusal, out: &mut Output) {
        let who = Peer::Coordinator(who);
        out.refuse(who, why);
        if self.epoch > Epoch::default() {
            out.send(who, RequestId::default(), CommitMessage::Stale { epoch: self.epoch });
        }
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
