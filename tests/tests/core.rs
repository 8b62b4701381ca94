//! The explorer of commit protocols, shortly; `synod-sim core` runs it for as long as you
//! like.

mod schedules;

use synod_tests::core::{Bug, World};

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
