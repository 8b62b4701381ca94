//! The classical form of three-phase commit, seen from a participant: its time-outs decide,
//! whoever is gone.

use super::*;

/// It has voted YES durably, and misses the coordinator.
fn alone() -> World {
    let mut world =
        World::recover(Settings { checkpoint_bytes: NEVER, ..settings() }, vec![], None);
    world.welcome(1, 1000);
    world.put(9, 1050, "k", "old");
    world.prepare_sites_by(Protocol::ClassicalThreePhase, &[1, 2], None, new_value());
    world.sync();
    world.sent.clear();
    world.lose_coordinator();
    world
}

/// It leads, and what it has asked is durable.
fn leading() -> (World, Ballot) {
    let mut world = alone();
    let ballot = world.leads();
    (world, ballot)
}

impl World {
    fn leads(&mut self) -> Ballot {
        self.waits_long();
        self.sync();
        let ballot = self.elects();
        self.sent.clear();
        ballot
    }

    fn waits_again(&mut self) {
        self.waits_long();
        self.sync();
    }
}

const COMMIT: Say = Say::Decided { verdict: AT };
const ABORT: Say = Say::Decided { verdict: Verdict::Abort };

#[test]
fn who_is_waiting_and_hears_nobody_aborts() {
    let (mut world, _) = leading();
    assert_eq!(world.shard.stats().in_doubt, 1);
    world.waits_again();
    assert_eq!(world.said(), [(OTHER, ABORT), (COORDINATOR, ABORT)]);
    assert_eq!(world.newest("k").as_deref(), Some("old"));
    assert!(world.is_free("k"));
    assert_eq!(world.shard.stats().in_doubt, 0);
    // Whatever the others have decided: it acknowledges what it can not carry out any more.
    world.decide(txn(1), Decision::Commit(Timestamp(1150)));
    assert_eq!(world.newest("k").as_deref(), Some("old"));
}

#[test]
fn who_has_pre_committed_and_hears_nobody_commits() {
    let mut world = alone();
    world.site(COORDINATOR, Say::Pre { ballot: FIRST, verdict: AT });
    world.sync();
    world.sent.clear();
    let ballot = world.leads();
    world.waits_again();
    let pre = Say::Pre { ballot, verdict: AT };
    assert_eq!(world.said(), [(OTHER, pre), (COORDINATOR, pre)]);
    world.sent.clear();
    world.waits_again();
    assert_eq!(world.said(), [(OTHER, COMMIT), (COORDINATOR, COMMIT)]);
    assert_eq!(world.newest("k").as_deref(), Some("new"));
    assert!(world.is_free("k"));
}

/// Of those who answer one has pre-committed: all do, and commit.
#[test]
fn who_leads_goes_on_with_those_who_answer() {
    let (mut world, ballot) = leading();
    world.other(Say::State { ballot, accepted: Some(AT), attempt: FIRST });
    assert_eq!(world.said(), [], "the coordinator may still answer");
    world.waits_again();
    let pre = Say::Pre { ballot, verdict: AT };
    assert_eq!(world.said(), [(OTHER, pre), (COORDINATOR, pre)]);
    world.other(Say::Accepted { ballot });
    assert_eq!(world.shard.stats().in_doubt, 1);
    world.waits_again();
    assert_eq!(world.newest("k").as_deref(), Some("new"));
}

#[test]
fn a_restart_does_not_change_what_time_outs_decide() {
    let (world, _) = leading();
    let mut world = world.crash_alone();
    world.leads();
    world.waits_again();
    assert_eq!(world.said(), [(OTHER, ABORT), (COORDINATOR, ABORT)]);
}
