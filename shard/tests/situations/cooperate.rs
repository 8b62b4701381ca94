//! Cooperative termination: what another participant is told, and what it is worth.

use synod_common::key::Key;
use synod_common::message::PeerMessage;

use super::*;

pub(super) const OTHER: Peer = Peer::Shard(ShardId(2));

impl World {
    pub(super) fn lose_coordinator(&mut self) {
        self.event(Event::Disconnected(COORDINATOR));
    }

    /// Another participant asks.
    pub(super) fn told_to_other(&mut self, txn: TxnId, h: u64) -> Option<Decision> {
        let before = self.sent.len();
        self.hear_from(OTHER, PeerMessage::Inquire { txn, h: Timestamp(h) });
        self.sent[before..].iter().find_map(|(to, message)| match message {
            Message::Peer(PeerMessage::Decided { decision, .. }) if *to == OTHER => Some(*decision),
            _ => None,
        })
    }

    /// Another commit says that all that began before `h` are over.
    pub(super) fn raise_low_water(&mut self, h: u64) {
        self.hear(CommitMessage::CommitOnePhase {
            txn: txn(99),
            h: Timestamp(h),
            hi: Timestamp(2000),
            after: Timestamp::ZERO,
            incarnation: None,
            low_water: Timestamp(h),
            terms: terms(Validation::Locked),
            read_bytes: 0,
            writes: writes(&[("other", Some("x"))]),
        });
        self.sync();
    }

    /// What it asks another participant.
    pub(super) fn asked_of_other(&self) -> Vec<TxnId> {
        let asked = self.sent.iter().filter_map(|(to, message)| match message {
            Message::Peer(PeerMessage::Inquire { txn, .. }) if *to == OTHER => Some(*txn),
            _ => None,
        });
        asked.collect()
    }

    pub(super) fn hear_from(&mut self, from: Peer, message: impl Into<Message>) {
        let (request, message) = (RequestId(0), message.into());
        self.event(Event::Message { from, request, message });
    }

    pub(super) fn other_says(&mut self, txn: TxnId, decision: Decision) {
        self.hear_from(OTHER, PeerMessage::Decided { txn, decision });
    }

    pub(super) fn newest(&mut self, key: &str) -> Option<String> {
        value_of(self.snapshot(1900, key))
    }
}

pub(super) fn commit(at: u64) -> Decision {
    Decision::Commit(Timestamp(at))
}

/// It has voted YES, durably.
fn in_doubt() -> World {
    let mut world = World::new();
    world.put(9, 1050, "k", "old");
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    world.sync();
    world
}

#[test]
fn who_is_in_doubt_asks_the_others_only_while_there_is_no_coordinator() {
    let mut world = in_doubt();
    world.now.mono = world.now.mono + settings().inquire_after;
    world.event(Event::Wake);
    assert_eq!(world.asked_of_other(), []);
    world.lose_coordinator();
    assert_eq!(world.asked_of_other(), [txn(1)]);
    world.event(Event::Connected(OTHER));
    assert_eq!(world.asked_of_other(), [txn(1), txn(1)]);
}

#[test]
fn who_voted_read_asks_too() {
    let mut world = World::new();
    let given = incarnation_of(&world.read(txn(1), "k", ReadMode::Shared));
    world.prepare(txn(1), 1100, given, Bytes::new());
    world.lose_coordinator();
    assert_eq!(world.asked_of_other(), [txn(1)]);
    world.other_says(txn(1), commit(1200));
    // The lock is free, and nothing commits at or below it here.
    world.one_phase(txn(2), 1150, writes(&[("k", Some("new"))]));
    world.sync();
    assert_eq!(world.votes().last(), Some(&Vote::Yes(Timestamp(1201))));
}

/// Whoever might tell it the commit timestamp is gone. It may be any below the window's end.
#[test]
fn who_voted_read_goes_when_nobody_answers() {
    let mut world = World::new();
    let given = incarnation_of(&world.read(txn(1), "k", ReadMode::Shared));
    world.prepare(txn(1), 1100, given, Bytes::new());
    let wait = |world: &mut World, seconds| {
        for _ in 0..seconds {
            world.now.mono = world.now.mono + Duration::from_secs(1);
            world.event(Event::Wake);
        }
        world.shard.stats().locks
    };
    assert_eq!(wait(&mut world, 60), 1, "the coordinator is there");
    world.lose_coordinator();
    assert_eq!(wait(&mut world, 7), 1, "it may come back");
    assert_eq!(wait(&mut world, 7), 0);
    world.one_phase(txn(2), 1150, writes(&[("k", Some("new"))]));
    assert_eq!(world.votes().last(), Some(&Vote::No(Reason::WindowPassed)));
}

