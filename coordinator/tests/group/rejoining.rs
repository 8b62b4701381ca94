//! A member that lost its disk, and what the others do until it counts again.

use super::*;
use synod_common::message::PaxosMessage;

impl Group {
    /// A member loses its disk, and is started to rejoin.
    fn lose_disk(&mut self, id: usize) {
        self.nodes[id - 1].log.clear();
        self.restart_to_rejoin(id);
    }

    /// It is started with the mark of one that rejoins.
    fn restart_to_rejoin(&mut self, id: usize) {
        let log = std::mem::take(&mut self.nodes[id - 1].log);
        self.nodes[id - 1] = recovered_by(Member::rejoining(settings(id)), log);
        self.event(id, Event::Start { seed: 40 + id as u64 });
    }

    fn rejoins(&self, id: usize) -> bool {
        self.nodes[id - 1].member.is_rejoining()
    }

    /// c1 stops for it, and starts anew from its log.
    fn stopped_for(&mut self, id: usize) {
        self.deliver();
        assert!(self.nodes[0].out.restart, "c1 leads no more");
        assert!(self.rejoins(id));
        self.restart(1);
    }

    /// It asks again, and hears of what is decided.
    fn comes_back(&mut self, id: usize, leader: usize) {
        self.beat(id);
        self.beat(leader);
        self.beat(id);
        assert!(!self.rejoins(id), "c{id} is back");
    }

    /// What is on its way to a member of this kind.
    fn underway_to(&self, id: usize, is: impl Fn(&GroupMessage) -> bool) -> usize {
        let such = |(_, to, message): &&(usize, usize, Message)| {
            *to == id && matches!(message, Message::Group(message) if is(message))
        };
        self.underway.iter().filter(such).count()
    }
}

fn is_readmitted(message: &GroupMessage) -> bool {
    matches!(message, GroupMessage::Readmitted { .. })
}

#[test]
fn who_is_back_counts_for_a_majority() {
    let mut group = Group::led_by_c1();
    let (txn, h) = group.voted(1);
    group.deliver();
    group.lose_disk(3);
    group.stopped_for(3);
    group.elect(2);
    group.join(2, Epoch(2));
    group.comes_back(3, 2);
    // c1 is not needed any more, and c3 knows what was decided before it was lost.
    group.cut_off = BTreeSet::from([1]);
    group.voted(2);
    group.deliver();
    assert_eq!(group.replies(2).len(), 1, "it is decided by c2 and c3");
    group.cut_off = BTreeSet::from([2]);
    group.elect(3);
    group.join(3, Epoch(3));
    assert_eq!(group.outcome(3, txn), committed(h));
}

#[test]
fn who_is_not_back_says_nothing_that_counts() {
    let mut group = Group::led_by_c1();
    let (txn, h) = group.begun(1, Protocol::TwoPhase);
    group.cut_off = BTreeSet::from([2]);
    group.lose_disk(3);
    group.deliver();
    assert!(!group.nodes[0].out.restart, "one other is no majority");
    for (shard, vote) in [(1, Vote::Yes(h)), (2, Vote::Read(h))] {
        group.hear(1, shard, CommitMessage::Vote { txn, vote });
    }
    group.deliver();
    assert_eq!(group.replies(1), [], "c1 and c3 are none either");
    let participants = vec![ShardId(1)];
    let (leader, vote) = (CoordinatorId(1), Vote::Yes(h));
    let tell = false;
    group.hear(3, 1, PaxosMessage::Propose { txn, h, leader, participants, vote, tell });
    assert_eq!(group.nodes[2].member.accepts().count(), 0, "it accepts no votes");
    // Nor does it elect anybody, as long as nobody answers it.
    group.cut_off = BTreeSet::from([1]);
    group.now.mono = group.now.mono + settings(2).patience * 2;
    group.event(2, Event::Wake);
    let elects = |message: &GroupMessage| matches!(message, GroupMessage::Would { .. });
    group.deliver();
    assert_eq!(group.underway_to(2, elects), 0);
    assert!(!group.nodes[1].member.replica().leads());
}

