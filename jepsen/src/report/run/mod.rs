//! The report of a run: what the harness did, what clients saw, what the faults had to do with
//! it, and how it was judged.
//!
//! ```text
//!   Run ─┬─▶ page       one file of HTML that needs nothing else
//!        ├─▶ json       the same for programs: results.json
//!        └─▶ Case ────▶ junit, of one run or of several
//! ```
//!
//! A page shows three charts above one another on one axis of time: how long operations took,
//! how many ended, and which faults were on. A fault is shaded through all of them, so that
//! the eye finds what it did:
//!
//! ```text
//!   100 ms │   ░kill░   ×        ░░ from the moment it struck until it was healed
//!    10 ms │ . ░ ▲▲ ░ . . .      .  ok    ×  fail    ▲  info
//!     1 ms │..:░    ░.:..:.
//! ```
//!
//! Nothing is left out to be short without being said. What many operations make of a column
//! of pixels is drawn as their range, with half and 99 of 100 of them; those that failed or
//! stayed unknown are all there. Percentiles are exact: operations are sorted, not put into
//! classes. Latencies are those of operations that succeeded, as how long a failure takes is
//! decided by timeouts.
//!
//! Deliberately absent: scripts, and so a page that can be zoomed; who wants to look closer
//! has the history.

mod around;
mod faults;
mod figures;
mod json;
mod junit;
mod latency;
mod page;
mod plot;
mod throughput;
mod units;

use std::time::Duration;

pub use around::{Line, around};
pub use figures::{Counts, Figures, Gap, Latency, Of};
pub use junit::{Case, junit};

use crate::checker::Finding;
use crate::history::Kind;

/// What a run was, and what came of it.
#[derive(Clone, Debug)]
pub struct Run {
    /// What clients did.
    pub workload: String,
    /// As what their history was judged.
    pub model: String,
    /// The command that repeats the run.
    pub command: String,
    /// From which all that is random follows.
    pub seed: u64,
    /// What was tested: its name and version.
    pub system: String,
    /// The kinds of faults that were asked for, also if none of a kind struck.
    pub nemeses: Vec<String>,
    /// What else was set, by name.
    pub settings: Vec<(String, String)>,
    /// When it began: RFC 3339, or what else people read.
    pub began: String,
    /// How long operations were begun.
    pub length: Duration,
    /// What clients did, in any order.
    pub ops: Vec<Op>,
    /// What was done to the system, in any order.
    pub faults: Vec<Fault>,
    /// The verdict.
    pub finding: Finding,
    /// How long after the last fault writes went on everywhere.
    pub recovered_after: Duration,
    /// Outcomes that clients could not learn, and that were asked for once all was healed.
    pub asked_for: usize,
    /// What went wrong beside what the history shows, such as a server that ended by itself.
    pub troubles: Vec<String>,
    /// Lines of the history about what was found; see [`around`].
    pub around: Vec<Line>,
}

/// An operation of a client, as the client saw it: what was asked for only later is `info`, and
/// lasted until the client gave it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// Whose it was.
    pub process: i64,
    /// What was done.
    pub f: &'static str,
    /// When it began, in nanoseconds since the run did.
    pub from_ns: u64,
    /// When it ended, or was given up.
    pub until_ns: u64,
    /// How it ended: `ok`, `fail` or `info`.
    pub kind: Kind,
}

impl Op {
    /// How long it took.
    pub fn latency_ns(&self) -> u64 {
        self.until_ns.saturating_sub(self.from_ns)
    }
}

/// What was done to the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its kind: `kill`, `pause`, `partition`.
    pub name: String,
    /// What it struck.
    pub target: String,
    /// When it struck, in nanoseconds since the run began.
    pub from_ns: u64,
    /// When it was healed; none if it was not.
    pub until_ns: Option<u64>,
    /// What was seen of it: that it did strike. Empty if that was not looked at.
    pub effect: String,
}

impl Fault {
    /// In words.
    fn words(&self) -> String {
        let Fault { name, target, effect, .. } = self;
        let effect = if effect.is_empty() { "not verified" } else { effect };
        // Also where there is no target.
        if effect.starts_with(target.as_str()) {
            return format!("{name}: {effect}");
        }
        format!("{name} {target}: {effect}")
    }
}

impl Run {
    /// The report as one page.
    pub fn page(&self) -> String {
        page::page(self)
    }

    /// The report for programs. It has the fields of a finding ([`super::json()`]), and beside
    /// them `workload`, `seed`, `nemeses`, `system`, `began`, `seconds`, `settings`, `command`,
    /// `recovered_after_s`, `outcomes_asked_for`, `troubles`;
    /// `counts` (`ops`, `ok`, `fail`, `info`), `ok_per_s` and `latency` (`p50_us`, `p95_us`,
    /// `p99_us`, `max_us`; null if nothing succeeded), and the same `by_f`;
    /// `without_success`, the longest stretches (`from_ns`, `until_ns`); and `faults` (`name`,
    /// `target`, `from_ns`, `until_ns`, null if it was not healed, `effect`).
    pub fn json(&self) -> serde_json::Value {
        json::json(self)
    }

    fn length_ns(&self) -> u64 {
        u64::try_from(self.length.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Until when anything happened, in nanoseconds since it began.
    fn until_ns(&self) -> u64 {
        let ops = self.ops.iter().map(|op| op.until_ns);
        let faults = self.faults.iter().map(|fault| fault.until_ns.unwrap_or(fault.from_ns));
        ops.chain(faults).fold(self.length_ns(), u64::max)
    }

    /// The faults as they struck.
    fn faults_in_order(&self) -> Vec<&Fault> {
        let mut faults: Vec<&Fault> = self.faults.iter().collect();
        faults.sort_by_key(|fault| fault.from_ns);
        faults
    }

    /// The kinds of faults that struck, each once.
    fn kinds_of_faults(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = self.faults.iter().map(|fault| fault.name.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The faults that were on at some moment of a span.
    fn faults_during(&self, from_ns: u64, until_ns: u64) -> Vec<&Fault> {
        let mut faults = self.faults_in_order();
        faults.retain(|fault| {
            fault.from_ns <= until_ns && fault.until_ns.is_none_or(|until| until >= from_ns)
        });
        faults
    }
}

#[cfg(test)]
mod tests;
