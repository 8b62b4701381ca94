//! The explorer of two-phase commit, shortly; `synod-sim core --protocol 2pc` runs it for as
//! long as you like.

mod schedules;

use synod_tests::two_phase::{Bug, World};

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
    for bug in [Bug::Canary, Bug::VoteBeforeDurable, Bug::ForgetCommitted, Bug::NoFence] {
        schedules::show::<World>(bug);
    }
}

/// Those that show at once; `synod-sim core --protocol 2pc --mutants` waits for the others.
#[cfg(feature = "mutants")]
#[test]
fn what_the_cores_do_wrong_shows() {
    use synod_shard::Mutant;
    for mutant in [Mutant::PeerInDoubtAborts, Mutant::EarlyRelease, Mutant::VoteIgnoresFloor] {
        schedules::show::<World>(Bug::Shard(mutant));
    }
}
