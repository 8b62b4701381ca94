//! The safe point: how far it goes, and who hears of it when.

use super::*;

impl World {
    /// So many seconds later, and the oracle with them.
    fn pass(&mut self, seconds: u64) {
        self.now.mono = Mono(self.now.mono.0 + seconds * 1_000_000);
        self.now.wall = Wall(self.now.wall.0 + seconds * 1_000);
        for _ in 0..2 {
            self.ask(ClientRequest::Timestamp);
            self.sync();
        }
    }

    fn safe_points(&self) -> Vec<(Peer, Timestamp)> {
        let told = self.sent.iter().filter_map(|(to, message)| match message {
            Message::Commit(CommitMessage::SafePoint { at }) => Some((*to, *at)),
            _ => None,
        });
        told.collect()
    }

    /// Where the safe point is when it may move.
    fn moved(&mut self) -> Timestamp {
        self.event(Event::Wake);
        self.sync();
        self.coordinator.core().safe_point().0
    }

    fn pin(&mut self, session: SessionId, pin: Timestamp) {
        self.ask(ClientRequest::Pinned { session, oldest: 0, pin });
    }

    fn timestamp(&mut self) -> Timestamp {
        match self.ask(ClientRequest::Timestamp) {
            Some(ClientReply::Timestamp(at)) => at,
            other => panic!("{other:?}"),
        }
    }
}

/// The retention of 30 s ago, by the wall clock of the world.
fn retained(world: &World) -> Timestamp {
    Timestamp::of_wall(Wall(world.now.wall.0 - 30_000))
}

#[test]
fn it_is_durable_before_a_shard_hears_of_it_and_survives_a_restart() {
    let mut world = World::joined();
    world.pass(60);
    world.sent.clear();
    world.event(Event::Wake);
    assert_eq!(world.safe_points(), [], "not yet durable");
    world.sync();
    let at = retained(&world);
    let all = [1, 2, 3].map(|shard| (Peer::Shard(ShardId(shard)), at));
    assert_eq!(world.safe_points(), all);
    let mut world = world.crash();
    assert_eq!(world.coordinator.core().safe_point().0, at);
    let join = |epoch| CommitMessage::Join {
        cluster: CLUSTER,
        epoch,
        boot: false,
        nonce: 8,
        remembered: 0,
    };
    world.hear(1, join(Epoch(2)));
    assert_eq!(world.safe_points(), [(Peer::Shard(ShardId(1)), at)]);
    // Until all shards are heard there may be commits that nobody here knows of.
    world.pass(200);
    assert_eq!(world.moved(), at);
    world.hear(2, join(Epoch(2)));
    world.hear(3, join(Epoch(2)));
    world.pass(1);
    assert_eq!(world.moved(), retained(&world));
}

#[test]
fn it_stays_below_a_pin_as_long_as_the_session_lives() {
    let mut world = World::joined();
    let session = world.session();
    let pin = world.timestamp();
    for _ in 0..10 {
        world.pin(session, pin);
        world.pass(9);
        assert!(world.moved() < pin);
    }
    assert_eq!(world.coordinator.core().safe_point().0, Timestamp(pin.0 - 1));
    // Nothing more is heard: the session lapses, and the pin with it.
    world.pass(11);
    world.moved();
    world.pass(1);
    assert_eq!(world.moved(), retained(&world));
}

#[test]
fn a_snapshot_that_is_gone_does_not_hold_it_nor_does_one_that_came_too_late() {
    let mut world = World::joined();
    let session = world.session();
    let old = world.timestamp();
    world.pass(60);
    let passed = world.moved();
    assert!(passed > old);
    world.pin(session, old);
    world.pass(5);
    let now = world.moved();
    assert_eq!(now, retained(&world), "what it needs is gone");
    let pin = world.timestamp();
    world.pin(session, pin);
    world.ask(ClientRequest::Heartbeat { session, oldest: 0 });
    world.pass(60);
    assert_eq!(world.moved(), retained(&world));
}

#[test]
fn it_stays_below_a_commit_that_is_not_decided() {
    let mut world = World::joined();
    let session = world.session();
    let txn = TxnId { session, sequence: 1 };
    world.commit(txn, &[1]);
    let h = world.h(txn);
    world.pass(60);
    assert_eq!(world.moved(), Timestamp(h.0 - 1));
    world.hear(1, CommitMessage::OnePhaseDone { txn, vote: Vote::Yes(h) });
    world.sync();
    world.pass(1);
    assert_eq!(world.moved(), retained(&world));
}
