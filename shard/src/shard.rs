//! The dispatcher: which event goes to which room. It computes nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use synod_common::deadlock::Handling;
use synod_common::error::{Corrupt, Reason};
use synod_common::id::{CoordinatorId, Epoch, Peer, RequestId, SessionId, TxnId};
use synod_common::message::bulk::List;
use synod_common::message::data::ShardStatus;
use synod_common::message::{CommitMessage, DataReply, DataRequest, Message, PaxosMessage};
use synod_common::node::{Event, Lsn, Node, Output, Recovered};
use synod_common::refusal::Refusal;
use synod_common::route::{Router, ShardAddress};
use synod_common::time::{Mono, Now, Timestamp};
use synod_common::timer::TimerTable;

use crate::Settings;
use crate::access::{ReadRequest, ScanRequest, page_limit};
use crate::acks::Acks;
use crate::checkpoint::Checkpoint;
use crate::deadlock::Deadlocks;
use crate::hold::LockRequest;
use crate::intents::Intents;
use crate::join::Joining;
use crate::lease::Leases;
use crate::lock::{Capacity, Grant, LockTable, Ticket};
use crate::mutant::mutated;
use crate::mvcc::Versions;
use crate::over::Over;
use crate::participant::cooperate::Decided;
use crate::participant::heuristic::{Resolutions, Resolving, Wish};
use crate::participant::three_phase::HeardItself;
use crate::participant::{Participant, Preparing, Stage};
use crate::settled::{Mark, Settled};
use crate::snapshot::{SnapshotRequest, What};
use crate::wait::{Wait, WaitId};

/// How often leases are looked at and old versions pruned.
const HOUSEKEEPING: Duration = Duration::from_millis(100);

/// The core of a shard.
#[derive(Clone, Debug)]
pub struct Shard {
    /// They never change: copies share them, as they do the map and the list of shards.
    pub(crate) settings: Arc<Settings>,
    pub(crate) joining: Joining,
    /// The map; none until the shard is welcomed.
    pub(crate) router: Option<Arc<Router>>,
    pub(crate) epoch: Epoch,
    /// Nothing may commit here at or below this any more.
    pub(crate) floor: Timestamp,
    /// No timestamp at or above this is known to have been issued.
    pub(crate) window: Timestamp,
    /// Versions at or below this may be gone.
    pub(crate) safe_point: Timestamp,
    /// How far the coordinator lets the safe point go.
    pub(crate) published: Timestamp,
    pub(crate) versions: Versions,
    pub(crate) locks: LockTable,
    /// Boxed: the map moves what it holds.
    pub(crate) txns: BTreeMap<TxnId, Box<Participant>>,
    /// The prepared writers, by the timestamp that they voted.
    pub(crate) writers: BTreeSet<(Timestamp, TxnId)>,
    /// Those that have voted READ, by the timestamp that they voted.
    pub(crate) readers: BTreeSet<(Timestamp, TxnId)>,
    /// The prepared writers, by the keys that they write.
    pub(crate) intents: Intents,
    pub(crate) over: Over,
    pub(crate) settled: Settled,
    pub(crate) decided: Decided,
    /// All shards, as the newest map says.
    pub(crate) shards: Arc<[ShardAddress]>,
    /// Where the floor began in this life: whatever began before is forgotten.
    pub(crate) born: Timestamp,
    pub(crate) leases: Leases,
    pub(crate) waits: BTreeMap<WaitId, Wait>,
    pub(crate) tickets: BTreeMap<Ticket, WaitId>,
    pub(crate) last_wait: u64,
    pub(crate) deadlocks: Deadlocks,
    /// How the cluster deals with deadlocks.
    pub(crate) handling: Handling,
    /// Grants that releases have brought about and nobody has heard of.
    pub(crate) granted: Vec<Grant>,
    /// Snapshot reads that wait for a prepared writer.
    pub(crate) snapshot_waits: BTreeMap<TxnId, Vec<SnapshotRequest>>,
    /// Snapshot reads whose writer is decided.
    pub(crate) woken: Vec<SnapshotRequest>,
    /// Snapshot reads above the window.
    pub(crate) ahead: Vec<(u64, SnapshotRequest)>,
    /// Number of the newest question for the window.
    pub(crate) last_ask: u64,
    /// How many of all these there are.
    pub(crate) parked: usize,
    pub(crate) one_phase_logged: VecDeque<(Lsn, TxnId)>,
    /// What operators have decided.
    pub(crate) resolutions: Resolutions,
    /// Those of them that are on their way to the disk.
    pub(crate) resolving: VecDeque<Resolving>,
    /// What sites of three-phase commit say to themselves.
    pub(crate) heard_itself: VecDeque<HeardItself>,
    /// Commits of which the coordinator is still to hear.
    pub(crate) acks: Acks,
    pub(crate) durable: Lsn,
    pub(crate) timers: TimerTable<Timer>,
    pub(crate) last_incarnation: u64,
    pub(crate) started: Mono,
    pub(crate) rng: u64,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) stats: Stats,
}

