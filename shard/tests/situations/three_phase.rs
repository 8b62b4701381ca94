//! Three-phase commit, seen from a participant: what it promises, what it tells, and how it
//! gets to a decision without its coordinator.
//!
//! The sites are `s1`, which is this shard, `s2` and the coordinator; any two of them are a
//! quorum.

use synod_common::commit::{Ballot, Say, SiteId, Verdict};
use synod_common::message::bulk::List;
use synod_common::message::{PeerMessage, SiteMessage};

use super::cooperate::{OTHER, commit};
use super::*;

#[path = "classical.rs"]
mod classical;

/// When its commit began.
const H: u64 = 1100;
/// At which timestamp it commits, if it does.
const AT: Verdict = Verdict::Commit(Timestamp(1150));
/// The coordinator's first attempt, which needs no election.
const FIRST: Ballot = ballot(1, 2);

/// So many bytes that no checkpoint begins.
const NEVER: u64 = 1 << 30;

const fn ballot(round: u32, site: u16) -> Ballot {
    Ballot { round, site: SiteId(site) }
}

fn new_value() -> Bytes {
    writes(&[("k", Some("new"))])
}

impl World {
    /// It has voted YES on a commit in three phases; that is not durable.
    fn voting(checkpoint_bytes: u64) -> World {
        let mut world = World::recover(Settings { checkpoint_bytes, ..settings() }, vec![], None);
        world.welcome(1, 1000);
        world.put(9, 1050, "k", "old");
        world.prepare_sites(&[1, 2], None, new_value());
        world
    }

    /// The vote is durable, and that is all there is.
    fn waiting() -> World {
        World::waiting_with(NEVER)
    }

    fn waiting_with(checkpoint_bytes: u64) -> World {
        let mut world = World::voting(checkpoint_bytes);
        world.sync();
        world.sent.clear();
        world
    }

    /// It leads, and the other one has let it.
    fn leading(accepted: Option<Verdict>, attempt: Ballot) -> (World, Ballot) {
        let mut world = World::waiting();
        world.lose_coordinator();
        world.waits_long();
        world.sync();
        let ballot = world.elects();
        world.sent.clear();
        world.other(Say::State { ballot, accepted, attempt });
        (world, ballot)
    }

    fn prepare_sites(&mut self, sites: &[u16], given: Option<Incarnation>, writes: Bytes) {
        self.prepare_sites_by(Protocol::ThreePhase, sites, given, writes);
    }

    fn prepare_sites_by(
        &mut self,
        protocol: Protocol,
        sites: &[u16],
        given: Option<Incarnation>,
        writes: Bytes,
    ) {
        self.hear(CommitMessage::Prepare {
            txn: txn(1),
            h: Timestamp(H),
            hi: Timestamp(2000),
            incarnation: given,
            low_water: Timestamp::ZERO,
            participants: sites.iter().copied().map(ShardId).collect(),
            acceptors: vec![],
            implicit: false,
            terms: Terms { protocol, ..terms(Validation::Locked) },
            read_bytes: 0,
            writes,
        });
    }

    /// So long that it does not wait any longer.
    fn settled(&mut self, number: u64, below: u64, open: &[TxnId]) {
        let (epoch, below, open) = (Epoch(1), Timestamp(below), List::of(open));
        self.hear(CommitMessage::Settled { epoch, number, below, open });
    }

    fn waits_long(&mut self) {
        self.now.mono = self.now.mono + std::time::Duration::from_secs(5);
        self.event(Event::Wake);
    }

    fn site(&mut self, from: Peer, say: Say) {
        self.hear_from(from, SiteMessage { txn: txn(1), h: Timestamp(H), say });
    }

    fn other(&mut self, say: Say) {
        self.site(OTHER, say);
    }

    /// What it answers to the other one.
    fn asked(&mut self, say: Say) -> Vec<Say> {
        let before = self.said().len();
        self.other(say);
        self.said()[before..].iter().map(|(_, say)| *say).collect()
    }

    /// What it has said as a site.
    fn said(&self) -> Vec<(Peer, Say)> {
        let said = self.sent.iter().filter_map(|(to, message)| match message {
            Message::Site(SiteMessage { say, .. }) => Some((*to, *say)),
            _ => None,
        });
        said.collect()
    }

