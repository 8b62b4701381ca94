//! The explorer of two-phase commit, shortly; `synod-sim core --protocol 2pc` runs it for as
//! long as you like.

mod schedules;

use synod_tests::exhaust::exhaust;
use synod_tests::two_phase::{Bounds, Bug, State, World};

#[test]
fn no_schedule_violates_anything_and_all_is_reached() {
    schedules::reach_all::<World>(20_000);
}

#[test]
fn a_seed_is_a_schedule() {
    schedules::repeat::<World>();
}

#[test]
fn what_goes_wrong_between_servers_shows() {
    for bug in [Bug::Canary, Bug::VoteBeforeDurable, Bug::AnswerBeforeDurable, Bug::NoFence] {
        schedules::show::<World>(bug);
    }
}

/// One transaction on two shards, messages that are lost and late, and so much more. The
/// numbers are what there is: who changes a core sees them change.
#[test]
fn every_schedule_of_a_small_transaction() {
    let count = |crashes, wakes| {
        let found = exhaust(&State::new(Bounds { crashes, wakes }, None));
        assert_eq!(found.violation, None);
        (found.states, found.transitions, found.depth)
    };
    assert_eq!(count(0, 1), (758, 1_570, 12));
    assert_eq!(count(1, 0), (7_922, 29_504, 21));
}

#[test]
fn the_shortest_schedule_of_a_bug_is_found() {
    let bounds = Bounds { crashes: 1, wakes: 0 };
    let found = exhaust(&State::new(bounds, Some(Bug::VoteBeforeDurable)));
    let (events, violation) = found.violation.expect("it is caught");
    assert_eq!(events.len(), 4, "{events:#?}");
    assert!(violation.starts_with("I2"), "{violation}");
}
