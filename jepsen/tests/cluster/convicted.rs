//! Clusters with a deliberate bug are found out, by what their clients saw.

use std::time::Duration;

use synod_jepsen::Verdict;
use synod_jepsen::nemesis::Nemesis;

use crate::{run, settings};

/// A rule that all shards leave out, and under what that shows.
struct Bug {
    name: &'static str,
    workload: &'static str,
    isolation: &'static str,
    nemeses: &'static [Nemesis],
    /// What is found, among others, one of these.
    anomalies: &'static [&'static str],
}

/// A run that shows nothing may be one in which the bug had no occasion.
const TRIES: u64 = 6;

fn is_convicted(bug: &Bug) {
    for seed in 1..=TRIES {
        let out = tempfile::tempdir().unwrap();
        let mut settings = settings(bug.workload, bug.nemeses, &out);
        settings.isolation = bug.isolation.parse().unwrap();
        settings.bugs = [None, Some(bug.name.to_owned())];
        settings.length = Duration::from_secs(4 * seed);
        settings.rate = None;
        settings.shards = 3;
        settings.clients = 10;
        settings.seed = seed;
        let Some(run) = run(&settings) else { return };
        if run.finding.verdict != Verdict::Invalid {
            continue;
        }
        let found = run.finding.names();
        let is_expected = |found: &&str| bug.anomalies.iter().any(|name| found.starts_with(name));
        assert!(found.iter().any(is_expected), "{}: {found:?}", bug.name);
        eprintln!("{}: run {seed}, {found:?}", bug.name);
        return;
    }
    panic!("{} was not noticed in {TRIES} runs", bug.name);
}

macro_rules! bugs {
    ($($test:ident: $name:literal, $workload:literal, $isolation:literal, $nemeses:expr,
        $anomalies:expr;)*) => {
        $(
            #[test]
            fn $test() {
                is_convicted(&Bug {
                    name: $name,
                    workload: $workload,
                    isolation: $isolation,
                    nemeses: $nemeses,
                    anomalies: $anomalies,
                });
            }
        )*
    };
}

bugs! {
    locks_that_are_given_back_between_accounts:
        "EarlyRelease", "bank", "serializable", &[], &["wrong-total", "negative-value"];
    reads_that_are_not_validated:
        "SkipValidation", "list-append", "optimistic", &[], &["G", "incompatible", "lost-update"];
    validation_without_locks:
        "OptimisticWithoutLocks", "write-skew", "optimistic", &[], &["G"];
    snapshots_that_leave_no_floor:
        "SnapshotLeavesFloor", "list-append", "serializable", &[], &["G", "incompatible"];
    snapshots_of_accounts_that_leave_no_floor:
        "SnapshotLeavesFloor", "bank", "serializable", &[], &["wrong-total"];
    votes_below_the_floor_on_one_key:
        "VoteIgnoresFloor", "cas-register", "serializable", &[], &["not-linearizable"];
    votes_below_the_floor:
        "VoteIgnoresFloor", "list-append", "serializable", &[], &["G", "incompatible"];
    absence_that_is_not_locked:
        "GapsUnlocked", "write-skew", "serializable", &[], &["G"];
}
