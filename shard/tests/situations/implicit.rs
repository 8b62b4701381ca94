//! What a shard tells of votes that alone decide, before it joins a new epoch.

use synod_common::message::PeerMessage;
use synod_common::message::bulk::List;
use synod_common::message::commit::{Knows, Voted};

use super::*;

const H: u64 = 1100;

impl World {
    /// Everything below the mark is over.
    fn prepare_above(&mut self, low_water: u64, txn: TxnId, h: u64) {
        self.hear(CommitMessage::Prepare {
            txn,
            h: Timestamp(h),
            hi: Timestamp(h + 100),
            incarnation: None,
            low_water: Timestamp(low_water),
            participants: vec![ShardId(1), ShardId(2)],
            acceptors: vec![],
            implicit: false,
            terms: terms(Validation::Locked),
            read_bytes: 0,
            writes: writes(&[(&h.to_string(), Some("new"))]),
        });
        self.sync();
    }

    /// Another participant knows that the first one is committed.
    fn learn_commit(&mut self) {
        let decision = Decision::Commit(Timestamp(1150));
        let message = PeerMessage::Decided { txn: txn(1), decision }.into();
        let from = Peer::Shard(ShardId(2));
        self.event(Event::Message { from, request: RequestId(0), message });
    }
}

/// One that votes YES, and waits.
fn voted(checkpoint_bytes: u64) -> World {
    let settings = Settings { checkpoint_bytes, ..settings() };
    let mut world = World::recover(settings, vec![], None);
    world.welcome(1, 1000);
    world.prepare(txn(1), H, None, writes(&[("k", Some("new"))]));
    world.sync();
    world
}

/// What it tells when an epoch begins.
fn told(world: &mut World, epoch: u32) -> Vec<Voted> {
    world.sent.clear();
    world.hear(CommitMessage::Call { epoch: Epoch(epoch) });
    world.sync();
    let told = world.sent.iter().filter_map(|(_, message)| match message {
        Message::Commit(CommitMessage::Voted { txns, .. }) => Some(txns),
        _ => None,
    });
    let told: Vec<Voted> = told.flat_map(|txns| List::read(txns).map(Result::unwrap)).collect();
    let announced = world.sent.iter().find_map(|(_, message)| match message {
        Message::Commit(CommitMessage::Join { remembered, .. }) => Some(*remembered),
        _ => None,
    });
    assert_eq!(announced, Some(told.len() as u32));
    told
}

fn knows(knows: Knows) -> Vec<Voted> {
    let participants = vec![ShardId(1), ShardId(2)];
    vec![Voted { txn: txn(1), h: Timestamp(H), participants, knows }]
}

#[test]
fn who_joins_tells_what_it_has_in_doubt() {
    let mut world = voted(1 << 30);
    assert_eq!(told(&mut world, 2), knows(Knows::InDoubt(Timestamp(H))));
    let mut world = world.crash();
    assert_eq!(told(&mut world, 2), knows(Knows::InDoubt(Timestamp(H))));
}

/// With a checkpoint after every event, and with none.
#[test]
fn who_joins_tells_what_it_has_committed_also_after_a_restart() {
    for checkpoint_bytes in [1, 1 << 30] {
        let mut world = voted(checkpoint_bytes);
        world.decide(txn(1), Decision::Commit(Timestamp(1150)));
        let committed = knows(Knows::Committed(Timestamp(1150)));
        assert_eq!(told(&mut world, 2), committed);
        world.sync();
        world.event(Event::Wake);
        assert_eq!(world.checkpoint.is_some(), checkpoint_bytes == 1);
        let mut world = world.crash();
        assert_eq!(told(&mut world, 2), committed);
    }
}

#[test]
fn a_commit_that_is_lost_in_a_crash_is_in_doubt_again() {
    let mut world = voted(1 << 30);
    world.decide(txn(1), Decision::Commit(Timestamp(1150)));
    let mut world = world.crash();
    assert_eq!(told(&mut world, 2), knows(Knows::InDoubt(Timestamp(H))));
}

#[test]
fn a_commit_is_told_until_the_low_water_mark_has_passed_it() {
    let told_at = |mark: u64| {
        let mut world = voted(1 << 30);
        world.decide(txn(1), Decision::Commit(Timestamp(1150)));
        world.prepare_above(mark, txn(2), H + 2);
        told(&mut world, 2).len()
    };
    assert_eq!([H, H + 1].map(told_at), [1, 0]);
}

