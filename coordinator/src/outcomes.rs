//! What became of transactions, for the retention.
//!
//! Only commits are kept: no trace means aborted (presumed abort), unless the
//! trace may have been forgotten, or a shard that has not joined may bring one. A
//! client numbers its transactions one after another, so commits stand in blocks of 64 neighbouring sequences, 8 bytes
//! each; blocks are forgotten whole, oldest first.
//!
//! ```text
//!   (session, sequence / 64) ──▶ [ ts ts  –  ts …64 ]     – : no commit
//!   forgotten:  session ──▶ highest sequence of a forgotten commit
//! ```

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use synod_common::id::{SessionId, TxnId};
use synod_common::time::Timestamp;

const BLOCK: u64 = 64;

type BlockId = (SessionId, u64);

#[derive(Clone, Debug)]
struct Block {
    newest: Timestamp,
    at: Box<[Timestamp; BLOCK as usize]>,
}

/// The commits that are remembered.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    blocks: BTreeMap<BlockId, Block>,
    order: VecDeque<BlockId>,
    forgotten: BTreeMap<SessionId, u64>,
    forgotten_sessions: Option<SessionId>,
}

/// One block, as it stands in a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedBlock {
    session: SessionId,
    number: u64,
    at: Vec<Timestamp>,
}

/// What was forgotten, as it stands in a checkpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SavedForgotten {
    sessions: Vec<(SessionId, u64)>,
    through: Option<SessionId>,
}

/// What is known about a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It committed.
    Committed(Timestamp),
    /// It did not commit so far.
    NotCommitted,
    /// It may have committed and been forgotten.
    Forgotten,
}

impl Outcomes {
    /// Remembers a commit. Its timestamp never changes.
    pub fn insert(&mut self, txn: TxnId, at: Timestamp) {
        let id = (txn.session, txn.sequence / BLOCK);
        let order = &mut self.order;
        let block = self.blocks.entry(id).or_insert_with(|| {
            order.push_back(id);
            Block { newest: Timestamp::ZERO, at: Box::new([Timestamp::ZERO; BLOCK as usize]) }
        });
        let slot = &mut block.at[(txn.sequence % BLOCK) as usize];
        assert!(*slot == Timestamp::ZERO || *slot == at, "{txn} committed at {slot} and at {at}");
        *slot = at;
        block.newest = block.newest.max(at);
    }

    /// What is known about `txn`.
    pub fn get(&self, txn: TxnId) -> Known {
        let id = (txn.session, txn.sequence / BLOCK);
        let at = self.blocks.get(&id).map(|block| block.at[(txn.sequence % BLOCK) as usize]);
        match at {
            Some(at) if at != Timestamp::ZERO => Known::Committed(at),
            Some(_) | None if self.may_be_forgotten(txn) => Known::Forgotten,
            Some(_) | None => Known::NotCommitted,
        }
    }

    fn may_be_forgotten(&self, txn: TxnId) -> bool {
        self.forgotten_sessions.is_some_and(|through| txn.session <= through)
            || self.forgotten.get(&txn.session).is_some_and(|last| txn.sequence <= *last)
    }

    /// Forgets blocks whose commits all lie before `cutoff`, and the oldest ones
    /// beyond `capacity`.
    pub fn forget(&mut self, cutoff: Timestamp, capacity: usize) {
        while let Some(&id) = self.order.front() {
            let newest = self.blocks.get(&id).map_or(Timestamp::ZERO, |block| block.newest);
            if newest >= cutoff && self.blocks.len() <= capacity {
                break;
            }
            self.order.pop_front();
            let Some(block) = self.blocks.remove(&id) else { continue };
            let slots = (0..BLOCK).zip(&*block.at);
            let committed = slots.filter(|(_, at)| **at != Timestamp::ZERO);
            let last_committed = committed.map(|(i, _)| id.1 * BLOCK + i).max().unwrap_or(0);
            let last = self.forgotten.entry(id.0).or_default();
            *last = (*last).max(last_committed);
        }
        // A bound on the per-session notes: the oldest sessions share one.
        while self.forgotten.len() > 4096 {
            if let Some((session, _)) = self.forgotten.pop_first() {
                self.forgotten_sessions = self.forgotten_sessions.max(Some(session));
            }
        }
    }

