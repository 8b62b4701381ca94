//! A restart, or taking over from another leader: what the log says, and what follows from
//! what it does not say.
//!
//! A commit record without an end is committed and waits for acknowledgements. One that
//! was pre-committed in three-phase commit may be decided, or not: its sites know.
//! What was accepted in Paxos Commit is found with the promises that made this one the
//! leader. What all of its participants have voted YES on in two-phase commit they tell when
//! they join (`commit/implicit.rs`). Everything else that was in progress left no record, and is
//! aborted by that.

use synod_common::commit::{Site, SiteId};
use synod_common::error::Corrupt;
use synod_common::id::{Epoch, Peer, RequestId, ShardId, TxnId};
use synod_common::message::CommitMessage;
use synod_common::message::commit::Decision;
use synod_common::node::{Lsn, Output, decode};
use synod_common::time::{Now, Timestamp};

use crate::commit::{Commit, Stage};
use crate::coordinator::{Coordinator, Deadline, Serving};
use crate::mutant::{mutated, planted};
use crate::paxos::takeover::Found;
use crate::record::Record;

impl Coordinator {
    /// Takes in an entry of the group's log that somebody else wrote, or this one before
    /// a restart.
    pub(crate) fn read(&mut self, index: Lsn, record: &[u8]) -> Result<(), Corrupt> {
        self.apply(index, decode(format_args!("entry {}", index.0), record)?);
        Ok(())
    }

    /// Applies a record of the past.
    pub(crate) fn apply(&mut self, lsn: Lsn, record: Record) {
        match record {
            Record::Started { epoch } => self.epoch = self.epoch.max(epoch),
            Record::Window { hi } => {
                let lower = if mutated!(self, BeginsInOldWindow) { 2 } else { 0 };
                self.oracle.recovered(Timestamp(hi.0.saturating_sub(lower)));
            }
            Record::Committed { txn, at, yes } => {
                self.outcomes.insert(txn, at);
                let stage = Stage::Committing { at, unacknowledged: yes };
                // Of three-phase commit more is known already.
                match self.commits.get_mut(&txn) {
                    Some(commit) => {
                        commit.stage = stage;
                        self.unfinished.remove(&(commit.h, txn));
                    }
                    None => {
                        self.commits.insert(txn, Commit::recovered(Timestamp::ZERO, stage));
                    }
                }
            }
            Record::Ended { txn } => {
                if let Some(commit) = self.commits.remove(&txn) {
                    self.unfinished.remove(&(commit.h, txn));
                }
                self.unsettled.remove(&txn);
            }
            Record::Site { .. } if mutated!(self, SiteRecordIgnored) => {}
            Record::Site { txn, h, sites, stable } => {
                let count = Site::count(sites.len());
                let site = Site::new(SiteId(count - 1), count, stable);
                let site = planted!(self.settings, Site, site);
                self.site_recovered(lsn, txn, h, sites, site);
            }
            Record::Outcome { txn, at } => self.outcomes.insert(txn, at),
            Record::SafePoint { at } => self.safe_point.recovered(at),
            Record::GivenUp { txn, h } => {
                self.paxos.given_up.insert((h, txn));
            }
            Record::Mark { below } => self.paxos.raise(below),
            Record::Aborted { txn, h } => {
                self.voted.give_up(txn, h);
            }
            Record::Decided { below } => self.voted.raise(below),
            // These are no entries of the group's log.
            Record::Promised(_) | Record::Cut { .. } | Record::Accepted(_) => {}
        }
    }

    /// It has read all that there is, up to the beginning of its own epoch, and heard what a
    /// majority had accepted before that: serves once it has a window.
    pub(crate) fn lead(&mut self, now: Now, epoch: Epoch, found: Found, out: &mut Output) {
        assert_eq!(epoch, self.epoch, "its epoch has begun");
        self.started = now.mono;
        self.detector.begin(self.epoch);
        self.oracle.close();
        let hi = self.oracle.window_to_write(now).expect("a closed window is followed by another");
        let lsn = out.force(&Record::Window { hi });
        self.oracle.written(lsn, hi);
        self.serving = Serving::After(lsn);
        if !self.is_alone() {
            self.take_over(found, out);
        }
        self.sites_again(out);
    }

    /// What it has read, and its epoch, are durable: what is open goes on.
    pub(crate) fn begin_serving(&mut self, now: Now, out: &mut Output) {
        self.serving = Serving::Yes;
        let redraws = mutated!(self, RedrawsCommits);
        for commit in self.commits.values_mut().filter(|_| redraws) {
            if let Stage::Committing { at, .. } = &mut commit.stage {
                *at = self.oracle.draw(now).unwrap_or(*at);
            }
        }
        // What was taken over is told at once, and then resent.
        let told = |commit: &Commit| !matches!(commit.stage, Stage::Deciding { .. });
        for (&txn, _) in self.commits.iter().filter(|(_, commit)| told(commit)) {
            self.resend.push(now.mono, Deadline::Acks(txn));
        }
        self.call(out);
    }

    /// A shard has just joined: tell it what it may have missed of `txn`.
    pub(crate) fn settle_with(&mut self, now: Now, shard: ShardId, txn: TxnId, out: &mut Output) {
        match self.commits.get(&txn).map(|commit| &commit.stage) {
            Some(Stage::OnePhase { shard: asked, .. }) if *asked == shard => {
                self.ask_one_phase(txn, out);
            }
            Some(Stage::Committing { at, unacknowledged }) if unacknowledged.contains(&shard) => {
                let message = CommitMessage::Decide { txn, decision: Decision::Commit(*at) };
                out.send(Peer::Shard(shard), RequestId::default(), message);
            }
            Some(Stage::PreCommitting(_)) => self.site_again(now, shard, txn, out),
            Some(
                Stage::OnePhase { .. }
                | Stage::Preparing(_)
                | Stage::Deciding { .. }
                | Stage::Accepting(_)
                | Stage::GivingUp { .. }
                | Stage::Committing { .. },
            )
            | None => {}
        }
    }
}
