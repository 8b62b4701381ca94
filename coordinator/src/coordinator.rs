//! The dispatcher: which event goes to which room. It computes nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use synod_common::error::Reason;
use synod_common::id::{CoordinatorId, Epoch, Peer, RequestId, SessionId, ShardId, TxnId};
use synod_common::message::bulk::{List, OnePhaseOutcome};
use synod_common::message::client::CoordinatorStatus;
use synod_common::message::{ClientReply, ClientRequest, CommitMessage, Message, PaxosMessage};
use synod_common::node::{Event, Lsn, Output};
use synod_common::time::{Mono, Now, Timestamp, Wall};

use crate::Settings;
use crate::checkpoint::Checkpoint;
use crate::commit::counts::Counts;
use crate::commit::three_phase::Settled;
use crate::commit::{Commit, Then};
use crate::confirming::Confirming;
use crate::deadlock::Detector;
use crate::expiry::Expiry;
use crate::membership::Members;
use crate::mutant::{mutated, planted};
use crate::oracle::Oracle;
use crate::outcomes::Outcomes;
use crate::paxos::Decided;
use crate::record::Record;
use crate::safe_point::SafePoint;
use crate::session::Sessions;

/// Requests that may wait for a window at once.
pub(crate) const MAX_PARKED: usize = 10_000;
/// How often leases and retentions are looked at.
const HOUSEKEEPING: Duration = Duration::from_millis(500);

/// The core of a coordinator.
#[derive(Clone, Debug)]
pub struct Coordinator {
    /// They never change: copies share them.
    pub(crate) settings: Arc<Settings>,
    pub(crate) epoch: Epoch,
    pub(crate) serving: Serving,
    pub(crate) oracle: Oracle,
    pub(crate) sessions: Sessions,
    pub(crate) members: Members,
    pub(crate) outcomes: Outcomes,
    pub(crate) commits: BTreeMap<TxnId, Commit>,
    /// Transactions that are not over, by `h`.
    pub(crate) unfinished: BTreeSet<(Timestamp, TxnId)>,
    /// Transactions in three-phase commit that some site may be in doubt about.
    pub(crate) unsettled: BTreeSet<TxnId>,
    pub(crate) settled: Settled,
    pub(crate) then: VecDeque<(Lsn, Then)>,
    pub(crate) parked: VecDeque<((Peer, RequestId), ClientRequest)>,
    pub(crate) confirming: Confirming,
    pub(crate) paxos: Decided,
    /// The same of two-phase commit.
    pub(crate) voted: Decided,
    /// The members that accept votes in Paxos Commit now: itself, and as many others as it
    /// takes.
    pub(crate) acceptors: Vec<CoordinatorId>,
    /// Those that have not accepted something in time, and when.
    pub(crate) missed: BTreeMap<CoordinatorId, Mono>,
    /// Whether the own acceptor can take more.
    pub(crate) has_room: bool,
    /// Bytes that wait for the votes of others.
    pub(crate) held_bytes: usize,
    pub(crate) safe_point: SafePoint,
    pub(crate) votes_due: Expiry<TxnId>,
    pub(crate) resend: Expiry<Deadline>,
    pub(crate) detector: Detector,
    pub(crate) housekeeping: Mono,
    pub(crate) started: Mono,
    /// All records up to here are durable.
    pub(crate) durable: Lsn,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) stats: Stats,
}

/// Whether clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serving {
    /// Not before the epoch and a window are durable, at this record.
    After(Lsn),
    /// Yes.
    Yes,
}

/// What is to be asked again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// A one-phase commit without answer.
    OnePhase(TxnId),
    /// A commit that is not accepted, or not acknowledged, by all.
    Acks(TxnId),
    /// A commit that waits for acceptors.
    Acceptances(TxnId),
}

/// Counters for people; nothing depends on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Commits begun since the start.
    pub begun: u64,
    /// Commits decided.
    pub committed: Counts,
    /// Commits that ended in an abort.
    pub aborted: Counts,
    /// Commits in progress.
    pub in_progress: u64,
    /// The same by kind, as they were when it was last looked, some 500 ms ago at most.
    pub under_way: Counts,
    /// Sessions that are open.
    pub sessions: u64,
    /// Blocks of 64 outcomes that are kept.
    pub outcome_blocks: u64,
    /// Deadlocks across shards that were broken.
    pub deadlocks: u64,
    /// Cycles among reports that were over when asked about.
    pub dissolved: u64,
    /// Whether it leads its group.
    pub leads: bool,
    /// The epoch that it leads, or has promised to somebody.
    pub epoch: u32,
}

