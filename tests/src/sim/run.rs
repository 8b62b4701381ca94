//! One run from a seed to a report.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

use super::mutation::Mutation;
use super::reached::Reached;
use super::world::World;

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// How many events there were.
    pub events: u64,
    /// Transactions that clients began.
    pub txns: u64,
    /// Transactions that are durably committed.
    pub committed: u64,
    /// Snapshots that were read to the end.
    pub snapshots: u64,
    /// Crashes.
    pub crashes: u64,
    /// What was reached.
    pub reached: Reached,
    /// The hash of the trace.
    pub hash: u64,
    /// What was violated, if anything.
    pub violation: Option<String>,
    /// The trace, if it was asked for.
    pub lines: Vec<String>,
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of cores are violations; keeps them from being printed.
pub fn quiet_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("a panic");
        let text = format!("assertion: {text}{}", place.unwrap_or_default());
        PANIC.with(|last| *last.borrow_mut() = Some(text));
    }));
}

/// Runs a seed.
pub fn run(seed: u64, mutation: Option<Mutation>, keep_trace: bool) -> Report {
    let mut world = World::new(seed, mutation, keep_trace);
    let result = panic::catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = match result {
        Ok(result) => result.err(),
        Err(_) => Some(
            PANIC.with(|last| last.borrow_mut().take()).unwrap_or_else(|| "assertion".to_owned()),
        ),
    };
    let accepted = &world.ledger.accepted;
    let reached = Reached {
        counted: accepted.counted,
        counted_by_shards: accepted.counted_by_shards,
        taken_over: accepted.taken_over.len() as u64,
        given_up: accepted.given_up,
        by_votes: world.ledger.by_votes,
        set_aside: world.ledger.set_aside,
        ..world.reached
    };
    Report {
        seed,
        events: world.events,
        txns: world.history.txns.len() as u64,
        committed: world.ledger.committed.len() as u64,
        snapshots: world.history.snapshots.len() as u64,
        crashes: world.crashes,
        reached,
        hash: world.trace.hash(),
        violation,
        lines: world.trace.take_lines(),
    }
}
