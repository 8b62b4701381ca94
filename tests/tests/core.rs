//! The explorer of commit protocols, shortly; `synod-sim core` runs it for as long as you
//! like.

mod schedules;

use synod_tests::core::{Bounds, Bug, State, World};
use synod_tests::exhaust::exhaust;

#[test]
fn no_schedule_violates_anything_and_all_is_reached() {
    schedules::reach_all::<World>(20_000);
}

#[test]
fn a_seed_is_a_schedule() {
    schedules::repeat::<World>();
}

#[test]
fn what_a_participant_does_wrong_shows() {
    for bug in [Bug::Canary, Bug::YesUnforced] {
        schedules::show::<World>(bug);
    }
}

/// Two participants, messages that are lost, late and doubled, and so much more. The numbers
/// are what there is: who changes the machine sees them change.
#[test]
fn every_schedule_of_a_small_transaction() {
    let count = |crashes, elections| {
        let found = exhaust(&State::new(Bounds { crashes, elections }, None));
        assert_eq!(found.violation, None);
        (found.states, found.transitions, found.depth)
    };
    assert_eq!(count(2, 0), (704, 3_464, 19));
    assert_eq!(count(0, 1), (3_856, 20_006, 19));
}

#[test]
fn the_shortest_schedule_of_a_bug_is_found() {
    let bounds = Bounds { crashes: 1, elections: 0 };
    let found = exhaust(&State::new(bounds, Some(Bug::YesUnforced)));
    let (events, violation) = found.violation.expect("it is caught");
    assert_eq!(events.len(), 4, "{events:#?}");
    assert!(violation.starts_with("I2"), "{violation}");
}

/// With one crash and one election all of them show.
#[cfg(feature = "mutants")]
#[test]
fn every_bug_of_the_machine_has_a_small_schedule() {
    let bounds = Bounds { crashes: 1, elections: 1 };
    for mutant in synod_common::commit::mutant::Mutant::ALL {
        let found = exhaust(&State::new(bounds, Some(Bug::Site(mutant))));
        assert!(found.violation.is_some(), "{mutant:?}");
    }
}
