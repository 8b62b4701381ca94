//! Paxos Commit in a group, with the votes of two shards in the hands of the test.

use std::collections::BTreeMap;

use synod_common::id::*;
use synod_common::message::PaxosMessage;
use synod_common::message::commit::Vote;

use super::*;

impl Group {
    /// A transaction that is to be committed so; c1 leads, and c1 and c2 are to accept.
    fn begun_by_paxos(&mut self) -> (TxnId, Timestamp) {
        self.begun_by(Protocol::PaxosCommit)
    }

    fn begun_by(&mut self, protocol: Protocol) -> (TxnId, Timestamp) {
        let begun = self.begun(1, protocol);
        assert_eq!(self.asked(), Some([1, 2].map(CoordinatorId).to_vec()), "as few as decide");
        begun
    }

    /// Who is to accept what was begun last.
    fn asked(&self) -> Option<Vec<CoordinatorId>> {
        self.said.iter().find_map(|(_, _, message)| match message {
            Message::Commit(CommitMessage::Prepare { acceptors, .. }) => Some(acceptors.clone()),
            _ => None,
        })
    }

    /// A shard's YES arrives at a member.
    fn propose(&mut self, id: usize, shard: u16, (txn, h): (TxnId, Timestamp)) {
        self.propose_telling(id, shard, (txn, h), false);
    }

    fn propose_telling(&mut self, id: usize, shard: u16, (txn, h): (TxnId, Timestamp), tell: bool) {
        let participants = vec![ShardId(1), ShardId(2)];
        let (leader, vote) = (CoordinatorId(1), Vote::Yes(h));
        self.hear(id, shard, PaxosMessage::Propose { txn, h, leader, participants, vote, tell });
    }

    /// Who has told shards that it has accepted the votes, so many of them.
    fn told_accepted(&self) -> BTreeMap<usize, usize> {
        let mut told = BTreeMap::new();
        for (from, to, message) in &self.said {
            if let (Peer::Shard(_), Message::Paxos(PaxosMessage::Accepted { .. })) = (to, message) {
                *told.entry(*from).or_default() += 1;
            }
        }
        told
    }

    /// Both votes do.
    fn propose_all(&mut self, id: usize, begun: (TxnId, Timestamp)) {
        self.propose(id, 1, begun);
        self.propose(id, 2, begun);
    }

    /// What a member would report with its promise.
    pub(super) fn accepted(&self, id: usize, (txn, _): (TxnId, Timestamp)) -> bool {
        self.nodes[id - 1].member.accepts().any(|bundle| bundle.txn == txn)
    }

    /// c1 is gone, and another one leads.
    fn succeeded_by(&mut self, id: usize) {
        self.cut_off = BTreeSet::from([1]);
        self.elect(id);
        self.said.clear();
        self.join(id, Epoch(2));
    }
}

fn aborted(reason: Reason) -> Vec<ClientReply> {
    vec![ClientReply::Outcome(Outcome::Aborted(reason))]
}

#[test]
fn it_is_committed_when_a_majority_has_accepted() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by_paxos();
    group.slow = BTreeSet::from([2]);
    group.propose_all(1, begun);
    group.propose_all(2, begun);
    group.deliver();
    assert_eq!((group.replies(1), group.told_to_commit()), (vec![], 0), "only c1 has it");
    group.sync(2);
    group.deliver();
    assert_eq!((group.replies(1), group.told_to_commit()), (committed(begun.1), 2));
}

#[test]
fn a_new_leader_commits_what_it_finds_accepted() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by_paxos();
    group.cut_off = BTreeSet::from([1]);
    group.propose_all(2, begun);
    group.succeeded_by(3);
    assert_eq!(group.outcome(3, begun.0), committed(begun.1));
    assert_eq!(group.told_to_commit(), 2, "the shards that join are told");
}

#[test]
fn a_new_leader_aborts_what_nobody_has_all_votes_of() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by_paxos();
    group.cut_off = BTreeSet::from([1]);
    group.propose(2, 1, begun);
    group.succeeded_by(3);
    assert_eq!(group.outcome(3, begun.0), aborted(Reason::Presumed));
    // What comes late is of an older epoch than c2 has promised.
    group.propose(2, 2, begun);
    assert!(!group.accepted(2, begun));
}