impl Coordinator {
    /// A coordinator that knows nothing yet.
    pub fn new(settings: Settings) -> Coordinator {
        Coordinator {
            epoch: Epoch::default(),
            serving: Serving::After(Lsn(u64::MAX)),
            oracle: Oracle::new(settings.window),
            sessions: Sessions::new(settings.session_ttl),
            members: Members::new(settings.placement.shards.iter().map(|shard| shard.id)),
            outcomes: Outcomes::default(),
            commits: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            settled: Settled::default(),
            then: VecDeque::new(),
            parked: VecDeque::new(),
            confirming: Confirming::default(),
            paxos: planted!(settings, Paxos, Decided::default()),
            voted: Decided::default(),
            acceptors: Vec::new(),
            missed: BTreeMap::new(),
            has_room: true,
            held_bytes: 0,
            safe_point: SafePoint::default(),
            votes_due: Expiry::new(settings.vote_timeout),
            resend: Expiry::new(settings.resend),
            detector: Detector::new(settings.deadlocks.victim),
            housekeeping: Mono::default(),
            started: Mono::default(),
            durable: Lsn::default(),
            checkpoint: Checkpoint::default(),
            stats: Stats::default(),
            settings: Arc::new(settings),
        }
    }

    /// Counters for people.
    pub fn stats(&self) -> Stats {
        let deadlocks = self.detector.counts();
        Stats {
            deadlocks: deadlocks.broken,
            dissolved: deadlocks.dissolved,
            in_progress: self.commits.len() as u64,
            sessions: self.sessions.len() as u64,
            outcome_blocks: self.outcomes.blocks() as u64,
            ..self.stats
        }
    }

    /// The safe point that shards may know, and the one that is on its way to the
    /// disk, for checks from outside.
    pub fn safe_point(&self) -> (Timestamp, Timestamp) {
        (self.safe_point.published(), self.safe_point.written())
    }

    /// What sessions have pinned, for checks from outside.
    pub fn pins(&self) -> impl Iterator<Item = (SessionId, Timestamp)> {
        self.sessions.pins()
    }

    /// What began to commit before this is decided, by what it knows of the log.
    pub(crate) fn decided_below(&self) -> Timestamp {
        self.paxos.below
    }

    /// Whether its epoch has begun: all that it has read is durable.
    pub fn serves(&self) -> bool {
        self.serving == Serving::Yes
    }

    /// Whether clients are served, and all shards are there.
    pub fn is_ready(&self) -> bool {
        self.serving == Serving::Yes && self.members.all_joined()
    }

    fn message(
        &mut self,
        now: Now,
        from: Peer,
        request: RequestId,
        message: Message,
        out: &mut Output,
    ) {
        match (from, message) {
            (Peer::Client(_), Message::ClientRequest(asked)) => {
                if self.serving != Serving::Yes {
                    out.send(from, request, ClientReply::Refused(Reason::NotReady));
                } else if self.is_of_later_leader(&asked) {
                    out.send(from, request, ClientReply::Refused(Reason::NotLeader(None)));
                } else if self.must_confirm(&asked) {
                    self.confirm_first((from, request), asked, out);
                } else {
                    self.admit_request(now, (from, request), asked, out);
                }
            }
            (Peer::Shard(shard), Message::Paxos(PaxosMessage::Propose { txn, vote, .. })) => {
                self.vote(now, shard, txn, vote, out);
            }
            (Peer::Coordinator(member), Message::Paxos(PaxosMessage::Accepted { txn, .. })) => {
                self.accepted(now, member, txn, out);
            }
            (Peer::Shard(shard), Message::Commit(message)) if self.serving == Serving::Yes => {
                self.shard_message(now, (shard, request), message, out);
            }
            (Peer::Shard(shard), Message::Site(message)) if self.serving == Serving::Yes => {
                self.site_said(now, shard, message, out);
            }
            (Peer::Shard(shard), Message::Deadlock(message)) if self.serving == Serving::Yes => {
                self.deadlock_message(now, shard, message, out);
            }
            // The driver lets through only what a role may send; what is left
            // here came before this coordinator serves, and will come again.
            _ => {}
        }
    }

