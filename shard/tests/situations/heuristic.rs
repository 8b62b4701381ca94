//! Decisions of operators: when they are in force, and what they are worth.

use std::time::Duration;

use synod_common::commit::{Protocol, Say, SiteId, Verdict};
use synod_common::error::Reason;
use synod_common::message::bulk::List;
use synod_common::message::txns::{Resolution, ShardStage};
use synod_common::message::{PeerMessage, SiteMessage};

use super::*;

const OTHER: Peer = Peer::Shard(ShardId(2));

impl World {
    /// An operator decides, and what he is answered once it is durable.
    fn resolve(&mut self, txn: TxnId, commit: bool) -> Option<DataReply> {
        let before = self.sent.len();
        assert_eq!(self.asks_to_resolve(txn, commit, Some("ops")), None);
        self.sync();
        self.replies(before).pop()
    }

    fn asks_to_resolve(&mut self, txn: TxnId, commit: bool, by: Option<&str>) -> Option<DataReply> {
        let (by, why) = (by.map(str::to_owned), "disk of c1 is gone".to_owned());
        self.ask(DataRequest::Resolve { txn, commit, by, why, force: true })
    }

    fn resolutions(&mut self) -> Vec<Resolution> {
        let Some(DataReply::Resolutions { list }) = self.ask(DataRequest::Resolutions) else {
            panic!("no list")
        };
        List::read(&list).map(Result::unwrap).collect()
    }

    /// What the audit says of the only one.
    fn ended(&mut self) -> (Verdict, Option<Verdict>, bool) {
        let all = self.resolutions();
        let [known] = &all[..] else { panic!("{all:?}") };
        assert_eq!((&*known.by, &*known.why), ("ops", "disk of c1 is gone"));
        (known.verdict, known.outcome, known.is_mixed())
    }

    fn is_locked(&mut self, key: &str) -> bool {
        let other = TxnId { session: SessionId { epoch: self.epoch(), number: 9 }, sequence: 1 };
        let reply = self.read(other, key, ReadMode::Shared);
        self.ask(DataRequest::Abort { txn: other });
        reply.is_none()
    }

    fn epoch(&self) -> Epoch {
        Epoch(if self.shard.floor() >= Timestamp(2000) { 2 } else { 1 })
    }
}

/// It has voted YES at 1100 on what it writes, and hears nothing.
fn in_doubt() -> World {
    let mut world = World::new();
    world.put(9, 1050, "k", "old");
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    world.sync();
    world
}

const EARLY: Verdict = Verdict::Commit(Timestamp(1100));

#[test]
fn it_is_in_force_when_it_is_durable_and_then_locks_are_free() {
    for (commit, value) in [(true, "new"), (false, "old")] {
        let mut world = in_doubt();
        assert_eq!(world.asks_to_resolve(txn(1), commit, Some("ops")), None);
        assert!(world.is_locked("k"));
        let before = world.sent.len();
        world.sync();
        assert!(world.replies(before).contains(&DataReply::Done));
        assert!(!world.is_locked("k"));
        assert_eq!(value_of(world.snapshot(1900, "k")).as_deref(), Some(value));
        assert_eq!(world.shard.stats().in_doubt, 0);
        let Some(DataReply::Txn(Some(shown))) =
            world.ask(DataRequest::Txn { txn: txn(1), locks: 9 })
        else {
            panic!("it is known")
        };
        assert!(matches!(shown.0.stage, ShardStage::Resolved { .. }), "{shown:?}");
    }
}

#[test]
fn a_crash_before_that_leaves_it_in_doubt_and_after_that_in_force() {
    for checkpoint_bytes in [1, 1 << 30] {
        let settings = Settings { checkpoint_bytes, ..settings() };
        let mut world = World::recover(settings, vec![], None);
        world.welcome(1, 1000);
        world.put(9, 1050, "k", "old");
        world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
        world.sync();
        world.asks_to_resolve(txn(1), true, Some("ops"));
        let mut world = world.crash();
        assert_eq!(world.shard.stats().in_doubt, 1);
        world.welcome(2, 2000);
        assert!(world.is_locked("k"));
        world.resolve(txn(1), true);
        let mut world = world.crash();
        world.welcome(2, 3000);
        assert_eq!(world.shard.stats().in_doubt, 0);
        assert!(!world.is_locked("k"));
        assert_eq!(value_of(world.snapshot(2900, "k")).as_deref(), Some("new"));
        // It is no outcome, so it is asked for again.
        world.now.mono = world.now.mono + Duration::from_secs(10);
        world.event(Event::Wake);
        assert!(world.has_sent(&CommitMessage::Inquire { txn: txn(1) }));
        assert_eq!(world.ended(), (EARLY, None, false));
    }
}

