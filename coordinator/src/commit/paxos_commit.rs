//! Paxos Commit: the leader's side. Participants propose their votes to the acceptors, of
//! which the leader is one; it counts the votes as in two-phase commit, and who has
//! accepted all of them (`crate::paxos`).
//!
//! | in state   | on                        | do                                               | next      |
//! |------------|---------------------------|--------------------------------------------------|-----------|
//! | –          | COMMIT                    | draw `h`; PREPARE(h, hi, acceptors) to all       | Preparing |
//! | Preparing  | YES(m), READ(m), not last | count                                            | Preparing |
//! | Preparing  | the last vote             | oracle past `commit_ts`; hand all to the own acceptor | Accepting |
//! | Preparing  | a NO                      | ABORT once to all others; tell the client        | –         |
//! | Preparing  | time-out, link lost, WOUND | *force* GivenUp                                  | GivingUp  |
//! | any        | ACCEPTED                  | count                                            | the same  |
//! | Accepting  | a majority has accepted   | log Committed (not forced); tell the client; COMMIT to YES, RELEASE to READ | Committing, or – if none voted YES |
//! | Accepting  | ACK, in the faster form   | the same: a participant has counted first         | Committing |
//! | Accepting  | an acceptor is missed     | FORWARD to those that have not accepted          | Accepting |
//! | –          | new epoch: found accepted | *force* Committed                                | Deciding  |
//! | Deciding   | log durable               | as in two-phase commit                           | Committing, or – if none voted YES |
//! | GivingUp   | log durable               | ABORT to all; tell the client                    | –         |
//! | any        | INQUIRE                   | as in two-phase commit                           | the same  |
//!
//! Only the leader of its epoch counts who has accepted a transaction. So once it has
//! decided to give it up, nobody commits it in this epoch; and a later leader finds that in
//! the log. With all votes in its hands it never gives up: what it has, a majority gets.
//!
//! In the faster form acceptors tell the participants, too, and an acknowledgement may be the
//! first that the leader hears of the decision; what it adopts from it is the same.
//!
//! The acceptors that participants are told of are as few as decide, those that have answered
//! lately; others are asked by the leader when one of these is missed.

use std::time::Duration;

use synod_common::commit::Protocol;
use synod_common::error::Reason;
use synod_common::id::{CoordinatorId, Peer, RequestId, ShardId, TxnId};
use synod_common::message::commit::Decision;
use synod_common::message::paxos::Bundle;
use synod_common::message::{CommitMessage, PaxosMessage};
use synod_common::node::{Lsn, Output};
use synod_common::time::{Now, Timestamp};

use super::{Commit, Stage, Then};
use crate::coordinator::{Coordinator, Deadline, Serving};
use crate::mutant::{mutated, planted};
use crate::outcomes::Known;
use crate::paxos::Quorum;
use crate::paxos::takeover::Found;
use crate::record::Record;

const NO_REPLY: RequestId = RequestId(0);
/// So long nobody relies on an acceptor that has not answered in time.
const MISSED: Duration = Duration::from_secs(5);

impl Coordinator {
    /// Who is to accept a transaction, if it is committed so: alone, a coordinator is its own
    /// majority, and Paxos Commit is two-phase commit.
    pub(super) fn quorum(&mut self, protocol: Protocol, h: Timestamp) -> Option<Quorum> {
        let by_paxos = match protocol {
            Protocol::Auto | Protocol::PaxosCommit | Protocol::FasterPaxosCommit => {
                !self.is_alone()
            }
            Protocol::TwoPhase | Protocol::ThreePhase | Protocol::ClassicalThreePhase => false,
        };
        by_paxos.then(|| {
            self.paxos.newest = h;
            let is_faster = protocol == Protocol::FasterPaxosCommit;
            planted!(self.settings, Paxos, Quorum::of(self.acceptors.clone(), is_faster))
        })
    }

    /// All participants have voted for it.
    pub(super) fn await_acceptance(
        &mut self,
        now: Now,
        txn: TxnId,
        bundle: Bundle,
        out: &mut Output,
    ) {
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        commit.stage = Stage::Accepting(Box::new(bundle));
        commit.since = Some(now.mono);
        self.resend.push(now.mono, Deadline::Acceptances(txn));
        self.forward_to_others(txn, out);
        self.forward_to(self.settings.id, txn, out);
        self.count_acceptances(now, txn, out);
    }

    /// A member has accepted all votes on `txn`.
    pub(crate) fn accepted(
        &mut self,
        now: Now,
        member: CoordinatorId,
        txn: TxnId,
        out: &mut Output,
    ) {
        let Some(Commit { quorum: Some(quorum), .. }) = self.commits.get_mut(&txn) else { return };
        if self.settings.group.iter().all(|known| known.id != member) {
            return;
        }
        let new = quorum.accept(member);
        if new && member == self.settings.id {
            self.tell_accepted(txn, out);
        }
        self.count_acceptances(now, txn, out);
    }