    /// Whether a request is about something that a later leader has granted: there is one,
    /// and this one has not heard of it yet.
    fn is_of_later_leader(&self, request: &ClientRequest) -> bool {
        let session = match request {
            ClientRequest::Commit { txn, .. }
            | ClientRequest::Outcome { txn }
            | ClientRequest::CommitOf { txn } => txn.session,
            ClientRequest::Heartbeat { session, .. }
            | ClientRequest::Pinned { session, .. }
            | ClientRequest::CloseSession { session } => *session,
            ClientRequest::OpenSession
            | ClientRequest::Timestamp
            | ClientRequest::Status
            | ClientRequest::Deadlocks
            | ClientRequest::Commits { .. }
            | ClientRequest::Follow { .. } => return false,
        };
        session.epoch > self.epoch && !self.is_alone()
    }

    /// Handles a request, or lets it wait for a window.
    pub(crate) fn admit_request(
        &mut self,
        now: Now,
        from: (Peer, RequestId),
        request: ClientRequest,
        out: &mut Output,
    ) {
        if !self.must_park(&request) {
            self.client_request(now, from, request, out);
        } else if self.parked.len() < MAX_PARKED {
            self.parked.push_back((from, request));
        } else {
            out.send(from.0, from.1, ClientReply::Refused(Reason::Overloaded));
        }
    }

    pub(crate) fn client_request(
        &mut self,
        now: Now,
        from: (Peer, RequestId),
        request: ClientRequest,
        out: &mut Output,
    ) {
        let reply = match request {
            ClientRequest::OpenSession => self.open_session(now),
            ClientRequest::Heartbeat { session, oldest } => {
                self.heartbeat(now, session, oldest, None)
            }
            ClientRequest::Pinned { session, oldest, pin } => {
                self.heartbeat(now, session, oldest, Some(pin))
            }
            ClientRequest::CloseSession { session } => {
                self.sessions.close(session);
                ClientReply::Done
            }
            ClientRequest::Timestamp => return self.timestamp(now, from, out),
            ClientRequest::Commit { txn, terms, parts, writes } => {
                return self.commit(now, from, (txn, terms), &parts, writes, out);
            }
            ClientRequest::Outcome { txn } => return self.outcome(from, txn, out),
            ClientRequest::Status => {
                ClientReply::Status(self.status(Some((self.settings.id, self.epoch))))
            }
            ClientRequest::Deadlocks => self.deadlocks(),
            ClientRequest::Commits { after, limit } => self.list_commits(now.mono, after, limit),
            ClientRequest::CommitOf { txn } => self.show_commit(now.mono, txn),
            // The member of the group answers that.
            ClientRequest::Follow { .. } => ClientReply::Refused(Reason::Malformed),
        };
        out.send(from.0, from.1, reply);
    }

    fn heartbeat(
        &mut self,
        now: Now,
        session: SessionId,
        oldest: u64,
        pin: Option<Timestamp>,
    ) -> ClientReply {
        if self.sessions.heartbeat(session, oldest, pin, now.mono) {
            ClientReply::Done
        } else {
            ClientReply::Refused(Reason::SessionLost)
        }
    }

    fn open_session(&mut self, now: Now) -> ClientReply {
        if self.sessions.len() >= self.settings.max_sessions {
            return ClientReply::Refused(Reason::Overloaded);
        }
        let drawn = self.oracle.draw(now).expect("requests wait while the window is used up");
        ClientReply::SessionOpened {
            session: self.sessions.open(self.epoch, now.mono),
            ttl_ms: u32::try_from(self.settings.session_ttl.as_millis()).unwrap_or(u32::MAX),
            now: drawn,
            placement: self.settings.placement.clone(),
        }
    }

    /// How it is, and who leads.
    pub(crate) fn status(&self, leader: Option<(CoordinatorId, Epoch)>) -> CoordinatorStatus {
        CoordinatorStatus {
            id: self.settings.id,
            placement: self.settings.placement.clone(),
            joined: self.members.joined().collect(),
            sessions: self.sessions.len() as u64,
            committing: self.commits.len() as u64,
            leader: leader.map(|(leader, _)| leader),
            epoch: leader.map_or(self.epoch, |(_, epoch)| epoch),
            group: self.settings.group.clone(),
        }
    }

