//! Implicit decision: a transaction of two-phase commit whose participants all write is
//! committed once all of them have voted YES, durably, and by nothing else. Whoever knows all
//! votes knows the outcome, so the client and the participants are told as soon as the last
//! one is here; the coordinator's own record is a note that nobody waits for. Which transactions
//! these are shows in their COMMIT, and PREPARE says it to the participants.
//!
//! ```text
//!   two-phase commit                              by votes alone
//!   COMMIT ─▶ PREPARE ─▶ force ─▶ YES             COMMIT ─▶ PREPARE ─▶ force ─▶ YES
//!                   force Committed ─▶ told                                      └▶ told
//! ```
//!
//! A note may be lost in a crash, and then nothing is presumed until the shards have said what
//! they know. Each tells before it joins the new epoch which commits it remembers, and what it
//! has in doubt, with all who take part. To join is to begin nothing of older epochs any more,
//! so what a shard has not voted on then it never will:
//!
//! | told of a transaction                  | and the log says             | so it is                 |
//! |----------------------------------------|------------------------------|--------------------------|
//! | one has committed it                   | nothing                      | committed, at that timestamp |
//! | all have it in doubt                   | nothing                      | committed, at the largest vote |
//! | one has it in doubt, another has joined and has told nothing of it | nothing | aborted: it can not have been committed |
//! | one has it in doubt, another has not joined | nothing                 | open: it waits for that one |
//! | anything                               | committed                    | as the log says          |
//! | some or all have it in doubt           | aborted, or below the mark   | aborted                  |
//!
//! What is found committed so is forced, with all its participants, before anybody is told; they
//! acknowledge it like any other, whoever comes late. So a shard needs to remember a commit only
//! until the first note is durable: until the `low_water` of the epoch that it began in has
//! passed it. The mark of a later epoch does not count for that: whoever says it may not have
//! heard of the commit yet, while one shard hears of it from another.
//!
//! For the same reason a coordinator may not abort what nobody has voted NO on without a trace,
//! as presumed abort would: all votes may be YES, and on their way. It forces
//! [`Record::Aborted`] first.
//!
//! Now and then, when all shards have joined, it writes [`Record::Decided`]: votes on what began
//! before count no more, for all of it is decided by the log. When that is durable those records
//! are over, and shards are told (VOTES OVER) that they may forget what they still remember of
//! older epochs. If it can not be written for so long that too many are kept, what begins is
//! decided by the log again, which needs no such record.
//!
//! *Worked example.* s1 and s2 vote YES at 7 and 9. c1 tells the client: committed at 9, and dies
//! before s2 hears it, and before its note is durable. s1 has committed. In the next epoch s1
//! remembers a commit at 9, so it is committed at 9, whatever s2 says. Had s1 died, too, before
//! its own record was durable, both would have it in doubt, and it would be committed at 9, for
//! that is the largest vote.
//!
//! *In a group* a leader may be deposed while it counts, and tell such a commit all the same: each
//! vote was durable before that shard joined the next epoch, so the next leader hears them all,
//! too. But it must have led when the transaction began, or others could have been told of later
//! timestamps before that. No record of the group's log shows it here, so a round of questions
//! does, while the shards vote (`confirming`).
//!
//! *Deliberately absent*: implicit decisions where somebody has only read. Who votes READ logs
//! nothing, so after a crash nobody would know how he had voted.
//!
//! Source: the commit condition is that of CockroachDB's *parallel commits* (RFC 20180324): a
//! transaction is committed once all it promised to write is durable, recorded or not. In the
//! words of Paxos Commit (Gray, Lamport 2006, §6) it is that protocol with each participant the
//! only acceptor of its own vote. Departure: recovery is not by whoever meets an intent, but by
//! the next epoch, which all shards join.

use bytes::Bytes;
use synod_common::commit::Protocol;
use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, ShardId, TxnId};
use synod_common::message::CommitMessage;
use synod_common::message::bulk::List;
use synod_common::message::commit::{Decision, Knows, Vote, Voted};
use synod_common::node::Output;
use synod_common::time::{Now, Timestamp};

use super::tally::Tally;
use super::{Commit, PartWrites, Stage, Then};
use crate::coordinator::Coordinator;
use crate::mutant::mutated;
use crate::outcomes::Known;
use crate::record::Record;

impl Commit {
    /// Whether votes may decide it that are not here: the participants may have them all, or in
    /// Paxos Commit the acceptors.
    pub(super) fn may_be_decided(&self) -> bool {
        self.quorum.is_some() || self.implicit
    }
}

impl Coordinator {
    /// Whether one that begins is to be decided by its votes: in two-phase commit, if all write.
    /// Not if too many have been set aside: then it is decided by the log.
    pub(super) fn leave_to_votes(&mut self, txn: TxnId, commit: &mut Commit, parts: &[PartWrites]) {
        let all_write = parts.iter().all(PartWrites::has_writes);
        let has_room = self.voted.given_up.len() < self.settings.max_commits;
        if commit.protocol() != Protocol::TwoPhase || !all_write || !has_room {
            return;
        }
        if let Some(is_sure) = self.confirm_leading(txn) {
            (commit.implicit, commit.unconfirmed) = (true, !is_sure);
            self.voted.newest = commit.h;
        }
    }