/// c1 has committed what only c1 and c2 had accepted; then c2 forgets it.
#[test]
fn what_it_had_accepted_is_decided_before_it_is_back() {
    let mut group = Group::led_by_c1();
    let (txn, h) = group.begun(1, Protocol::PaxosCommit);
    group.cut_off = BTreeSet::from([3]);
    for id in [1, 2] {
        for shard in [1, 2] {
            let participants = vec![ShardId(1), ShardId(2)];
            let (leader, vote, tell) = (CoordinatorId(1), Vote::Yes(h), false);
            let shard_votes = PaxosMessage::Propose { txn, h, leader, participants, vote, tell };
            group.hear(id, shard, shard_votes);
        }
    }
    group.deliver();
    assert_eq!(group.replies(1), committed(h));
    group.cut_off.clear();
    group.lose_disk(2);
    group.stopped_for(2);
    // The next leader has not decided it yet: it lets nobody in.
    group.slow = BTreeSet::from([3]);
    group.now.mono = group.now.mono + settings(1).patience * 2;
    group.event(1, Event::Wake);
    for _ in 0..2 {
        group.deliver();
        group.sync(3);
    }
    while let Some(index) = group.underway.iter().position(|(from, to, _)| (*from, *to) == (3, 1)) {
        let (_, _, message) = group.underway.remove(index).unwrap();
        let from = Peer::Coordinator(CoordinatorId(3));
        group.event(1, Event::Message { from, request: RequestId(0), message });
    }
    assert!(group.nodes[0].member.replica().committed() > 0, "its epoch has begun");
    group.event(1, from_c2(GroupMessage::Readmit { above: Epoch(1) }));
    assert_eq!(group.underway_to(2, is_readmitted), 0, "what it found is not decided");
    group.slow.clear();
    group.deliver();
    group.sync(3);
    group.deliver();
    group.event(1, from_c2(GroupMessage::Readmit { above: Epoch(1) }));
    assert_eq!(group.underway_to(2, is_readmitted), 1);
    group.comes_back(2, 1);
    // c1 is gone. c3 had never accepted it, and c2 has forgotten.
    group.cut_off = BTreeSet::from([1]);
    group.elect(3);
    group.join(3, Epoch(3));
    assert_eq!(group.outcome(3, txn), committed(h));
}

fn from_c2(message: GroupMessage) -> Event {
    let from = Peer::Coordinator(CoordinatorId(2));
    Event::Message { from, request: RequestId(0), message: message.into() }
}

/// It need not ask again what the others have promised, or they would elect again.
#[test]
fn a_crash_on_the_way_loses_nothing() {
    let mut group = Group::led_by_c1();
    group.lose_disk(3);
    group.stopped_for(3);
    group.restart_to_rejoin(3);
    assert!(group.rejoins(3));
    group.elect(2);
    group.deliver();
    assert!(!group.nodes[1].out.restart, "c2 leads a later epoch");
    group.join(2, Epoch(2));
    group.comes_back(3, 2);
    // Its mark may be left over.
    group.restart_to_rejoin(3);
    assert!(!group.rejoins(3), "its log says that it is back");
}

/// Each of them is needed by the other.
#[test]
fn two_of_three_can_not_rejoin() {
    let mut group = Group::led_by_c1();
    group.lose_disk(2);
    group.lose_disk(3);
    group.deliver();
    for _ in 0..20 {
        group.beat(2);
        group.beat(3);
    }
    assert!(group.rejoins(2) && group.rejoins(3));
}

/// Whoever told it may have promised more since.
#[test]
fn what_a_former_life_was_told_is_not_heard() {
    let mut group = Group::led_by_c1();
    group.lose_disk(3);
    let asked = group.underway.iter().find_map(|(_, _, message)| match message {
        Message::Group(GroupMessage::Rejoin { life }) => Some(*life),
        _ => None,
    });
    let life = asked.expect("it asks the others");
    let told = |group: &mut Group, life| {
        for other in [1, 2].map(CoordinatorId) {
            let message = GroupMessage::Told { life, epoch: Epoch(7) }.into();
            let (from, request) = (Peer::Coordinator(other), RequestId(0));
            group.event(3, Event::Message { from, request, message });
        }
        group.nodes[2].member.replica().promise().epoch
    };
    assert_eq!(told(&mut group, life + 1), Epoch(0));
    assert_eq!(told(&mut group, life), Epoch(7));
}
