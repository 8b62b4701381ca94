//! What is remembered of transactions that are over, until nobody can ask or
//! send about them any more.
//!
//! A message may be late or come twice. A commit that begins again after its
//! transaction is over would break the promise about its outcome, so everything
//! that got this far is remembered until the coordinator's low-water mark has
//! passed its `h`; what lies below the mark is refused unseen. One-phase commits
//! are remembered durably, because this shard is the only one that knows of them
//! at first; and so are commits that votes have decided, because the coordinator's record of
//! them may be lost. Of those that began in an older epoch the mark says nothing: they are kept
//! until the coordinator says that it has them (VOTES OVER). (Decisions of three-phase commit,
//! too: see `settled`.) The rest may be lost in a restart: the floor then starts at the end of the window that the late message carries,
//! which refuses it.

use std::collections::{BTreeMap, BTreeSet};

use synod_common::error::Reason;
use synod_common::id::{Epoch, ShardId, TxnId};
use synod_common::message::bulk::OnePhaseOutcome;
use synod_common::message::commit::{Knows, Voted};
use synod_common::time::Timestamp;

/// How many may be remembered.
const MAX_OVER: usize = 1_000_000;

/// How a transaction ended here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Committed in one phase, at this timestamp.
    OnePhase(Timestamp),
    /// Only read, committed in one phase at this timestamp.
    OnePhaseRead(Timestamp),
    /// It will never commit in one phase; this was, or will be, the answer.
    OnePhaseNo(Reason),
    /// The vote was NO.
    VotedNo(Reason),
    /// Committed at this timestamp because all of these voted YES: the coordinator may have no
    /// record of it.
    Voted(Timestamp, Box<[ShardId]>),
    /// The decision is carried out. It was to abort, or others remember it.
    Decided,
}

/// The memory of what is over.
#[derive(Clone, Debug, Default)]
pub struct Over {
    low_water: Timestamp,
    epoch: Epoch,
    ends: BTreeMap<TxnId, (Timestamp, End)>,
    by_h: BTreeSet<(Timestamp, TxnId)>,
    /// Commits of older epochs that votes have decided. Whose mark passes them may not have
    /// heard of them, so only its word that it has lets them be forgotten.
    kept: BTreeSet<(Timestamp, TxnId)>,
}

impl Over {
    /// Remembers how `txn`, whose commit began at `h`, ended.
    pub fn insert(&mut self, txn: TxnId, h: Timestamp, end: End) {
        if txn.session.epoch != self.epoch || h < self.low_water {
            return self.restore(txn, h, end);
        }
        if self.ends.insert(txn, (h, end)).is_none() {
            self.by_h.insert((h, txn));
        }
    }

    /// The same of one that was logged, or about which the mark says nothing: of an older epoch,
    /// as all are until one begins, or when the mark was that of a later one.
    pub fn restore(&mut self, txn: TxnId, h: Timestamp, end: End) {
        let keeps = matches!(end, End::Voted(..));
        if !keeps && h < self.low_water {
            return;
        }
        if self.ends.insert(txn, (h, end)).is_none() {
            let known = if keeps { &mut self.kept } else { &mut self.by_h };
            known.insert((h, txn));
        }
    }

    /// All that is remembered by now is of older epochs.
    pub fn begin_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        let Over { ends, by_h, kept, .. } = self;
        by_h.retain(|&(h, txn)| {
            let keeps = matches!(ends.get(&txn), Some((_, End::Voted(..))));
            if keeps {
                kept.insert((h, txn));
            }
            !keeps
        });
    }

    /// The coordinator has all commits by votes durably that began before this.
    pub fn votes_over(&mut self, below: Timestamp) {
        while let Some(&(h, txn)) = self.kept.first() {
            if h >= below {
                break;
            }
            self.kept.pop_first();
            self.ends.remove(&txn);
        }
    }

    /// How it ended, if it did.
    pub fn get(&self, txn: TxnId) -> Option<&End> {
        self.ends.get(&txn).map(|(_, end)| end)
    }

    /// Whether commits that began at `h` are all over.
    pub fn is_past(&self, h: Timestamp) -> bool {
        h < self.low_water
    }

    /// All commits that began before `low_water` are over: forgets them.
    pub fn raise(&mut self, low_water: Timestamp) {
        self.low_water = self.low_water.max(low_water);
        while let Some(&(h, txn)) = self.by_h.first() {
            if h >= self.low_water {
                break;
            }
            self.by_h.pop_first();
            self.ends.remove(&txn);
        }
    }

    /// Whether nothing new may be heard of until older ones are forgotten.
    pub fn is_full(&self) -> bool {
        self.by_h.len() >= MAX_OVER
    }

    /// The one-phase commits among them.
    pub fn one_phase(&self) -> impl Iterator<Item = OnePhaseOutcome> {
        self.ends.iter().filter_map(|(&txn, (h, end))| match end {
            End::OnePhase(at) => Some(OnePhaseOutcome { txn, h: *h, committed: Some(*at) }),
            End::OnePhaseRead(_)
            | End::OnePhaseNo(_)
            | End::VotedNo(_)
            | End::Voted(..)
            | End::Decided => None,
        })
    }

    /// The commits among them that votes have decided.
    pub fn voted(&self) -> impl Iterator<Item = Voted> {
        self.ends.iter().filter_map(|(&txn, (h, end))| match end {
            End::Voted(at, participants) => Some(Voted {
                txn,
                h: *h,
                participants: participants.to_vec(),
                knows: Knows::Committed(*at),
            }),
            End::OnePhase(_)
            | End::OnePhaseRead(_)
            | End::OnePhaseNo(_)
            | End::VotedNo(_)
            | End::Decided => None,
        })
    }

    /// All commits that began before this are over.
    pub fn low_water(&self) -> Timestamp {
        self.low_water
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_common::id::{Epoch, SessionId};

    #[test]
    fn forgets_below_the_mark_only() {
        let session = SessionId { epoch: Epoch(1), number: 1 };
        let txn = |sequence| TxnId { session, sequence };
        let mut over = Over::default();
        over.insert(txn(1), Timestamp(10), End::OnePhase(Timestamp(11)));
        over.insert(txn(2), Timestamp(20), End::Decided);
        over.raise(Timestamp(20));
        assert_eq!(over.get(txn(1)), None);
        assert_eq!(over.get(txn(2)), Some(&End::Decided));
        assert!(over.is_past(Timestamp(19)) && !over.is_past(Timestamp(20)));
        over.insert(txn(3), Timestamp(19), End::Decided);
        assert_eq!(over.ends.len(), 1);
    }
}