    /// All participants have voted YES.
    pub(super) fn commit_by_votes(
        &mut self,
        now: Now,
        txn: TxnId,
        at: Timestamp,
        yes: Vec<ShardId>,
        out: &mut Output,
    ) {
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        let h = commit.h;
        let lsn = out.append(&Record::committed(txn, at, &yes));
        commit.stage = Stage::Deciding { at, yes, read: Vec::new() };
        self.tell(now, txn, out);
        // Shards remember it until then.
        if !mutated!(self, ForgottenUnrecorded) {
            self.unfinished.insert((h, txn));
            self.then.push_back((lsn, Then::Over(h, txn)));
        }
    }

    /// A shard that joins has voted on these.
    pub(crate) fn votes_told(
        &mut self,
        (shard, nonce): (ShardId, u64),
        txns: &Bytes,
        out: &mut Output,
    ) {
        let votes: Vec<Voted> = List::read(txns).map_while(Result::ok).collect();
        if votes.iter().any(|voted| voted.txn.session.epoch > self.epoch) {
            return;
        }
        for voted in votes {
            self.members.told(shard, nonce, voted.txn);
            if voted.txn.session.epoch < self.epoch && !mutated!(self, DoubtsIgnored) {
                self.vote_told(shard, voted, out);
            }
        }
        // It may come late, or once more, when others have joined.
        self.abort_without_votes(out);
    }

    /// What it knows of one of an older epoch.
    fn vote_told(&mut self, shard: ShardId, voted: Voted, out: &mut Output) {
        let Voted { txn, h, participants, knows } = voted;
        let (Knows::InDoubt(at) | Knows::Committed(at)) = knows;
        if !participants.contains(&shard) || !self.may_have_committed(h, &Vote::Yes(at)) {
            return;
        }
        self.voted.newest = self.voted.newest.max(h);
        let is_known = matches!(self.outcomes.get(txn), Known::Committed(_));
        if is_known || self.voted.is_decided(txn, h) {
            return;
        }
        let commit = self
            .commits
            .entry(txn)
            .or_insert_with(|| Commit::recovered(h, Stage::Preparing(Tally::new(&participants))));
        if let Knows::Committed(at) = knows
            && mutated!(self, TellerIsLast)
        {
            self.commits.remove(&txn);
            self.outcomes.insert(txn, at);
            out.append(&Record::Outcome { txn, at });
            return;
        }
        // Once it is found committed nothing is counted any more.
        let Stage::Preparing(tally) = &mut commit.stage else { return };
        let at = match knows {
            Knows::Committed(at) => at,
            Knows::InDoubt(m) if tally.count(shard, &Vote::Yes(m)) => tally.at(),
            Knows::InDoubt(_) => return,
        };
        commit.stage = Stage::Deciding { at, yes: participants.clone(), read: Vec::new() };
        self.advance(at);
        // Whoever told may forget it once this is durable, and not before.
        self.unfinished.insert((h, txn));
        let lsn = out.force(&Record::committed(txn, at, &participants));
        self.then.push_back((lsn, Then::Tell(txn)));
    }

    /// A shard has joined: what others have in doubt, and this one has not, is aborted.
    pub(crate) fn abort_without_votes(&mut self, out: &mut Output) {
        let is_heard =
            |shard: &ShardId| self.members.is_heard(*shard) || mutated!(self, PresumesUnheard);
        let mut doomed = Vec::new();
        for (txn, commit) in self.commits.iter() {
            if let Stage::Preparing(tally) = &commit.stage
                && let [yes, _, missing] = tally.votes()
                && txn.session.epoch < self.epoch
                && missing.iter().any(is_heard)
            {
                doomed.push((*txn, yes.to_vec()));
            }
        }
        for (txn, yes) in doomed {
            for shard in yes {
                let message = CommitMessage::Decide { txn, decision: Decision::Abort };
                out.send(Peer::Shard(shard), RequestId::default(), message);
            }
            self.aborted(txn, Reason::Presumed, out);
        }
    }

    /// Says that votes on what has begun before now count no more, if somebody may still
    /// remember some: all that were given in older epochs are known.
    pub(crate) fn write_decided(&mut self, out: &mut Output) {
        let all_heard = self.members.all_heard() || mutated!(self, DecidesUnheard);
        if !all_heard || self.voted.written > self.voted.newest {
            return;
        }
        let below = self.oldest_open(false);
        if below > self.voted.written {
            let lsn = out.append(&Record::Decided { below });
            self.voted.written = below;
            self.then.push_back((lsn, Then::Decided(below)));
        }
    }

    /// That is durable: what is remembered of them may be forgotten.
    pub(super) fn votes_over(&mut self, below: Timestamp, out: &mut Output) {
        self.voted.raise(below);
        for shard in self.members.joined() {
            self.tell_votes_over(shard, out);
        }
    }

    /// Tells a shard what it may forget.
    pub(crate) fn tell_votes_over(&self, shard: ShardId, out: &mut Output) {
        let message = CommitMessage::VotesOver { below: self.voted.below };
        out.send(Peer::Shard(shard), RequestId::default(), message);
    }
}