#[test]
fn the_outcome_is_acknowledged_and_held_against_it() {
    let late = Decision::Commit(Timestamp(1150));
    for (commit, decision, outcome, is_mixed) in [
        (true, Decision::Commit(Timestamp(1100)), EARLY, false),
        (true, late, Verdict::Commit(Timestamp(1150)), true),
        (true, Decision::Abort, Verdict::Abort, true),
        (true, Decision::Forgotten, Verdict::Abort, true),
        (false, Decision::Abort, Verdict::Abort, false),
        (false, late, Verdict::Commit(Timestamp(1150)), true),
    ] {
        let mut world = in_doubt();
        world.resolve(txn(1), commit);
        world.decide(txn(1), decision);
        assert!(!world.has_acknowledged(txn(1)), "it is not durable");
        world.sync();
        assert_eq!(world.has_acknowledged(txn(1)), matches!(decision, Decision::Commit(_)));
        let verdict = if commit { EARLY } else { Verdict::Abort };
        assert_eq!(world.ended(), (verdict, Some(outcome), is_mixed));
        assert_eq!(world.shard.stats().mixed, u64::from(is_mixed));
        // What is in force stays, and nothing of it is known any more but the audit.
        let value = if commit { "new" } else { "old" };
        assert_eq!(value_of(world.snapshot(1900, "k")).as_deref(), Some(value));
        assert_eq!(world.shard.known().count(), 0);
        let mut world = world.crash();
        world.welcome(2, 2000);
        assert_eq!(world.ended(), (verdict, Some(outcome), is_mixed));
        assert_eq!(value_of(world.snapshot(1900, "k")).as_deref(), Some(value));
        assert!(!world.is_locked("k"));
    }
}

/// Else the log would say one thing and memory another.
#[test]
fn a_decision_that_comes_while_it_is_written_is_not_heard() {
    let mut world = in_doubt();
    world.asks_to_resolve(txn(1), false, Some("ops"));
    world.decide(txn(1), Decision::Commit(Timestamp(1100)));
    world.sync();
    assert!(!world.has_acknowledged(txn(1)));
    world.decide(txn(1), Decision::Commit(Timestamp(1100)));
    world.sync();
    assert!(world.has_acknowledged(txn(1)));
    assert_eq!(world.ended(), (Verdict::Abort, Some(EARLY), true));
}

#[test]
fn others_are_not_told_of_it() {
    let mut world = in_doubt();
    world.resolve(txn(1), true);
    world.event(Event::Disconnected(COORDINATOR));
    let before = world.sent.len();
    let inquire = PeerMessage::Inquire { txn: txn(1), h: Timestamp(1100) };
    world.event(Event::Message { from: OTHER, request: RequestId(0), message: inquire.into() });
    assert_eq!(world.sent.len(), before);
    // Asked for its vote again, it gives the vote.
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    world.sync();
    assert_eq!(world.votes().last(), Some(&Vote::Yes(Timestamp(1100))));
}

#[test]
fn a_site_goes_on_with_the_others() {
    let mut world = World::new();
    world.hear(CommitMessage::Prepare {
        txn: txn(1),
        h: Timestamp(1100),
        hi: Timestamp(2000),
        incarnation: None,
        low_water: Timestamp::ZERO,
        participants: vec![ShardId(1), ShardId(2)],
        acceptors: vec![],
        implicit: false,
        terms: Terms { protocol: Protocol::ThreePhase, ..terms(Validation::Locked) },
        read_bytes: 0,
        writes: writes(&[("k", Some("new"))]),
    });
    world.sync();
    world.resolve(txn(1), false);
    let ballot = synod_common::commit::Ballot { round: 2, site: SiteId(1) };
    let verdict = Verdict::Commit(Timestamp(1200));
    for say in [Say::Elect { ballot }, Say::Pre { ballot, verdict }] {
        let message = SiteMessage { txn: txn(1), h: Timestamp(1100), say };
        world.event(Event::Message { from: OTHER, request: RequestId(0), message: message.into() });
        world.sync();
    }
    let accepted = SiteMessage { txn: txn(1), h: Timestamp(1100), say: Say::Accepted { ballot } };
    assert!(world.sent.contains(&(OTHER, accepted.into())));
    world.decide(txn(1), Decision::Commit(Timestamp(1200)));
    assert_eq!(world.ended(), (Verdict::Abort, Some(verdict), true));
}