/// Another participant tells of a commit in a later epoch, whose coordinator does not know of it
/// yet: its mark says nothing about that.
fn learned_late(settings: &Settings) {
    for checkpoint_bytes in [1, 1 << 30] {
        let settings = Settings { checkpoint_bytes, ..settings.clone() };
        let mut world = World::recover(settings, vec![], None);
        world.welcome(1, 1000);
        world.prepare(txn(1), H, None, writes(&[("k", Some("new"))]));
        world.sync();
        world.welcome(2, 2000);
        let session = SessionId { epoch: Epoch(2), number: 1 };
        let other = |sequence| TxnId { session, sequence };
        world.prepare_above(2101, other(1), 2101);
        world.learn_commit();
        world.prepare_above(2102, other(2), 2102);
        let committed = knows(Knows::Committed(Timestamp(1150)));
        assert_eq!(told(&mut world, 3), committed);
        world.event(Event::Wake);
        let mut world = world.crash();
        assert_eq!(told(&mut world, 4), committed);
        // The coordinator says that it has it.
        world.welcome(4, 4000);
        world.hear(CommitMessage::VotesOver { below: Timestamp(H) });
        assert_eq!(told(&mut world, 5), committed);
        world.hear(CommitMessage::VotesOver { below: Timestamp(H + 1) });
        assert_eq!(told(&mut world, 6), []);
    }
}

/// What it has recovered says how far the mark was.
#[test]
fn what_is_learned_after_a_restart_is_told_too() {
    for checkpoint_bytes in [1, 1 << 30] {
        let mut world = voted(checkpoint_bytes);
        world.welcome(2, 2000);
        let session = SessionId { epoch: Epoch(2), number: 1 };
        world.prepare_above(2101, TxnId { session, sequence: 1 }, 2101);
        world.event(Event::Wake);
        assert_eq!(world.checkpoint.is_some(), checkpoint_bytes == 1);
        let mut world = World::recover_alone(settings(), world.log, world.checkpoint);
        world.learn_commit();
        world.sync();
        world.event(Event::Connected(COORDINATOR));
        assert_eq!(told(&mut world, 3), knows(Knows::Committed(Timestamp(1150))));
    }
}

/// A leader that is deposed calls first, and the mark was that of a later one.
#[test]
fn what_is_learned_after_a_restart_in_its_own_epoch_is_told_too() {
    let mut world = voted(1);
    world.welcome(2, 2000);
    let session = SessionId { epoch: Epoch(2), number: 1 };
    world.prepare_above(2101, TxnId { session, sequence: 1 }, 2101);
    world.event(Event::Wake);
    let mut world = World::recover_alone(settings(), world.log, world.checkpoint);
    world.event(Event::Connected(COORDINATOR));
    world.hear(CommitMessage::Call { epoch: Epoch(1) });
    world.learn_commit();
    assert_eq!(told(&mut world, 3), knows(Knows::Committed(Timestamp(1150))));
}

/// Whoever asks to prepare something of a later epoch may not have heard of what is committed.
#[test]
fn the_mark_of_an_epoch_that_has_not_begun_here_says_nothing() {
    let mut world = voted(1 << 30);
    world.decide(txn(1), Decision::Commit(Timestamp(1150)));
    let session = SessionId { epoch: Epoch(2), number: 1 };
    world.prepare_above(2101, TxnId { session, sequence: 1 }, 2101);
    assert_eq!(told(&mut world, 2), knows(Knows::Committed(Timestamp(1150))));
}

#[test]
fn what_is_learned_late_is_told_until_the_coordinator_has_it() {
    learned_late(&settings());
}

/// Rare in the explorer, so it is shown here that it would be noticed.
#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "left: []")]
fn what_is_learned_late_and_forgotten_is_noticed() {
    let mutant = Some(synod_shard::Mutant::OlderForgotten);
    learned_late(&Settings { mutant, ..settings() });
}

#[test]
fn what_an_operator_has_decided_is_told_as_it_was_voted() {
    let mut world = voted(1 << 30);
    let (by, why) = (Some("operator".to_owned()), String::new());
    world.ask(DataRequest::Resolve { txn: txn(1), commit: false, by, why, force: true });
    world.sync();
    assert_eq!(told(&mut world, 2), knows(Knows::InDoubt(Timestamp(H))));
}

#[test]
fn what_the_coordinator_decides_is_not_told() {
    let mut world = World::new();
    world.prepare_above(0, txn(1), H + 1);
    world.prepare_above(0, txn(2), H + 2);
    world.decide(txn(2), Decision::Commit(Timestamp(1150)));
    world.sync();
    assert_eq!(told(&mut world, 2), []);
}
