//! What the sites of a schedule say to each other, and what is on its way.

use synod_common::id::CoordinatorId;
use synod_common::message::GroupMessage;
use synod_common::message::commit::Vote;
use synod_common::message::paxos::Bundle;

use crate::group::Cut;
use crate::sim::rng::Rng;

/// What a site says; of which transaction, by its number.
#[derive(Clone, Debug)]
pub enum Message {
    /// What members say to each other.
    Group(GroupMessage),
    /// Leader: vote.
    Prepare(usize),
    /// Participant, to an acceptor: YES or READ.
    Propose(usize, Vote),
    /// Participant, to the leader: NO.
    No(usize),
    /// Acceptor: all votes are accepted here.
    Accepted(usize),
    /// Leader: accept these.
    Forward(Bundle),
    /// Leader: committed at.
    Commit(usize),
    /// Leader: committed, to one that owes no acknowledgement.
    Release(usize),
    /// Leader: aborted.
    Abort(usize),
    /// Participant: the commit is durable here.
    Ack(usize),
    /// Participant: what became of it?
    Inquire(usize),
}

/// A message and whom it is for.
pub type Addressed = (usize, Message);

/// The place of a member among the sites: they come before the participants.
pub fn site(member: CoordinatorId) -> usize {
    usize::from(member.0) - 1
}

/// The member in this place.
pub fn member(site: usize) -> CoordinatorId {
    CoordinatorId(site as u16 + 1)
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Who sent it.
    pub from: usize,
    /// Who is to hear it.
    pub to: usize,
    /// What it says.
    pub message: Message,
}

/// All that is on its way, and what is in the way.
#[derive(Debug)]
pub struct Net {
    bag: Vec<Letter>,
    /// Who can not reach whom.
    pub cut: Cut,
}

impl Net {
    /// One on which nothing was said yet.
    pub fn new() -> Net {
        Net { bag: Vec::with_capacity(64), cut: Cut::None }
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

    /// A letter between two of these sites.
    pub fn take_between(&mut self, sites: u64) -> Option<Letter> {
        let within = |site: usize| sites >> site & 1 == 1;
        let i = self.bag.iter().position(|letter| within(letter.from) && within(letter.to))?;
        Some(self.bag.swap_remove(i))
    }

    /// One that can not arrive now will do so later.
    pub fn keep(&mut self, letter: Letter) {
        self.bag.push(letter);
        // Not as the newest, or nothing else would arrive.
        let last = self.bag.len() - 1;
        self.bag.swap(0, last);
    }
}
