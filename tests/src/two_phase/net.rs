//! Who there is, and what is on its way between them.

use synod_common::id::{ClientId, CoordinatorId, Peer, RequestId, ShardId};
use synod_common::message::Message;

use crate::group::Cut;
use crate::sim::rng::Rng;

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

/// All that is on its way, and what is in the way.
#[derive(Clone, Debug)]
pub struct Net {
    bag: Vec<Letter>,
    /// Who can not reach whom.
    pub cut: Cut,
    /// Whom each believes to be linked with: a bit for every other one.
    linked: [u8; CLIENT + 1],
}

impl Net {
    /// One on which nobody is linked.
    pub fn new() -> Net {
        Net { bag: Vec::with_capacity(32), cut: Cut::None, linked: [0; CLIENT + 1] }
    }

    /// Whether one believes that its link to another is up. Those of clients are.
    pub fn is_linked(&self, one: usize, other: usize) -> bool {
        one == CLIENT || other == CLIENT || self.linked[one] >> other & 1 == 1
    }

    /// It learns that the link is up, or is not.
    pub fn link(&mut self, one: usize, other: usize, up: bool) {
        self.linked[one] = self.linked[one] & !(1 << other) | u8::from(up) << other;
    }

    /// It begins anew, and is linked with nobody.
    pub fn forget(&mut self, one: usize) {
        self.linked[one] = 0;
    }

    /// How much is on its way.
    pub fn len(&self) -> usize {
        self.bag.len()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.bag.is_empty()
    }

    /// Something more is.
    pub fn post(&mut self, letter: Letter) {
        self.bag.push(letter);
    }

    /// Any letter; the newest with this chance, so that old ones come late.
    pub fn take(&mut self, rng: &mut Rng, newest: u32) -> Option<Letter> {
        if self.bag.is_empty() {
            return None;
        }
        if rng.chance(newest) {
            return self.bag.pop();
        }
        let i = rng.below(self.bag.len() as u64) as usize;
        Some(self.bag.swap_remove(i))
    }

    /// All of it.
    pub fn letters(&mut self) -> &mut Vec<Letter> {
        &mut self.bag
    }

    /// The first of these.
    pub fn take_if(&mut self, is: impl Fn(&Letter) -> bool) -> Option<Letter> {
        let place = self.bag.iter().position(is)?;
        Some(self.bag.remove(place))
    }

    /// One that can not arrive now will do so later.
    pub fn keep(&mut self, letter: Letter) {
        self.bag.push(letter);
        // Not as the newest, or nothing else would arrive.
        let last = self.bag.len() - 1;
        self.bag.swap(0, last);
    }
}
