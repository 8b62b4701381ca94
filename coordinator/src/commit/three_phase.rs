//! Three-phase commit: the coordinator's side. It begins as two-phase commit does; with
//! the last vote it does not decide, but leads the sites of the transaction, itself one
//! of them, to a decision that outlives it.
//!
//! | in state      | on                    | do                                              | next          |
//! |---------------|-----------------------|-------------------------------------------------|---------------|
//! | Preparing     | last vote, some YES   | oracle past `commit_ts`; *force* Site; PRE to all | PreCommitting |
//! | Preparing     | ELECT, PRE of a site  | ABORT to all: it is missed, and nothing is pre-committed | –     |
//! | PreCommitting | what sites say        | as `common/src/commit/site.rs` says             | PreCommitting |
//! | PreCommitting | decided: commit       | log Committed (not forced); tell the client; COMMIT to YES, RELEASE to READ | Committing |
//! | PreCommitting | decided: abort        | log Ended (not forced); tell the client; ABORT to all | –       |
//! | PreCommitting | resend time, restart  | lead, or say it again                           | PreCommitting |
//! | Committing, – | ELECT, PRE            | the outcome, or FORGOTTEN                       | the same      |
//!
//! *Presumed abort* holds here, too: without a record of its own this coordinator has
//! told nobody to pre-commit, so nobody can have committed.
//!
//! *Settled* is a transaction that was aborted, or that all its sites have acknowledged and
//! whose end is durable. Now and then the shards hear what is not: a participant concludes
//! that whatever is settled, and somebody is still in doubt about, was aborted
//! (`shard/src/settled.rs`).
//!
//! In the classical form the sites decide by another rule, `common/src/commit/site/classical.rs`,
//! and nothing else differs.
//!
//! Who voted READ is no site: he has nothing to make durable. After a restart he asks.

use synod_common::commit::{Say, Site, SiteId, Stable, Step, Verdict};
use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, ShardId, TxnId};
use synod_common::message::bulk::List;
use synod_common::message::commit::Decision;
use synod_common::message::{CommitMessage, SiteMessage};
use synod_common::node::{Lsn, Output};
use synod_common::time::{Now, Timestamp};

use super::{Commit, Stage, Then};
use crate::coordinator::{Coordinator, Deadline};
use crate::mutant::{mutated, planted};
use crate::record::Record;

const NO_REPLY: RequestId = RequestId(0);

/// A transaction that is being made sure of.
#[derive(Clone, Debug)]
pub struct PreCommitting {
    /// This coordinator's own site.
    pub site: Site,
    /// What the site says leaves once the log is durable up to here.
    pub lsn: Lsn,
    /// What of the site is durable, if anything is. In a group the rest may come to nothing.
    pub kept: Option<Stable>,
    /// Who holds read locks.
    pub read: Vec<ShardId>,
}

impl Coordinator {
    /// All have voted for it.
    pub(super) fn pre_commit(
        &mut self,
        now: Now,
        txn: TxnId,
        at: Timestamp,
        read: Vec<ShardId>,
        out: &mut Output,
    ) {
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        let (site, step) = Site::coordinator(Site::count(commit.sites.len()), commit.rule, at);
        let site = planted!(self.settings, Site, site);
        let pre_committing = PreCommitting { site, lsn: Lsn::default(), kept: None, read };
        commit.stage = Stage::PreCommitting(Box::new(pre_committing));
        commit.since = Some(now.mono);
        self.unsettled.insert(txn);
        self.settled.due = true;
        self.resend.push(now.mono, Deadline::Acks(txn));
        self.take_step(now, txn, step, out);
    }

    /// A site of a transaction says something.
    pub(crate) fn site_said(
        &mut self,
        now: Now,
        shard: ShardId,
        SiteMessage { txn, say, .. }: SiteMessage,
        out: &mut Output,
    ) {
        let is_question = match say {
            Say::Elect { .. } | Say::Pre { .. } => true,
            Say::State { .. }
            | Say::Accepted { .. }
            | Say::Refused { .. }
            | Say::Decided { .. }
            | Say::Forgotten => false,
        };
        let is_decided = matches!(say, Say::Decided { .. } | Say::Forgotten);
        match self.commits.get_mut(&txn) {
            // It has asked for nothing yet: a leader before it or after it may have.
            Some(Commit { stage: Stage::PreCommitting(pre), .. })
                if !is_question && !is_decided && pre.lsn > self.durable => {}
            Some(Commit { stage: Stage::PreCommitting(pre), sites, .. }) => {
                let Some(from) = SiteId::of(Peer::Shard(shard), sites) else { return };
                let step = pre.site.hear(from, say);
                self.take_step(now, txn, step, out);
            }
            Some(Commit { stage: Stage::Preparing(_), sites, .. })
                if is_question && sites.contains(&shard) =>
            {
                self.abort_preparing(txn, None, Reason::Abandoned, out);
            }
            _ if is_question => self.answer(shard, txn, out),
            _ => {}
        }
    }

    /// This coordinator's own site has heard itself: its state is durable.
    pub(super) fn site_heard_itself(&mut self, now: Now, txn: TxnId, say: Say, out: &mut Output) {
        if let Some(Stage::PreCommitting(pre)) = self.commits.get_mut(&txn).map(|c| &mut c.stage) {
            let step = pre.site.hear(pre.site.me(), say);
            self.take_step(now, txn, step, out);
        }
    }

