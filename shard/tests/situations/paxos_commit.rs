//! Paxos Commit: what a participant proposes, and what it must not say.

use synod_common::message::PaxosMessage;

use super::*;

impl World {
    /// Two members of the group are to accept the vote.
    fn prepare_paxos(&mut self, txn: TxnId, h: u64, incarnation: Option<Incarnation>) {
        self.prepare_by(Protocol::PaxosCommit, (txn, h), incarnation, Bytes::new());
    }

    fn prepare_by(
        &mut self,
        protocol: Protocol,
        (txn, h): (TxnId, u64),
        incarnation: Option<Incarnation>,
        writes: Bytes,
    ) {
        self.hear(CommitMessage::Prepare {
            txn,
            h: Timestamp(h),
            hi: Timestamp(h + 900),
            incarnation,
            low_water: Timestamp::ZERO,
            participants: vec![ShardId(1), ShardId(2)],
            acceptors: vec![CoordinatorId(1), CoordinatorId(2)],
            implicit: false,
            terms: Terms { protocol, ..terms(Validation::Locked) },
            read_bytes: 0,
            writes,
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

/// One acceptor may have the first vote, and another one the second.
#[test]
fn a_vote_that_is_repeated_after_a_restart_is_that_of_the_record() {
    votes_again(&settings());
}

/// Rare in the simulator, so it is shown here that it would be noticed.
#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "not the vote of its record")]
fn one_that_says_something_else_is_noticed() {
    votes_again(&Settings { mutant: Some(synod_shard::Mutant::RepeatsWithoutM), ..settings() });
}

fn votes_again(settings: &Settings) {
    let mut world = World::recover(settings.clone(), vec![], None);
    world.welcome(1, 1000);
    world.hear(CommitMessage::Window { hi: Timestamp(2000) });
    assert_eq!(value_of(world.snapshot(1150, "k")), None);
    let put = writes(&[("k", Some("v"))]);
    world.prepare_by(Protocol::PaxosCommit, (txn(1), 1100), None, put.clone());
    world.sync();
    let before = world.proposed();
    assert_eq!(before[0], (COORDINATOR, Vote::Yes(Timestamp(1151))));
    let mut world = World::recover(settings.clone(), world.log, world.checkpoint);
    world.welcome(1, 2000);
    world.prepare_by(Protocol::PaxosCommit, (txn(1), 1100), None, put);
    assert_eq!(world.proposed(), before, "not the vote of its record");
}

impl World {
    /// A member tells that it has accepted the votes of all.
    fn accepted(&mut self, acceptor: u16, txn: TxnId, at: u64) {
        let message = PaxosMessage::Accepted { txn, at: Timestamp(at) }.into();
        let from = Peer::Coordinator(CoordinatorId(acceptor));
        self.event(Event::Message { from, request: RequestId(0), message });
    }
}

/// The leader is one of them: it may have given the transaction up, whatever others have.
#[test]
fn in_the_faster_form_it_commits_when_all_acceptors_have_accepted() {
    for order in [[1, 2], [2, 1]] {
        let mut world = World::new();
        world.prepare_by(
            Protocol::FasterPaxosCommit,
            (txn(1), 1100),
            None,
            writes(&[("k", Some("v"))]),
        );
        world.sync();
        world.accepted(order[0], txn(1), 1105);
        world.accepted(order[0], txn(1), 1105);
        world.accepted(3, txn(1), 1105);
        world.sync();
        assert_eq!((world.shard.stats().in_doubt, world.has_acknowledged(txn(1))), (1, false));
        world.accepted(order[1], txn(1), 1105);
        world.sync();
        assert_eq!((world.shard.stats().in_doubt, world.has_acknowledged(txn(1))), (0, true));
    }
}

/// It does not know any more who was asked.
#[test]
fn after_a_restart_it_is_told_by_the_leader_only() {
    let mut world = World::new();
    world.prepare_by(
        Protocol::FasterPaxosCommit,
        (txn(1), 1100),
        None,
        writes(&[("k", Some("v"))]),
    );
    world.sync();
    let mut world = world.crash();
    world.welcome(1, 2000);
    world.accepted(1, txn(1), 1105);
    world.accepted(2, txn(1), 1105);
    assert_eq!(world.shard.stats().in_doubt, 1);
}

/// In the other form nobody but the leader decides.
#[test]
fn what_acceptors_tell_counts_in_the_faster_form_only() {
    let mut world = World::new();
    world.prepare_by(Protocol::PaxosCommit, (txn(1), 1100), None, writes(&[("k", Some("v"))]));
    world.accepted(1, txn(1), 1105);
    world.accepted(2, txn(1), 1105);
    world.sync();
    assert_eq!(world.shard.stats().in_doubt, 1);
}
