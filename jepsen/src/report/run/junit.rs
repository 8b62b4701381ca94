//! Runs as JUnit's XML, which CI systems show: each is a test case. It fails if its history is
//! invalid or anything else went wrong. What could not be judged is an error, so that it is
//! never taken for passed.

use std::fmt::Write as _;

use super::Run;
use crate::checker::{Finding, Verdict};
use crate::markup::escaped;

/// What of a run stands there.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Which workload, with which faults and which seed.
    pub name: String,
    /// How it was judged; invalid also where anything went wrong beside the history.
    pub verdict: Verdict,
    /// Why it has not passed, in a line; empty if it has.
    pub why: String,
    /// And in full.
    pub words: String,
    /// What repeats it.
    pub command: String,
    /// How long it took.
    pub seconds: f64,
}

impl Case {
    /// That of a run.
    pub fn of(run: &Run) -> Case {
        let Run { workload, nemeses, seed, finding, troubles, .. } = run;
        let faults = match nemeses.is_empty() {
            true => String::new(),
            false => format!(" with {}", nemeses.join(", ")),
        };
        let verdict = if troubles.is_empty() { finding.verdict } else { Verdict::Invalid };
        let why: Vec<String> = why(finding).into_iter().chain(troubles.iter().cloned()).collect();
        let mut words =
            troubles.iter().fold(String::new(), |words, trouble| words + trouble + "\n");
        words.push_str(&crate::report::text(finding, &run.model));
        Case {
            name: format!("{workload}{faults}, seed {seed}"),
            verdict,
            why: why.join("; "),
            words,
            command: run.command.clone(),
            seconds: run.length.as_secs_f64(),
        }
    }
}

fn why(finding: &Finding) -> Option<String> {
    match finding.verdict {
        Verdict::Valid => None,
        Verdict::Invalid => Some(format!("{}: {}", finding.level, finding.names().join(", "))),
        Verdict::Unknown => finding.reason.clone(),
    }
}

/// One suite of these cases.
pub fn junit(cases: &[Case]) -> String {
    let count = |verdict| cases.iter().filter(|case| case.verdict == verdict).count();
    let seconds: f64 = cases.iter().map(|case| case.seconds).sum();
    let totals = format!(
        "name=\"synod-jepsen\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\" \
         time=\"{seconds:.3}\"",
        cases.len(),
        count(Verdict::Invalid),
        count(Verdict::Unknown),
    );
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {totals}>\n<testsuite {totals}>\n"
    );
    for case in cases {
        let _ = writeln!(
            xml,
            "<testcase classname=\"synod-jepsen\" name=\"{}\" time=\"{:.3}\">",
            escaped(&case.name),
            case.seconds
        );
        let bad = match case.verdict {
            Verdict::Valid => None,
            Verdict::Invalid => Some("failure"),
            Verdict::Unknown => Some("error"),
        };
        if let Some(bad) = bad {
            let (why, words) = (escaped(&case.why), escaped(&case.words));
            let verdict = case.verdict.name();
            let _ = writeln!(xml, "<{bad} type=\"{verdict}\" message=\"{why}\">{words}</{bad}>");
        }
        let _ = writeln!(xml, "<system-out>{}</system-out>\n</testcase>", escaped(&case.command));
    }
    xml.push_str("</testsuite>\n</testsuites>\n");
    xml
}
