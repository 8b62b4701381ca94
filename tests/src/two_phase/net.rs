//! Who there is, and what is on its way between them.

use synod_common::id::{ClientId, CoordinatorId, Peer, RequestId, ShardId};
use synod_common::message::Message;

/// The place of the coordinator; behind it come the shards, as their numbers say.
pub const COORDINATOR: usize = 0;
/// There are at most so many shards.
pub const MOST_SHARDS: usize = 3;
/// The place of the client.
pub const CLIENT: usize = MOST_SHARDS + 1;

/// How others call the one in this place.
pub fn peer(site: usize) -> Peer {
    match site {
        COORDINATOR => Peer::Coordinator(CoordinatorId(1)),
        CLIENT => Peer::Client(ClientId(1)),
        shard => Peer::Shard(ShardId(shard as u16)),
    }
}

/// The place of one that others call so.
pub fn site(peer: Peer) -> usize {
    match peer {
        Peer::Coordinator(_) => COORDINATOR,
        Peer::Client(_) => CLIENT,
        Peer::Shard(shard) => usize::from(shard.0),
    }
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Who sent it.
    pub from: usize,
    /// Who is to hear it.
    pub to: usize,
    /// Which request it is, or answers.
    pub request: RequestId,
    /// What it says.
    pub message: Message,
}

/// Who believes to be linked with whom.
#[derive(Clone, Copy, Debug, Default)]
pub struct Links([u8; CLIENT + 1]);

impl Links {
    /// Whether one believes that its link to another is up. Those of clients are.
    pub fn is_up(self, one: usize, other: usize) -> bool {
        one == CLIENT || other == CLIENT || self.0[one] >> other & 1 == 1
    }

    /// It learns that the link is up, or is not.
    pub fn set(&mut self, one: usize, other: usize, up: bool) {
        self.0[one] = self.0[one] & !(1 << other) | u8::from(up) << other;
    }

    /// It begins anew, and is linked with nobody.
    pub fn forget(&mut self, one: usize) {
        self.0[one] = 0;
    }
}
