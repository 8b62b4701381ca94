//! In doubt: voted, and heard nothing since. The voter asks the coordinator,
//! for ever, less and less often, and the other participants while there is none. It
//! never decides alone. In three-phase commit it leads them, besides; and in the classical
//! form of that it does decide alone when nobody answers.
//!
//! Who voted READ has nothing to decide. It waits for the commit timestamp; if there is
//! nobody who could tell it, it goes, with its floor above all that this can be.

use std::time::Duration;

use synod_common::id::{RequestId, TxnId};
use synod_common::message::CommitMessage;
use synod_common::message::commit::{Decision, Vote};
use synod_common::node::Output;
use synod_common::time::Now;

use super::Stage;
use crate::mutant::mutated;
use crate::shard::{Shard, Timer};

/// So many inquiries may be in vain, about 8 s long, before a site of three-phase commit
/// leads although its link to the coordinator is up. That is longer than the others may
/// wait for their locks.
const PATIENCE: u32 = 4;
/// So long a READ voter waits for somebody who leads.
const READ_PATIENCE: Duration = Duration::from_secs(8);
/// The longest time between two inquiries.
const MAX_PAUSE: Duration = Duration::from_secs(5);

impl Shard {
    /// Asks for the decision on `txn`, and sets the time of the next try.
    pub(crate) fn inquire(&mut self, now: Now, txn: TxnId, out: &mut Output) {
        let jitter = self.random() % 256;
        let Some(participant) = self.txns.get_mut(&txn) else { return };
        let inquiry = CommitMessage::Inquire { txn };
        let (asked, message) = match &mut participant.stage {
            Stage::Prepared { asked, .. } | Stage::ReadVoted { asked, .. } => (asked, inquiry),
            // It is decided; what is missing is that the oracle is past it.
            Stage::OnePhase { lsn, record, asked } if *lsn <= self.durable => {
                let vote = Vote::Yes(record.m);
                (asked, CommitMessage::OnePhaseDone { txn, vote })
            }
            Stage::Active | Stage::Preparing(_) | Stage::OnePhase { .. } => return,
        };
        *asked = asked.saturating_add(1);
        let in_vain = *asked > PATIENCE;
        let pause = self.settings.inquire_after.saturating_mul(1 << (*asked).min(10));
        let pause = pause.min(MAX_PAUSE);
        // Between three quarters and the whole of it.
        let pause = pause - pause / 4 * u32::try_from(jitter).unwrap_or(0) / 256;
        self.timers.set(Timer::Inquire(txn), now.mono + pause);
        let to = self.coordinator();
        out.send(to, RequestId::default(), message);
        if !self.has_coordinator() {
            self.ask_peers(txn, out);
        }
        if self.alone_for(now) >= READ_PATIENCE && self.is_read_voter(txn) {
            return self.decide(txn, Decision::Forgotten, out);
        }
        if (in_vain || !self.has_coordinator()) && !mutated!(self, SitesNeverLead) {
            self.site_waited(txn, out);
        }
    }

    /// After a restart: asks about every voter a little later, whoever is there by then.
    pub(crate) fn wait_for_decisions(&mut self, now: Now) {
        for txn in self.voters() {
            self.timers.set(Timer::Inquire(txn), now.mono + self.settings.inquire_after);
        }
    }

    pub(super) fn is_read_voter(&self, txn: TxnId) -> bool {
        let stage = self.txns.get(&txn).map(|participant| &participant.stage);
        matches!(stage, Some(Stage::ReadVoted { .. }))
    }

    fn voters(&self) -> Vec<TxnId> {
        let voters = self.txns.iter().filter(|(_, participant)| match participant.stage {
            Stage::Prepared { .. } | Stage::ReadVoted { .. } | Stage::OnePhase { .. } => true,
            Stage::Active | Stage::Preparing(_) => false,
        });
        voters.map(|(txn, _)| *txn).collect()
    }

    /// Asks about every voter at once: the coordinator may be another one now, or gone.
    pub(crate) fn inquire_all(&mut self, now: Now, out: &mut Output) {
        for txn in self.voters() {
            if self.has_coordinator() || !self.is_site(txn) {
                self.inquire(now, txn, out);
            } else {
                // Not all of its sites at once: of several leaders only one can win.
                let jitter = u32::try_from(self.random() % 256).unwrap_or(0);
                let soon = now.mono + self.settings.inquire_after / 256 * jitter;
                self.timers.set(Timer::Inquire(txn), soon);
            }
        }
    }
}