    /// With which attempt it asks the other one and the coordinator to let it lead.
    fn elects(&self) -> Ballot {
        match self.said()[..] {
            [(OTHER, Say::Elect { ballot }), (COORDINATOR, Say::Elect { ballot: same })]
                if ballot == same =>
            {
                ballot
            }
            ref other => panic!("{other:?}"),
        }
    }

    /// All that is durable stands in a checkpoint, and the log before it is not needed.
    fn write_checkpoint(&mut self) {
        self.sync();
        let before = self.durable as u64;
        self.one_phase(txn(90), 1300, writes(&[("elsewhere", Some("x"))]));
        assert_eq!(self.checkpoint.as_ref().map(|(start, _)| *start), Some(Lsn(before + 1)));
        self.sync();
        self.hear(CommitMessage::Release { txn: txn(90), at: Timestamp(1300) });
    }

    fn crash_alone(mut self) -> World {
        self.log.truncate(self.durable);
        World::recover_alone(settings(), self.log, self.checkpoint)
    }

    /// Whether another transaction gets the lock.
    fn is_free(&mut self, key: &str) -> bool {
        self.read(txn(77), key, ReadMode::Exclusive).is_some()
    }
}

const ELECT: Say = Say::Elect { ballot: ballot(3, 1) };
const PRE: Say = Say::Pre { ballot: ballot(3, 1), verdict: Verdict::Abort };

#[test]
fn while_there_is_a_coordinator_it_only_asks_that_one() {
    let mut world = World::waiting();
    world.waits_long();
    world.event(Event::Connected(OTHER));
    world.waits_long();
    world.sync();
    assert!(world.has_sent(&CommitMessage::Inquire { txn: txn(1) }));
    assert_eq!(world.said(), []);
    assert_eq!(world.asked_of_other(), []);
}

#[test]
fn who_misses_the_coordinator_leads_when_its_attempt_is_durable() {
    let mut world = World::waiting();
    world.lose_coordinator();
    world.waits_long();
    assert_eq!(world.said(), []);
    world.sync();
    assert!(world.elects() > FIRST);
    assert_eq!(world.asked_of_other(), [], "it does more than ask");
}

#[test]
fn alone_of_two_participants_it_stays_blocked_and_says_it_again() {
    let mut world = World::waiting();
    world.lose_coordinator();
    world.waits_long();
    world.sync();
    let first = world.elects();
    for _ in 0..3 {
        world.sent.clear();
        world.waits_long();
        world.sync();
        assert_eq!(world.elects(), first);
    }
    assert_eq!(world.shard.stats().in_doubt, 1);
    assert_eq!(world.snapshot(1900, "k"), None);
    assert!(!world.is_free("k"));
}

#[test]
fn a_promise_is_told_when_it_is_durable() {
    let mut world = World::waiting();
    assert_eq!(world.asked(ELECT), []);
    world.sync();
    let (accepted, attempt) = (None, Ballot::NONE);
    let state = Say::State { ballot: ballot(3, 1), accepted, attempt };
    assert_eq!(world.said(), [(OTHER, state)]);
    // The same question again is no new promise.
    assert_eq!(world.asked(ELECT), [state]);
    let late = Say::Elect { ballot: ballot(2, 1) };
    let refused = Say::Refused { ballot: ballot(2, 1), elected: ballot(3, 1) };
    assert_eq!(world.asked(late), [refused]);
}

#[test]
fn a_crash_before_a_promise_is_durable_forgets_it() {
    let mut world = World::waiting();
    world.other(ELECT);
    let mut world = world.crash();
    world.other(Say::Elect { ballot: ballot(2, 1) });
    world.sync();
    let (accepted, attempt) = (None, Ballot::NONE);
    assert_eq!(world.said(), [(OTHER, Say::State { ballot: ballot(2, 1), accepted, attempt })]);
}

#[test]
fn a_promise_outlives_two_crashes_and_a_checkpoint() {
    for checkpoint_bytes in [1, NEVER] {
        let mut world = World::waiting_with(checkpoint_bytes);
        world.site(COORDINATOR, Say::Pre { ballot: FIRST, verdict: AT });
        world.other(ELECT);
        world.sync();
        if checkpoint_bytes == 1 {
            world.write_checkpoint();
        }
        let mut world = world.crash().crash();
        world.other(Say::Elect { ballot: ballot(2, 1) });
        assert_eq!(world.said(), [], "what it knows may stand in the checkpoint only");
        world.sync();
        let refused = Say::Refused { ballot: ballot(2, 1), elected: ballot(3, 1) };
        assert_eq!(world.said(), [(OTHER, refused)]);
        let state = Say::State { ballot: ballot(3, 1), accepted: Some(AT), attempt: FIRST };
        assert_eq!(world.asked(ELECT), [state]);
    }
}