#[test]
fn what_another_one_knows_ends_the_doubt() {
    for (decision, value) in [(commit(1150), "new"), (Decision::Abort, "old")] {
        let mut world = in_doubt();
        world.lose_coordinator();
        world.other_says(txn(1), decision);
        assert_eq!(world.newest("k").as_deref(), Some(value));
        // It tells it on, and takes it again for what it is.
        assert_eq!(world.told_to_other(txn(1), 1100), Some(decision));
        world.other_says(txn(1), decision);
        assert_eq!(world.newest("k").as_deref(), Some(value));
        // Nor does it forget it in a crash.
        world.sync();
        let mut world = world.crash();
        world.welcome(2, 2000);
        assert_eq!(world.newest("k").as_deref(), Some(value));
    }
}

/// Nothing commits below a vote.
#[test]
fn a_commit_that_can_not_be_is_not_believed() {
    let mut world = in_doubt();
    world.lose_coordinator();
    world.other_says(txn(1), commit(1099));
    assert_eq!(world.told_to_other(txn(1), 1100), None);
    world.other_says(txn(1), commit(1100));
    assert_eq!(world.newest("k").as_deref(), Some("new"));
}

/// Others have no right to presume anything, and no commit was decided before this vote
/// was durable.
#[test]
fn what_another_one_can_not_know_is_ignored() {
    let mut world = World::new();
    world.put(9, 1050, "k", "old");
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    world.other_says(txn(1), commit(1150));
    world.sync();
    world.other_says(txn(1), Decision::Forgotten);
    assert_eq!(world.told_to_other(txn(1), 1100), None);
    world.other_says(txn(1), commit(1150));
    assert_eq!(world.newest("k").as_deref(), Some("new"));
}

#[test]
fn who_is_in_doubt_himself_tells_nothing() {
    let mut world = in_doubt();
    assert_eq!(world.told_to_other(txn(1), 1100), None);
    world.lose_coordinator();
    assert_eq!(world.told_to_other(txn(1), 1100), None);
}

#[test]
fn who_has_heard_the_decision_tells_it_also_when_it_is_over() {
    let mut world = in_doubt();
    world.hear(CommitMessage::Decide { txn: txn(1), decision: commit(1150) });
    world.sync();
    // Nothing that began before can begin again: only others may still ask.
    world.raise_low_water(1200);
    assert_eq!(world.told_to_other(txn(1), 1100), Some(commit(1150)));
    let mut world = world.crash();
    world.welcome(2, 2000);
    assert_eq!(world.told_to_other(txn(1), 1100), Some(commit(1150)));
}

#[test]
fn who_voted_no_tells_it() {
    let mut world = World::new();
    world.prepare(txn(1), 1100, Some(Incarnation(77)), writes(&[("k", Some("new"))]));
    assert!(matches!(world.votes().last(), Some(Vote::No(_))));
    assert_eq!(world.told_to_other(txn(1), 1100), Some(Decision::Abort));
}

#[test]
fn who_has_not_voted_never_will_if_the_coordinator_is_gone_for_him_too() {
    never_votes(&settings());
}

/// Too late for the simulator, so it is shown here that it would be noticed.
#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "[Yes(")]
fn one_that_votes_after_all_is_noticed() {
    never_votes(&Settings { mutant: Some(synod_shard::Mutant::NeverVotesForgotten), ..settings() });
}

fn never_votes(settings: &Settings) {
    for heard_of in [false, true] {
        let mut world = World::recover(settings.clone(), vec![], None);
        world.welcome(1, 1000);
        let mut given = None;
        if heard_of {
            given = incarnation_of(&world.read(txn(1), "k", ReadMode::Update));
        }
        // It will be decided.
        assert_eq!(world.told_to_other(txn(1), 1100), None);
        world.lose_coordinator();
        assert_eq!(world.told_to_other(txn(1), 1100), Some(Decision::Abort));
        // The coordinator is back, and it was slow.
        world.prepare(txn(1), 1100, given, writes(&[("k", Some("new"))]));
        world.sync();
        assert!(matches!(world.votes().last(), Some(Vote::No(_))), "{:?}", world.votes());
    }
}

