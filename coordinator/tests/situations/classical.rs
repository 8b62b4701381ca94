//! The classical form of three-phase commit, seen from the coordinator: who may ask for it,
//! and what time-outs decide.

use super::*;

fn allowed() -> Settings {
    Settings { unsafe_classical_3pc: true, ..settings() }
}

/// Both shards have voted YES, and were asked to pre-commit.
fn pre_committing() -> (World, TxnId, Timestamp) {
    let mut world = World::joined_with(allowed());
    let txn = first(world.session());
    world.commit_in(Protocol::ClassicalThreePhase, txn, &[1, 2], &[]);
    let at = world.h(txn);
    for shard in [1, 2] {
        world.vote(shard, txn, Vote::Yes(at));
    }
    world.sync();
    let pre = Say::Pre { ballot: FIRST, verdict: Verdict::Commit(at) };
    assert_eq!(world.said(), [(1, pre), (2, pre)]);
    (world, txn, at)
}

#[test]
fn it_is_refused_unless_it_is_allowed() {
    for shards in [&[1, 2][..], &[1]] {
        let mut world = World::joined();
        let txn = first(world.session());
        world.sent.clear();
        let refused = Some(aborted(Reason::UnsafeProtocol));
        assert_eq!(world.commit_in(Protocol::ClassicalThreePhase, txn, shards, &[]), refused);
        assert_eq!(world.outcome(txn), refused);
        assert!(world.sent.iter().all(|(to, _)| *to == CLIENT), "no shard hears of it");
    }
}

#[test]
fn nobody_gets_it_who_did_not_ask_for_it() {
    let mut world = World::joined_with(allowed());
    let txn = first(world.session());
    world.commit(txn, &[1, 2]);
    assert_eq!(world.commit_of(txn).map(|commit| commit.protocol), Some(Protocol::TwoPhase));
}

#[test]
fn without_faults_it_commits_when_all_have_accepted() {
    let (mut world, txn, at) = pre_committing();
    let protocol = world.commit_of(txn).map(|commit| commit.protocol);
    assert_eq!(protocol, Some(Protocol::ClassicalThreePhase));
    world.site(1, txn, Say::Accepted { ballot: FIRST });
    assert_eq!((world.told(), world.decisions()), (vec![], vec![]), "two of three are not all");
    world.site(2, txn, Say::Accepted { ballot: FIRST });
    assert_eq!(world.told(), [&committed(at)]);
    assert_eq!(world.decisions(), [(1, commit(at)), (2, commit(at))]);
    for shard in [1, 2] {
        world.hear(shard, CommitMessage::Ack { txns: vec![txn] });
    }
    assert_eq!(world.commit_of(txn), None);
}

#[test]
fn who_does_not_accept_in_time_is_not_waited_for() {
    let (mut world, txn, at) = pre_committing();
    world.site(1, txn, Say::Accepted { ballot: FIRST });
    world.waits();
    assert_eq!(world.told(), [&committed(at)]);
    assert_eq!(world.decisions(), [(1, commit(at)), (2, commit(at))]);
    // Whatever that one has decided.
    world.site(2, txn, Say::Decided { verdict: Verdict::Abort });
    assert_eq!(world.outcome(txn), Some(committed(at)));
}

/// That a shard is back is no time-out of the others.
#[test]
fn who_joins_again_is_asked_again() {
    let (mut world, txn, at) = pre_committing();
    world.site(1, txn, Say::Accepted { ballot: FIRST });
    world.sent.clear();
    let (cluster, epoch) = (CLUSTER, Epoch(1));
    let join = CommitMessage::Join { cluster, epoch, boot: false, nonce: 8, remembered: 0 };
    world.hear(2, join);
    let pre = Say::Pre { ballot: FIRST, verdict: Verdict::Commit(at) };
    assert_eq!((world.said(), world.decisions()), (vec![(2, pre)], vec![]));
}

/// What was begun goes on as it was begun, also if it would be refused by now.
#[test]
fn after_a_restart_it_asks_the_others_and_decides_without_those_who_are_silent() {
    let restarted = || {
        let (world, txn, at) = pre_committing();
        let mut world = world.crash();
        world.join(1);
        world.sync();
        let ballot = world.elects();
        world.sent.clear();
        (world, txn, at, ballot)
    };
    let (mut world, txn, ..) = restarted();
    world.site(1, txn, Say::Decided { verdict: Verdict::Abort });
    assert_eq!(world.decisions(), [(1, Decision::Abort), (2, Decision::Abort)]);

    let (mut world, txn, at, ballot) = restarted();
    world.waits();
    let pre = Say::Pre { ballot, verdict: Verdict::Commit(at) };
    assert_eq!((world.said(), world.decisions()), (vec![(1, pre), (2, pre)], vec![]));
    world.waits();
    assert_eq!(world.decisions(), [(1, commit(at)), (2, commit(at))]);
    assert_eq!(world.outcome(txn), Some(committed(at)));
}
