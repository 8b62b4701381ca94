//! The explorer of groups, shortly; `synod-sim group` runs it for as long as you like.

use synod_tests::group::{Bug, explore, trace};

#[test]
fn no_schedule_violates_anything_and_all_is_reached() {
    let explored = explore(0..4_000, None, 2);
    assert_eq!((explored.schedules, explored.violations), (4_000, vec![]));
    for (what, count) in explored.seen.all() {
        assert!(count > 0, "{what}: never reached");
    }
}

#[test]
fn a_seed_is_a_schedule() {
    for seed in 0..50 {
        let (lines, result) = trace(seed, None);
        assert_eq!((lines.is_empty(), &result), (false, &Ok(())));
        assert_eq!(trace(seed, None), (lines, result));
    }
    assert_ne!(trace(1, None).0, trace(2, None).0);
}

#[test]
fn what_a_member_does_wrong_shows() {
    for bug in [Bug::Canary, Bug::Unforced] {
        let explored = explore(0..1_000, Some(bug), 1);
        let (seed, violation) = explored.violations.first().expect("it is caught");
        assert_eq!(trace(*seed, Some(bug)).1.as_ref(), Err(violation));
    }
}

/// Those that show at once; `synod-sim group --mutants` waits for the rare ones.
#[cfg(feature = "mutants")]
#[test]
fn what_the_machine_does_wrong_shows() {
    use synod_coordinator::group::Mutant;
    for mutant in [Mutant::MinorityDecides, Mutant::OwnUnforced, Mutant::NeverConfirms] {
        let bug = Some(Bug::Replica(mutant));
        assert!(!explore(0..1_000, bug, 1).violations.is_empty(), "{mutant:?}");
    }
}
