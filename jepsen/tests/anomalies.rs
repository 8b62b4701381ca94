//! Small histories by name: one or more for each anomaly, and beside them some that are
//! almost the same and valid. Of each it is said which anomalies are found, all of them,
//! and which levels are broken, without those that contain them.
//!
//! A line is a transaction: its process, and what it did. `fail` and `info` say how it
//! ended, `+` that it was also invoked, when the one before it was done.

use synod_jepsen::checker::Assume;
use synod_jepsen::{Budget, Finding, Level, Options, Verdict, check_text};

fn edn(history: &str) -> String {
    let mut text = String::new();
    for line in history.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (kind, line) = match line.split_once(' ') {
            Some((kind @ ("fail" | "info"), line)) => (kind, line),
            _ => ("ok", line),
        };
        let (process, mops) = line.split_once(' ').expect("a process, and what it did");
        let mut event = |kind: &str, process: &str| {
            text += &format!("{{:type :{kind} :process {process} :f :txn :value [{mops}]}}\n");
        };
        match process.strip_prefix('+') {
            Some(process) => {
                event("invoke", process);
                event(kind, process);
            }
            None => event(kind, process),
        }
    }
    text
}

/// The weakest of the levels that are broken.
fn weakest(finding: &Finding) -> String {
    let violated = &finding.violated;
    let weakest = violated
        .iter()
        .filter(|level| !violated.iter().any(|weaker| weaker != *level && level.contains(*weaker)));
    weakest.map(|level| level.name()).collect::<Vec<_>>().join(" ")
}

fn judge(options: &Options, history: &str) -> Finding {
    check_text(&edn(history), options, &mut Budget::unlimited()).expect(history)
}

/// What the table says, and what was found.
fn differences(options: &Options, cases: &[[&str; 4]]) -> String {
    let mut differences = String::new();
    for [what, history, names, levels] in cases {
        let finding = judge(options, history);
        let (found, broken) = (finding.names().join(" "), weakest(&finding));
        if (found.as_str(), broken.as_str()) != (*names, *levels) {
            differences += &format!(
                "{what}\n  found {found:?}, not {names:?}\n  broken {broken:?}, not {levels:?}\n"
            );
        }
    }
    differences
}

