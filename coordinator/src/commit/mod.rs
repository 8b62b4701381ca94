//! A transaction's way through commit, seen from the coordinator.
//!
//! ```text
//!            one participant              several participants
//!   COMMIT ────────────────▶ OnePhase   ────────────▶ Preparing ─ a NO, silence ─▶ aborted: told, forgotten
//!                              │ done    ◀─ one writes ──┤ all YES/READ              (silence, if votes may decide it:
//!                              ▼                         │                            GivingUp ─ durable ─▶ aborted)
//!                          committed or   two-phase      │  three-phase            Paxos
//!                          aborted, told  Deciding ◀─────┴─▶ PreCommitting  or  Accepting
//!                                            │ durable         │ a quorum          │ a majority
//!                                            ▼                 ▼                   ▼
//!                                         Committing ──────── all ACKs ────────▶ Ended
//! ```
//!
//! The client is told when the transaction is decided and durable: at `done`, at `durable`,
//! when enough have accepted it, or in two-phase commit when all have voted YES, if all write
//! (`implicit`). A one-phase transaction that only read is Deciding, too:
//! its shard has nothing of it. `low_water` is the smallest `h`
//! of a transaction whose participants may still have to begin, or whose outcome
//! only its participants have durably, as far as is known; shards refuse what lies below it, so a
//! message that was long on its way can not begin a transaction again.

pub mod counts;
pub mod implicit;
pub mod last_agent;
pub mod one_phase;
mod paxos_commit;
pub mod tally;
pub mod three_phase;
pub mod two_phase;

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_common::commit::{Protocol, Rule, Say, Stable};
use synod_common::error::Reason;
use synod_common::id::{Incarnation, Peer, RequestId, ShardId, TxnId};
use synod_common::message::client::{Outcome, Part};
use synod_common::message::commit::Terms;
use synod_common::message::paxos::Bundle;
use synod_common::message::{ClientReply, ClientRequest};
use synod_common::node::{Lsn, Output};
use synod_common::time::{Mono, Now, Timestamp};

use crate::coordinator::Coordinator;
use crate::outcomes::Known;
use crate::paxos::Quorum;
use last_agent::LastAgent;
use tally::Tally;
use three_phase::PreCommitting;

/// A transaction between COMMIT and its end.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Drawn when the commit began; zero for one that was recovered, if that does not say.
    pub h: Timestamp,
    /// End of the window at that time; zero for one that was recovered.
    pub hi: Timestamp,
    /// Who waits for the outcome.
    pub waiting: Vec<(Peer, RequestId)>,
    /// The participants that are sites of three-phase commit, in the order of their
    /// numbers; none in other protocols.
    pub sites: Vec<ShardId>,
    /// When these decide.
    pub rule: Rule,
    /// Who has accepted the votes; in Paxos Commit only.
    pub quorum: Option<Quorum>,
    /// Whether the votes decide it, in two-phase commit.
    pub implicit: bool,
    /// The only writer, until all others have voted.
    pub last_agent: Option<Box<LastAgent>>,
    /// Whether it is not decided before it is sure that this coordinator has led when it began.
    pub unconfirmed: bool,
    /// How far it is.
    pub stage: Stage,
    /// Since when; none if it was so before a restart. For people.
    pub since: Option<Mono>,
}

/// How far a commit is.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Its only participant decides, or the only one that writes.
    OnePhase {
        /// The participant.
        shard: ShardId,
        /// The others, which have voted READ and keep their locks.
        read: Vec<ShardId>,
    },
    /// Votes are being collected.
    Preparing(Tally),
    /// The decision is on its way to the disk; nobody knows of it yet.
    Deciding {
        /// The commit timestamp.
        at: Timestamp,
        /// Who must acknowledge.
        yes: Vec<ShardId>,
        /// Who holds read locks.
        read: Vec<ShardId>,
    },
    /// All voted for it; its sites are to accept that.
    PreCommitting(Box<PreCommitting>),
    /// All voted for it; a majority of the coordinators is to accept that.
    Accepting(Box<Bundle>),
    /// Not all voted, as far as is known; that it is given up is on its way to the disk.
    GivingUp {
        /// Who takes part.
        shards: Vec<ShardId>,
        /// Why.
        reason: Reason,
    },
    /// Decided; these have not acknowledged yet.
    Committing {
        /// The commit timestamp.
        at: Timestamp,
        /// Who has not acknowledged.
        unacknowledged: Vec<ShardId>,
    },
}

