//! Which shard owns a key.
//!
//! Keys are spread by hash over a ring: every shard owns the arcs that end at
//! its 128 tokens, so that adding a shard later moves only its share. Or the
//! shards are ranges of keys, cut where the operator says (`--split`). Either
//! way the map carries an epoch, and a request made with another epoch is
//! refused rather than served.
//!
//! ```text
//!   hash:   0 ──s2──s1────s3──s1──s2── 2^64       token = hash(shard, i)
//!   range:  ""──────s1──────"g"────s2────"p"───s3──
//! ```
//!
//! *Deliberately absent*: moving keys between shards.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::id::{CoordinatorId, ShardId};
use crate::key::{Key, KeyRange};
use crate::limits;

/// Tokens of one shard on the ring: enough for shares within about 10 %.
const TOKENS: u32 = 128;

/// Bytes of all splits together, so that the map fits into a message.
const SPLIT_BYTES: usize = 32 << 10;

/// How keys are spread over the shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Partition {
    /// By hash, over a ring.
    Hash,
    /// By range; shard `i` begins at split `i - 1`. Strictly increasing.
    Range(Vec<Key>),
}

/// A shard and where clients reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardAddress {
    /// Which shard.
    pub id: ShardId,
    /// `host:port`.
    pub address: String,
}

/// A member of the group of coordinators and where clients reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorAddress {
    /// Which coordinator.
    pub id: CoordinatorId,
    /// `host:port`.
    pub address: String,
}

/// The shard map as it is configured and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Changes with every change of the map.
    pub epoch: u32,
    /// How keys are spread.
    pub partition: Partition,
    /// The shards, in the order of the partition.
    pub shards: Vec<ShardAddress>,
}