/// What may be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Try to join again.
    Join,
    /// Look at leases, prune versions.
    Housekeeping,
    /// A request has waited long enough.
    Wait(WaitId),
    /// Ask for a decision.
    Inquire(TxnId),
    /// Ask where the window ends.
    AskWindow,
    /// Tell who waits.
    Report,
    /// Tell which commits are durable.
    Acknowledge,
}

/// Counters for people; nothing depends on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions committed here since the start.
    pub committed: u64,
    /// Transactions aborted here.
    pub aborted: u64,
    /// Deadlocks broken.
    pub deadlocks: u64,
    /// Lock waits that ran into their time-out.
    pub lock_timeouts: u64,
    /// Transactions that have voted YES, and whose outcome is not known.
    pub in_doubt: u64,
    /// Those that have voted READ.
    pub read_in_doubt: u64,
    /// Outcomes learned from another participant since the start.
    pub learned_from_peers: u64,
    /// The smallest timestamp that one of both voted; zero if there are none.
    pub oldest_in_doubt: Timestamp,
    /// Decisions of operators that turned out to be wrong.
    pub mixed: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Keys with a value or a tombstone.
    pub keys: u64,
    /// Locks that are held.
    pub locks: u64,
    /// Requests that wait for locks.
    pub waiting: u64,
}

impl Shard {
    /// A shard that knows nothing yet.
    pub fn new(settings: Settings) -> Shard {
        let (per_txn, total) = settings.max_locks;
        Shard {
            joining: Joining::new(&settings.coordinators),
            router: None,
            epoch: Epoch::default(),
            floor: Timestamp::ZERO,
            window: Timestamp::ZERO,
            safe_point: Timestamp::ZERO,
            published: Timestamp::ZERO,
            versions: Versions::new(),
            locks: LockTable::new(Capacity { per_txn, total }),
            txns: BTreeMap::new(),
            writers: BTreeSet::new(),
            readers: BTreeSet::new(),
            intents: Intents::default(),
            over: Over::default(),
            settled: Settled::default(),
            decided: Decided::default(),
            shards: Arc::default(),
            born: Timestamp::ZERO,
            leases: Leases::new(settings.session_ttl),
            waits: BTreeMap::new(),
            tickets: BTreeMap::new(),
            last_wait: 0,
            deadlocks: Deadlocks::default(),
            handling: Handling::default(),
            granted: Vec::new(),
            snapshot_waits: BTreeMap::new(),
            woken: Vec::new(),
            ahead: Vec::new(),
            last_ask: 0,
            parked: 0,
            one_phase_logged: VecDeque::new(),
            resolutions: Resolutions::default(),
            acks: Acks::default(),
            resolving: VecDeque::new(),
            heard_itself: VecDeque::new(),
            durable: Lsn::default(),
            timers: TimerTable::default(),
            last_incarnation: 0,
            started: Mono::default(),
            rng: 1,
            checkpoint: Checkpoint::default(),
            stats: Stats::default(),
            settings: Arc::new(settings),
        }
    }

    /// Counters for people.
    pub fn stats(&self) -> Stats {
        Stats {
            keys: self.versions.stats().keys as u64,
            locks: self.locks.held() as u64,
            waiting: self.waits.len() as u64,
            read_in_doubt: self.readers.len() as u64,
            oldest_in_doubt: self.oldest_in_doubt(),
            mixed: self.resolutions.mixed(),
            ..self.stats
        }
    }

    /// Whether clients are served.
    pub fn is_ready(&self) -> bool {
        self.router.is_some()
    }