#[test]
fn an_acceptance_is_told_when_it_is_durable() {
    let mut world = World::waiting();
    world.site(COORDINATOR, Say::Pre { ballot: FIRST, verdict: AT });
    assert_eq!(world.said(), []);
    world.sync();
    assert_eq!(world.said(), [(COORDINATOR, Say::Accepted { ballot: FIRST })]);
    assert_eq!(world.snapshot(1900, "k"), None);
}

#[test]
fn it_leads_to_commit_what_the_other_one_has_accepted() {
    let (mut world, ballot) = World::leading(Some(AT), FIRST);
    assert_eq!(world.said(), []);
    world.sync();
    let pre = Say::Pre { ballot, verdict: AT };
    assert_eq!(world.said(), [(OTHER, pre), (COORDINATOR, pre)]);
    assert_eq!(world.shard.stats().in_doubt, 1);
    world.sent.clear();
    world.other(Say::Accepted { ballot });
    let decided = Say::Decided { verdict: AT };
    assert_eq!(world.said(), [(OTHER, decided), (COORDINATOR, decided)]);
    assert_eq!(world.shard.floor(), Timestamp(1150));
    assert_eq!(world.newest("k").as_deref(), Some("new"));
    assert_eq!(value_of(world.snapshot(1149, "k")).as_deref(), Some("old"));
    assert!(world.is_free("k"));
    assert_eq!(world.shard.stats().in_doubt, 0);
    assert!(!world.has_acknowledged(txn(1)));
    world.sync();
    assert!(world.has_acknowledged(txn(1)));
}

#[test]
fn it_leads_to_abort_what_nobody_has_accepted() {
    let (mut world, ballot) = World::leading(None, Ballot::NONE);
    world.sync();
    let pre = Say::Pre { ballot, verdict: Verdict::Abort };
    assert_eq!(world.said(), [(OTHER, pre), (COORDINATOR, pre)]);
    world.sent.clear();
    world.other(Say::Accepted { ballot });
    let decided = Say::Decided { verdict: Verdict::Abort };
    assert_eq!(world.said(), [(OTHER, decided), (COORDINATOR, decided)]);
    assert_eq!(world.newest("k").as_deref(), Some("old"));
    assert!(world.is_free("k"));
    world.sync();
    assert!(!world.has_acknowledged(txn(1)));
}

#[test]
fn its_own_acceptance_counts_only_when_it_is_durable() {
    let (mut world, ballot) = World::leading(Some(AT), FIRST);
    world.other(Say::Accepted { ballot });
    // The log is durable a little further, but not so far.
    world.event(Event::Durable(Lsn(world.log.len() as u64 - 1)));
    assert_eq!(world.shard.stats().in_doubt, 1);
    world.sync();
    assert_eq!(world.shard.stats().in_doubt, 0);
}

#[test]
fn what_another_one_knows_is_carried_out_and_told_to_readers_too() {
    let told = [
        (Say::Decided { verdict: AT }, commit(1150), "new"),
        (Say::Decided { verdict: Verdict::Abort }, Decision::Abort, "old"),
        // Whoever is in doubt of what is over was not needed for a commit.
        (Say::Forgotten, Decision::Abort, "old"),
    ];
    for (say, decision, value) in told {
        let mut world = World::waiting();
        assert_eq!(world.told_to_other(txn(1), H), None);
        world.other(say);
        assert_eq!(world.told_to_other(txn(1), H), Some(decision));
        assert_eq!(world.newest("k").as_deref(), Some(value));
        world.sync();
        assert_eq!(world.has_acknowledged(txn(1)), value == "new");
    }
}