/// What is to happen once the log is durable up to an LSN.
#[derive(Clone, Debug)]
pub enum Then {
    /// The decision of this transaction may be told.
    Tell(TxnId),
    /// The outcome of this transaction needs its shards no longer.
    Over(Timestamp, TxnId),
    /// Shards may be told of this safe point.
    Prune(Timestamp),
    /// All sites of this transaction have acknowledged it.
    Settled(TxnId),
    /// So much of the own site of this transaction is durable.
    Keep(TxnId, Stable),
    /// The own site of this transaction hears itself.
    Hear(TxnId, Say),
    /// Nobody commits this transaction any more.
    GiveUp(TxnId),
    /// All that was accepted in Paxos Commit and began before this is decided by the log.
    Mark(Timestamp),
    /// All that was voted on in two-phase commit and began before this is.
    Decided(Timestamp),
}

/// A part of a COMMIT with its reads and writes.
#[derive(Clone, Debug)]
pub struct PartWrites {
    /// The shard that it is for.
    pub shard: ShardId,
    incarnation: Option<Incarnation>,
    read_bytes: u32,
    writes: Bytes,
}

impl Commit {
    /// How it is committed, if several shards take part.
    pub fn protocol(&self) -> Protocol {
        match (&self.sites[..], &self.quorum) {
            ([], None) => Protocol::TwoPhase,
            ([], Some(quorum)) if quorum.is_faster() => Protocol::FasterPaxosCommit,
            ([], Some(_)) => Protocol::PaxosCommit,
            ([_, ..], _) => self.rule.into(),
        }
    }

    /// One of before a restart, or of an earlier leader.
    pub fn recovered(h: Timestamp, stage: Stage) -> Commit {
        Commit {
            h,
            hi: Timestamp::ZERO,
            waiting: Vec::new(),
            sites: Vec::new(),
            rule: Rule::default(),
            quorum: None,
            implicit: false,
            last_agent: None,
            unconfirmed: false,
            stage,
            since: None,
        }
    }
}

/// Those of the participants that are sites: in three-phase commit whoever writes.
fn sites(protocol: Protocol, parts: &[PartWrites]) -> Vec<ShardId> {
    match protocol.rule() {
        Some(_) => parts.iter().filter(|part| part.has_writes()).map(|part| part.shard).collect(),
        None => Vec::new(),
    }
}

impl PartWrites {
    pub(super) fn has_writes(&self) -> bool {
        self.writes.len() > self.read_bytes as usize
    }
}

impl Coordinator {
    /// A client wants `txn` committed.
    pub(crate) fn commit(
        &mut self,
        now: Now,
        from: (Peer, RequestId),
        (txn, terms): (TxnId, Terms),
        parts: &[Part],
        writes: Bytes,
        out: &mut Output,
    ) {
        if let Some(commit) = self.commits.get_mut(&txn) {
            if let Stage::Committing { at, .. } = commit.stage {
                out.send(from.0, from.1, ClientReply::Outcome(Outcome::Committed(at)));
            } else if !commit.waiting.contains(&from) && commit.waiting.len() < 16 {
                commit.waiting.push(from);
            }
            return;
        }
        // Of an older epoch, or so old that it may be forgotten: it can not begin
        // any more, but it may have committed.
        if txn.session.epoch != self.epoch || self.outcomes.get(txn) != Known::NotCommitted {
            return self.outcome(from, txn, out);
        }
        let frame_bytes = writes.len();
        let mut parts = match self.admit(txn, terms.protocol, parts, writes) {
            Ok(parts) => parts,
            Err(reason) => {
                self.sessions.over(txn, reason.clone());
                out.send(from.0, from.1, ClientReply::Outcome(Outcome::Aborted(reason)));
                return;
            }
        };
        let h = self.oracle.draw(now).expect("requests wait while the window is used up");
        let hi = self.oracle.hi();
        self.unfinished.insert((h, txn));
        self.stats.begun += 1;
        let (waiting, since) = (vec![from], Some(now.mono));
        let last_agent = self.last_agent((txn, terms), &mut parts, frame_bytes);
        let shards: Vec<ShardId> = parts.iter().map(|part| part.shard).collect();
        let mut commit = Commit {
            hi,
            waiting,
            since,
            ..Commit::recovered(h, Stage::Preparing(Tally::new(&shards)))
        };
        match (&parts[..], last_agent) {
            ([part], None) => {
                commit.stage = Stage::OnePhase { shard: part.shard, read: Vec::new() };
                self.commits.insert(txn, commit);
                let when = (h, hi, Timestamp::ZERO);
                return self.begin_one_phase(now, (txn, terms), when, part, out);
            }
            (_, None) => {
                commit.sites = sites(terms.protocol, &parts);
                commit.rule = terms.protocol.rule().unwrap_or_default();
                commit.quorum = self.quorum(terms.protocol, h);
                self.leave_to_votes(txn, &mut commit, &parts);
            }
            (_, Some((last, is_sure))) => {
                (commit.last_agent, commit.unconfirmed) = (Some(last), !is_sure);
            }
        }
        self.commits.insert(txn, commit);
        self.prepare(now, (txn, terms), h, &shards, parts, out);
    }

