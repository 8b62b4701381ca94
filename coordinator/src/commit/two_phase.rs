//! Two-phase commit, presumed abort.
//!
//! | in state   | on                  | do                                               | next       |
//! |------------|---------------------|--------------------------------------------------|------------|
//! | –          | COMMIT              | draw `h`; PREPARE(h, hi) to all                  | Preparing  |
//! | Preparing  | YES(m), READ(m)     | count; `commit_ts = max m`                       | Preparing  |
//! | Preparing  | last vote; all write | oracle past `commit_ts`; log Committed (not forced); tell the client; COMMIT to all | Committing |
//! | Preparing  | last vote, some YES, some READ | oracle past `commit_ts`; *force* Committed | Deciding |
//! | Preparing  | last vote, all READ | oracle past `commit_ts`; *force* Outcome         | Deciding   |
//! | Preparing  | NO                  | ABORT once to all others; tell the client        | –          |
//! | Preparing  | an impossible vote, time-out, link lost, WOUND; all write | *force* Aborted | GivingUp |
//! | Preparing  | the same; some only read | ABORT once to all; tell the client | –          |
//! | GivingUp   | log durable         | ABORT once to all; tell the client               | –          |
//! | Deciding   | log durable         | tell the client; COMMIT to YES, RELEASE to READ  | Committing, or – if none voted YES |
//! | Committing | ACK, not the last   |                                                  | Committing |
//! | Committing | last ACK            | log Ended (not forced)                           | –          |
//! | Committing | resend time         | COMMIT to those that owe an ACK                  | Committing |
//! | –          | new epoch: Committed without Ended | COMMIT to all that voted YES      | Committing |
//! | –          | new epoch: votes that shards tell | see `implicit`                     | Preparing, Deciding |
//! | any        | INQUIRE             | Preparing, GivingUp, Deciding: silence. Committing: COMMIT | |
//! | –          | INQUIRE about an older epoch, of a shard that has not joined | silence | |
//! | –          | INQUIRE             | the outcome, or FORGOTTEN                        | –          |
//! | –          | late vote           | nothing                                          | –          |
//!
//! Sources: Mohan, Lindsay, Obermarck 1986 §3.1 (presumed abort). Departures:
//! votes carry the commit timestamp; READ voters keep their locks until RELEASE; all votes are
//! the decision, if all participants write.

use synod_common::commit::Protocol;
use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, ShardId, TxnId};
use synod_common::message::client::Outcome;
use synod_common::message::commit::{Decision, Terms, Vote};
use synod_common::message::paxos::Bundle;
use synod_common::message::{ClientReply, CommitMessage};
use synod_common::node::Output;
use synod_common::time::{Now, Timestamp};

use super::tally::Tally;
use super::{Commit, PartWrites, Stage, Then};
use crate::coordinator::{Coordinator, Deadline};
use crate::mutant::mutated;
use crate::outcomes::Known;
use crate::paxos::Quorum;
use crate::record::Record;

const NO_REPLY: RequestId = RequestId(0);

impl Coordinator {
    /// Asks all participants for their votes. In three-phase commit they hear of the sites
    /// only.
    pub(super) fn prepare(
        &mut self,
        now: Now,
        (txn, terms): (TxnId, Terms),
        h: Timestamp,
        shards: &[ShardId],
        parts: Vec<PartWrites>,
        out: &mut Output,
    ) {
        self.votes_due.push(now.mono, txn);
        let (hi, low_water) = (self.oracle.hi(), self.low_water());
        let Some(commit) = self.commits.get(&txn) else { return };
        // Before a last agent nobody takes part in any protocol.
        let protocol = commit.last_agent.as_ref().map_or(commit.protocol(), |_| Protocol::Auto);
        let terms = Terms { protocol, ..terms };
        self.settled.due |= !commit.sites.is_empty();
        let participants = match &commit.sites[..] {
            [] => shards,
            sites => sites,
        };
        let acceptors = commit.quorum.as_ref().map_or(&[][..], Quorum::asked);
        for part in parts {
            let message = CommitMessage::Prepare {
                txn,
                h,
                hi,
                incarnation: part.incarnation,
                low_water,
                participants: participants.to_vec(),
                acceptors: acceptors.to_vec(),
                implicit: commit.implicit,
                terms,
                read_bytes: part.read_bytes,
                writes: part.writes,
            };
            out.send(Peer::Shard(part.shard), NO_REPLY, message);
        }
    }