/// It decided what was accepted by none of those that elected it, for good.
#[test]
fn the_leader_after_next_does_not_commit_what_is_decided() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by_paxos();
    group.cut_off = BTreeSet::from([2]);
    group.propose_all(2, begun);
    group.restart(1);
    group.elect(3);
    group.join(3, Epoch(2));
    assert_eq!(group.outcome(3, begun.0), aborted(Reason::Presumed));
    // Only c2 has it, and has heard nothing of that when c1 is elected by it.
    assert!(group.accepted(2, begun));
    group.cut_off = BTreeSet::from([3]);
    group.elect(1);
    group.join(1, Epoch(3));
    assert_eq!(group.outcome(1, begun.0), aborted(Reason::Presumed));
    group.beat(1);
    assert!(!group.accepted(2, begun), "it is below the mark");
}

#[test]
fn who_is_no_member_does_not_accept() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by_paxos();
    group.propose_all(1, begun);
    let from = Peer::Coordinator(CoordinatorId(4));
    let message = PaxosMessage::Accepted { txn: begun.0, at: begun.1 }.into();
    group.event(1, Event::Message { from, request: RequestId(0), message });
    assert_eq!(group.replies(1), []);
}

#[test]
fn what_is_given_up_is_not_committed_by_the_next_leader() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by_paxos();
    group.propose(1, 1, begun);
    group.propose_all(2, begun);
    assert!(group.accepted(2, begun));
    group.cut_off = BTreeSet::from([2]);
    let due = group.now.mono + settings(1).vote_timeout;
    while group.now.mono + settings(1).heartbeat < due {
        group.beat(1);
    }
    group.slow = BTreeSet::from([3]);
    group.beat(1);
    assert_eq!(group.replies(1), [], "c2 has all votes");
    group.sync(3);
    group.deliver();
    assert_eq!(group.replies(1), aborted(Reason::VoteTimeout));
    // c3 has that in its log; c2 has heard nothing of it.
    group.slow.clear();
    group.cut_off = BTreeSet::from([1]);
    group.elect(3);
    group.join(3, Epoch(2));
    assert_eq!(group.outcome(3, begun.0), aborted(Reason::Presumed));
}

#[test]
fn votes_are_forwarded_to_others_when_an_acceptor_is_missed() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by_paxos();
    group.cut_off = BTreeSet::from([2]);
    for _ in 0..3 {
        group.beat(1);
    }
    group.propose_all(1, begun);
    group.deliver();
    assert!(group.accepted(3, begun));
    assert_eq!(group.replies(1), committed(begun.1));
}

#[test]
fn an_acceptor_remembers_over_restarts() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by_paxos();
    group.cut_off = BTreeSet::from([1]);
    group.propose_all(2, begun);
    group.restart(2);
    group.event(2, Event::Start { seed: 2 });
    assert!(group.accepted(2, begun));
    group.succeeded_by(3);
    assert_eq!(group.outcome(3, begun.0), committed(begun.1));
}

#[test]
fn what_is_decided_is_not_kept() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by_paxos();
    group.propose_all(1, begun);
    group.propose_all(2, begun);
    group.deliver();
    assert_eq!(group.replies(1), committed(begun.1));
    for _ in 0..10 {
        group.beat(1);
    }
    assert!(!group.accepted(1, begun) && !group.accepted(2, begun));
    group.propose_all(2, begun);
    assert!(!group.accepted(2, begun), "what comes late is below the mark");
}

#[test]
fn a_no_needs_no_acceptor() {
    let mut group = Group::led_by_c1();
    let (txn, h) = group.begun(1, Protocol::Auto);
    group.propose(2, 2, (txn, h));
    group.hear(1, 1, CommitMessage::Vote { txn, vote: Vote::No(Reason::LockTimeout) });
    assert_eq!(group.replies(1), aborted(Reason::LockTimeout));
    assert!(!group.accepted(2, (txn, h)));
}

