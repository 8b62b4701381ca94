//! What can be counted of a run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Op, Run};
use crate::history::Kind;

/// How many of the longest stretches without a success, and of the slowest operations, are
/// named.
const NAMED: usize = 10;

/// How many operations there were, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub ops: u64,
    /// Those that happened.
    pub ok: u64,
    /// Those that did not.
    pub fail: u64,
    /// Those of which nobody knows.
    pub info: u64,
}

impl Counts {
    pub(super) fn add(&mut self, kind: Kind) {
        self.ops += 1;
        match kind {
            Kind::Ok => self.ok += 1,
            Kind::Fail => self.fail += 1,
            Kind::Info => self.info += 1,
            Kind::Invoke => panic!("an operation of a run has ended"),
        }
    }
}

/// How long those took that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half of them took at most so long.
    pub p50_us: u64,
    /// All but one in twenty.
    pub p95_us: u64,
    /// All but one in a hundred.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Latency {
    /// None if none succeeded.
    fn of(mut latencies_ns: Vec<u64>) -> Option<Latency> {
        latencies_ns.sort_unstable();
        let us = |part| Some(quantile(&latencies_ns, part)?.div_ceil(1_000));
        Some(Latency { p50_us: us(0.5)?, p95_us: us(0.95)?, p99_us: us(0.99)?, max_us: us(1.0)? })
    }
}

/// The smallest of them that at least this part of them do not exceed.
pub(super) fn quantile(sorted: &[u64], part: f64) -> Option<u64> {
    let rank = (part * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

/// What one function, or all of them, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Of {
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
    /// Successes in a second.
    pub ok_per_s: f64,
    /// How long they took.
    pub latency: Option<Latency>,
}

/// A stretch in which nothing succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The last success before it, or the begin of the run.
    pub from_ns: u64,
    /// The first one after it, or the end of the run.
    pub until_ns: u64,
}

impl Gap {
    /// How long it was.
    pub fn length_ns(&self) -> u64 {
        self.until_ns - self.from_ns
    }
}

/// What can be counted of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Everything.
    pub all: Of,
    /// The same by function.
    pub by_f: BTreeMap<&'static str, Of>,
    /// The longest stretches without a success, the longest first; at most ten.
    pub gaps: Vec<Gap>,
    /// What took longest of what succeeded, the slowest first; at most ten.
    pub slowest: Vec<Op>,
}

impl Figures {
    /// Those of a run.
    pub fn of(run: &Run) -> Figures {
        let mut by_f: BTreeMap<&'static str, (Counts, Vec<u64>)> = BTreeMap::new();
        let (mut counts, mut latencies) = (Counts::default(), Vec::new());
        for op in &run.ops {
            let (of_f, latencies_of_f) = by_f.entry(op.f).or_default();
            counts.add(op.kind);
            of_f.add(op.kind);
            if op.kind == Kind::Ok {
                latencies.push(op.latency_ns());
                latencies_of_f.push(op.latency_ns());
            }
        }
        let of = |counts: Counts, latencies| Of {
            counts,
            ok_per_s: rate(counts.ok, run.length.as_secs_f64()),
            latency: Latency::of(latencies),
        };
        Figures {
            all: of(counts, latencies),
            by_f: by_f.into_iter().map(|(f, (counts, ns))| (f, of(counts, ns))).collect(),
            gaps: gaps(run),
            slowest: slowest(run),
        }
    }
}

/// How many in a second; of no time none.
pub(super) fn rate(number: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { number as f64 / seconds } else { 0.0 }
}

fn gaps(run: &Run) -> Vec<Gap> {
    let ended = run.ops.iter().filter(|op| op.kind == Kind::Ok).map(|op| op.until_ns);
    let mut ended: Vec<u64> = ended.collect();
    // What ends after operations are no more begun leaves no gap behind it.
    let length = run.length_ns();
    ended.extend([0, length]);
    ended.sort_unstable();
    let gaps = ended.windows(2).map(|pair| Gap { from_ns: pair[0], until_ns: pair[1] });
    let gaps = gaps.filter(|gap| gap.length_ns() > 0 && gap.from_ns < length);
    largest(gaps.collect(), Gap::length_ns)
}

fn slowest(run: &Run) -> Vec<Op> {
    let succeeded = run.ops.iter().filter(|op| op.kind == Kind::Ok).copied();
    largest(succeeded.collect(), Op::latency_ns)
}

/// The ten largest, the first of those that are as large.
fn largest<T>(mut of: Vec<T>, size: impl Fn(&T) -> u64) -> Vec<T> {
    of.sort_by_key(|item| std::cmp::Reverse(size(item)));
    of.truncate(NAMED);
    of
}
