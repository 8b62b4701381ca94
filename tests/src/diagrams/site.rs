//! What a site of three-phase commit goes through, in schedules of one transaction without
//! servers: leaders that follow one another quickly enough to turn a pre-commit round are rare
//! in a cluster.

use std::collections::BTreeSet;

use synod_common::commit::{Phase, Verdict};

use super::NOWHERE;
use super::Transition;
use super::cause::loud;
use super::machine::{Machine, name};
use crate::core::{Life, Message, Turn, World};

/// So many schedules are looked at.
pub const SCHEDULES: u64 = 20_000;

/// Of one schedule.
///
/// # Panics
/// If it violates anything.
pub fn transitions(seed: u64) -> BTreeSet<Transition> {
    let turns = World::turns(seed).unwrap_or_else(|what| panic!("schedule {seed}: {what}"));
    let changes = turns.iter().filter(|turn| stage(&turn.from) != stage(&turn.to));
    changes.map(of).collect()
}

fn of(Turn { from, to, heard }: &Turn) -> Transition {
    let cause = match heard {
        None => "time-out".to_owned(),
        Some(Message::Site(say)) => loud(&name(say)),
        Some(message) => loud(&name(message)),
    };
    let (from, to) = (stage(from).to_owned(), stage(to).to_owned());
    Transition { machine: Machine::Site, from, to, cause }
}

/// Before all have voted YES it is no site.
fn stage(life: &Life) -> &'static str {
    match life {
        Life::Idle | Life::Collecting(_) | Life::Never => NOWHERE,
        Life::Over(Verdict::Commit(_)) => "Committed",
        Life::Over(Verdict::Abort) => "Aborted",
        Life::Site(site) => phase(site.stable().phase),
    }
}

/// How a site is called in the diagrams.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "Waiting",
        Phase::Pre(Verdict::Commit(_)) => "PreCommitted",
        Phase::Pre(Verdict::Abort) => "PreAborted",
        Phase::Decided(Verdict::Commit(_)) => "Committed",
        Phase::Decided(Verdict::Abort) => "Aborted",
    }
}