    /// Whether a COMMIT may begin; splits its writes.
    fn admit(
        &mut self,
        txn: TxnId,
        protocol: Protocol,
        parts: &[Part],
        mut writes: Bytes,
    ) -> Result<Vec<PartWrites>, Reason> {
        self.sessions.check(txn)?;
        if protocol == Protocol::ClassicalThreePhase && !self.settings.unsafe_classical_3pc {
            return Err(Reason::UnsafeProtocol);
        }
        if self.commits.len() >= self.settings.max_commits || !self.has_room {
            return Err(Reason::Overloaded);
        }
        let bytes = |part: &Part| part.read_bytes as usize + part.write_bytes as usize;
        let total: usize = parts.iter().map(bytes).sum();
        if parts.is_empty() || total != writes.len() {
            return Err(Reason::Malformed);
        }
        let mut split: BTreeMap<ShardId, PartWrites> = BTreeMap::new();
        for part in parts {
            let &Part { shard, incarnation, read_bytes, .. } = part;
            if !self.members.contains(shard) {
                return Err(Reason::StaleMap);
            }
            if !self.members.is_joined(shard) {
                return Err(Reason::NotReady);
            }
            let writes = writes.split_to(bytes(part));
            let part = PartWrites { shard, incarnation, read_bytes, writes };
            if split.insert(shard, part).is_some() {
                return Err(Reason::Malformed);
            }
        }
        Ok(split.into_values().collect())
    }

    /// Somebody wants to know what became of `txn`. If no commit of it is in
    /// progress, it is fenced: a COMMIT that arrives later is refused.
    pub(crate) fn outcome(&mut self, from: (Peer, RequestId), txn: TxnId, out: &mut Output) {
        // A name that was not given yet may still be given, and then commit.
        if !self.sessions.was_granted(txn.session, self.epoch) {
            return out.send(from.0, from.1, ClientReply::Refused(Reason::Malformed));
        }
        let outcome = self.outcome_of(txn);
        if let Outcome::Aborted(reason) = &outcome {
            self.sessions.over(txn, reason.clone());
        }
        out.send(from.0, from.1, ClientReply::Outcome(outcome));
    }

    fn outcome_of(&self, txn: TxnId) -> Outcome {
        match self.commits.get(&txn).map(|commit| &commit.stage) {
            Some(Stage::Committing { at, .. }) => return Outcome::Committed(*at),
            Some(
                Stage::OnePhase { .. }
                | Stage::Preparing(_)
                | Stage::Deciding { .. }
                | Stage::PreCommitting(_)
                | Stage::Accepting(_)
                | Stage::GivingUp { .. },
            ) => return Outcome::Undecided,
            None => {}
        }
        match self.outcomes.get(txn) {
            Known::Committed(at) => Outcome::Committed(at),
            Known::Forgotten => Outcome::Unknown,
            Known::NotCommitted if txn.session.epoch == self.epoch => {
                let reason = self.sessions.check(txn).err().unwrap_or(Reason::Fenced);
                Outcome::Aborted(reason)
            }
            // Of an epoch before a restart: a shard that has not joined since
            // may be the only one that knows of a one-phase commit.
            Known::NotCommitted if self.members.all_heard() => Outcome::Aborted(Reason::Presumed),
            Known::NotCommitted => Outcome::Undecided,
        }
    }

