//! The explorer of Paxos Commit, shortly; `synod-sim core --protocol paxos` runs it for as
//! long as you like.

mod schedules;

use synod_tests::paxos::{Bug, World};

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

/// Those that show at once; `synod-sim core --protocol paxos --mutants` waits for the others.
#[cfg(feature = "mutants")]
#[test]
fn what_the_machines_do_wrong_shows() {
    use synod_coordinator::paxos::Mutant;
    for mutant in [Mutant::MinorityAccepts, Mutant::MissingAccepted, Mutant::FoundIgnored] {
        schedules::show::<World>(Bug::Paxos(mutant));
    }
}