    fn shard_message(
        &mut self,
        now: Now,
        (shard, request): (ShardId, RequestId),
        message: CommitMessage,
        out: &mut Output,
    ) {
        match message {
            CommitMessage::Join { cluster, epoch, boot, nonce, remembered } => {
                self.members.reached(shard);
                if cluster != self.settings.cluster {
                } else if epoch != self.epoch {
                    let call = CommitMessage::Call { epoch: self.epoch };
                    out.send(Peer::Shard(shard), RequestId::default(), call);
                } else if boot && !self.is_alone() {
                    self.join_confirmed(shard, nonce, remembered);
                } else {
                    self.join(now, shard, (nonce, remembered), boot, out);
                }
            }
            CommitMessage::OnePhaseOutcomes { nonce, outcomes } => {
                let outcomes: Vec<_> =
                    List::<OnePhaseOutcome>::read(&outcomes).map_while(Result::ok).collect();
                if outcomes.iter().any(|outcome| outcome.txn.session.epoch > self.epoch) {
                    return;
                }
                for outcome in outcomes {
                    self.members.told(shard, nonce, outcome.txn);
                    self.one_phase_remembered(shard, &outcome, out);
                }
            }
            CommitMessage::Voted { nonce, txns } => self.votes_told((shard, nonce), &txns, out),
            CommitMessage::Vote { txn, vote } => self.vote(now, shard, txn, vote, out),
            CommitMessage::OnePhaseDone { txn, vote } => {
                self.one_phase_done(now, shard, txn, vote, out);
            }
            CommitMessage::Ack { txns } => {
                txns.into_iter().for_each(|txn| self.acknowledged(now, shard, txn, out));
            }
            CommitMessage::Inquire { txn } => self.answer(shard, txn, out),
            CommitMessage::AskWindow => self.window_asked(shard, request, out),
            CommitMessage::Welcome { .. }
            | CommitMessage::VotesOver { .. }
            | CommitMessage::Prepare { .. }
            | CommitMessage::CommitOnePhase { .. }
            | CommitMessage::InquireOnePhase { .. }
            | CommitMessage::AbortOnePhase { .. }
            | CommitMessage::Decide { .. }
            | CommitMessage::Release { .. }
            | CommitMessage::Window { .. }
            | CommitMessage::Call { .. }
            | CommitMessage::SafePoint { .. }
            | CommitMessage::Settled { .. }
            // The member of the group looks at that.
            | CommitMessage::Stale { .. } => {}
        }
    }

    /// Takes a shard in, once all that it remembers has arrived. What it owes or is owed is
    /// settled at once.
    pub(crate) fn join(
        &mut self,
        now: Now,
        shard: ShardId,
        (nonce, remembered): (u64, u32),
        boot: bool,
        out: &mut Output,
    ) {
        if !self.members.join(shard, nonce, remembered) {
            return;
        }
        let floor = match boot {
            true if mutated!(self, NoFloor) => Timestamp::ZERO,
            true if mutated!(self, FreshFloor) => {
                self.oracle.draw(now).unwrap_or(self.oracle.last())
            }
            true => self.oracle.close(),
            false => Timestamp::ZERO,
        };
        let message = CommitMessage::Welcome {
            nonce,
            epoch: self.epoch,
            floor,
            placement: self.settings.placement.clone(),
            handling: self.settings.deadlocks,
        };
        out.send(Peer::Shard(shard), RequestId::default(), message);
        self.tell_safe_point(shard, out);
        self.tell_votes_over(shard, out);
        self.settled.due = true;
        self.abort_without_votes(out);
        let open: Vec<TxnId> = self.commits.keys().copied().collect();
        for txn in open {
            self.settle_with(now, shard, txn, out);
        }
    }