/// A late message may begin a transaction again that has committed here long ago.
#[test]
fn who_may_have_forgotten_says_nothing_of_what_came_again() {
    let mut world = in_doubt();
    world.hear(CommitMessage::Decide { txn: txn(1), decision: commit(1150) });
    world.sync();
    // The decision is remembered of so many others instead.
    for n in 0..10_000 {
        world.prepare(txn(1000 + n), 1200, None, writes(&[("other", Some("x"))]));
        world.sync();
        world.hear(CommitMessage::Decide { txn: txn(1000 + n), decision: Decision::Abort });
    }
    world.raise_low_water(1250);
    assert_eq!(world.told_to_other(txn(1), 1100), None);
    world.read(txn(1), "k", ReadMode::Shared);
    world.lose_coordinator();
    assert_eq!(world.told_to_other(txn(1), 1100), None);
}

#[test]
fn a_late_vote_of_no_after_a_restart_tells_nothing() {
    let mut world = World::new();
    world.one_phase(txn(2), 1100, writes(&[("k", Some("new"))]));
    world.sync();
    let mut world = world.crash();
    world.welcome(2, 2000);
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    assert!(matches!(world.votes().last(), Some(Vote::No(_))), "{:?}", world.votes());
    assert_eq!(world.told_to_other(txn(1), 1100), None);
}

/// A PREPARE that waits for a lock is no vote.
#[test]
fn who_waits_to_vote_gives_up() {
    let mut world = World::new();
    world.read(txn(2), "k", ReadMode::Exclusive);
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    assert_eq!(world.told_to_other(txn(1), 1100), None);
    world.lose_coordinator();
    assert_eq!(world.told_to_other(txn(1), 1100), Some(Decision::Abort));
}

/// It serves nobody, but it finds the others, and what they know ends its doubt.
#[test]
fn who_restarts_without_a_coordinator_asks_too() {
    // With a checkpoint after every event, and with none.
    for checkpoint_bytes in [1, 1 << 30] {
        let settings = Settings { checkpoint_bytes, ..settings() };
        let mut world = World::recover(settings, vec![], None);
        world.placement = placement(Partition::Range(vec![Key::from("z")]), &[1, 2]);
        world.welcome(1, 1000);
        world.put(9, 1050, "k", "old");
        world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
        world.sync();
        assert_eq!(world.checkpoint.is_some(), checkpoint_bytes == 1);
        let mut world = world.crash();
        assert_eq!(world.shard.stats().in_doubt, 1);
        let links = world.out.neighbours.take().map(|links| links.len());
        assert_eq!(links, Some(0), "the other one has the larger number, and dials");
        world.lose_coordinator();
        world.sent.clear();
        world.event(Event::Connected(OTHER));
        assert_eq!(world.asked_of_other(), [txn(1)]);
        // Of what it does not know it says nothing: it may have forgotten.
        assert_eq!(world.told_to_other(txn(2), 5000), None);
        world.other_says(txn(1), commit(1150));
        assert_eq!(world.told_to_other(txn(1), 1100), Some(commit(1150)));
        world.sync();
        world.event(Event::Connected(COORDINATOR));
        world.welcome(2, 2000);
        assert_eq!(world.newest("k").as_deref(), Some("new"));
    }
}

#[test]
fn who_restarts_without_a_coordinator_dials_those_with_smaller_numbers() {
    let mut world = World::recover(Settings { id: ShardId(2), ..settings() }, vec![], None);
    world.placement = placement(Partition::Range(vec![Key::from("a")]), &[1, 2]);
    world.welcome(1, 1000);
    world.sync();
    let World { log, .. } = world;
    let world = World::recover(Settings { id: ShardId(2), ..settings() }, log, None);
    let links = world.out.neighbours.expect("links are asked for");
    assert_eq!(links.iter().map(|link| link.peer).collect::<Vec<_>>(), [Peer::Shard(ShardId(1))]);
}

/// It may have committed. To say "aborted" would be a guess.
#[test]
fn what_may_be_forgotten_is_not_told() {
    let mut world = World::new();
    world.raise_low_water(1200);
    world.lose_coordinator();
    assert_eq!(world.told_to_other(txn(1), 1100), None);
    let mut world = World::new().crash();
    world.welcome(2, 2000);
    world.lose_coordinator();
    assert_eq!(world.told_to_other(txn(1), 1100), None);
    assert_eq!(world.told_to_other(txn(1), 2001), Some(Decision::Abort));
}