    /// A participant voted.
    pub(crate) fn vote(
        &mut self,
        now: Now,
        shard: ShardId,
        txn: TxnId,
        vote: Vote,
        out: &mut Output,
    ) {
        // A late one has been told, or will ask. What is of an older epoch was told with a join.
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        if txn.session.epoch != self.epoch {
            return;
        }
        let Stage::Preparing(tally) = &mut commit.stage else { return };
        let in_window = commit.h..commit.hi;
        match vote {
            Vote::No(reason) => return self.abort_preparing(txn, Some(shard), reason, out),
            Vote::Yes(at) | Vote::Read(at) if !in_window.contains(&at) => {
                return self.abort_preparing(txn, None, Reason::Malformed, out);
            }
            Vote::Yes(_) | Vote::Read(_) => {}
        }
        let vote = match vote {
            Vote::Yes(_) if mutated!(self, YesLeftOut) => Vote::Yes(Timestamp::ZERO),
            Vote::Read(_) if mutated!(self, ReadLeftOut) => Vote::Read(Timestamp::ZERO),
            vote => vote,
        };
        if tally.count(shard, &vote) {
            self.all_voted(now, txn, out);
        }
    }

    /// This coordinator led when the transaction began.
    pub(crate) fn leading_confirmed(&mut self, now: Now, txn: TxnId, out: &mut Output) {
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        commit.unconfirmed = false;
        if let Stage::Preparing(tally) = &commit.stage
            && tally.is_complete()
        {
            self.all_voted(now, txn, out);
        }
    }

    /// All voted for it.
    pub(super) fn all_voted(&mut self, now: Now, txn: TxnId, out: &mut Output) {
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        if commit.unconfirmed {
            return;
        }
        let Stage::Preparing(tally) = &mut commit.stage else { return };
        let (at, yes, read) = std::mem::replace(tally, Tally::new(&[])).result();
        let (h, protocol) = (commit.h, commit.protocol());
        let implicit = commit.implicit && read.is_empty();
        if let Some(last) = self.take_last_agent(txn) {
            return self.hand_over(now, txn, &last, (at, read), out);
        }
        if yes.is_empty() || !mutated!(self, AdvancesLate) {
            self.advance(at);
        }
        match protocol {
            Protocol::Auto | Protocol::TwoPhase => {}
            Protocol::ThreePhase | Protocol::ClassicalThreePhase => {
                return self.pre_commit(now, txn, at, read, out);
            }
            Protocol::PaxosCommit | Protocol::FasterPaxosCommit => {
                let bundle = Bundle { txn, h, at, yes, read };
                return self.await_acceptance(now, txn, bundle, out);
            }
        }
        if implicit || (mutated!(self, ReadersImplicit) && !yes.is_empty()) {
            return self.commit_by_votes(now, txn, at, yes, out);
        }
        // Without writes nobody acknowledges, but what is told must still survive.
        let lsn = out.force(&Record::committed(txn, at, &yes));
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        commit.stage = Stage::Deciding { at, yes, read };
        commit.since = Some(now.mono);
        self.then.push_back((lsn, Then::Tell(txn)));
    }

    /// The decision is durable.
    pub(super) fn tell(&mut self, now: Now, txn: TxnId, out: &mut Output) {
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        if matches!(commit.stage, Stage::Deciding { .. }) {
            self.stats.committed.add(commit);
        }
        let Stage::Deciding { at, yes, read } = &mut commit.stage else { return };
        let (at, yes, read) = (*at, std::mem::take(yes), std::mem::take(read));
        for (peer, request) in std::mem::take(&mut commit.waiting) {
            out.send(peer, request, ClientReply::Outcome(Outcome::Committed(at)));
        }
        let by_acceptors = commit.quorum.as_ref().is_some_and(Quorum::tells_participants);
        for &shard in yes.iter().filter(|_| !by_acceptors) {
            let message = CommitMessage::Decide { txn, decision: Decision::Commit(at) };
            out.send(Peer::Shard(shard), NO_REPLY, message);
        }
        // Every participant has voted: none begins again below the mark.
        self.unfinished.remove(&(commit.h, txn));
        if mutated!(self, SettledWhenTold) {
            self.unsettled.remove(&txn);
        }
        self.outcomes.insert(txn, at);
        if yes.is_empty() {
            self.commits.remove(&txn);
        } else {
            commit.stage = Stage::Committing { at, unacknowledged: yes };
            commit.since = Some(now.mono);
            // The deadline of a pre-commit stays.
            if commit.sites.is_empty() {
                self.resend.push(now.mono, Deadline::Acks(txn));
            }
        }
        if !by_acceptors {
            self.release(txn, at, &read, out);
        }
    }

    pub(super) fn release(&self, txn: TxnId, at: Timestamp, shards: &[ShardId], out: &mut Output) {
        for &shard in shards {
            out.send(Peer::Shard(shard), NO_REPLY, CommitMessage::Release { txn, at });
        }
    }