    /// The safe point and the smallest timestamp that a prepared writer has voted,
    /// for checks from outside.
    pub fn safe_point(&self) -> (Timestamp, Option<Timestamp>) {
        (self.safe_point, self.writers.first().map(|(m, _)| *m))
    }

    /// Nothing may commit at or below this any more, for checks from outside.
    pub fn floor(&self) -> Timestamp {
        self.floor
    }

    /// The locks, for checks from outside.
    pub fn locks(&self) -> &LockTable {
        &self.locks
    }

    /// The transactions that are known here, for checks from outside.
    pub fn known(&self) -> impl Iterator<Item = TxnId> {
        self.txns.keys().copied()
    }

    /// Whether the map gives `key` to this shard.
    pub(crate) fn owns(&self, key: &[u8]) -> bool {
        let id = self.settings.id;
        self.router.as_ref().is_some_and(|router| router.shard_of(key) == id)
    }

    /// The next number of a xorshift sequence; for jitter and nonces only.
    pub(crate) fn random(&mut self) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        self.rng
    }

    fn start(&mut self, now: Now, seed: u64, out: &mut Output) {
        self.rng = seed | 1;
        self.started = now.mono;
        self.last_incarnation = self.random() >> 1 & !0xffff_ffff;
        self.last_ask = self.last_incarnation;
        self.deadlocks.begin(self.last_incarnation);
        self.timers.set(Timer::Housekeeping, now.mono + HOUSEKEEPING);
        self.link_to_shards(out);
        self.sites_again(out);
        self.wait_for_decisions(now);
    }

    fn data_request(
        &mut self,
        now: Now,
        from: Peer,
        request: RequestId,
        asked: DataRequest,
        out: &mut Output,
    ) {
        match asked {
            DataRequest::Read { access, mode, keys } => {
                let snapshot = access.snapshot;
                let read = ReadRequest { from, request, keys, snapshot };
                self.read(now, &access, mode, &read, out);
            }
            DataRequest::Scan { access, range, limit, reverse, mode } => {
                let limit = page_limit(limit);
                let page = range.clone();
                let snapshot = access.snapshot;
                let scan =
                    ScanRequest { from, request, range, page, limit, reverse, mode, snapshot };
                self.scan(now, &access, scan, out);
            }
            DataRequest::SnapshotRead { at, map_epoch, keys } => {
                let what = What::Keys(keys);
                self.snapshot(now, SnapshotRequest { from, request, at, map_epoch, what }, out);
            }
            DataRequest::SnapshotScan { at, map_epoch, range, limit, reverse } => {
                let what = What::Range { range, limit: page_limit(limit), reverse };
                self.snapshot(now, SnapshotRequest { from, request, at, map_epoch, what }, out);
            }
            DataRequest::Abort { txn } => self.abort_unvoted(txn, &Reason::ByClient, out),
            DataRequest::Heartbeat { session, oldest } => {
                self.leases.heartbeat(session, oldest, now.mono);
                self.abort_active(session, oldest, &Reason::ByClient, out);
                out.send(from, request, DataReply::Done);
            }
            DataRequest::Status => out.send(from, request, DataReply::Status(self.status())),
            DataRequest::Locks { after, contended, limit } => {
                out.send(from, request, self.list_locks(now.mono, after, contended, limit));
            }
            DataRequest::Txns { after, in_doubt, limit } => {
                out.send(from, request, self.list_txns(now.mono, after, in_doubt, limit));
            }
            DataRequest::Txn { txn, locks } => {
                out.send(from, request, self.show_txn(now.mono, txn, locks));
            }
            DataRequest::Resolve { txn, commit, by, why, force } => {
                let wish = Wish { txn, commit, by, why, force };
                self.resolve(now, (from, request), wish, out);
            }
            DataRequest::Resolutions => out.send(from, request, self.list_resolutions()),
            DataRequest::Lock { access, mode, range, keys } => {
                let what = (range, &keys);
                self.lock_only(now, &access, mode, what, LockRequest { from, request }, out);
            }
            DataRequest::Return { access, to, range, keys } => {
                self.take_back(&access, to, (range, &keys), out);
            }
        }
    }

    fn status(&self) -> ShardStatus {
        let stats = self.stats();
        ShardStatus {
            ready: self.is_ready(),
            keys: stats.keys,
            in_doubt: stats.in_doubt + stats.read_in_doubt,
            locks: stats.locks,
            waiting: stats.waiting,
            oldest_in_doubt: stats.oldest_in_doubt,
            mixed: stats.mixed,
        }
    }

    /// Aborts a transaction that only reads and locks so far.
    fn abort_unvoted(&mut self, txn: TxnId, reason: &Reason, out: &mut Output) {
        if matches!(self.txns.get(&txn).map(|known| &known.stage), Some(Stage::Active)) {
            self.abort(txn, reason, out);
        }
    }

    /// Aborts the reading transactions of a session before a sequence.
    fn abort_active(&mut self, session: SessionId, before: u64, reason: &Reason, out: &mut Output) {
        let from = TxnId { session, sequence: 0 };
        let to = TxnId { session, sequence: before };
        let over: Vec<TxnId> = self.txns.range(from..to).map(|(txn, _)| *txn).collect();
        for txn in over {
            self.abort_unvoted(txn, reason, out);
        }
    }

    fn coordinator_message(
        &mut self,
        now: Now,
        (coordinator, request): (CoordinatorId, RequestId),
        message: CommitMessage,
        out: &mut Output,
    ) {
        match message {
            CommitMessage::Welcome { nonce, epoch, floor, placement, handling } => {
                self.welcomed(now, (coordinator, nonce, epoch), floor, placement, handling, out);
            }
            CommitMessage::Call { epoch } => self.called(now, coordinator, epoch, out),
            // What comes before the welcome belongs to a life before this one.
            _ if self.router.is_none() => {}
            CommitMessage::Prepare {
                txn,
                h,
                hi,
                incarnation,
                low_water,
                participants,
                acceptors,
                implicit,
                terms,
                read_bytes,
                writes,
            } => {
                self.raise_low_water(txn, low_water);
                let (reads, writes) = Preparing::split(writes, read_bytes);
                let preparing = Preparing {
                    h,
                    hi,
                    after: Timestamp::ZERO,
                    coordinator,
                    participants,
                    acceptors,
                    implicit,
                    terms,
                    reads,
                    writes,
                };
                self.prepare(now, txn, incarnation, preparing, out);
            }
            CommitMessage::CommitOnePhase {
                txn,
                h,
                hi,
                after,
                incarnation,
                low_water,
                terms,
                read_bytes,
                writes,
            } => {
                self.raise_low_water(txn, low_water);
                let (reads, writes) = Preparing::split(writes, read_bytes);
                let preparing = Preparing {
                    h,
                    hi,
                    after,
                    coordinator,
                    participants: Vec::new(),
                    acceptors: Vec::new(),
                    implicit: false,
                    terms,
                    reads,
                    writes,
                };
                self.prepare(now, txn, incarnation, preparing, out);
            }
            CommitMessage::InquireOnePhase { txn, h } => {
                self.inquire_one_phase(txn, h, &Reason::Presumed, out);
            }
            CommitMessage::AbortOnePhase { txn, h, reason } => {
                self.abort_one_phase(txn, h, &reason, out);
            }
            CommitMessage::Decide { txn, decision } => self.decide(txn, decision, out),
            CommitMessage::Release { txn, at } => self.release(txn, at, out),
            CommitMessage::Window { hi } => self.window_is(now, request, hi, out),
            CommitMessage::SafePoint { at } => self.safe_point_is(at),
            CommitMessage::Settled { epoch, number, below, open } => {
                let open = List::read(&open).map_while(Result::ok).collect();
                self.settled.raise(Mark { stamp: (epoch, number), below, open });
            }
            CommitMessage::VotesOver { below } => self.over.votes_over(below),
            CommitMessage::Join { .. }
            | CommitMessage::OnePhaseOutcomes { .. }
            | CommitMessage::Voted { .. }
            | CommitMessage::Vote { .. }
            | CommitMessage::OnePhaseDone { .. }
            | CommitMessage::Ack { .. }
            | CommitMessage::Inquire { .. }
            | CommitMessage::AskWindow
            | CommitMessage::Stale { .. } => {}
        }
    }

    fn tick(&mut self, now: Now, out: &mut Output) {
        while let Some(timer) = self.timers.pop(now.mono) {
            match timer {
                Timer::Join => self.join(now, out),
                Timer::Housekeeping => {
                    self.timers.set(Timer::Housekeeping, now.mono + HOUSEKEEPING);
                    for session in self.leases.lapse(now.mono) {
                        self.abort_active(session, u64::MAX, &Reason::SessionLost, out);
                    }
                    self.prune();
                }
                Timer::Wait(id) => self.wait_timed_out(id, out),
                Timer::Inquire(txn) => self.inquire(now, txn, out),
                Timer::AskWindow => self.ask_window(now, out),
                Timer::Report => self.report(now, out),
                Timer::Acknowledge => self.acknowledge(out),
            }
        }
    }

    /// Who asks to prepare this says what is over. Of another epoch it knows not enough to say
    /// what may be forgotten here.
    fn raise_low_water(&mut self, txn: TxnId, low_water: Timestamp) {
        if txn.session.epoch == self.epoch {
            self.over.raise(low_water);
            if mutated!(self, OlderForgotten) {
                self.over.votes_over(low_water);
            }
        }
    }

    fn disconnected(&mut self, client: Peer, out: &mut Output) {
        self.drop_snapshots(client);
        let lost = self.txns.iter().filter(|(_, participant)| participant.client == Some(client));
        let lost: Vec<TxnId> = lost.map(|(txn, _)| *txn).collect();
        for txn in lost {
            self.abort_unvoted(txn, &Reason::SessionLost, out);
        }
    }
}

