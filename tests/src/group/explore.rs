//! Many schedules, and what is made of them.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use super::check::Seen;
use super::world::World;

/// Schedules that one thread takes at a time.
const CHUNK: u64 = 1_000;

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The first member loses the last durable entry, too, in a crash. Whoever does not
    /// notice this notices nothing.
    Canary,
    /// What is to leave when it is durable leaves at once.
    Unforced,
    /// One in the machine.
    #[cfg(feature = "mutants")]
    Replica(synod_coordinator::group::Mutant),
}

impl Bug {
    /// All of them, each with the number of schedules within which it must be caught.
    pub fn all() -> Vec<(Bug, u64)> {
        let list = vec![(Bug::Canary, 1_000), (Bug::Unforced, 1_000)];
        #[cfg(feature = "mutants")]
        let list = {
            let mut list = list;
            let mutants = synod_coordinator::group::Mutant::ALL;
            list.extend(mutants.map(|mutant| (Bug::Replica(mutant), 3_000_000)));
            list
        };
        list
    }
}

/// What came of many schedules.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// How many there were.
    pub schedules: u64,
    /// What happened in all of them.
    pub events: u64,
    /// Those that violated something, and what; at most a few.
    pub violations: Vec<(u64, String)>,
    /// What was reached.
    pub seen: Seen,
}

/// Runs the schedules of these seeds, on so many threads. With a bug it stops at the first
/// that is caught.
pub fn explore(seeds: Range<u64>, bug: Option<Bug>, threads: usize) -> Explored {
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicU64::new(seeds.end);
    let work = || {
        let mut explored = Explored::default();
        loop {
            let from = next.fetch_add(CHUNK, Ordering::Relaxed);
            if from >= stop.load(Ordering::Relaxed) {
                return explored;
            }
            for seed in from..(from + CHUNK).min(seeds.end) {
                let mut world = World::new(seed, bug, false);
                let result = run(&mut world);
                explored.schedules += 1;
                explored.events += world.events;
                explored.seen.add(&world.check.seen);
                if let Err(violation) = result {
                    if explored.violations.len() < 10 {
                        explored.violations.push((seed, violation));
                    }
                    if bug.is_some() {
                        stop.fetch_min(seed, Ordering::Relaxed);
                        return explored;
                    }
                }
            }
        }
    };
    let all: Vec<Explored> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join()).collect()
    });
    let mut sum = Explored::default();
    for one in all {
        sum.schedules += one.schedules;
        sum.events += one.events;
        sum.violations.extend(one.violations);
        sum.seen.add(&one.seen);
    }
    sum.violations.sort_unstable();
    sum
}

/// Runs one to its end. What the machine itself refuses is a violation, too.
fn run(world: &mut World) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// What happens in one schedule, line by line, and what it violates.
pub fn trace(seed: u64, bug: Option<Bug>) -> (Vec<String>, Result<(), String>) {
    let mut world = World::new(seed, bug, true);
    let result = run(&mut world);
    (world.lines.unwrap_or_default(), result)
}