    /// In the faster form: tells the participants that its own acceptor has accepted it. Until
    /// then it may give the transaction up, whoever else has accepted it; so they wait for this.
    fn tell_accepted(&self, txn: TxnId, out: &mut Output) {
        let Some(Commit { stage: Stage::Accepting(bundle), quorum: Some(quorum), .. }) =
            self.commits.get(&txn)
        else {
            return;
        };
        for shard in bundle.participants().filter(|_| quorum.is_faster()) {
            let accepted = PaxosMessage::Accepted { txn, at: bundle.at };
            out.send(Peer::Shard(shard), NO_REPLY, accepted);
        }
    }

    /// In the faster form a participant may know of the decision first, from the acceptors.
    pub(super) fn decided_by_participant(
        &mut self,
        now: Now,
        shard: ShardId,
        txn: TxnId,
        out: &mut Output,
    ) {
        let Some(Commit { stage: Stage::Accepting(bundle), quorum: Some(quorum), .. }) =
            self.commits.get(&txn)
        else {
            return;
        };
        if quorum.is_faster() && bundle.yes.contains(&shard) {
            let bundle = Bundle::clone(bundle);
            self.commit_accepted(now, bundle, out);
        }
    }

    fn count_acceptances(&mut self, now: Now, txn: TxnId, out: &mut Output) {
        let members = self.settings.group.len();
        let Some(Commit { stage: Stage::Accepting(bundle), quorum: Some(quorum), .. }) =
            self.commits.get(&txn)
        else {
            return;
        };
        let is_reached = match mutated!(self, AcceptedByAll) {
            true => quorum.asked().iter().all(|asked| quorum.accepted().contains(asked)),
            false => quorum.is_reached(members),
        };
        if is_reached || mutated!(self, AcceptedByOne) {
            let bundle = Bundle::clone(bundle);
            self.commit_accepted(now, bundle, out);
        }
    }

    /// A majority has accepted it.
    fn commit_accepted(&mut self, now: Now, bundle: Bundle, out: &mut Output) {
        let Bundle { txn, at, yes, read, .. } = bundle;
        out.append(&Record::committed(txn, at, &yes));
        if let Some(commit) = self.commits.get_mut(&txn) {
            commit.stage = Stage::Deciding { at, yes, read };
        }
        self.tell(now, txn, out);
    }

    /// Not all votes are in, and this is not waited for any more.
    pub(super) fn give_up(&mut self, txn: TxnId, reason: Reason, out: &mut Output) {
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        let Stage::Preparing(tally) = &commit.stage else { return };
        let shards = tally.participants().collect();
        commit.stage = Stage::GivingUp { shards, reason };
        if mutated!(self, GivesUpUnlogged) {
            return self.given_up(txn, out);
        }
        let (h, by_paxos) = (commit.h, commit.quorum.is_some());
        let lsn = out.force(&match by_paxos {
            true => Record::GivenUp { txn, h },
            false => Record::Aborted { txn, h },
        });
        self.then.push_back((lsn, Then::GiveUp(txn)));
    }

    /// That is durable.
    pub(super) fn given_up(&mut self, txn: TxnId, out: &mut Output) {
        let Some(commit) = self.commits.get(&txn) else { return };
        let Stage::GivingUp { shards, reason } = &commit.stage else { return };
        for &shard in shards {
            let message = CommitMessage::Decide { txn, decision: Decision::Abort };
            out.send(Peer::Shard(shard), NO_REPLY, message);
        }
        match commit.quorum {
            Some(_) => self.paxos.give_up(txn, commit.h),
            None => self.voted.give_up(txn, commit.h),
        }
        self.aborted(txn, reason.clone(), out);
    }

    /// Too few have accepted it: asks all who have not, again or for the first time. Who was
    /// asked, and did not answer in time, is not relied on for a while.
    pub(crate) fn forward_again(&mut self, now: Now, txn: TxnId, out: &mut Output) {
        let Some(Commit { stage: Stage::Accepting(_), quorum: Some(quorum), .. }) =
            self.commits.get_mut(&txn)
        else {
            return;
        };
        let members = self.settings.group.iter().map(|member| member.id);
        let missing: Vec<CoordinatorId> =
            members.filter(|member| !quorum.accepted().contains(member)).collect();
        for &member in &missing {
            if !quorum.ask(member) {
                self.missed.insert(member, now.mono);
            }
        }
        quorum.forward();
        for member in missing {
            self.forward_to(member, txn, out);
        }
        self.resend.push(now.mono, Deadline::Acceptances(txn));
    }

