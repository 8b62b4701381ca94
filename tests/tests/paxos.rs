//! The explorer of Paxos Commit, shortly; `synod-sim core --protocol paxos` runs it for as
//! long as you like.

mod schedules;

use synod_tests::exhaust::exhaust;
use synod_tests::paxos::{Bounds, Bug, State, World};

#[test]
fn no_schedule_violates_anything_and_all_is_reached() {
    schedules::reach_all::<World>(20_000);
}

#[test]
fn a_seed_is_a_schedule() {
    schedules::repeat::<World>();
}

#[test]
fn what_a_participant_or_a_member_does_wrong_shows() {
    for bug in [Bug::Canary, Bug::VotesAgain, Bug::AcceptedUnforced, Bug::GivesUpAlone] {
        schedules::show::<World>(bug);
    }
}

/// A writer, a reader and three members, messages that are lost, late and doubled, and so many
/// crashes; in both forms. The numbers are what there is: who changes the machines sees them
/// change.
#[test]
fn every_schedule_of_a_small_transaction() {
    let count = |crashes, faster| {
        let found = exhaust(&State::new(Bounds { crashes, elections: 0, faster }, None));
        assert_eq!(found.violation, None);
        (found.states, found.transitions, found.depth)
    };
    assert_eq!(count(0, false), (1_396, 4_123, 15));
    assert_eq!(count(1, false), (17_270, 84_544, 26));
    assert_eq!(count(0, true), (9_358, 28_401, 18));
}

#[test]
fn the_shortest_schedule_of_a_bug_is_found() {
    let bounds = Bounds { crashes: 1, elections: 0, faster: false };
    let found = exhaust(&State::new(bounds, Some(Bug::AcceptedUnforced)));
    let (events, violation) = found.violation.expect("it is caught");
    assert!(violation.starts_with("I14"), "{violation}");
    assert_eq!(events.len(), 8, "{events:#?}");
}
