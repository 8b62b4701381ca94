//! A leader that is deposed, and hears so from those who follow a later one.

use synod_common::message::PaxosMessage;
use synod_common::message::paxos::Bundle;
use synod_common::refusal::{Refusal, Refused};

use super::*;

/// As many epochs as may have begun without being heard of.
const UNHEARD: u32 = 1 << 20;
const S1: Peer = Peer::Shard(ShardId(1));

impl Group {
    /// c1 leads epoch 1, and s1 speaks of a later one.
    fn told_by_s1(message: impl Into<Message>) -> (Group, Vec<Refused>) {
        let mut group = Group::led_by_c1();
        group.said.clear();
        group.nodes[0].out.refused.clear();
        let logged = group.nodes[0].log.len();
        group.hear(1, 1, message);
        assert_eq!(group.said, [], "nothing is answered");
        assert_eq!(group.nodes[0].log.len(), logged);
        let refused = std::mem::take(&mut group.nodes[0].out.refused);
        (group, refused)
    }

    fn has_stopped(&self, id: usize) -> bool {
        self.nodes[id - 1].out.restart
    }
}

fn of_epoch(epoch: u32) -> TxnId {
    TxnId { session: SessionId { epoch: Epoch(epoch), number: 1 }, sequence: 1 }
}

fn join(epoch: u32) -> CommitMessage {
    let epoch = Epoch(epoch);
    CommitMessage::Join { cluster: CLUSTER, epoch, boot: false, nonce: 8, remembered: 0 }
}

/// To say "forgotten" would abort what the later one may have committed, and what was voted
/// above the own window would be taken for a bug.
#[test]
fn who_hears_of_a_later_leader_from_a_shard_stops_and_says_nothing() {
    let (txn, h) = (of_epoch(2), Timestamp(u64::MAX - 2));
    let say = Say::Elect { ballot: Ballot { round: 2, site: SiteId(0) } };
    let all: [Message; 5] = [
        CommitMessage::Stale { epoch: Epoch(2) }.into(),
        join(2).into(),
        CommitMessage::Inquire { txn }.into(),
        CommitMessage::OnePhaseDone { txn, vote: Vote::Yes(Timestamp(u64::MAX - 1)) }.into(),
        SiteMessage { txn, h, say }.into(),
    ];
    for message in all {
        let (group, refused) = Group::told_by_s1(message.clone());
        assert!(group.has_stopped(1), "{message:?}");
        assert_eq!(refused, [], "{message:?}");
    }
}

#[test]
fn nor_does_it_take_over_what_one_phase_commits_of_later_epochs_became() {
    let committed = Some(Timestamp(u64::MAX - 1));
    let (txn, h) = (of_epoch(2), Timestamp(u64::MAX - 2));
    let outcomes = List::of(&[OnePhaseOutcome { txn, h, committed }]);
    Group::told_by_s1(CommitMessage::OnePhaseOutcomes { nonce: 8, outcomes });
}

#[test]
fn its_own_epoch_and_older_ones_depose_nobody() {
    for epoch in [0, 1] {
        let (group, refused) = Group::told_by_s1(CommitMessage::Stale { epoch: Epoch(epoch) });
        assert_eq!((group.has_stopped(1), refused), (false, vec![]), "{epoch}");
    }
}

/// Else one shard with wrong numbers would stop every leader.
#[test]
fn an_epoch_that_can_not_be_deposes_nobody() {
    let out_of_bounds = vec![Refused { from: S1, why: Refusal::EpochOutOfBounds }];
    for (epoch, stops) in [(1 + UNHEARD, true), (2 + UNHEARD, false), (u32::MAX, false)] {
        let txn = of_epoch(epoch);
        let stale = CommitMessage::Stale { epoch: Epoch(epoch) };
        for message in [stale, join(epoch), CommitMessage::Inquire { txn }] {
            let (group, refused) = Group::told_by_s1(message);
            assert_eq!(group.has_stopped(1), stops, "{epoch}");
            assert_eq!(refused, if stops { vec![] } else { out_of_bounds.clone() }, "{epoch}");
        }
    }
}

/// It has promised a later epoch, and the votes are counted by the leader of the one before.
#[test]
fn an_acceptor_tells_the_leader_whose_votes_it_refuses() {
    let mut group = Group::led_by_c1();
    let (txn, h) = group.begun(1, Protocol::PaxosCommit);
    group.cut_off = BTreeSet::from([1]);
    group.elect(3);
    group.cut_off.clear();
    group.underway.clear();
    let participants = vec![ShardId(1), ShardId(2)];
    let (leader, vote) = (CoordinatorId(1), Vote::Yes(h));
    let propose = PaxosMessage::Propose { txn, h, leader, participants, vote, tell: false };
    group.hear(2, 1, propose);
    let stale = Message::Group(GroupMessage::Stale { epoch: Epoch(2) });
    assert_eq!(group.underway, [(2, 1, stale)]);
    let refused = Refused { from: S1, why: Refusal::OldEpoch };
    assert_eq!(group.nodes[1].out.refused.last(), Some(&refused));
    group.deliver();
    assert!(group.has_stopped(1));
    assert!(group.underway.is_empty(), "an answer is not answered");
}

#[test]
fn a_leader_that_forwards_votes_of_an_epoch_that_is_over_is_told() {
    let mut group = Group::led_by_c1();
    let (txn, h) = group.begun(1, Protocol::PaxosCommit);
    group.cut_off = BTreeSet::from([1]);
    group.elect(3);
    group.cut_off.clear();
    group.underway.clear();
    let bundle = Bundle { txn, h, at: h, yes: vec![ShardId(1), ShardId(2)], read: vec![] };
    group.underway.push_back((1, 2, PaxosMessage::Forward(bundle).into()));
    group.deliver();
    assert!(group.has_stopped(1));
    assert!(!group.accepted(2, (txn, h)));
}

/// Nobody can have begun it, so what was voted on it decides nothing.
#[test]
fn an_acceptor_takes_no_vote_of_an_epoch_that_can_not_be() {
    for (epoch, takes) in [(1 + UNHEARD, true), (2 + UNHEARD, false), (u32::MAX, false)] {
        let mut group = Group::led_by_c1();
        let (txn, h, leader) = (of_epoch(epoch), Timestamp(u64::MAX - 2), CoordinatorId(3));
        let (participants, vote) = (vec![ShardId(1)], Vote::Yes(h));
        let propose = PaxosMessage::Propose { txn, h, leader, participants, vote, tell: false };
        group.hear(2, 1, propose);
        assert_eq!(group.accepted(2, (txn, h)), takes, "{epoch}");
        let refused = Refused { from: S1, why: Refusal::EpochOutOfBounds };
        assert_eq!(group.nodes[1].out.refused.contains(&refused), !takes, "{epoch}");
    }
}
