//! What became of transactions in three-phase commit, until nobody can be in doubt about
//! them any more.
//!
//! ```text
//!   h ───────●───────●─────────●──────── below ──────────▶
//!          settled  open     settled     │  remembered here, over restarts too
//!                   still remembered
//! ```
//!
//! The coordinator says again and again below which `h` all is decided, and which of that
//! some site has not acknowledged: what is open. Everything else below is *settled*: either
//! aborted, or acknowledged durably by all its sites. So whoever is still in doubt about one
//! that is settled may conclude that it was aborted, and here it is forgotten. One dead
//! site keeps only what it has not acknowledged from being forgotten, and not all that
//! came after.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use synod_common::commit::Verdict;
use synod_common::id::{Epoch, TxnId};
use synod_common::time::Timestamp;

/// How far all is settled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Orders what the coordinator says.
    pub stamp: (Epoch, u64),
    /// All commits that began before this are decided.
    pub below: Timestamp,
    /// Those of them that some site has not acknowledged.
    pub open: BTreeSet<TxnId>,
}

/// The decisions that others may ask for.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    mark: Mark,
    ends: BTreeMap<TxnId, (Timestamp, Verdict)>,
    by_h: BTreeSet<(Timestamp, TxnId)>,
}

impl Settled {
    /// Remembers how a transaction ended, whose commit began at `h`.
    pub fn insert(&mut self, txn: TxnId, h: Timestamp, verdict: Verdict) {
        if !self.is_settled(txn, h) && self.ends.insert(txn, (h, verdict)).is_none() {
            self.by_h.insert((h, txn));
        }
    }

    /// How it ended, if that is remembered.
    pub fn get(&self, txn: TxnId) -> Option<Verdict> {
        self.ends.get(&txn).map(|(_, verdict)| *verdict)
    }

    /// Whether nobody who must know of a commit can be in doubt about it.
    pub fn is_settled(&self, txn: TxnId, h: Timestamp) -> bool {
        h < self.mark.below && !self.mark.open.contains(&txn)
    }

    /// The coordinator says more; what it said before that is ignored.
    pub fn raise(&mut self, mark: Mark) {
        if mark.stamp <= self.mark.stamp {
            return;
        }
        let old = self.by_h.iter().take_while(|(h, _)| *h < mark.below);
        let over: Vec<_> = old.filter(|(_, txn)| !mark.open.contains(txn)).copied().collect();
        for (h, txn) in over {
            self.by_h.remove(&(h, txn));
            self.ends.remove(&txn);
        }
        let below = self.mark.below.max(mark.below);
        self.mark = Mark { below, ..mark };
    }

    /// How far all is settled.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// All that is remembered.
    pub fn all(&self) -> impl Iterator<Item = (TxnId, Timestamp, Verdict)> {
        self.ends.iter().map(|(txn, (h, verdict))| (*txn, *h, *verdict))
    }
}

#[cfg(test)]
mod tests {
    use synod_common::id::SessionId;

    use super::*;

    fn txn(sequence: u64) -> TxnId {
        TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence }
    }

    fn mark(number: u64, below: u64, open: &[u64]) -> Mark {
        let open = open.iter().copied().map(txn).collect();
        Mark { stamp: (Epoch(1), number), below: Timestamp(below), open }
    }

    #[test]
    fn one_that_is_open_keeps_only_itself() {
        let mut settled = Settled::default();
        for n in 1..=4 {
            settled.insert(txn(n), Timestamp(10 * n), Verdict::Abort);
        }
        settled.raise(mark(1, 40, &[2]));
        let known = |settled: &Settled| -> Vec<u64> {
            settled.all().map(|(txn, ..)| txn.sequence).collect()
        };
        assert_eq!(known(&settled), [2, 4]);
        assert!(
            settled.is_settled(txn(1), Timestamp(10)) && settled.is_settled(txn(9), Timestamp(39))
        );
        assert!(!settled.is_settled(txn(2), Timestamp(20)));
        assert!(!settled.is_settled(txn(4), Timestamp(40)));
        // What comes late does not count.
        settled.raise(mark(1, 40, &[1]));
        settled.insert(txn(1), Timestamp(10), Verdict::Abort);
        assert_eq!(known(&settled), [2, 4]);
        settled.raise(mark(2, 41, &[]));
        assert_eq!(known(&settled), [] as [u64; 0]);
    }
}