#[test]
fn only_operators_may_and_only_what_is_in_doubt() {
    let refused = |reason| Some(DataReply::Refused(reason));
    let mut world = World::new();
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    // A vote that is not durable is none.
    assert_eq!(world.asks_to_resolve(txn(1), true, Some("ops")), refused(Reason::NotInDoubt));
    world.sync();
    assert_eq!(world.asks_to_resolve(txn(1), true, None), refused(Reason::Denied));
    assert_eq!(world.asks_to_resolve(txn(2), true, Some("ops")), refused(Reason::NotInDoubt));
    world.read(txn(3), "other", ReadMode::Shared);
    assert_eq!(world.asks_to_resolve(txn(3), true, Some("ops")), refused(Reason::NotInDoubt));
    let long = "x".repeat(1_001);
    assert_eq!(world.asks_to_resolve(txn(1), true, Some(&long)), refused(Reason::Malformed));
    assert_eq!(world.resolve(txn(1), true), Some(DataReply::Done));
    assert_eq!(world.asks_to_resolve(txn(1), false, Some("ops")), refused(Reason::NotInDoubt));
}

/// It would decide, and most likely otherwise.
#[test]
fn while_a_coordinator_is_there_it_takes_an_extra_word() {
    let mut world = in_doubt();
    let asks = |world: &mut World, force| {
        let (by, why) = (Some("ops".to_owned()), String::new());
        world.ask(DataRequest::Resolve { txn: txn(1), commit: false, by, why, force })
    };
    let refused = Some(DataReply::Refused(Reason::CoordinatorDecides));
    assert_eq!(asks(&mut world, false), refused);
    assert_eq!((world.resolutions(), world.is_locked("k")), (vec![], true));
    let mut other = in_doubt();
    assert_eq!(asks(&mut other, true), None);
    world.event(Event::Disconnected(COORDINATOR));
    assert_eq!(asks(&mut world, false), None);
    for mut world in [world, other] {
        world.sync();
        assert_eq!(world.resolutions().len(), 1);
        assert_eq!(world.shard.stats().in_doubt, 0);
    }
}

/// Its locks go, and nothing commits here below whatever it may commit at. Who did it is
/// written down first.
#[test]
fn who_voted_read_lets_go_without_a_risk() {
    let mut world = World::new();
    world.put(9, 1050, "k", "old");
    let given = incarnation_of(&world.read(txn(1), "k", ReadMode::Shared));
    world.prepare(txn(1), 1100, given, Bytes::new());
    assert_eq!(world.shard.stats().read_in_doubt, 1);
    assert_eq!(world.asks_to_resolve(txn(1), false, Some("ops")), None);
    let again = world.asks_to_resolve(txn(1), true, Some("ops"));
    assert_eq!(again, Some(DataReply::Refused(Reason::NotInDoubt)));
    assert_eq!(world.shard.known().count(), 1);
    let before = world.sent.len();
    world.sync();
    assert_eq!(world.replies(before), [DataReply::Done]);
    assert_eq!((world.shard.floor(), world.shard.known().count()), (Timestamp(2000), 0));
    assert_eq!(world.shard.stats().read_in_doubt, 0);
    let audit = world.resolutions();
    assert!(audit.len() == 1 && audit[0].read && audit[0].is_over() && !audit[0].is_mixed());
    let mut world = world.crash();
    world.welcome(2, 3000);
    assert_eq!(world.resolutions(), audit);
}

/// Those have the locks by now that were freed, and the first two no outcome yet.
#[test]
fn a_checkpoint_keeps_who_came_after_an_operator() {
    let settings = Settings { checkpoint_bytes: 1, ..settings() };
    let mut world = World::recover(settings, vec![], None);
    world.welcome(1, 1000);
    for (sequence, h, value) in [(1, 1100, "a"), (2, 1200, "b"), (3, 1300, "c")] {
        world.prepare(txn(sequence), h, None, writes(&[("k", Some(value))]));
        world.sync();
        if sequence < 3 {
            world.resolve(txn(sequence), true);
        }
    }
    world.put(9, 1400, "other", "x");
    let mut world = world.crash();
    assert_eq!(world.shard.stats().in_doubt, 1);
    world.welcome(2, 2000);
    assert!(world.is_locked("k"));
    world.decide(txn(3), Decision::Commit(Timestamp(1300)));
    assert_eq!(value_of(world.snapshot(1900, "k")).as_deref(), Some("c"));
    assert_eq!(world.resolutions().len(), 2);
}
