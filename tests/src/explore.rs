//! The explorers' engine: many schedules of something small, on all processors.
//!
//! ```text
//!   seeds 0..N ──▶ in chunks, to threads ──▶ S::renew(seed, bug), run() ──▶ Explored
//!                                             │ Ok            │ Err, or a panic
//!                                             ▼               ▼
//!                                  what it has reached    a violation, with its seed
//! ```
//!
//! What is wrong in the rules of an election shows once in a million schedules. So the
//! machine that has these rules runs alone, without servers, in a [`Schedule`]: a few
//! sites, a bag of messages, disks that lose what was not flushed, and a judge who sees
//! everything. There is one for each machine: [`core`](crate::core) for three-phase
//! commit, [`paxos`](crate::paxos) for Paxos Commit, [`group`](crate::group) for a group of
//! coordinators. Two-phase commit has no machine of its own: there whole cores run
//! ([`two_phase`](crate::two_phase)).
//!
//! * A schedule is its seed: the same number, the same events. So [`trace`] shows what
//!   [`explore`] has found.
//! * On each thread a schedule takes the place, and the memory, of the one before: to build
//!   and to drop a world took as long as a fifth of its events.
//! * What a schedule reaches is counted. Many that never reached something say nothing
//!   about it.
//! * A machine with a deliberate [`Bug`] must be caught within so many schedules, or the
//!   explorer is blind.
//!
//! *Worked example.* `explore::<core::World>(0..20_000, None, 2)` runs 20,000 schedules on
//! two threads; [`Explored::violations`] is empty, or each comes with the seed that
//! repeats it.
//!
//! *Deliberately absent*: schedules that learn from others, and smaller ones made of those
//! that fail. A second seed is cheaper.

pub mod chances;
pub mod net;

use std::fmt::Debug;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// Schedules that one thread takes at a time.
const CHUNK: u64 = 1_000;

/// Violations that are kept by each thread.
const FEW: usize = 10;

/// A deliberate bug.
pub trait Bug: Copy + Debug + Send + Sync + 'static {
    /// All of them, each with the number of schedules within which it must be caught.
    fn all() -> Vec<(Self, u64)>;

    /// Whether a search through all small schedules must find it, too.
    fn is_small(self) -> bool {
        false
    }
}

/// How often what was reached, each with its name.
pub type Reached = Vec<(&'static str, u64)>;

/// One order of events, from the first to the last.
pub trait Schedule: Sized {
    /// What may be wrong in it on purpose.
    type Bug: Bug;

    /// The schedule of a seed, before its first event.
    fn new(seed: u64, bug: Option<Self::Bug>, traced: bool) -> Self;

    /// The same, not traced, in place of one that is over; it may use the memory of that.
    fn renew(&mut self, seed: u64, bug: Option<Self::Bug>) {
        *self = Self::new(seed, bug, false);
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// What is violated.
    fn run(&mut self) -> Result<(), String>;

    /// How many events there were.
    fn events(&self) -> u64;

    /// How often this schedule has reached what, always in the same order.
    fn reached(&self) -> Reached;

    /// What happened, in words; nothing if it is not traced.
    fn lines(self) -> Vec<String>;
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
    pub reached: Reached,
}

impl Explored {
    /// Adds what other schedules have come to.
    fn add(&mut self, other: Explored) {
        self.schedules += other.schedules;
        self.events += other.events;
        self.violations.extend(other.violations);
        self.reach(other.reached);
    }

    fn reach(&mut self, other: Reached) {
        if self.reached.is_empty() {
            self.reached = other;
            return;
        }
        for (sum, (_, count)) in self.reached.iter_mut().zip(other) {
            sum.1 += count;
        }
    }
}

/// Runs the schedules of these seeds, on so many threads. With a bug it stops at the first
/// that is caught: `schedules` is then how many it took.
pub fn explore<S: Schedule>(seeds: Range<u64>, bug: Option<S::Bug>, threads: usize) -> Explored {
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicU64::new(seeds.end);
    let work = || {
        let (mut explored, mut place) = (Explored::default(), None);
        loop {
            let from = next.fetch_add(CHUNK, Ordering::Relaxed);
            if from >= stop.load(Ordering::Relaxed) {
                return explored;
            }
            for seed in from..(from + CHUNK).min(seeds.end) {
                let caught = explore_one::<S>(seed, bug, &mut place, &mut explored);
                if caught && bug.is_some() {
                    stop.fetch_min(seed, Ordering::Relaxed);
                    return explored;
                }
            }
        }
    };
    let mut sum = Explored::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join()).for_each(|one| sum.add(one));
    });
    sum.violations.sort_unstable();
    sum
}

/// Whether it violates something. It takes the place of the one before.
fn explore_one<S: Schedule>(
    seed: u64,
    bug: Option<S::Bug>,
    place: &mut Option<S>,
    explored: &mut Explored,
) -> bool {
    explored.schedules += 1;
    let result = begin(seed, bug, place).and_then(|schedule| {
        let result = run(schedule);
        explored.events += schedule.events();
        explored.reach(schedule.reached());
        result
    });
    let Err(violation) = result else { return false };
    // Who has panicked may be anything now.
    *place = None;
    if explored.violations.len() < FEW {
        explored.violations.push((seed, violation));
    }
    true
}

/// The schedule of a seed, unless its machines do not even start.
fn begin<S: Schedule>(
    seed: u64,
    bug: Option<S::Bug>,
    place: &mut Option<S>,
) -> Result<&mut S, String> {
    quietly(move || match place {
        Some(schedule) => {
            schedule.renew(seed, bug);
            Ok(schedule)
        }
        None => Ok(place.insert(S::new(seed, bug, false))),
    })
}

/// Runs one to its end.
fn run(schedule: &mut impl Schedule) -> Result<(), String> {
    quietly(|| schedule.run())
}

/// What a machine itself refuses is a violation, too.
fn quietly<T>(act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// What happens in one schedule, line by line, and what it violates.
pub fn trace<S: Schedule>(seed: u64, bug: Option<S::Bug>) -> (Vec<String>, Result<(), String>) {
    match quietly(|| Ok(S::new(seed, bug, true))) {
        Ok(mut schedule) => {
            let result = run(&mut schedule);
            (schedule.lines(), result)
        }
        Err(violation) => (Vec::new(), Err(violation)),
    }
}
