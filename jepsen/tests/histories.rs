//! Histories that others made, with the verdicts of those who made them.
//!
//! `SYNOD_HISTORIES` is the folder with `MANIFEST.tsv`; without it they are looked for
//! beside the workspace, and skipped where there are none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use synod_jepsen::{Budget, Finding, Format, Level, Options, Verdict, check};

/// The models whose cases are judged here.
const MODELS: &[&str] = &[
    "bank",
    "cas-register",
    "causal-reverse",
    "counter",
    "kv",
    "long-fork",
    "multi-register",
    "mutex",
    "queue",
    "register",
    "set",
    "set-full",
    "total-queue",
    "unique-ids",
];

/// Sources whose own checker gave up: any verdict agrees.
const UNDECIDED: &[&str] = &["no-verdict"];

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
        options.allow_unwritten = self.detail.contains("fragment");
        options.cas_drop = self.format != Format::JepsenLog;
        options
    }

    /// What the source says: of each level, or of the model's own.
    fn expected(&self) -> Vec<(Option<Level>, String)> {
        let words = self.detail.split([';', ' ', ',']);
        let levels = words.filter_map(|word| {
            let (level, verdict) = word.split_once('=')?;
            Some((Some(Level::of_name(level)?), verdict.to_owned()))
        });
        let levels: Vec<_> = levels.collect();
        if levels.is_empty() {
            return vec![(Level::of_name(&self.level), self.verdict.clone())];
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
        let (got, names) = (finding.verdict, finding.names());
        let agrees = got.name() == expected || got == Verdict::Unknown;
        if !agrees && !UNDECIDED.contains(&self.source()) {
            let (path, level) = (&self.path, finding.level);
            return Err(format!("{path}: {} at {level}, not {expected}", got.name()));
        }
        match self.anomalies.iter().find(|name| !names.contains(&name.as_str())) {
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
