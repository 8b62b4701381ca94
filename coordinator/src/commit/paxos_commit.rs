//! Paxos Commit: the leader's side. Participants propose their votes to the acceptors, of
//! which the leader is one; it counts the votes as in two-phase commit, and who has
//! accepted all of them (`crate::paxos`).
//!
//! | in state   | on                        | do                                               | next      |
//! |------------|---------------------------|--------------------------------------------------|-----------|
//! | –          | COMMIT                    | draw `h`; PREPARE(h, hi, acceptors) to all       | Preparing |
//! | Preparing  | YES(m), READ(m), not last | count                                            | Preparing |
//! | Preparing  | the last vote             | oracle past `commit_ts`                          | Accepting |
//! | Preparing  | a NO                      | ABORT once to all others; tell the client        | –         |
//! | Preparing  | time-out, link lost       | *force* GivenUp                                  | GivingUp  |
//! | any        | ACCEPTED                  | count                                            | the same  |
//! | Accepting  | a majority has accepted   | log Committed (not forced); tell the client; COMMIT to YES, RELEASE to READ | Committing, or – if none voted YES |
//! | Accepting  | an acceptor is missed     | FORWARD to those that have not accepted          | Accepting |
//! | GivingUp   | log durable               | ABORT to all; tell the client                    | –         |
//! | any        | INQUIRE                   | as in two-phase commit                           | the same  |
//!
//! Only the leader of its epoch counts who has accepted a transaction. So once it has
//! decided to give it up, nobody commits it in this epoch; and a later leader finds that in
//! the log. With all votes in its hands it never gives up: what it has, a majority gets.
//!
//! The acceptors that participants are told of are as few as decide, those that have answered
//! lately; others are asked by the leader when one of these is missed.

use synod_common::commit::Protocol;
use synod_common::error::Reason;
use synod_common::id::{CoordinatorId, Peer, RequestId, TxnId};
use synod_common::message::commit::Decision;
use synod_common::message::paxos::Bundle;
use synod_common::message::{CommitMessage, PaxosMessage};
use synod_common::node::{Lsn, Output};
use synod_common::time::{Now, Timestamp};

use super::{Commit, Stage, Then};
use crate::coordinator::{Coordinator, Deadline, Serving};
use crate::mutant::mutated;
use crate::outcomes::Known;
use crate::paxos::Quorum;
use crate::paxos::takeover::Found;
use crate::record::Record;

const NO_REPLY: RequestId = RequestId(0);

impl Coordinator {
    /// Who is to accept a transaction, if it is committed so: alone, a coordinator is its own
    /// majority, and Paxos Commit is two-phase commit.
    pub(super) fn quorum(&mut self, protocol: Protocol, h: Timestamp) -> Option<Quorum> {
        let by_paxos = match protocol {
            Protocol::Auto | Protocol::PaxosCommit => !self.is_alone(),
            Protocol::TwoPhase | Protocol::ThreePhase | Protocol::ClassicalThreePhase => false,
        };
        by_paxos.then(|| {
            self.paxos.newest = h;
            Quorum::of(self.acceptors.clone())
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
        quorum.accept(member);
        self.count_acceptances(now, txn, out);
    }

    fn count_acceptances(&mut self, now: Now, txn: TxnId, out: &mut Output) {
        let members = self.settings.group.len();
        let Some(Commit { stage: Stage::Accepting(bundle), quorum: Some(quorum), .. }) =
            self.commits.get(&txn)
        else {
            return;
        };
        if quorum.is_reached(members) || mutated!(self, AcceptedByOne) {
            let bundle = Bundle::clone(bundle);
            out.append(&Record::committed(txn, bundle.at, &bundle.yes));
            self.decided(bundle);
            self.tell(now, txn, out);
        }
    }

    fn decided(&mut self, bundle: Bundle) {
        let Bundle { txn, at, yes, read, .. } = bundle;
        if let Some(commit) = self.commits.get_mut(&txn) {
            commit.stage = Stage::Deciding { at, yes, read };
        }
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
        let lsn = out.force(&Record::GivenUp { txn, h: commit.h });
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
        self.paxos.given_up.insert((commit.h, txn));
        self.aborted(txn, reason.clone(), out);
    }

    /// Too few have accepted it: asks all the others, again or for the first time.
    pub(crate) fn forward_again(&mut self, now: Now, txn: TxnId, out: &mut Output) {
        let Some(Commit { stage: Stage::Accepting(bundle), quorum: Some(quorum), .. }) =
            self.commits.get_mut(&txn)
        else {
            return;
        };
        for member in self.settings.group.iter().map(|member| member.id) {
            quorum.ask(member);
            if member != self.settings.id && !quorum.accepted().contains(&member) {
                let message = PaxosMessage::Forward(Bundle::clone(bundle));
                out.send(Peer::Coordinator(member), NO_REPLY, message);
            }
        }
        self.resend.push(now.mono, Deadline::Acceptances(txn));
    }

    /// Asks those of the acceptors that its participants were not told of.
    fn forward_to_others(&mut self, txn: TxnId, out: &mut Output) {
        let Some(Commit { stage: Stage::Accepting(bundle), quorum: Some(quorum), .. }) =
            self.commits.get_mut(&txn)
        else {
            return;
        };
        for &member in &self.acceptors {
            if quorum.ask(member) {
                let message = PaxosMessage::Forward(Bundle::clone(bundle));
                out.send(Peer::Coordinator(member), NO_REPLY, message);
            }
        }
    }

    /// These members are to accept from now on: as many as decide.
    pub(crate) fn set_acceptors(&mut self, acceptors: Vec<CoordinatorId>, out: &mut Output) {
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
            self.commits.insert(txn, Commit::recovered(h, stage));
            self.then.push_back((lsn, Then::Tell(txn)));
        }
        // All that comes from now on begins above the window.
        let lsn = self.log_decided(self.oracle.last(), out);
        self.serving = Serving::After(lsn);
    }

    /// Tells the other members what is decided, if they may still keep some of it.
    pub(crate) fn tell_decided(&mut self, out: &mut Output) {
        let below = match mutated!(self, DecidedAhead) {
            true => self.oracle.last().next(),
            false => self.low_water(),
        };
        if self.paxos.written <= self.paxos.newest && below > self.paxos.written {
            self.log_decided(below, out);
        }
    }

    /// All that began before this is decided by the log.
    fn log_decided(&mut self, below: Timestamp, out: &mut Output) -> Lsn {
        let lsn = out.append(&Record::Decided { below });
        self.paxos.written = below;
        self.then.push_back((lsn, Then::Decided(below)));
        lsn
    }
}