fn agree(options: &Options, cases: &[[&str; 4]]) {
    let differences = differences(options, cases);
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn lists() {
    let options = Options::new("list-append").unwrap();
    agree(
        &options,
        &[
            [
                "one after the other",
                "0 [:append x 1]\n1 [:r x [1]] [:append x 2]\n2 [:r x [1 2]]",
                "",
                "",
            ],
            ["nil and [] are the same", "0 [:r x nil] [:r x []]\n1 [:append x 1]", "", ""],
            [
                "G0: x says one before two, y two before one",
                "0 [:append x 1] [:append y 1]\n1 [:append x 2] [:append y 2]\n2 [:r x [1 2]] [:r y [2 1]]",
                "G0",
                "read-uncommitted",
            ],
            [
                "G0 with what nobody has read: that comes behind",
                "0 [:append x 1] [:append y 1]\n1 [:append x 2] [:append y 2]\n2 [:r x [1 2]]\n3 [:r y [2]]",
                "G-single-item G0",
                "read-uncommitted",
            ],
            [
                "G1a",
                "fail 0 [:append x 1]\n1 [:r x [1]]",
                "G1a empty-transaction-graph",
                "read-committed",
            ],
            [
                "G1a behind what nobody wrote",
                "fail 0 [:append x 1]\n1 [:r x [7 1]]",
                "G1a empty-transaction-graph garbage-read",
                "read-committed",
            ],
            ["no G1a: it may have happened", "info 0 [:append x 1]\n1 [:r x [1]]", "", ""],
            [
                "G1b",
                "0 [:append x 1] [:append x 2]\n1 [:r x [1]]",
                "G-single-item G1b",
                "read-committed",
            ],
            [
                "G1b in a second read",
                "0 [:append x 1] [:append x 2]\n1 [:r x [1 2]] [:r x [1]]",
                "G-single-item G1b internal",
                "read-committed",
            ],
            [
                "G1b in a list that contradicts another",
                "0 [:append x 1] [:append x 2]\n1 [:append x 3]\n2 [:r x [3 1]]\n3 [:r x [1 2 3]]",
                "G-nonadjacent-item G-single-item G0 G1b incompatible-order",
                "read-uncommitted",
            ],
            ["no G1b: its own", "0 [:append x 1] [:r x [1]] [:append x 2]\n1 [:r x [1 2]]", "", ""],
            [
                "G1c",
                "0 [:append x 1] [:r y [1]]\n1 [:append y 1] [:r x [1]]",
                "G1c",
                "read-committed",
            ],
            [
                "G-single",
                "0 [:append x 1] [:append y 1]\n1 [:r x [1]] [:r y nil]",
                "G-single-item fractured-read",
                "read-atomic consistent-view repeatable-read",
            ],
            [
                "G-nonadjacent: two writes seen by two, each in another order",
                "0 [:append x 1]\n1 [:append y 1]\n2 [:r x [1]] [:r y nil]\n3 [:r x nil] [:r y [1]]",
                "G-nonadjacent-item",
                "repeatable-read snapshot-isolation prefix",
            ],
            [
                "G2: two that miss each other's write",
                "0 [:r x nil] [:append y 1]\n1 [:r y nil] [:append x 1]",
                "G2-item",
                "repeatable-read",
            ],
            [
                "no G2: one of them does not",
                "0 [:r x nil] [:append y 1]\n1 [:r y [1]] [:append x 1]",
                "",
                "",
            ],
            [
                "G1c-process: it reads what its session appends later",
                "0 [:r x [1]]\n0 [:append x 1]",
                "G1c-process",
                "strong-session-read-committed",
            ],
            [
                "G-single-process: its session's write is not there",
                "0 [:append x 1]\n0 [:r x nil]",
                "G-single-item-process",
                "causal",
            ],
            [
                "G-single-process: reads go back",
                "0 [:append x 1]\n1 [:append x 2]\n2 [:r x [1 2]]\n2 [:r x [1]]",
                "G-single-item-process",
                "causal",
            ],
            [
                "G-single-process: lists of one element each, the second one older",
                "0 [:append x 1]\n0 [:append x 2]\n1 [:r x [2]]\n1 [:r x [1]]",
                "G-single-item-process incompatible-order",
                "read-committed",
            ],
            [
                "process, behind what may or may not have happened",
                "0 [:append x 1]\ninfo 0 [:append y 1]\n0 [:r x nil]",
                "G-single-item-process",
                "causal",
            ],
            [
                "process: what may have happened is behind the session",
                "0 [:append x 1]\ninfo 0 [:append y 1]\n1 [:r y [1]] [:r x nil]",
                "G-single-item-process",
                "causal",
            ],
            [
                "no process edge out of what may happen at any time",
                "info 0 [:append x 1]\n0 [:r x nil]\n1 [:r x [1]]",
                "",
                "",
            ],
            [
                "G-single-realtime",
                "+0 [:append x 1]\n+1 [:r x nil]\n+2 [:r x [1]]",
                "G-single-item-realtime",
                "strong-snapshot-isolation",
            ],
            [
                "G1c-realtime",
                "+0 [:r x [1]]\n+1 [:append x 1]",
                "G1c-realtime",
                "strong-snapshot-isolation",
            ],
            [
                "no realtime edge out of what may happen at any time",
                "info +0 [:append x 1]\n+1 [:r x nil]\n+2 [:r x [1]]",
                "",
                "",
            ],
            [
                "a realtime edge into it",
                "+0 [:r x [1]]\ninfo +1 [:append x 1]",
                "G1c-realtime",
                "strong-snapshot-isolation",
            ],
            [
                "internal: not what it read",
                "0 [:append x 1]\n1 [:r x nil] [:r x [1]]",
                "G-single-item internal",
                "read-atomic consistent-view repeatable-read",
            ],
            [
                "internal: not what it appended",
                "0 [:append x 1] [:r x nil]",
                "empty-transaction-graph internal",
                "read-atomic",
            ],
            [
                "internal: what it appended is not the last",
                "0 [:append x 1]\n1 [:append x 2] [:r x [2 1]]",
                "G1c internal",
                "read-committed",
            ],
            [
                "future-read",
                "0 [:r x [1]] [:append x 1]",
                "empty-transaction-graph future-read",
                "read-committed",
            ],
            [
                "future-read behind its own",
                "0 [:append x 2] [:r x [1 2]] [:append x 1]",
                "empty-transaction-graph future-read incompatible-order",
                "read-committed",
            ],
            [
                "dirty-update",
                "fail 0 [:append x 1]\n1 [:append x 2]\n2 [:r x [1 2]]",
                "G1a dirty-update",
                "read-committed",
            ],
            [
                "dirty-update by way of what may have happened",
                "fail 0 [:append x 1]\ninfo 1 [:append x 2]\n2 [:append x 3]\n3 [:r x [1 2 3]]",
                "G1a dirty-update",
                "read-committed",
            ],
            [
                "dirty-update in a list that contradicts another",
                "fail 0 [:append x 1]\n1 [:append x 2]\n2 [:r x [2]]\n3 [:r x [1 2]]",
                "G1a dirty-update incompatible-order",
                "read-committed",
            ],
            [
                "no dirty-update: it failed last",
                "0 [:append x 1]\nfail 1 [:append x 2]\n2 [:r x [1]]",
                "",
                "",
            ],
            [
                "lost-update",
                "0 [:append x 1]\n1 [:r x [1]] [:append x 2]\n2 [:r x [1]] [:append x 3]",
                "G2-item lost-update",
                "cursor-stability update-atomic",
            ],
            [
                "lost-update of nothing yet",
                "0 [:r x nil] [:append x 2]\n1 [:r x []] [:append x 3]",
                "G2-item lost-update",
                "cursor-stability update-atomic",
            ],
            [
                "lost-update of a list that contradicts another",
                "0 [:append x 1]\n1 [:append x 2]\n2 [:r x [1 2]]\n3 [:r x [2]] [:append x 3]\n4 [:r x [2]] [:append x 4]",
                "G2-item incompatible-order lost-update",
                "read-committed",
            ],
            [
                "no lost-update: one alone, twice",
                "0 [:r x nil] [:append x 1] [:append x 2]\n1 [:r x [1 2]]",
                "",
                "",
            ],
            [
                "duplicate-elements",
                "0 [:append x 1]\n1 [:r x [1 1]]",
                "duplicate-elements",
                "read-uncommitted",
            ],
            [
                "incompatible-order, and nothing else",
                "0 [:append x 1]\n1 [:append x 2]\n2 [:r x [1]]\n3 [:r x [2]]",
                "incompatible-order",
                "read-committed",
            ],
            ["garbage-read", "0 [:append x 1]\n1 [:r x [7]]", "garbage-read", "read-committed"],
            ["nothing to tell: it failed", "fail 0 [:append x 1]", "empty-transaction-graph", ""],
        ],
    );
}

#[test]
fn registers() {
    let options = Options::new("rw-register").unwrap();
    agree(
        &options,
        &[
            ["one after the other", "0 [:w x 1]\n1 [:r x 1] [:w x 2]\n2 [:r x 2]", "", ""],
            ["G1a", "0 [:r x 1]\nfail 1 [:w x 1]", "G1a empty-transaction-graph", "read-committed"],
            [
                "G1a and G1b",
                "fail 0 [:w x 1] [:w x 2]\n1 [:r x 1]",
                "G1a G1b empty-transaction-graph",
                "read-committed",
            ],
            ["no G1a: it may have happened", "info 0 [:w x 1]\n1 [:r x 1]", "", ""],
            [
                "G1b",
                "0 [:w x 1] [:w x 2]\n1 [:r x 1]",
                "G-single-item G1b empty-transaction-graph",
                "read-committed",
            ],
            ["no G1b: it read the last one", "0 [:w x 1] [:w x 2]\n1 [:r x 2]", "", ""],
            ["G1c", "0 [:w x 1] [:r y 1]\n1 [:w y 1] [:r x 1]", "G1c", "read-committed"],
            [
                "G-single: nothing yet, and what came with it",
                "0 [:r x nil] [:r y 1]\n1 [:w y 1] [:w x 2]",
                "G-single-item no-version-order",
                "read-atomic consistent-view repeatable-read",
            ],
            [
                "G2: two that miss each other's write",
                "0 [:r x nil] [:w y 1]\n1 [:r y nil] [:w x 1]",
                "G2-item",
                "repeatable-read",
            ],
            [
                "internal: reads do not repeat",
                "0 [:w x 1]\n1 [:w x 2]\n2 [:r x 1] [:r x 2]",
                "internal no-version-order",
                "read-atomic repeatable-read",
            ],
            [
                "internal: not what it wrote",
                "0 [:w x 1] [:r x nil]",
                "empty-transaction-graph internal no-version-order",
                "read-atomic repeatable-read",
            ],
            [
                "future-read",
                "0 [:r x 1] [:w x 1]",
                "empty-transaction-graph future-read",
                "read-committed",
            ],
            [
                "lost-update",
                "0 [:w x 1]\n1 [:r x 1] [:w x 2]\n2 [:r x 1] [:w x 3]",
                "lost-update",
                "cursor-stability update-atomic",
            ],
            [
                "lost-update of nothing yet",
                "0 [:r x nil] [:w x 2]\n1 [:r x nil] [:w x 3]",
                "G2-item lost-update",
                "cursor-stability update-atomic",
            ],
            [
                "garbage-read",
                "0 [:w x 1]\n1 [:r x 7]",
                "empty-transaction-graph garbage-read",
                "read-committed",
            ],
            ["blind writes", "0 [:w x 1]\n1 [:w y 1]", "empty-transaction-graph", ""],
            ["nothing yet, twice", "0 [:r x nil]\n1 [:r y nil]", "empty-transaction-graph", ""],
            [
                "process, behind what may or may not have happened",
                "0 [:w x 1]\ninfo 0 [:w y 1]\n0 [:r x nil]",
                "G-single-item-process",
                "causal",
            ],
            [
                "causal: who may have written at any time is not seen by his session",
                "0 [:w x 1]\ninfo 1 [:w x 2]\n1 [:r x 1]\n2 [:r x 2]",
                "",
                "",
            ],
        ],
    );
}

/// What is assumed of versions is all that tells.
#[test]
fn registers_with_assumptions() {
    let mut options = Options::new("rw-register").unwrap();
    options.allow_unwritten = true;
    options.assume = Assume { wfr_keys: true, ..Assume::default() };
    agree(
        &options,
        &[
            [
                "wfr: it missed what was written over it",
                "0 [:r y 1] [:w x 1] [:w y 2]\n1 [:r x 1] [:r y 1]",
                "G-single-item",
                "consistent-view repeatable-read causal",
            ],
            [
                "wfr: in a circle",
                "0 [:r x 1] [:w x 2]\n1 [:r x 2] [:w x 1]",
                "G1c cyclic-versions",
                "read-uncommitted",
            ],
        ],
    );
    options.assume = Assume { sequential_keys: true, ..Assume::default() };
    agree(
        &options,
        &[
            [
                "sequential: G0",
                "0 [:w x 1] [:w y 2]\n1 [:w x 2] [:w y 1]\n0 [:r x 2]\n1 [:r y 2]",
                "G0",
                "read-uncommitted",
            ],
            [
                "sequential: there and back",
                "0 [:w x 1]\n0 [:w x 2]\n0 [:r x 1]",
                "cyclic-versions",
                "read-uncommitted",
            ],
        ],
    );
    options.assume = Assume { linearizable_keys: true, ..Assume::default() };
    agree(
        &options,
        &[
            [
                "linearizable: there and back",
                "+0 [:w x 1]\n+1 [:r x 2]\n+2 [:r x 1]",
                "cyclic-versions",
                "read-uncommitted",
            ],
            [
                "linearizable: nothing yet again",
                "+0 [:r x 1]\n+1 [:r x nil]",
                "cyclic-versions empty-transaction-graph",
                "read-uncommitted",
            ],
            [
                "linearizable: one after the other",
                "+0 [:w x 1]\n+1 [:r x 1]\n+2 [:w x 2]\n+0 [:r x 2]",
                "",
                "",
            ],
        ],
    );
}

/// Levels of which no anomaly tells, and the verdicts on them.
#[test]
fn levels() {
    let mut zero = Options::new("rw-register").unwrap();
    zero.initial = Some("0".to_owned());
    let sessions = Options { sessions: true, ..zero.clone() };
    let lists = Options::new("list-append").unwrap();
    let registers = Options::new("rw-register").unwrap();
    let (skew, fork) = (
        "0 [:r x nil] [:append y 1]\n1 [:r y nil] [:append x 1]",
        "0 [:append x 1]\n1 [:append y 1]\n2 [:r x [1]] [:r y nil]\n3 [:r x nil] [:r y [1]]",
    );
    let fuzzy = "0 [:w x 1]\n1 [:w x 2]\n2 [:r x 1] [:r x 2]";
    let fractured = "0 [:w x 1] [:w y 1]\n1 [:r y 1] [:w x 2] [:w z 1]\n2 [:r x 1] [:r z 1]";
    let (stale, own) = ("0 [:w x 1] [:w x 2] [:r x 1]", "0 [:w x 1] [:w x 2] [:r x 2] [:r x 2]");
    // It has seen what another one appended to x, before its own, and of y not what that had.
    let before_own = "0 [:append y 1]\n1 [:r y [1]] [:append x 1]\n\
                      2 [:append x 2] [:r x [1 2]] [:r y nil]";
    // It has seen its own write, and then no longer.
    let lost = "0 [:w x 1]\n1 [:w x 2] [:r x 2] [:r x 1]";
    for (options, history, level, verdict) in [
        (&lists, skew, Level::SnapshotIsolation, Verdict::Valid),
        (&lists, skew, Level::RepeatableRead, Verdict::Invalid),
        (&lists, fork, Level::Causal, Verdict::Valid),
        (&lists, fork, Level::RepeatableRead, Verdict::Invalid),
        (&lists, before_own, Level::Causal, Verdict::Invalid),
        (&lists, "fail 0 [:append x 1]", Level::Serializable, Verdict::Unknown),
        (&lists, "0 [:append x 1]", Level::Serializable, Verdict::Valid),
        (&registers, "info 0 [:w x 1]\ninfo 1 [:w x 2]", Level::Serializable, Verdict::Unknown),
        (&registers, "0 [:w x 1]\n1 [:w x 2]", Level::Serializable, Verdict::Valid),
        (&zero, "0 [:r x 0]\n1 [:r y 0]", Level::Serializable, Verdict::Valid),
        (&zero, fuzzy, Level::ReadCommitted, Verdict::Valid),
        (&zero, fuzzy, Level::RepeatableRead, Verdict::Invalid),
        (&zero, fractured, Level::RepeatableRead, Verdict::Valid),
        (&zero, fractured, Level::ReadAtomic, Verdict::Invalid),
        (&registers, stale, Level::ReadCommitted, Verdict::Valid),
        (&sessions, stale, Level::ReadCommitted, Verdict::Invalid),
        (&sessions, own, Level::ReadCommitted, Verdict::Valid),
        (&sessions, lost, Level::ReadCommitted, Verdict::Invalid),
        (&sessions, fuzzy, Level::ReadCommitted, Verdict::Valid),
    ] {
        let options = Options { level: Some(level), ..options.clone() };
        let finding = judge(&options, history);
        assert_eq!(finding.verdict, verdict, "{level}: {:?}\n{history}", finding.reason);
    }
}

/// Many of one kind do not hide that there is another.
#[test]
fn all_kinds_are_reported() {
    let options = Options::new("list-append").unwrap();
    let mut history: String = (0..100).map(|key| format!("0 [:r k{key} [7]]\n")).collect();
    history += "0 [:append x 1]\n1 [:r x [1]] [:append x 2]\n2 [:r x [1]] [:append x 3]";
    let finding = judge(&options, &history);
    assert!(finding.names().contains(&"lost-update"), "{:?}", finding.names());
}

/// Who injects faults may call them what he likes.
#[test]
fn faults_are_skipped() {
    let options = Options::new("list-append").unwrap();
    let history = "{:type :info :process :nemesis :f [:stop 3] :value {:n1 :ok}}
                   {:type :ok :process 0 :value [[:append x 1]]}";
    let finding = check_text(history, &options, &mut Budget::unlimited()).unwrap();
    assert_eq!((finding.verdict, finding.ops), (Verdict::Valid, 1));
}

/// A read that is asked for need not say that it knows nothing yet.
#[test]
fn an_invocation_may_lack_what_is_read() {
    for (model, completion) in [("list-append", "[:r x [1]]"), ("rw-register", "[:r x 1]")] {
        let options = Options::new(model).unwrap();
        let f = if model == "list-append" { "append" } else { "w" };
        let history = format!(
            "{{:type :invoke :process 0 :value [[:{f} x 1]]}} {{:type :ok :process 0 :value [[:{f} x 1]]}}
             {{:type :invoke :process 1 :value [[:r x]]}} {{:type :ok :process 1 :value [{completion}]}}"
        );
        let finding = check_text(&history, &options, &mut Budget::unlimited()).unwrap();
        assert_eq!(finding.verdict, Verdict::Valid);
        let history = "{:type :ok :process 1 :value [[:r x]]}";
        assert!(check_text(history, &options, &mut Budget::unlimited()).is_err());
    }
}
