//! Three-phase commit: the participant's side. Until its vote it is as in two-phase
//! commit; with a YES it becomes a site, of which `common/src/commit/site.rs` says what it
//! does. Here its state is made durable, and asked for and told.
//!
//! ```text
//!   coordinator ✕        s1 ──Elect──▶ s2        s1: I lead; where are you?
//!                           ◀──State──           s2: waiting, pre-committed, decided
//!                           ──Pre────▶           s1: then accept this
//!                           ◀─Accepted           enough of us have: it is decided
//! ```
//!
//! Who is asked about one that has no vote here:
//!
//! | it                               | says                                             |
//! |----------------------------------|--------------------------------------------------|
//! | was decided here                 | that                                             |
//! | was voted NO on here             | aborted                                          |
//! | is settled                       | forgotten: whoever is in doubt concludes that it is aborted |
//! | is not known, or has not voted   | makes sure that it never will, and aborted       |
//!
//! *Settled?* So the coordinator calls what was aborted, or is acknowledged durably by all
//! its sites (`settled.rs`). Whoever is still in doubt has not acknowledged it, so it was
//! aborted. (Whoever asked long ago, and is not in doubt any more, is told nothing wrong.)
//!
//! *Not known?* Decisions are remembered, over restarts too, until they are settled, and
//! votes are records. So what is not settled and not known has never been voted on.
//!
//! Whoever is in doubt leads at once when he misses the coordinator, and else when that one
//! has not answered for long: it leads otherwise, and of several leaders all but one work in
//! vain.

use synod_common::commit::{Say, SiteId, Stable, Step, Verdict};
use synod_common::id::{Peer, RequestId, TxnId};
use synod_common::message::SiteMessage;
use synod_common::node::{Lsn, Output};
use synod_common::time::Timestamp;

use super::Stage;
use crate::mutant::mutated;
use crate::over::End;
use crate::record::Record;
use crate::shard::Shard;

const NO_REPLY: RequestId = RequestId(0);

/// A site hears itself once the log is durable up to an LSN.
pub(crate) type HeardItself = (Lsn, TxnId, Say);

impl Shard {
    /// A site of a transaction says something.
    pub(crate) fn site_said(&mut self, from: Peer, message: &SiteMessage, out: &mut Output) {
        let SiteMessage { txn, h, say } = *message;
        let durable = self.durable;
        match self.txns.get_mut(&txn).map(|participant| &mut participant.stage) {
            // A vote that is not durable is none; whoever asks will ask again.
            Some(Stage::Prepared { lsn, .. }) if *lsn > durable => {}
            Some(Stage::Prepared { record, site: Some(site), .. }) => {
                let Some(from) = SiteId::of(from, &record.participants) else { return };
                // Nobody has counted this shard's vote who says that.
                if say.commits_at().is_some_and(|at| at < record.m) {
                    return;
                }
                let step = site.hear(from, say);
                self.take_step(txn, step, out);
            }
            // It is not committed so.
            Some(Stage::Prepared { site: None, .. })
            | Some(Stage::ReadVoted { .. } | Stage::OnePhase { .. }) => {}
            Some(Stage::Active | Stage::Preparing(_)) | None => match say {
                Say::Elect { .. } | Say::Pre { .. } => {
                    if let Some(say) = self.known_to_sites(txn, h, out) {
                        out.send(from, NO_REPLY, SiteMessage { txn, h, say });
                    }
                }
                Say::State { .. }
                | Say::Accepted { .. }
                | Say::Refused { .. }
                | Say::Decided { .. }
                | Say::Forgotten => {}
            },
        }
    }

    /// What other sites are told of a transaction that has no vote here.
    fn known_to_sites(&mut self, txn: TxnId, h: Timestamp, out: &mut Output) -> Option<Say> {
        let aborted = Say::Decided { verdict: Verdict::Abort };
        if let Some(verdict) = self.settled.get(txn) {
            return Some(Say::Decided { verdict });
        }
        if self.settled.is_settled(txn, h) {
            return Some(Say::Forgotten);
        }
        match self.over.get(txn) {
            Some(End::VotedNo(_)) => Some(aborted),
            Some(
                End::Decided
                | End::Voted(..)
                | End::OnePhase(_)
                | End::OnePhaseRead(_)
                | End::OnePhaseNo(_),
            ) => None,
            None => self.never_vote(txn, h, out).map(|_| aborted),
        }
    }

    /// The log is durable up to `lsn`: sites hear what they said to themselves.
    pub(crate) fn sites_durable(&mut self, lsn: Lsn, out: &mut Output) {
        while self.heard_itself.front().is_some_and(|(at, ..)| *at <= lsn) {
            let Some((_, txn, say)) = self.heard_itself.pop_front() else { return };
            if let Some(Stage::Prepared { site: Some(site), .. }) =
                self.txns.get_mut(&txn).map(|participant| &mut participant.stage)
            {
                let step = site.hear(site.me(), say);
                self.take_step(txn, step, out);
            }
        }
    }

    /// A site has waited long enough, and misses the coordinator.
    pub(super) fn site_waited(&mut self, txn: TxnId, out: &mut Output) {
        if let Some(Stage::Prepared { site: Some(site), .. }) =
            self.txns.get_mut(&txn).map(|participant| &mut participant.stage)
        {
            let step = site.waited();
            self.take_step(txn, step, out);
        }
    }

    /// Whether it is a site that waits for a decision.
    pub(super) fn is_site(&self, txn: TxnId) -> bool {
        let stage = self.txns.get(&txn).map(|participant| &participant.stage);
        matches!(stage, Some(Stage::Prepared { site: Some(_), .. }))
    }

    fn take_step(&mut self, txn: TxnId, step: Step, out: &mut Output) {
        let Some(Stage::Prepared { record, site: Some(site), said, .. }) =
            self.txns.get_mut(&txn).map(|participant| &mut participant.stage)
        else {
            return;
        };
        if step.force {
            *said = out.force(&Record::Site { txn, stable: site.stable() });
        }
        let h = record.h;
        let lsn = if mutated!(self, SiteSpeaksEarly) { Lsn::default() } else { *said };
        for (to, say) in step.messages {
            if to == site.me() {
                self.heard_itself.push_back((*said, txn, say));
                continue;
            }
            let peer = to.peer(&record.participants, self.joining.leader);
            out.send_after(lsn, peer, NO_REPLY, SiteMessage { txn, h, say });
        }
        if let Some(verdict) = step.decided {
            self.decide(txn, verdict.into(), out);
        }
    }

    /// What sites knew before a restart is written again: some of it may stand in the
    /// checkpoint only, or in a log that was not known to be durable.
    pub(crate) fn sites_again(&mut self, out: &mut Output) {
        for (txn, participant) in &mut self.txns {
            if let Stage::Prepared { site: Some(site), said, .. } = &mut participant.stage {
                *said = out.force(&Record::Site { txn: *txn, stable: site.stable() });
            }
        }
    }

    /// How far a site was before a restart.
    pub(crate) fn site_recovered(&mut self, lsn: Lsn, txn: TxnId, stable: Stable) {
        if mutated!(self, SitePromiseForgotten) {
            return;
        }
        if let Some(Stage::Prepared { site: Some(site), said, .. }) =
            self.txns.get_mut(&txn).map(|participant| &mut participant.stage)
        {
            **site = site.restarted(stable);
            *said = lsn;
        }
    }
}