    /// How many blocks are kept.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The blocks behind `after` in storage order, for a checkpoint.
    pub fn save(&self, after: Option<BlockId>, limit: usize) -> (Vec<SavedBlock>, Option<BlockId>) {
        use std::ops::Bound::{Excluded, Unbounded};
        let range = (after.map_or(Unbounded, Excluded), Unbounded);
        let mut next = None;
        let mut saved = Vec::new();
        for (id, block) in self.blocks.range(range).take(limit) {
            next = Some(*id);
            saved.push(SavedBlock { session: id.0, number: id.1, at: block.at.to_vec() });
        }
        (saved, next)
    }

    /// What was forgotten, for a checkpoint.
    pub fn save_forgotten(&self) -> SavedForgotten {
        SavedForgotten {
            sessions: self.forgotten.iter().map(|(session, last)| (*session, *last)).collect(),
            through: self.forgotten_sessions,
        }
    }

    /// Takes back a block of a checkpoint.
    pub fn restore(&mut self, saved: &SavedBlock) {
        for (i, at) in (0..BLOCK).zip(&saved.at) {
            if *at != Timestamp::ZERO {
                let sequence = saved.number * BLOCK + i;
                self.insert(TxnId { session: saved.session, sequence }, *at);
            }
        }
    }

    /// Takes back what was forgotten.
    pub fn restore_forgotten(&mut self, saved: SavedForgotten) {
        self.forgotten.extend(saved.sessions);
        self.forgotten_sessions = self.forgotten_sessions.max(saved.through);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_common::id::Epoch;

    fn txn(number: u64, sequence: u64) -> TxnId {
        TxnId { session: SessionId { epoch: Epoch(1), number }, sequence }
    }

    #[test]
    fn forgets_whole_blocks_and_says_so() {
        let mut outcomes = Outcomes::default();
        for sequence in 1..=200 {
            outcomes.insert(txn(1, sequence), Timestamp(1000 + sequence));
        }
        assert_eq!(outcomes.get(txn(1, 5)), Known::Committed(Timestamp(1005)));
        assert_eq!(outcomes.get(txn(1, 201)), Known::NotCommitted);
        outcomes.forget(Timestamp(1100), 100);
        assert_eq!(outcomes.get(txn(1, 5)), Known::Forgotten);
        assert_eq!(outcomes.get(txn(1, 64)), Known::Committed(Timestamp(1064)));
        assert_eq!(outcomes.get(txn(1, 400)), Known::NotCommitted);
        outcomes.forget(Timestamp::ZERO, 1);
        assert_eq!(outcomes.blocks(), 1);
        assert_eq!(outcomes.get(txn(1, 199)), Known::Committed(Timestamp(1199)));
    }

    /// A session that goes on after its first block was forgotten.
    #[test]
    fn a_block_that_begins_again_does_not_deny_what_was_forgotten() {
        let mut outcomes = Outcomes::default();
        outcomes.insert(txn(1, 5), Timestamp(1000));
        outcomes.forget(Timestamp(2000), 100);
        outcomes.insert(txn(1, 6), Timestamp(3000));
        assert_eq!(outcomes.get(txn(1, 5)), Known::Forgotten);
        assert_eq!(outcomes.get(txn(1, 6)), Known::Committed(Timestamp(3000)));
        assert_eq!(outcomes.get(txn(1, 7)), Known::NotCommitted);
    }

    #[test]
    fn comes_back_from_a_checkpoint() {
        let mut outcomes = Outcomes::default();
        for sequence in (1..400).step_by(3) {
            outcomes.insert(txn(sequence % 2, sequence), Timestamp(sequence));
        }
        outcomes.forget(Timestamp(64), usize::MAX);
        let mut restored = Outcomes::default();
        restored.restore_forgotten(outcomes.save_forgotten());
        let mut after = None;
        loop {
            let (blocks, next) = outcomes.save(after, 2);
            blocks.iter().for_each(|block| restored.restore(block));
            if next.is_none() {
                break;
            }
            after = next;
        }
        for sequence in 1..500 {
            for number in 0..2 {
                let txn = txn(number, sequence);
                assert_eq!(restored.get(txn), outcomes.get(txn), "{txn}");
            }
        }
    }
}
