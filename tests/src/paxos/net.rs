//! What the sites of a schedule say to each other.

use synod_common::id::CoordinatorId;
use synod_common::message::GroupMessage;
use synod_common::message::commit::Vote;
use synod_common::message::paxos::Bundle;

use crate::explore::net;

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
pub type Letter = net::Letter<Message>;