    /// A participant has made the commit durable.
    pub(crate) fn acknowledged(&mut self, now: Now, shard: ShardId, txn: TxnId, out: &mut Output) {
        self.decided_by_participant(now, shard, txn, out);
        if mutated!(self, AdvancesLate)
            && let Known::Committed(at) = self.outcomes.get(txn)
        {
            self.advance(at);
        }
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        let Stage::Committing { unacknowledged, .. } = &mut commit.stage else { return };
        unacknowledged.retain(|missing| *missing != shard);
        if unacknowledged.is_empty() {
            let lsn = out.append(&Record::Ended { txn });
            if mutated!(self, SettledBeforeEnd) {
                self.unsettled.remove(&txn);
            }
            if !commit.sites.is_empty() {
                self.then.push_back((lsn, Then::Settled(txn)));
            }
            self.commits.remove(&txn);
        }
    }

    /// Aborts a transaction that is not decided. Participants hear it once, but for the
    /// one that voted NO; one that does not will ask. If nobody voted NO, all votes may be
    /// YES somewhere: then it is given up first.
    pub(crate) fn abort_preparing(
        &mut self,
        txn: TxnId,
        voted_no: Option<ShardId>,
        reason: Reason,
        out: &mut Output,
    ) {
        let last = self.take_last_agent(txn).map(|last| last.part.shard);
        let Some(commit) = self.commits.get(&txn) else { return };
        let Stage::Preparing(tally) = &commit.stage else { return };
        // Of an older epoch: only the votes decide it.
        if txn.session.epoch != self.epoch {
            return;
        }
        if voted_no.is_none() && commit.may_be_decided() {
            return self.give_up(txn, reason, out);
        }
        for shard in tally.participants().chain(last).filter(|shard| Some(*shard) != voted_no) {
            let message = CommitMessage::Decide { txn, decision: Decision::Abort };
            out.send(Peer::Shard(shard), NO_REPLY, message);
        }
        self.aborted(txn, reason, out);
    }

    /// A shard's link went down: what waits for its vote is aborted, and nobody keeps locks
    /// for what it decides alone.
    pub(crate) fn abort_waiting_for(&mut self, shard: ShardId, out: &mut Output) {
        let waits = |commit: &Commit| match &commit.stage {
            Stage::Preparing(tally) => {
                let last = commit.last_agent.as_ref();
                tally.is_missing(shard) || last.is_some_and(|last| last.part.shard == shard)
            }
            Stage::OnePhase { .. }
            | Stage::Deciding { .. }
            | Stage::PreCommitting(_)
            | Stage::Accepting(_)
            | Stage::GivingUp { .. }
            | Stage::Committing { .. } => false,
        };
        let doomed: Vec<TxnId> =
            self.commits.iter().filter(|(_, commit)| waits(commit)).map(|(txn, _)| *txn).collect();
        for txn in doomed {
            self.abort_preparing(txn, None, Reason::VoteTimeout, out);
        }
        for txn in self.left_to(shard) {
            self.let_readers_go(txn, out);
        }
    }

    /// Sends COMMIT again to who owes an acknowledgement.
    pub(crate) fn resend_commit(&mut self, now: Now, txn: TxnId, out: &mut Output) {
        let Some(Commit { stage: Stage::Committing { at, unacknowledged }, .. }) =
            self.commits.get(&txn)
        else {
            return;
        };
        for &shard in unacknowledged {
            let message = CommitMessage::Decide { txn, decision: Decision::Commit(*at) };
            out.send(Peer::Shard(shard), NO_REPLY, message);
        }
        self.resend.push(now.mono, Deadline::Acks(txn));
    }

    /// Answers a participant that voted and heard nothing since.
    pub(crate) fn answer(&mut self, shard: ShardId, txn: TxnId, out: &mut Output) {
        let known = match self.commits.get(&txn).map(|commit| &commit.stage) {
            // It has been let go, and did not hear it.
            Some(Stage::OnePhase { read, .. }) if !read.contains(&shard) => None,
            // It will hear when there is something to hear. To say "abort" now,
            // while the transaction may still commit, would be a lie.
            Some(
                Stage::OnePhase { .. }
                | Stage::Preparing(_)
                | Stage::Deciding { .. }
                | Stage::PreCommitting(_)
                | Stage::Accepting(_)
                | Stage::GivingUp { .. },
            ) => return,
            Some(Stage::Committing { at, unacknowledged }) => {
                Some((*at, unacknowledged.contains(&shard)))
            }
            // What it has in doubt it tells when it joins; until then nothing is presumed.
            None if txn.session.epoch < self.epoch
                && !self.members.is_heard(shard)
                && !mutated!(self, AnswersUnheard) =>
            {
                return;
            }
            None => match self.outcomes.get(txn) {
                Known::Committed(at) => Some((at, false)),
                Known::NotCommitted | Known::Forgotten => None,
            },
        };
        let message = match known {
            Some((at, true)) => CommitMessage::Decide { txn, decision: Decision::Commit(at) },
            Some((at, false)) => CommitMessage::Release { txn, at },
            None => CommitMessage::Decide { txn, decision: Decision::Forgotten },
        };
        out.send(Peer::Shard(shard), NO_REPLY, message);
    }
}
