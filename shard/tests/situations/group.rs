//! A shard whose coordinators are a group, of which another one leads now.

use synod_common::commit::{Ballot, Say, SiteId};
use synod_common::message::{DeadlockMessage, SiteMessage};
use synod_common::refusal::{Refusal, Refused};

use super::*;

/// As many epochs as may have begun without being heard of.
const UNHEARD: u32 = 1 << 20;

/// The next one to lead; c1 is [`COORDINATOR`].
const C2: Peer = Peer::Coordinator(CoordinatorId(2));

impl World {
    /// It has voted YES under c1, and c2 has called it since.
    fn called_by_c2() -> World {
        World::called_by_c2_with(settings_of_two())
    }

    fn called_by_c2_with(settings: Settings) -> World {
        let mut world = World::recover(settings, vec![], None);
        world.welcome(1, 1000);
        world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
        world.sync();
        assert_eq!(world.votes(), [Vote::Yes(Timestamp(1100))]);
        world.event(Event::Connected(C2));
        world.hear_from(C2, CommitMessage::Call { epoch: Epoch(2) });
        world.sync();
        world.sent.clear();
        world.out.refused.clear();
        world
    }

    /// What it has refused, and said, since it was last asked.
    fn refused(&mut self) -> (Vec<Refused>, Vec<(Peer, Message)>) {
        (std::mem::take(&mut self.out.refused), std::mem::take(&mut self.sent))
    }
}

fn settings_of_two() -> Settings {
    Settings::new(ShardId(1), CLUSTER, &[1, 2].map(CoordinatorId))
}

/// Why something that c1 said was refused, and that it was told so.
fn stale(why: Refusal) -> (Vec<Refused>, Vec<(Peer, Message)>) {
    let stale = CommitMessage::Stale { epoch: Epoch(2) };
    (vec![Refused { from: COORDINATOR, why }], vec![(COORDINATOR, stale.into())])
}

/// It may not know yet that it is deposed, and what it has in mind come to nothing.
#[test]
fn only_who_leads_decides() {
    decides(&settings_of_two());
}

#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "left: true")]
fn a_shard_that_obeys_who_is_deposed_is_noticed() {
    let mutant = Some(synod_shard::Mutant::ObeysDeposed);
    decides(&Settings { mutant, ..settings_of_two() });
}

fn decides(settings: &Settings) {
    for (from, done) in [(COORDINATOR, false), (C2, true)] {
        let mut world = World::called_by_c2_with(settings.clone());
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

#[test]
fn who_leads_no_more_is_told_so_once_for_each_message() {
    let mut world = World::called_by_c2();
    let say = Say::Elect { ballot: Ballot { round: 2, site: SiteId(2) } };
    let confirm = DeadlockMessage::Confirm { candidate: 1, edges: Bytes::new() };
    let orders: [Message; 4] = [
        CommitMessage::Decide { txn: txn(1), decision: Decision::Abort }.into(),
        CommitMessage::Window { hi: Timestamp(9000) }.into(),
        SiteMessage { txn: txn(2), h: Timestamp(1100), say }.into(),
        confirm.into(),
    ];
    for order in orders {
        world.hear(order);
        assert_eq!(world.refused(), stale(Refusal::Deposed));
    }
    // What it says of itself is older, too.
    world.hear(CommitMessage::Call { epoch: Epoch(1) });
    assert_eq!(world.refused(), stale(Refusal::OldEpoch));
    let placement = placement(Partition::Hash, &[1]);
    world.hear(CommitMessage::Welcome {
        nonce: 0,
        epoch: Epoch(1),
        floor: Timestamp(9000),
        placement,
        handling: Handling::default(),
    });
    assert_eq!(world.refused(), stale(Refusal::OldEpoch));
}

/// Somebody may lead, and would not know what to make of it.
#[test]
fn who_was_called_by_nobody_yet_tells_nothing() {
    let mut world = World::recover_alone(settings_of_two(), vec![], None);
    world.event(Event::Connected(C2));
    world.refused();
    world.hear_from(C2, CommitMessage::Window { hi: Timestamp(9000) });
    let refused = Refused { from: C2, why: Refusal::Deposed };
    assert_eq!(world.refused(), (vec![refused], vec![]));
}

/// Else a coordinator with wrong numbers would keep it from following any other.
#[test]
fn an_epoch_that_can_not_be_is_not_followed() {
    for (epoch, follows) in [(2 + UNHEARD, true), (3 + UNHEARD, false), (u32::MAX, false)] {
        let mut world = World::called_by_c2();
        world.hear(CommitMessage::Call { epoch: Epoch(epoch) });
        let (refused, _) = world.refused();
        let why = Refusal::EpochOutOfBounds;
        let out_of_bounds = vec![Refused { from: COORDINATOR, why }];
        assert_eq!(refused, if follows { vec![] } else { out_of_bounds }, "{epoch}");
        let decision = Decision::Commit(Timestamp(1100));
        world.hear_from(C2, CommitMessage::Decide { txn: txn(1), decision });
        world.sync();
        assert_eq!(world.has_acknowledged(txn(1)), !follows, "{epoch}");
    }
}

/// In each life it hears of the first one without knowing any. The last number is none.
#[test]
fn the_first_epoch_may_be_any_but_the_last() {
    for (epoch, joins) in [(5 + UNHEARD, true), (u32::MAX - 1, true), (u32::MAX, false)] {
        let mut world = World::recover(settings_of_two(), vec![], None);
        world.refused();
        world.hear(CommitMessage::Call { epoch: Epoch(epoch) });
        let (refused, sent) = world.refused();
        let of_it = |message: &Message| matches!(message, Message::Commit(CommitMessage::Join { epoch: of, .. }) if of.0 == epoch);
        assert_eq!(sent.iter().any(|(_, message)| of_it(message)), joins, "{epoch}");
        assert_eq!(refused.is_empty(), joins, "{epoch}");
    }
}