impl Node for Shard {
    fn recover(&mut self, recovered: Recovered<'_>) -> Result<(), Corrupt> {
        self.recover_piece(recovered)
    }

    /// Which shards there are it may hear only when it is welcomed.
    fn expects(&self, peer: Peer) -> bool {
        match peer {
            Peer::Coordinator(id) => self.settings.coordinators.contains(&id),
            Peer::Shard(_) | Peer::Client(_) => true,
        }
    }

    fn handle(&mut self, now: Now, event: Event, out: &mut Output) {
        match event {
            Event::Start { seed } => self.start(now, seed, out),
            Event::Connected(Peer::Coordinator(id)) => self.connected(now, id, out),
            Event::Disconnected(Peer::Coordinator(id)) => {
                self.disconnected_from_coordinator(now, id, out);
            }
            Event::Disconnected(client @ Peer::Client(_)) => self.disconnected(client, out),
            Event::Disconnected(Peer::Shard(shard)) => self.shard_left(shard),
            Event::Connected(Peer::Shard(_)) if !self.has_coordinator() => {
                self.inquire_all(now, out);
            }
            Event::Connected(Peer::Shard(_) | Peer::Client(_)) => {}
            Event::Message { from, request, message } => match (from, message) {
                (Peer::Client(_), Message::DataRequest(asked)) => {
                    self.data_request(now, from, request, asked, out);
                }
                (Peer::Coordinator(id), message) if !self.obeys(id, &message) => {
                    self.refuse_deposed(id, Refusal::Deposed, out);
                }
                // Whoever leads by now, they had accepted it.
                (Peer::Coordinator(id), Message::Paxos(PaxosMessage::Accepted { txn, at })) => {
                    self.votes_accepted(id, (txn, at), out);
                }
                (Peer::Coordinator(id), Message::Commit(message)) => {
                    self.coordinator_message(now, (id, request), message, out);
                }
                (Peer::Shard(shard), Message::Peer(message)) => {
                    self.peer_message(shard, &message, out);
                }
                (Peer::Coordinator(_) | Peer::Shard(_), Message::Site(message)) => {
                    self.site_said(from, &message, out);
                }
                (Peer::Coordinator(_) | Peer::Shard(_), Message::Deadlock(message))
                    if self.router.is_some() =>
                {
                    self.deadlock_message(now, from, message, out);
                }
                // The driver lets through only what a role may send.
                _ => {}
            },
            Event::Wake => self.tick(now, out),
            Event::Durable(lsn) => {
                self.durable = self.durable.max(lsn);
                self.one_phase_durable(now, self.durable);
                self.sites_durable(self.durable, out);
                self.resolutions_durable(self.durable, out);
            }
            Event::CheckpointWritten => self.checkpoint_written(out),
        }
        self.hand_out_grants(now, out);
        self.wake_snapshots(now, out);
        self.begin_checkpoint(out);
        self.acknowledge_soon(now);
        out.wake = self.timers.next();
    }
}
