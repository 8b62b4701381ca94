//! A shard whose coordinators are a group, of which another one leads now.

use synod_common::commit::{Ballot, Say, SiteId};
use synod_common::message::SiteMessage;

use super::*;

/// The next one to lead; c1 is [`COORDINATOR`].
const C2: Peer = Peer::Coordinator(CoordinatorId(2));

impl World {
    /// It has voted YES under c1, and c2 has called it since.
    fn called_by_c2() -> World {
        let coordinators = [1, 2].map(CoordinatorId);
        let settings = Settings::new(ShardId(1), CLUSTER, &coordinators);
        let mut world = World::recover(settings, vec![], None);
        world.welcome(1, 1000);
        world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
        world.sync();
        assert_eq!(world.votes(), [Vote::Yes(Timestamp(1100))]);
        world.event(Event::Connected(C2));
        world.hear_from(C2, CommitMessage::Call { epoch: Epoch(2) });
        world.sync();
        world.sent.clear();
        world
    }
}

/// It may not know yet that it is deposed, and what it has in mind come to nothing.
#[test]
fn only_who_leads_decides() {
    for (from, done) in [(COORDINATOR, false), (C2, true)] {
        let mut world = World::called_by_c2();
        let decision = Decision::Commit(Timestamp(1100));
        world.hear_from(from, CommitMessage::Decide { txn: txn(1), decision });
        world.sync();
        assert_eq!(world.has_acknowledged(txn(1)), done, "{from}");
    }
}

#[test]
fn only_who_leads_is_a_site() {
    for (from, answers) in [(COORDINATOR, 0), (C2, 1)] {
        let mut world = World::called_by_c2();
        let say = Say::Elect { ballot: Ballot { round: 2, site: SiteId(2) } };
        world.hear_from(from, SiteMessage { txn: txn(2), h: Timestamp(1100), say });
        world.sync();
        let answer = |message: &Message| matches!(message, Message::Site(SiteMessage { txn: of, .. }) if *of == txn(2));
        assert_eq!(world.sent.iter().filter(|(_, sent)| answer(sent)).count(), answers, "{from}");
    }
}

/// Who has not heard of c2 calls once more, with the epoch that it led.
#[test]
fn who_led_before_is_not_followed_again() {
    let mut world = World::called_by_c2();
    world.hear(CommitMessage::Call { epoch: Epoch(1) });
    let decision = Decision::Commit(Timestamp(1100));
    world.hear_from(C2, CommitMessage::Decide { txn: txn(1), decision });
    world.sync();
    assert!(world.has_acknowledged(txn(1)));
}