/// A vote that is not durable is none: nobody has counted it.
#[test]
fn who_has_not_voted_durably_says_nothing() {
    let mut world = World::voting(NEVER);
    world.other(ELECT);
    world.other(Say::Decided { verdict: Verdict::Abort });
    world.sync();
    assert_eq!(world.said(), []);
    assert_eq!(world.shard.stats().in_doubt, 1);
    world.other(ELECT);
    world.sync();
    assert!(matches!(world.said()[..], [(OTHER, Say::State { .. })]), "{:?}", world.said());
}

#[test]
fn a_decision_is_remembered_until_it_is_settled() {
    let cases = [(AT, commit(1150)), (Verdict::Abort, Decision::Abort)];
    let cases = cases.into_iter().flat_map(|case| [(1, case), (NEVER, case)]);
    for (checkpoint_bytes, (verdict, decision)) in cases {
        let mut world = World::waiting_with(checkpoint_bytes);
        world.decide(txn(1), decision);
        let decided = [Say::Decided { verdict }];
        assert_eq!(world.asked(ELECT), decided);
        if checkpoint_bytes == 1 {
            world.write_checkpoint();
        }
        world.sync();
        // Whether there is a coordinator, or was one since the restart, does not matter.
        let mut world = world.crash_alone();
        assert_eq!(world.asked(ELECT), decided);
        assert_eq!(world.asked(PRE), decided);
        let mut world = world.crash();
        world.welcome(1, 2000);
        world.settled(1, H, &[]);
        assert_eq!(world.asked(ELECT), decided);
        world.settled(2, H + 1, &[txn(1)]);
        assert_eq!(world.asked(ELECT), decided);
        world.settled(3, H + 1, &[]);
        assert_eq!(world.asked(ELECT), [Say::Forgotten]);
        assert_eq!(world.asked(PRE), [Say::Forgotten]);
    }
}

#[test]
fn a_checkpoint_keeps_what_is_settled() {
    let mut world = World::waiting_with(1);
    world.decide(txn(1), commit(1150));
    world.sync();
    world.settled(1, H + 1, &[]);
    world.write_checkpoint();
    let mut world = world.crash_alone();
    assert_eq!(world.asked(ELECT), [Say::Forgotten]);
}

#[test]
fn who_knows_nothing_of_it_answers_questions_only() {
    let mut world = World::new();
    world.lose_coordinator();
    world.other(Say::Accepted { ballot: FIRST });
    world.other(Say::Decided { verdict: AT });
    assert_eq!(world.said(), []);
}

#[test]
fn who_has_not_voted_never_will() {
    let unknown = |_: &mut World| None;
    let active = |world: &mut World| incarnation_of(&world.read(txn(1), "k", ReadMode::Update));
    let waiting = |world: &mut World| {
        world.read(txn(2), "k", ReadMode::Exclusive);
        world.prepare_sites(&[1, 2], None, new_value());
        None
    };
    let cases: [fn(&mut World) -> Option<Incarnation>; 3] = [unknown, active, waiting];
    for case in cases {
        for say in [ELECT, PRE] {
            let mut world = World::new();
            let given = case(&mut world);
            assert_eq!(world.asked(say), [Say::Decided { verdict: Verdict::Abort }]);
            assert!(!world.shard.known().any(|known| known == txn(1)), "its locks are free");
            // The coordinator is back, and it was slow.
            world.prepare_sites(&[1, 2], given, new_value());
            world.sync();
            assert!(matches!(world.votes().last(), Some(Vote::No(_))), "{:?}", world.votes());
            // After a restart the floor is above it.
            let mut world = world.crash();
            world.welcome(1, 2000);
            world.prepare_sites(&[1, 2], None, new_value());
            world.sync();
            assert_eq!(world.votes(), [Vote::No(Reason::WindowPassed)]);
        }
    }
}

#[test]
fn who_voted_no_tells_it() {
    let mut world = World::new();
    world.prepare_sites(&[1, 2], Some(Incarnation(77)), new_value());
    assert!(matches!(world.votes().last(), Some(Vote::No(_))));
    assert_eq!(world.asked(ELECT), [Say::Decided { verdict: Verdict::Abort }]);
}

