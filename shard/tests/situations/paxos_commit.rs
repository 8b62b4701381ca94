//! Paxos Commit: what a participant proposes, and what it must not say.

use synod_common::message::PaxosMessage;

use super::*;

impl World {
    /// Two members of the group are to accept the vote; nothing is written here.
    fn prepare_paxos(&mut self, txn: TxnId, h: u64, incarnation: Option<Incarnation>) {
        self.hear(CommitMessage::Prepare {
            txn,
            h: Timestamp(h),
            hi: Timestamp(h + 900),
            incarnation,
            low_water: Timestamp::ZERO,
            participants: vec![ShardId(1), ShardId(2)],
            acceptors: vec![CoordinatorId(1), CoordinatorId(2)],
            terms: Terms { protocol: Protocol::PaxosCommit, ..terms(Validation::Locked) },
            read_bytes: 0,
            writes: Bytes::new(),
        });
    }

    /// To whom, and what.
    fn proposed(&self) -> Vec<(Peer, Vote)> {
        let proposed = self.sent.iter().filter_map(|(to, message)| match message {
            Message::Paxos(PaxosMessage::Propose { vote, .. }) => Some((*to, vote.clone())),
            _ => None,
        });
        proposed.collect()
    }
}

/// Some member may have all votes by now: a NO would abort what it commits when it leads.
#[test]
fn who_may_have_lost_a_vote_of_read_in_a_crash_does_not_say_no() {
    let mut world = World::new();
    let given = incarnation_of(&world.read(txn(1), "k", ReadMode::Shared));
    world.prepare_paxos(txn(1), 1100, given);
    let read = Vote::Read(Timestamp(1100));
    let other = Peer::Coordinator(CoordinatorId(2));
    assert_eq!(world.proposed(), [(COORDINATOR, read.clone()), (other, read)]);
    let mut world = world.crash();
    world.welcome(1, 2000);
    world.prepare_paxos(txn(1), 1100, given);
    assert_eq!((world.votes(), world.proposed()), (vec![], vec![]));
    // What began later has no vote that might be lost.
    world.prepare_paxos(txn(2), 2100, given);
    assert!(matches!(world.votes()[..], [Vote::No(_)]));
}