/// A placement that is no map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad shard map: {0}")]
pub struct BadPlacement(&'static str);

/// The shard map, ready for look-ups.
#[derive(Clone, Debug)]
pub struct Router {
    placement: Placement,
    ring: Vec<(u64, ShardId)>,
}

impl Router {
    /// Checks a placement and prepares it for look-ups.
    ///
    /// # Errors
    /// If it has no shard, too many, one twice, or splits that do not fit.
    pub fn new(placement: Placement) -> Result<Router, BadPlacement> {
        let shards = &placement.shards;
        if shards.is_empty() || shards.len() > limits::SHARDS {
            return Err(BadPlacement("there must be 1 to 256 shards"));
        }
        let mut ids: Vec<ShardId> = shards.iter().map(|shard| shard.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != shards.len() {
            return Err(BadPlacement("a shard is named twice"));
        }
        let mut ring = Vec::new();
        match &placement.partition {
            Partition::Hash => {
                for &id in &ids {
                    ring.extend((0..TOKENS).map(|i| (token(id, i), id)));
                }
                ring.sort_unstable();
            }
            Partition::Range(splits) => {
                if splits.len() + 1 != shards.len() {
                    return Err(BadPlacement("N shards need N - 1 splits"));
                }
                if splits.iter().map(|split| split.len()).sum::<usize>() > SPLIT_BYTES {
                    return Err(BadPlacement("the splits are too long"));
                }
                if splits.iter().any(|split| split.is_empty())
                    || splits.windows(2).any(|pair| pair[0] >= pair[1])
                {
                    return Err(BadPlacement("splits must be non-empty and strictly increasing"));
                }
            }
        }
        Ok(Router { placement, ring })
    }

    /// The map as it was given.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The epoch of the map.
    pub fn epoch(&self) -> u32 {
        self.placement.epoch
    }

    /// The shard that owns `key`.
    pub fn shard_of(&self, key: &[u8]) -> ShardId {
        match &self.placement.partition {
            Partition::Hash => {
                let at = xxh3_64(key);
                let next = self.ring.partition_point(|(token, _)| *token < at);
                self.ring[next % self.ring.len()].1
            }
            Partition::Range(splits) => {
                let index = splits.partition_point(|split| split.as_bytes() <= key);
                self.placement.shards[index].id
            }
        }
    }

    /// The shards that may own keys of `range`, in placement order.
    pub fn shards_of(&self, range: &KeyRange) -> Vec<ShardId> {
        let shards = &self.placement.shards;
        let Partition::Range(splits) = &self.placement.partition else {
            return shards.iter().map(|shard| shard.id).collect();
        };
        let owned = |i: usize| KeyRange {
            start: if i == 0 { KeyRange::all().start } else { splits[i - 1].clone() },
            end: splits.get(i).cloned(),
        };
        (0..shards.len()).filter(|i| owned(*i).overlaps(range)).map(|i| shards[i].id).collect()
    }

    /// What shard `id` owns, for people: a share of the ring or a range.
    pub fn describe(&self, id: ShardId) -> String {
        match &self.placement.partition {
            Partition::Hash => format!("hash 1/{}", self.placement.shards.len()),
            Partition::Range(splits) => {
                let at = self.placement.shards.iter().position(|shard| shard.id == id);
                let start = at.and_then(|i| i.checked_sub(1)).map(|i| splits[i].to_string());
                let end = at.and_then(|i| splits.get(i)).map(ToString::to_string);
                format!("{}..{}", start.unwrap_or_default(), end.unwrap_or_default())
            }
        }
    }
}

fn token(id: ShardId, index: u32) -> u64 {
    let mut bytes = [0; 6];
    bytes[..2].copy_from_slice(&id.0.to_le_bytes());
    bytes[2..].copy_from_slice(&index.to_le_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(shards: u16, partition: Partition) -> Placement {
        let shards = (1..=shards)
            .map(|id| ShardAddress { id: ShardId(id), address: String::new() })
            .collect();
        Placement { epoch: 1, partition, shards }
    }

    #[test]
    fn hash_shares_are_even_within_a_fifth() {
        let router = Router::new(placement(4, Partition::Hash)).unwrap();
        let mut counts = [0; 4];
        for i in 0..40_000u32 {
            counts[router.shard_of(format!("acct/{i}").as_bytes()).0 as usize - 1] += 1;
        }
        assert!(counts.iter().all(|n| (8_000..12_000).contains(n)), "{counts:?}");
    }

    /// Where keys live is durable, so the hash may never change.
    #[test]
    fn places_are_golden() {
        let router = Router::new(placement(4, Partition::Hash)).unwrap();
        let owners: Vec<u16> = ["a", "b", "c", "acct/alice", "acct/bob", ""]
            .iter()
            .map(|key| router.shard_of(key.as_bytes()).0)
            .collect();
        assert_eq!(owners, GOLDEN);
    }

    const GOLDEN: [u16; 6] = [3, 1, 3, 4, 3, 4];

    #[test]
    fn ranges_own_from_their_split_on() {
        let splits = vec![Key::from("g"), Key::from("p")];
        let router = Router::new(placement(3, Partition::Range(splits))).unwrap();
        assert_eq!(router.shard_of(b"a"), ShardId(1));
        assert_eq!(router.shard_of(b"g"), ShardId(2));
        assert_eq!(router.shard_of(b"ozzz"), ShardId(2));
        assert_eq!(router.shard_of(b"p"), ShardId(3));
        let range = KeyRange { start: Key::from("a"), end: Some(Key::from("g")) };
        assert_eq!(router.shards_of(&range), vec![ShardId(1)]);
        let range = KeyRange { start: Key::from("h"), end: None };
        assert_eq!(router.shards_of(&range), vec![ShardId(2), ShardId(3)]);
    }

    #[test]
    fn refuses_what_is_no_map() {
        assert!(Router::new(placement(0, Partition::Hash)).is_err());
        let bad = vec![Key::from("p"), Key::from("g")];
        assert!(Router::new(placement(3, Partition::Range(bad))).is_err());
        assert!(Router::new(placement(2, Partition::Range(vec![]))).is_err());
    }
}