/// Acceptors have nothing of it, however long it takes.
#[test]
fn what_is_committed_otherwise_does_not_hold_back_the_mark() {
    let mut group = Group::led_by_c1();
    let (first, _) = group.begun_by_paxos();
    // Its only shard does not answer.
    let part = Part { shard: ShardId(2), incarnation: None, read_bytes: 0, write_bytes: 1 };
    let standing = Standing { age: Timestamp(1), priority: 100 };
    let protocol = Protocol::Auto;
    let terms = Terms { validation: Validation::Locked, standing, protocol };
    let txn = TxnId { sequence: 2, ..first };
    let (parts, writes) = (vec![part], Bytes::from_static(&[0]));
    group.ask(1, ClientRequest::Commit { txn, terms, parts, writes });
    group.deliver();
    let no = CommitMessage::Vote { txn: first, vote: Vote::No(Reason::LockTimeout) };
    group.hear(1, 1, no);
    group.said.clear();
    let begun = group.begun_by_paxos();
    group.propose_all(1, begun);
    group.propose_all(2, begun);
    group.deliver();
    for _ in 0..10 {
        group.beat(1);
    }
    assert!(!group.accepted(1, begun) && !group.accepted(2, begun));
}

/// It is there, and hears, but its disk stands still.
#[test]
fn an_acceptor_that_does_not_accept_is_not_relied_on() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by_paxos();
    group.propose_all(1, begun);
    group.slow = BTreeSet::from([2]);
    group.propose_all(2, begun);
    for _ in 0..8 {
        group.beat(1);
    }
    assert_eq!(group.replies(1), committed(begun.1), "c3 has accepted it");
    group.said.clear();
    group.begun(1, Protocol::PaxosCommit);
    assert_eq!(group.asked(), Some([1, 3].map(CoordinatorId).to_vec()));
}

#[test]
fn the_own_disk_of_the_leader_is_not_relied_on() {
    let mut group = Group::led_by_c1();
    let first = group.begun_by_paxos();
    group.slow = BTreeSet::from([1]);
    group.propose_all(1, first);
    group.propose_all(2, first);
    for _ in 0..8 {
        group.beat(1);
    }
    assert_eq!(group.replies(1), committed(first.1), "c2 and c3 have accepted it");
    group.said.clear();
    group.begun(1, Protocol::PaxosCommit);
    assert_eq!(group.asked(), Some([1, 2, 3].map(CoordinatorId).to_vec()));
}

/// Both acceptors tell both shards, and the leader tells them nothing besides.
#[test]
fn in_the_faster_form_acceptors_tell_the_shards() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by(Protocol::FasterPaxosCommit);
    group.slow = BTreeSet::from([1]);
    for shard in [1, 2] {
        group.propose_telling(1, shard, begun, true);
        group.propose_telling(2, shard, begun, true);
    }
    group.deliver();
    assert_eq!(group.told_accepted(), BTreeMap::from([(2, 2)]), "c1 has not got it on its disk");
    group.sync(1);
    group.deliver();
    assert_eq!(group.told_accepted(), BTreeMap::from([(1, 2), (2, 2)]));
    assert_eq!((group.replies(1), group.told_to_commit()), (committed(begun.1), 0));
}

/// Who was not asked by the shards does not tell them, either.
#[test]
fn in_the_faster_form_a_leader_that_relied_on_others_tells_the_decision() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by(Protocol::FasterPaxosCommit);
    group.cut_off = BTreeSet::from([2]);
    for shard in [1, 2] {
        group.propose_telling(1, shard, begun, true);
    }
    let due = group.now.mono + settings(1).resend;
    while group.now.mono < due {
        group.beat(1);
    }
    assert_eq!((group.replies(1), group.told_to_commit()), (committed(begun.1), 2));
    assert_eq!(group.told_accepted(), BTreeMap::from([(1, 2)]));
}

/// A shard counts for itself. That it has committed says that a majority has accepted.
#[test]
fn in_the_faster_form_a_shard_may_know_the_decision_first() {
    let mut group = Group::led_by_c1();
    let begun = group.begun_by(Protocol::FasterPaxosCommit);
    group.cut_off = BTreeSet::from([2]);
    for shard in [1, 2] {
        group.propose_telling(1, shard, begun, true);
    }
    group.deliver();
    assert_eq!(group.replies(1), []);
    group.hear(1, 2, CommitMessage::Ack { txns: vec![begun.0] });
    assert_eq!((group.replies(1), group.told_to_commit()), (committed(begun.1), 2));
}