    /// Ends a transaction that did not commit.
    fn aborted(&mut self, txn: TxnId, reason: Reason, out: &mut Output) {
        let Some(commit) = self.commits.remove(&txn) else { return };
        self.unfinished.remove(&(commit.h, txn));
        // Unless another window was opened in the meantime.
        if reason == Reason::WindowPassed && commit.hi == self.oracle.hi() {
            self.oracle.close();
        }
        self.stats.aborted.add(&commit);
        self.sessions.over(txn, reason.clone());
        let reply = ClientReply::Outcome(Outcome::Aborted(reason));
        for (peer, request) in commit.waiting {
            out.send(peer, request, reply.clone());
        }
    }

    /// Whether `txn` waits for its only participant.
    pub(crate) fn is_one_phase(&self, txn: TxnId) -> bool {
        let stage = self.commits.get(&txn).map(|commit| &commit.stage);
        matches!(stage, Some(Stage::OnePhase { .. }))
    }

    /// Whether votes on `txn` are missing.
    pub(crate) fn is_preparing(&self, txn: TxnId) -> bool {
        let stage = self.commits.get(&txn).map(|commit| &commit.stage);
        matches!(stage, Some(Stage::Preparing(_)))
    }

    /// No commit that began below this begins again anywhere.
    pub(crate) fn low_water(&self) -> Timestamp {
        self.unfinished.first().map_or(self.oracle.last().next(), |(h, _)| *h)
    }

    /// Carries out what waited for the log.
    pub(crate) fn log_durable(&mut self, now: Now, lsn: Lsn, out: &mut Output) {
        while self.then.front().is_some_and(|(at, _)| *at <= lsn) {
            match self.then.pop_front() {
                Some((_, Then::Tell(txn))) => self.tell(now, txn, out),
                Some((_, Then::Over(h, txn))) => {
                    self.unfinished.remove(&(h, txn));
                }
                Some((_, Then::Prune(at))) => self.publish_safe_point(at, out),
                Some((_, Then::Settled(txn))) => {
                    self.unsettled.remove(&txn);
                }
                Some((_, Then::Keep(txn, stable))) => {
                    if let Some(Commit { stage: Stage::PreCommitting(pre), .. }) =
                        self.commits.get_mut(&txn)
                    {
                        pre.kept = Some(stable);
                    }
                }
                Some((_, Then::Hear(txn, say))) => self.site_heard_itself(now, txn, say, out),
                Some((_, Then::GiveUp(txn))) => self.given_up(txn, out),
                Some((_, Then::Mark(below))) => self.paxos.raise(below),
                Some((_, Then::Decided(below))) => self.votes_over(below, out),
                None => {}
            }
        }
    }

    /// Replies to a request that may have to wait for a window.
    pub(crate) fn timestamp(&mut self, now: Now, from: (Peer, RequestId), out: &mut Output) {
        let drawn = self.oracle.draw(now).expect("requests wait while the window is used up");
        out.send(from.0, from.1, ClientReply::Timestamp(drawn));
    }

    /// Handles what came while the window was used up.
    pub(crate) fn unpark(&mut self, now: Now, out: &mut Output) {
        while self.oracle.can_draw() {
            let Some((from, request)) = self.parked.pop_front() else { return };
            self.client_request(now, from, request, out);
        }
    }

    /// Whether the request must wait for a window, or for those that do.
    pub(crate) fn must_park(&self, request: &ClientRequest) -> bool {
        let ordered = matches!(
            request,
            ClientRequest::Commit { .. }
                | ClientRequest::Timestamp
                | ClientRequest::OpenSession
                | ClientRequest::Outcome { .. }
        );
        ordered && (!self.parked.is_empty() || !self.oracle.can_draw())
    }
}
