//! Counting votes.

use synod_common::id::ShardId;
use synod_common::message::commit::Vote;
use synod_common::time::Timestamp;

/// The votes on one transaction.
#[derive(Clone, Debug, Hash)]
pub struct Tally {
    missing: Vec<ShardId>,
    yes: Vec<ShardId>,
    read: Vec<ShardId>,
    at: Timestamp,
}

impl Tally {
    /// Nobody has voted.
    pub fn new(shards: &[ShardId]) -> Tally {
        Tally { missing: shards.to_vec(), yes: vec![], read: vec![], at: Timestamp::ZERO }
    }

    /// Counts a YES or READ vote, once. True when it was the last one missing.
    pub fn count(&mut self, shard: ShardId, vote: &Vote) -> bool {
        let Some(i) = self.missing.iter().position(|missing| *missing == shard) else {
            return false;
        };
        let at = match vote {
            Vote::Yes(at) => {
                self.yes.push(shard);
                *at
            }
            Vote::Read(at) => {
                self.read.push(shard);
                *at
            }
            Vote::No(_) => return false,
        };
        self.missing.swap_remove(i);
        self.at = self.at.max(at);
        self.is_complete()
    }

    /// Whether all have voted.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Whether this shard has not voted.
    pub fn is_missing(&self, shard: ShardId) -> bool {
        self.missing.contains(&shard)
    }

    /// The largest vote so far.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// All participants.
    pub fn participants(&self) -> impl Iterator<Item = ShardId> {
        self.missing.iter().chain(&self.yes).chain(&self.read).copied()
    }

    /// Who voted YES, who voted READ, who has not voted.
    pub fn votes(&self) -> [&[ShardId]; 3] {
        [&self.yes, &self.read, &self.missing]
    }

    /// The commit timestamp, who voted YES, who voted READ.
    pub fn result(self) -> (Timestamp, Vec<ShardId>, Vec<ShardId>) {
        assert!(self.is_complete(), "decided before all votes were in");
        (self.at, self.yes, self.read)
    }
}