    fn tick(&mut self, now: Now, out: &mut Output) {
        while let Some(txn) = self.votes_due.pop(now.mono) {
            self.abort_preparing(txn, None, Reason::VoteTimeout, out);
            self.withdraw(txn, Reason::VoteTimeout, out);
            self.let_readers_go(txn, out);
        }
        while let Some(deadline) = self.resend.pop(now.mono) {
            match deadline {
                Deadline::OnePhase(txn) if self.is_one_phase(txn) => {
                    self.ask_one_phase(txn, out);
                    self.resend.push(now.mono, Deadline::OnePhase(txn));
                }
                Deadline::OnePhase(_) => {}
                Deadline::Acks(txn) if self.is_pre_committing(txn) => {
                    self.site_waited(now, txn, out);
                }
                Deadline::Acks(txn) => self.resend_commit(now, txn, out),
                Deadline::Acceptances(txn) => self.forward_again(now, txn, out),
            }
        }
        self.search_deadlocks(now, out);
        if now.mono >= self.housekeeping {
            self.housekeeping = now.mono + HOUSEKEEPING;
            self.count_commits();
            self.sessions.lapse(now.mono);
            self.forget_outcomes(now);
            self.move_safe_point(out);
            self.tell_settled(out);
            self.tell_mark(out);
            self.write_decided(out);
            self.call(out);
        }
    }

    fn count_commits(&mut self) {
        let mut counts = Counts::default();
        self.commits.values().for_each(|commit| counts.add(commit));
        self.stats.under_way = counts;
    }

    /// Forgets the outcomes that are too old.
    pub(crate) fn forget_outcomes(&mut self, now: Now) {
        let retention = self.settings.outcome_retention.as_millis();
        let retention = u64::try_from(retention).unwrap_or(u64::MAX);
        let cutoff = Timestamp::of_wall(Wall(now.wall.0.saturating_sub(retention)));
        self.outcomes.forget(cutoff, self.settings.outcome_blocks);
    }

    /// Tells shards that have not joined that this one leads.
    pub(crate) fn call(&self, out: &mut Output) {
        if self.serving != Serving::Yes {
            return;
        }
        for shard in self.members.missing() {
            let call = CommitMessage::Call { epoch: self.epoch };
            out.send(Peer::Shard(shard), RequestId::default(), call);
        }
    }

    /// A link is up or down.
    pub(crate) fn linked(&mut self, peer: Peer, up: bool) {
        match peer {
            Peer::Shard(shard) if up => self.members.reached(shard),
            Peer::Shard(shard) => {
                self.members.left(shard);
                self.detector.left(shard);
            }
            Peer::Client(_) | Peer::Coordinator(_) => {}
        }
    }

    /// Moves the oracle past a commit timestamp before anybody learns of it.
    pub(crate) fn advance(&mut self, at: Timestamp) {
        if !mutated!(self, NoAdvance) {
            self.oracle.advance(at);
        }
    }

    /// Writes the next window when it is time to.
    fn open_window(&mut self, now: Now, out: &mut Output) {
        if let Some(hi) = self.oracle.window_to_write(now) {
            let lsn = out.force(&Record::Window { hi });
            self.oracle.written(lsn, hi);
        }
    }

    fn durable(&mut self, now: Now, lsn: Lsn, out: &mut Output) {
        self.durable = lsn;
        let opened = self.oracle.durable(lsn);
        if let Serving::After(start) = self.serving
            && start <= lsn
        {
            self.begin_serving(now, out);
        }
        self.log_durable(now, lsn, out);
        if opened && self.serving == Serving::Yes {
            self.unpark(now, out);
            let hi = self.oracle.hi();
            for shard in self.members.joined() {
                out.send(Peer::Shard(shard), RequestId::default(), CommitMessage::Window { hi });
            }
        }
    }
}

impl Coordinator {
    /// Reacts to one event, while it leads.
    pub(crate) fn handle(&mut self, now: Now, event: Event, out: &mut Output) {
        match event {
            Event::Start { .. } | Event::CheckpointWritten => {}
            Event::Connected(peer) => self.linked(peer, true),
            Event::Disconnected(peer) => {
                self.linked(peer, false);
                if let Peer::Shard(shard) = peer {
                    self.abort_waiting_for(shard, out);
                }
            }
            Event::Message { from, request, message } => {
                self.message(now, from, request, message, out);
            }
            Event::Wake => self.tick(now, out),
            Event::Durable(lsn) => self.durable(now, lsn, out),
        }
        self.after(now, out);
    }

    /// What follows every event.
    pub(crate) fn after(&mut self, now: Now, out: &mut Output) {
        self.open_window(now, out);
        let (votes, resend) = (self.votes_due.next(), self.resend.next());
        let wakes = [votes, resend, self.detector.next(), Some(self.housekeeping)];
        out.wake = wakes.into_iter().flatten().min();
    }
}
