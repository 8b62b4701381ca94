//! What only the leader has: it may come to nothing, so nothing follows from it, and no
//! checkpoint has it.

use super::*;

impl Group {
    /// c1 leads, and writes a checkpoint whenever it can.
    fn with_checkpoints() -> Group {
        let mut group = Group::led_by_c1();
        group.restart_with(1, Settings { checkpoint_bytes: 1, ..settings(1) });
        group
    }

    /// What c1 knows if it starts from its newest checkpoint.
    fn saved(&self) -> Member {
        let mut member = Member::new(settings(1));
        for part in &self.nodes[0].checkpoint.0 {
            member.recover(Recovered::Checkpoint(part)).unwrap();
        }
        member
    }
}

/// What only c1 has may come to nothing, also when it is elected with it.
#[test]
fn a_new_leader_saves_only_what_is_decided() {
    let mut group = Group::with_checkpoints();
    group.slow = BTreeSet::from([2, 3]);
    group.now.mono = group.now.mono + settings(1).patience * 2;
    group.event(1, Event::Wake);
    let from = Peer::Coordinator(CoordinatorId(2));
    let epoch = Epoch(2);
    for message in
        [GroupMessage::Would { epoch }, GroupMessage::Elected { epoch, accepted: Bytes::new() }]
    {
        group.event(1, Event::Message { from, request: RequestId(0), message: message.into() });
    }
    let replica = group.nodes[0].member.replica();
    assert_eq!((replica.leads(), replica.committed()), (true, 0), "nobody has its first entry");
    assert_eq!(group.saved().recovered().base().index, 0);
}

/// The next leader may have decided otherwise.
#[test]
fn what_it_has_accepted_is_saved_once_it_is_decided() {
    let mut group = Group::with_checkpoints();
    group.elect(1);
    group.join(1, Epoch(2));
    group.voted_in(Protocol::ThreePhase, 1);
    let saved = |group: &Group| group.saved().core().stats().in_progress;
    assert_eq!(saved(&group), 0, "only c1 has it");
    group.deliver();
    group.beat(1);
    assert_eq!(saved(&group), 1);
}

/// The sites have committed it, but the next leader will have to find that out.
#[test]
fn a_checkpoint_is_complete_when_all_in_it_is_decided() {
    let mut group = Group::with_checkpoints();
    group.elect(1);
    group.join(1, Epoch(2));
    let (txn, h) = group.voted_in(Protocol::ThreePhase, 1);
    group.deliver();
    let say = Say::Accepted { ballot: Ballot { round: 1, site: SiteId(2) } };
    group.hear(1, 1, SiteMessage { txn, h, say });
    assert_eq!(group.replies(1), committed(h));
    let complete = |group: &Group| group.nodes[0].checkpoint.1;
    assert!(!complete(&group), "only c1 knows");
    group.deliver();
    group.beat(1);
    assert!(complete(&group));
}

/// A leader before it may have asked for the same, and one after it have asked for more.
#[test]
fn sites_are_heard_once_the_group_has_what_they_were_asked() {
    let mut group = Group::led_by_c1();
    group.slow = BTreeSet::from([2, 3]);
    let (txn, h) = group.voted_in(Protocol::ThreePhase, 1);
    group.deliver();
    let accepted = Say::Accepted { ballot: Ballot { round: 1, site: SiteId(2) } };
    for shard in [1, 2] {
        group.hear(1, shard, SiteMessage { txn, h, say: accepted });
    }
    assert_eq!((group.replies(1), group.told_to_commit()), (vec![], 0), "only c1 has accepted it");
    group.sync(2);
    group.deliver();
    group.hear(1, 1, SiteMessage { txn, h, say: accepted });
    assert_eq!((group.replies(1), group.told_to_commit()), (committed(h), 2));
}
