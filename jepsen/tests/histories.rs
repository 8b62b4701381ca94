//! Histories that others made, with the verdicts of those who made them.
//!
//! `SYNOD_HISTORIES` is the folder with `MANIFEST.tsv`; without it they are looked for
//! beside the workspace, and skipped where there are none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use synod_jepsen::checker::Assume;
use synod_jepsen::{Budget, Finding, Format, Level, Options, Verdict, check};

/// The models whose cases are judged here.
const MODELS: &[&str] = &[
    "bank",
    "cas-register",
    "causal-reverse",
    "counter",
    "kv",
    "list-append",
    "long-fork",
    "multi-register",
    "mutex",
    "queue",
    "register",
    "rw-register",
    "set",
    "set-full",
    "total-queue",
    "unique-ids",
];

/// Sources whose own checker gave up: any verdict agrees.
const UNDECIDED: &[&str] = &["no-verdict"];

/// Sources that state levels only: the anomalies in the manifest are guesses by their names.
const LEVELS_ONLY: &[&str] = &["polysi-tests", "polysi", "isovista", "dbcop-tests", "awdit"];

struct Case {
    path: String,
    format: Format,
    model: String,
    initial: String,
    verdict: String,
    level: String,
    anomalies: Vec<String>,
    detail: String,
}

fn folder() -> PathBuf {
    match std::env::var_os("SYNOD_HISTORIES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/histories"),
    }
}

fn cases(manifest: &str) -> Vec<Case> {
    let mut lines = manifest.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let names = lines.next().expect("a header");
    let cases = lines.map(|line| {
        let column = |name: &str| {
            let place = names.iter().position(|known| *known == name).expect(name);
            line[place].to_owned()
        };
        let anomalies = column("anomalies");
        Case {
            path: column("path"),
            format: Format::of_name(&column("format")).expect("a format that is known"),
            model: column("model"),
            initial: column("initial"),
            verdict: column("verdict"),
            level: column("level"),
            anomalies: anomalies
                .split(' ')
                .filter(|name| *name != "-")
                .map(str::to_owned)
                .collect(),
            detail: column("detail"),
        }
    });
    cases.filter(|case| MODELS.contains(&case.model.as_str())).collect()
}

impl Case {
    fn source(&self) -> &str {
        self.path.split('/').next().unwrap_or("")
    }

    fn options(&self) -> Options {
        let mut options = Options::new(&self.model).expect("a model that is known");
        // Others describe the initial state that the model has anyway.
        if matches!(self.model.as_str(), "register" | "cas-register" | "multi-register") {
            let initial = self.initial.split([';', '(']).next().unwrap_or("").trim();
            options.initial = Some(initial.to_owned());
        }
        if self.initial.contains("a read of 0 that nobody wrote") {
            options.initial = Some("0".to_owned());
        }
        options.assume = Assume {
            wfr_keys: self.assumes("wfr-keys"),
            sequential_keys: self.assumes("sequential-keys"),
            linearizable_keys: self.assumes("linearizable-keys"),
        };
        // Of a part of a history it is not an anomaly, unless it is the one that is meant.
        options.allow_unwritten =
            self.detail.contains("fragment") && self.anomalies != ["garbage-read"];
        options.cas_drop = self.format != Format::JepsenLog;
        options
    }

    fn assumes(&self, name: &str) -> bool {
        ["needs", "with"].iter().any(|word| self.detail.contains(&format!("{word} {name}")))
    }

    /// What the source says: of each level, or of the model's own.
    fn expected(&self) -> Vec<(Option<Level>, String)> {
        if self.assumes("wfr-keys") {
            // The levels are told without the assumption, the verdict is with it.
            return vec![(None, self.verdict.clone())];
        }
        let words = self.detail.split([';', ' ', ',']);
        let levels = words.filter_map(|word| {
            let (level, verdict) = word.split_once('=')?;
            Some((Some(Level::of_name(level)?), verdict.trim_end_matches(':').to_owned()))
        });
        let levels: Vec<_> = levels.collect();
        if levels.is_empty() {
            let level = self.level.split(' ').next().and_then(Level::of_name);
            return vec![(level, self.verdict.clone())];
        }
        levels
    }

    /// What is wrong with the verdicts; what could not be decided is said apart.
    fn judge(&self) -> Result<bool, String> {
        let mut decided = true;
        for (level, expected) in self.expected() {
            let mut options = self.options();
            options.level = level;
            let mut budget = Budget::new(Some(Duration::from_secs(60)), Some(4_000));
            let path = folder().join(&self.path);
            let finding = check(&path, self.format, &options, &mut budget)
                .map_err(|refused| format!("{}: {refused}", self.path))?;
            self.compare(&finding, &expected)?;
            decided &= finding.verdict.name() == expected || finding.verdict != Verdict::Unknown;
        }
        Ok(decided)
    }

    fn compare(&self, finding: &Finding, expected: &str) -> Result<(), String> {
        if self.level == "anomaly-only" && expected == "valid" {
            // Only that one anomaly is said not to be there.
            let found = finding.names().into_iter().find(|name| {
                self.detail.contains(&format!("no {name}:"))
                    || self.detail.contains(&format!("no {name};"))
                    || self.detail == format!("no {name}")
            });
            return found.map_or(Ok(()), |name| Err(format!("{}: there is no {name}", self.path)));
        }
        let (got, names) = (finding.verdict, finding.names());
        let agrees = got.name() == expected || got == Verdict::Unknown;
        if !agrees && !UNDECIDED.contains(&self.source()) {
            let (path, level) = (&self.path, finding.level);
            return Err(format!("{path}: {} at {level}, not {expected}", got.name()));
        }
        let missed = |name: &&String| !names.contains(&name.as_str());
        match self.anomalies.iter().find(missed) {
            _ if LEVELS_ONLY.contains(&self.source()) => Ok(()),
            Some(missed) if got != Verdict::Unknown || expected == "unknown" => {
                Err(format!("{}: no {missed} in {names:?}", self.path))
            }
            _ => Ok(()),
        }
    }
}

#[test]
fn verdicts_are_those_of_the_sources() {
    let manifest = folder().join("MANIFEST.tsv");
    let Ok(manifest) = fs::read_to_string(&manifest) else {
        eprintln!("SKIPPED: there is no {}; set SYNOD_HISTORIES", manifest.display());
        return;
    };
    let mut table: BTreeMap<String, [u32; 3]> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases(&manifest) {
        let row = table.entry(case.source().to_owned()).or_default();
        match case.judge() {
            Ok(true) => row[0] += 1,
            Err(reason) => {
                row[1] += 1;
                wrong.push(reason);
            }
            Ok(false) => {
                row[2] += 1;
                println!("unknown: {}", case.path);
            }
        }
    }
    println!("{:20} {:>8} {:>8} {:>8}", "source", "agree", "disagree", "unknown");
    for (source, [agree, disagree, unknown]) in &table {
        println!("{source:20} {agree:8} {disagree:8} {unknown:8}");
    }
    assert!(!table.is_empty(), "the manifest has cases of these models");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