/// He has nothing to make durable, so he is no site, and asks those who are.
#[test]
fn who_only_reads_asks_the_sites() {
    let mut world = World::new();
    let given = incarnation_of(&world.read(txn(1), "k", ReadMode::Shared));
    world.prepare_sites(&[2, 3], given, Bytes::new());
    assert_eq!(world.votes(), [Vote::Read(Timestamp(H))]);
    world.other(ELECT);
    world.lose_coordinator();
    world.other(ELECT);
    world.waits_long();
    world.sync();
    assert_eq!(world.said(), []);
    let inquire = Message::from(PeerMessage::Inquire { txn: txn(1), h: Timestamp(H) });
    for site in [2, 3] {
        assert!(world.sent.contains(&(Peer::Shard(ShardId(site)), inquire.clone())));
    }
    assert!(!world.is_free("k"));
    world.other_says(txn(1), commit(1200));
    assert_eq!(world.shard.floor(), Timestamp(1200));
    assert!(world.is_free("k"));
}

#[test]
fn what_no_site_can_have_said_is_ignored() {
    let mut world = World::waiting();
    let stranger = Peer::Shard(ShardId(3));
    for say in [ELECT, PRE, Say::Decided { verdict: Verdict::Abort }, Say::Forgotten] {
        world.site(stranger, say);
    }
    for impossible in [Ballot::NONE, ballot(0, 1), ballot(u32::MAX, 1), ballot(3, 3), ballot(3, 0)]
    {
        world.other(Say::Elect { ballot: impossible });
        world.other(Say::Pre { ballot: impossible, verdict: AT });
    }
    // Below what this shard has voted.
    let early = Verdict::Commit(Timestamp(H - 1));
    world.other(Say::Pre { ballot: ballot(3, 1), verdict: early });
    world.other(Say::Decided { verdict: early });
    world.sync();
    assert_eq!(world.said(), []);
    assert_eq!(world.shard.stats().in_doubt, 1);
    // Nothing of it was promised.
    world.other(Say::Elect { ballot: ballot(1, 1) });
    world.sync();
    assert!(matches!(world.said()[..], [(OTHER, Say::State { .. })]), "{:?}", world.said());
}

#[test]
fn a_transaction_in_two_phases_has_no_sites() {
    let mut world = World::new();
    world.prepare(txn(1), H, None, new_value());
    world.sync();
    world.lose_coordinator();
    world.waits_long();
    for say in [ELECT, PRE, Say::Decided { verdict: Verdict::Abort }, Say::Forgotten] {
        world.other(say);
    }
    world.sync();
    assert_eq!(world.said(), []);
    assert_eq!(world.shard.stats().in_doubt, 1);
}

/// Its link may be up, and its disk be stuck.
#[test]
fn who_asks_the_coordinator_in_vain_leads_in_the_end() {
    let mut world = World::waiting();
    for _ in 0..4 {
        world.waits_long();
        world.sync();
        assert_eq!(world.said(), []);
    }
    world.waits_long();
    world.sync();
    world.elects();
}

/// Of sites one remembers it, although others forget.
#[test]
fn who_only_read_is_told_also_after_a_restart() {
    let mut world = World::waiting_with(1);
    world.decide(txn(1), Decision::Commit(Timestamp(H)));
    world.sync();
    world.write_checkpoint();
    let mut world = world.crash_alone();
    let before = world.sent.len();
    let inquire = PeerMessage::Inquire { txn: txn(1), h: Timestamp(H) };
    world.event(Event::Message { from: OTHER, request: RequestId(0), message: inquire.into() });
    let told = PeerMessage::Decided { txn: txn(1), decision: Decision::Commit(Timestamp(H)) };
    assert_eq!(world.sent[before..], [(OTHER, told.into())]);
}

#[test]
fn who_restarts_without_a_coordinator_leads() {
    for checkpoint_bytes in [1, NEVER] {
        let mut world = World::waiting_with(checkpoint_bytes);
        if checkpoint_bytes == 1 {
            world.write_checkpoint();
        }
        let mut world = world.crash_alone();
        assert_eq!(world.shard.stats().in_doubt, 1);
        world.waits_long();
        world.sync();
        let ballot = world.elects();
        world.other(Say::State { ballot, accepted: Some(AT), attempt: FIRST });
        world.sync();
        world.other(Say::Accepted { ballot });
        world.sync();
        assert!(world.has_acknowledged(txn(1)));
        // It serves when there is a coordinator again.
        world.event(Event::Connected(COORDINATOR));
        world.welcome(2, 2000);
        assert_eq!(world.newest("k").as_deref(), Some("new"));
    }
}
