//! Which shards have joined this epoch, and which are connected.
//!
//! A shard joins whenever its link comes up. It first tells which commits it
//! remembers that may not be known here, and what it has in doubt, so that
//! nothing is presumed about them; a join counts only when all that it
//! announces has arrived. A shard that restarted gets the oracle's window closed
//! for it: every later timestamp lies above everything it may have forgotten.

use std::collections::{BTreeMap, BTreeSet};

use synod_common::id::{ShardId, TxnId};

/// The shards of the map, as this coordinator knows them.
#[derive(Clone, Debug)]
pub struct Members {
    members: BTreeMap<ShardId, Member>,
}

#[derive(Clone, Debug, Default)]
struct Member {
    /// The link to it is up.
    reached: bool,
    /// Joined over the link that is up now.
    joined: bool,
    /// Joined at least once in this epoch.
    heard: bool,
    /// Transactions told under the newest nonce.
    nonce: u64,
    told: BTreeSet<TxnId>,
}

impl Members {
    /// The shards of the map, none of which has joined.
    pub fn new(shards: impl Iterator<Item = ShardId>) -> Members {
        Members { members: shards.map(|id| (id, Member::default())).collect() }
    }

    /// Whether the shard is of the map.
    pub fn contains(&self, shard: ShardId) -> bool {
        self.members.contains_key(&shard)
    }

    /// Whether the shard has joined over the link that is up now.
    pub fn is_joined(&self, shard: ShardId) -> bool {
        self.members.get(&shard).is_some_and(|member| member.joined)
    }

    /// Those that have.
    pub fn joined(&self) -> impl Iterator<Item = ShardId> {
        self.members.iter().filter(|(_, member)| member.joined).map(|(id, _)| *id)
    }

    /// Whether all have.
    pub fn all_joined(&self) -> bool {
        self.members.values().all(|member| member.joined)
    }

    /// Whether this shard has joined since the coordinator started.
    pub fn is_heard(&self, shard: ShardId) -> bool {
        self.members.get(&shard).is_some_and(|member| member.heard)
    }

    /// Whether every shard has joined since the coordinator started, so that no
    /// outcome of an earlier epoch is missing here.
    pub fn all_heard(&self) -> bool {
        self.members.values().all(|member| member.heard)
    }

    /// The link came up.
    pub fn reached(&mut self, shard: ShardId) {
        if let Some(member) = self.members.get_mut(&shard) {
            member.reached = true;
        }
    }

    /// Those that are there and have not joined.
    pub fn missing(&self) -> impl Iterator<Item = ShardId> {
        let missing = self.members.iter().filter(|(_, member)| member.reached && !member.joined);
        missing.map(|(id, _)| *id)
    }

    /// The link went down.
    pub fn left(&mut self, shard: ShardId) {
        if let Some(member) = self.members.get_mut(&shard) {
            member.reached = false;
            member.joined = false;
        }
    }

    /// The shard told of a transaction.
    pub fn told(&mut self, shard: ShardId, nonce: u64, txn: TxnId) {
        let Some(member) = self.members.get_mut(&shard) else { return };
        if member.nonce != nonce {
            member.nonce = nonce;
            member.told.clear();
        }
        member.told.insert(txn);
    }

    /// The shard wants to join; false if something it announces is missing.
    pub fn join(&mut self, shard: ShardId, nonce: u64, remembered: u32) -> bool {
        let Some(member) = self.members.get_mut(&shard) else { return false };
        let told = if member.nonce == nonce { member.told.len() } else { 0 };
        if told < remembered as usize || !member.reached {
            return false;
        }
        member.joined = true;
        member.heard = true;
        member.told.clear();
        true
    }
}
