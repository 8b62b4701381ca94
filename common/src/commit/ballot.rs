//! Who may lead the sites of a transaction, and since when.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{CoordinatorId, Peer, ShardId};

/// A site of a transaction: its place among them. The participants come first, in the
/// order of their numbers, and the coordinator last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SiteId(pub u16);

impl SiteId {
    /// Which site of a transaction with these participants somebody is.
    pub fn of(peer: Peer, participants: &[ShardId]) -> Option<SiteId> {
        let place = match peer {
            Peer::Shard(shard) => participants.iter().position(|other| *other == shard)?,
            Peer::Coordinator(_) => participants.len(),
            Peer::Client(_) => return None,
        };
        u16::try_from(place).ok().map(SiteId)
    }

    /// Who a site of a transaction with these participants is.
    pub fn peer(self, participants: &[ShardId], coordinator: CoordinatorId) -> Peer {
        match participants.get(usize::from(self.0)) {
            Some(shard) => Peer::Shard(*shard),
            None => Peer::Coordinator(coordinator),
        }
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "site {}", self.0)
    }
}

/// An attempt to lead. Of two the larger counts; the site in it makes it one's own, and
/// whoever uses it has forced it before, so no two attempts ever have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// Above all that its leader had heard of.
    pub round: u32,
    /// Its leader.
    pub site: SiteId,
}

impl Ballot {
    /// Before any attempt.
    pub const NONE: Ballot = Ballot { round: 0, site: SiteId(0) };

    /// The coordinator's, which needs no election.
    pub fn first(coordinator: SiteId) -> Ballot {
        Ballot { round: 1, site: coordinator }
    }

    /// The next one of a site that has heard of this one.
    pub fn next(self, site: SiteId) -> Ballot {
        Ballot { round: self.round.saturating_add(1), site }
    }

    /// Whether one of so many sites may have made it. The largest round is nobody's, so
    /// that there is always a next one.
    pub fn is_of(self, sites: u16) -> bool {
        (1..u32::MAX).contains(&self.round) && self.site.0 < sites
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}.{}", self.round, self.site.0)
    }
}
