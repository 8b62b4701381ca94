//! The explorer of commit protocols, shortly; `synod-sim core` runs it for as long as you
//! like.

mod schedules;

use std::fs;

use synod_common::commit::Rule;
use synod_tests::core::{Bounds, Bug, Demonstration, State, World, demonstrate};
use synod_tests::exhaust::exhaust;
use synod_tests::explore::{explore, trace};

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

/// E1. The same schedules under the rule of quorums violate nothing.
#[test]
fn the_classical_form_decides_both_ways() {
    let classical = Some(Bug::Classical);
    let explored = explore::<World>(0..20_000, classical, 2);
    let (seed, violation) = explored.violations.first().expect("one of them shows it");
    assert!(violation.starts_with("I1"), "{violation}");
    assert_eq!(trace::<World>(*seed, classical).1.as_ref(), Err(violation));

    let found = exhaust(&State::new(Bounds { crashes: 0, elections: 1 }, classical));
    let (events, violation) = found.violation.expect("messages that are lost are enough");
    assert_eq!(events.len(), 6, "{events:#?}");
    assert!(violation.starts_with("I1"), "{violation}");
}

/// The essay shows what a partition does under either rule.
#[test]
fn a_partition_is_shown_as_it_is() {
    let page = fs::read_to_string("../docs/three-phase-commit.md").expect("the page is there");
    for (protocol, rule) in [("3pc-classical", Rule::TimeOut), ("3pc", Rule::Quorum)] {
        let Demonstration { lines, contradiction } = demonstrate(rule);
        assert_eq!(contradiction, rule == Rule::TimeOut);
        let command = format!("$ synod-sim core --protocol {protocol} --demonstrate");
        let shown = format!("```text\n{command}\n{}\n```\n", lines.join("\n"));
        assert!(page.contains(&shown), "the page does not show\n{shown}");
    }
}

#[test]
fn the_shortest_schedule_of_a_bug_is_found() {
    let bounds = Bounds { crashes: 1, elections: 0 };
    let found = exhaust(&State::new(bounds, Some(Bug::YesUnforced)));
    let (events, violation) = found.violation.expect("it is caught");
    assert_eq!(events.len(), 4, "{events:#?}");
    assert!(violation.starts_with("I2"), "{violation}");
}
