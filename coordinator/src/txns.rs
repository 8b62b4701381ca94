//! The transactions that are being committed, page by page or one of them, for people.
//!
//! What is active is known to its client and its shards only. Since when a commit is
//! as it is is counted in memory: what a restart has found committed is so since the
//! restart *at least*.

use std::ops::{Bound, ControlFlow};

use synod_common::id::TxnId;
use synod_common::limits;
use synod_common::message::ClientReply;
use synod_common::message::bulk::List;
use synod_common::message::txns::{Commit as Row, CommitStage};
use synod_common::time::Mono;

use crate::commit::{Commit, Stage};
use crate::coordinator::Coordinator;
use crate::paxos::Quorum;

/// Transactions of one page.
const PAGE_ROWS: usize = 1_000;

impl Coordinator {
    /// A page of the commits behind `after`.
    pub(crate) fn list_commits(&self, now: Mono, after: Option<TxnId>, limit: u32) -> ClientReply {
        let limit = match limit as usize {
            0 => PAGE_ROWS,
            limit => limit.min(PAGE_ROWS),
        };
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut open = self.commits.range(behind);
        let mut list = List::default();
        let mut last = None;
        let full = open.by_ref().take(limit).try_for_each(|(txn, commit)| {
            list.push(&self.commit_row(now, *txn, commit));
            last = Some(*txn);
            let full = list.len() >= limits::SCAN_PAGE_BYTES;
            if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let more = full.is_break() || open.next().is_some();
        ClientReply::Commits { resume: last.filter(|_| more), commits: list.finish() }
    }

    /// All about one commit.
    pub(crate) fn show_commit(&self, now: Mono, txn: TxnId) -> ClientReply {
        let commit = self.commits.get(&txn);
        ClientReply::CommitOf(commit.map(|commit| Box::new(self.commit_row(now, txn, commit))))
    }

    /// How far every commit is; not since when.
    pub(crate) fn stages(&self) -> impl Iterator<Item = Row> {
        self.commits.iter().map(|(txn, commit)| self.commit_row(self.started, *txn, commit))
    }

    fn commit_row(&self, now: Mono, txn: TxnId, commit: &Commit) -> Row {
        let stage = match &commit.stage {
            Stage::OnePhase { shard, read } => {
                CommitStage::OnePhase { shard: *shard, read: read.clone() }
            }
            Stage::Preparing(tally) => {
                let [yes, read, mut missing] = tally.votes().map(<[_]>::to_vec);
                missing.extend(commit.last_agent.as_ref().map(|last| last.part.shard));
                CommitStage::Preparing { yes, read, missing }
            }
            Stage::Deciding { at, yes, read } => {
                CommitStage::Deciding { at: *at, yes: yes.clone(), read: read.clone() }
            }
            Stage::PreCommitting(pre) => {
                CommitStage::PreCommitting { yes: commit.sites.clone(), site: pre.site.stable() }
            }
            Stage::Accepting(bundle) => CommitStage::Accepting {
                at: bundle.at,
                yes: bundle.yes.clone(),
                read: bundle.read.clone(),
                accepted: commit.quorum.as_ref().map_or(&[][..], Quorum::accepted).to_vec(),
            },
            Stage::GivingUp { shards, .. } => CommitStage::GivingUp { on: shards.clone() },
            Stage::Committing { at, unacknowledged } => {
                CommitStage::Committing { at: *at, unacknowledged: unacknowledged.clone() }
            }
        };
        let since = commit.since.unwrap_or(self.started);
        Row {
            txn,
            h: commit.h,
            protocol: commit.protocol(),
            stage,
            for_ms: u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX),
            at_least: commit.since.is_none(),
        }
    }
}