    /// Whether its sites are to accept `txn`.
    pub(crate) fn is_pre_committing(&self, txn: TxnId) -> bool {
        let stage = self.commits.get(&txn).map(|commit| &commit.stage);
        matches!(stage, Some(Stage::PreCommitting(_)))
    }

    /// It has waited long enough.
    pub(crate) fn site_waited(&mut self, now: Now, txn: TxnId, out: &mut Output) {
        if let Some(Stage::PreCommitting(pre)) = self.commits.get_mut(&txn).map(|c| &mut c.stage) {
            let step = pre.site.waited();
            self.resend.push(now.mono, Deadline::Acks(txn));
            self.take_step(now, txn, step, out);
        }
    }

    /// A shard has just joined: it may have missed something.
    pub(crate) fn site_again(&mut self, now: Now, shard: ShardId, txn: TxnId, out: &mut Output) {
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        if let Stage::PreCommitting(pre) = &mut commit.stage
            && commit.sites.contains(&shard)
        {
            let step = pre.site.again();
            self.take_step(now, txn, step, out);
        }
    }

    fn take_step(&mut self, now: Now, txn: TxnId, step: Step, out: &mut Output) {
        let id = self.settings.id;
        let Some(Commit { stage: Stage::PreCommitting(pre), sites, h, .. }) =
            self.commits.get_mut(&txn)
        else {
            return;
        };
        let h = *h;
        if step.force {
            let (sites, stable) = (sites.clone(), pre.site.stable());
            pre.lsn = out.force(&Record::Site { txn, h, sites, stable });
            self.then.push_back((pre.lsn, Then::Keep(txn, stable)));
        }
        let lsn = if mutated!(self, PreCommitUnforced) { Lsn::default() } else { pre.lsn };
        for (to, say) in step.messages {
            match (to.peer(sites, id), say) {
                (Peer::Coordinator(_), say) => {
                    self.then.push_back((pre.lsn, Then::Hear(txn, say)));
                }
                // They hear it as a decision, and acknowledge it.
                (_, Say::Decided { .. }) => {}
                (peer, say) => {
                    out.send_after(lsn, peer, NO_REPLY, SiteMessage { txn, h, say });
                }
            }
        }
        match step.decided {
            Some(Verdict::Commit(at)) => self.sites_committed(now, txn, at, out),
            Some(Verdict::Abort) => self.sites_aborted(txn, out),
            None => {}
        }
    }

    fn sites_committed(&mut self, now: Now, txn: TxnId, at: Timestamp, out: &mut Output) {
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        let Stage::PreCommitting(pre) = &mut commit.stage else { return };
        let (yes, read) = (commit.sites.clone(), std::mem::take(&mut pre.read));
        out.append(&Record::Committed { txn, at, yes: yes.clone() });
        commit.stage = Stage::Deciding { at, yes, read };
        self.tell(now, txn, out);
    }

    fn sites_aborted(&mut self, txn: TxnId, out: &mut Output) {
        let Some(commit) = self.commits.get_mut(&txn) else { return };
        let Stage::PreCommitting(pre) = &mut commit.stage else { return };
        let (sites, read) = (std::mem::take(&mut commit.sites), std::mem::take(&mut pre.read));
        for shard in sites.into_iter().chain(read) {
            let message = CommitMessage::Decide { txn, decision: Decision::Abort };
            out.send(Peer::Shard(shard), NO_REPLY, message);
        }
        let lsn = out.append(&Record::Ended { txn });
        self.then.push_back((lsn, Then::Settled(txn)));
        self.aborted(txn, Reason::Abandoned, out);
    }

    /// What its own sites knew before a restart is written again: some of it may stand in
    /// the checkpoint only.
    pub(crate) fn sites_again(&mut self, out: &mut Output) {
        for (&txn, commit) in &mut self.commits {
            if let Stage::PreCommitting(pre) = &mut commit.stage {
                let (h, sites, stable) = (commit.h, commit.sites.clone(), pre.site.stable());
                pre.lsn = out.force(&Record::Site { txn, h, sites, stable });
            }
        }
    }

    /// A record of its own site, of the past.
    pub(crate) fn site_recovered(
        &mut self,
        lsn: Lsn,
        txn: TxnId,
        h: Timestamp,
        sites: Vec<ShardId>,
        site: Site,
    ) {
        let stage = self.commits.get(&txn).map(|commit| &commit.stage);
        // The checkpoint may know better.
        if matches!(stage, Some(Stage::Committing { .. })) {
            return;
        }
        let (kept, rule, read) = (Some(site.stable()), site.stable().rule, Vec::new());
        let stage = Stage::PreCommitting(Box::new(PreCommitting { site, lsn, kept, read }));
        self.unfinished.insert((h, txn));
        self.unsettled.insert(txn);
        self.commits.insert(txn, Commit { sites, rule, ..Commit::recovered(h, stage) });
    }

    /// Tells the shards what is settled, if something may have changed.
    pub(crate) fn tell_settled(&mut self, out: &mut Output) {
        if !self.settled.due {
            return;
        }
        self.settled.due = !self.unsettled.is_empty();
        self.settled.number += 1;
        let mut open = List::default();
        self.unsettled.iter().for_each(|txn| open.push(txn));
        let (epoch, number, below) = (self.epoch, self.settled.number, self.low_water());
        let message = CommitMessage::Settled { epoch, number, below, open: open.finish() };
        for shard in self.members.joined() {
            out.send(Peer::Shard(shard), NO_REPLY, message.clone());
        }
    }
}

/// What shards were told is settled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    /// How often in this epoch.
    number: u64,
    /// Whether they are to be told again.
    pub(crate) due: bool,
}