    fn forward_to(&self, member: CoordinatorId, txn: TxnId, out: &mut Output) {
        let stage = self.commits.get(&txn).map(|commit| &commit.stage);
        if let Some(Stage::Accepting(bundle)) = stage {
            let message = PaxosMessage::Forward(Bundle::clone(bundle));
            out.send(Peer::Coordinator(member), NO_REPLY, message);
        }
    }

    /// Asks those of the acceptors that its participants were not told of.
    fn forward_to_others(&mut self, txn: TxnId, out: &mut Output) {
        let Some(Commit { quorum: Some(quorum), .. }) = self.commits.get_mut(&txn) else { return };
        let new = self.acceptors.iter().copied().filter(|member| quorum.ask(*member));
        for member in new.collect::<Vec<_>>() {
            self.forward_to(member, txn, out);
        }
    }

    /// These other members have been heard of lately. As few of them accept from now on as
    /// decide; all do if too few can be relied on.
    pub(crate) fn choose_acceptors(
        &mut self,
        now: Now,
        heard: &[CoordinatorId],
        has_room: bool,
        out: &mut Output,
    ) {
        self.has_room = has_room;
        self.missed.retain(|_, since| now.mono.since(*since) < MISSED);
        let missed = &self.missed;
        let good = heard.iter().filter(|member| !missed.contains_key(member)).copied();
        // One more in place of this one, if its own disk stands still.
        let mut others = self.settings.group.len() / 2;
        others += usize::from(missed.contains_key(&self.settings.id));
        let mut acceptors: Vec<CoordinatorId> =
            [self.settings.id].into_iter().chain(good.take(others)).collect();
        if acceptors.len() <= others {
            acceptors = self.settings.group.iter().map(|member| member.id).collect();
        }
        if self.acceptors == acceptors {
            return;
        }
        self.acceptors = acceptors;
        let open = self.commits.iter();
        let open = open.filter(|(_, commit)| matches!(commit.stage, Stage::Accepting(_)));
        let open: Vec<TxnId> = open.map(|(txn, _)| *txn).collect();
        for txn in open {
            self.forward_to_others(txn, out);
        }
    }

    /// What was accepted before this epoch began is decided, once and for all.
    pub(crate) fn take_over(&mut self, found: Found, out: &mut Output) {
        let found = if mutated!(self, TakesOverNothing) { Found::default() } else { found };
        for bundle in found.undecided(&self.paxos) {
            let (txn, h) = (bundle.txn, bundle.h);
            if self.outcomes.get(txn) == Known::Committed(bundle.at) {
                continue;
            }
            let lsn = out.force(&Record::committed(txn, bundle.at, &bundle.yes));
            let stage = Stage::Deciding { at: bundle.at, yes: bundle.yes, read: bundle.read };
            self.unfinished.insert((h, txn));
            let quorum = Some(Quorum::default());
            self.commits.insert(txn, Commit { quorum, ..Commit::recovered(h, stage) });
            if !mutated!(self, FoundNotTold) {
                self.then.push_back((lsn, Then::Tell(txn)));
            }
        }
        // All that comes from now on begins above the window.
        let lsn = self.log_mark(self.oracle.last(), out);
        self.serving = Serving::After(lsn);
    }

    /// All that began before this is decided, in Paxos Commit or else in two-phase commit; there
    /// it has been acknowledged, too, as shards that remember it tell it to those in doubt. What
    /// is committed otherwise, and may take for ever, is not looked at: nobody has votes of it.
    pub(super) fn oldest_open(&self, by_paxos: bool) -> Timestamp {
        let is_open = |commit: &&Commit| match &commit.stage {
            Stage::Preparing(_)
            | Stage::Accepting(_)
            | Stage::GivingUp { .. }
            | Stage::Deciding { .. } => commit.quorum.is_some() == by_paxos,
            Stage::Committing { .. } => {
                !by_paxos && commit.quorum.is_none() && commit.sites.is_empty()
            }
            Stage::OnePhase { .. } | Stage::PreCommitting(_) => false,
        };
        let open = self.commits.values().filter(is_open).map(|commit| commit.h).min();
        open.unwrap_or(self.oracle.last().next())
    }

    /// Tells the other members what is decided, if they may still keep some of it.
    pub(crate) fn tell_mark(&mut self, out: &mut Output) {
        let below = match mutated!(self, DecidedAhead) {
            true => self.oracle.last().next(),
            false => self.oldest_open(true),
        };
        if self.paxos.written <= self.paxos.newest && below > self.paxos.written {
            self.log_mark(below, out);
        }
    }

    /// All that began before this is decided by the log.
    fn log_mark(&mut self, below: Timestamp, out: &mut Output) -> Lsn {
        let lsn = out.append(&Record::Mark { below });
        self.paxos.written = below;
        self.then.push_back((lsn, Then::Mark(below)));
        lsn
    }
}
