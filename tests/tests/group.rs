//! The explorer of groups, shortly; `synod-sim group` runs it for as long as you like.

mod schedules;

use synod_tests::group::{Bug, World};

#[test]
fn no_schedule_violates_anything_and_all_is_reached() {
    schedules::reach_all::<World>(4_000);
}

#[test]
fn a_seed_is_a_schedule() {
    schedules::repeat::<World>();
}

#[test]
fn what_a_member_does_wrong_shows() {
    for bug in [Bug::Canary, Bug::Unforced] {
        schedules::show::<World>(bug);
    }
}
