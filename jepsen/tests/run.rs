//! Real clusters under faults, in short.
//!
//! They need the `synod` executable, which `cargo test --workspace` builds beside this test.
#![cfg(feature = "runner")]

use std::time::Duration;

use synod_client::{Isolation, Protocol};
use synod_jepsen::nemesis::Nemesis;
use synod_jepsen::report::run::Run;
use synod_jepsen::runner::{self, HISTORY, Settings};
use synod_jepsen::{Budget, Format, Options, Verdict, check};

fn settings(workload: &str, nemeses: &[Nemesis], out: &tempfile::TempDir) -> Settings {
    Settings {
        workload: workload.to_owned(),
        nemeses: nemeses.to_vec(),
        length: Duration::from_secs(4),
        seed: 7,
        out: out.path().to_owned(),
        isolation: Isolation::Serializable,
        protocol: Protocol::Auto,
        shards: 2,
        coordinators: 1,
        clients: 6,
        rate: Some(200.0),
        bugs: [None, None],
        bin: None,
    }
}

/// Runs it; nothing if there is no executable.
fn run(settings: &Settings) -> Option<Run> {
    if let Err(error) = synod_cluster::find_bin() {
        eprintln!("SKIPPED, nothing was run: {error}");
        return None;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Some(runtime.block_on(runner::run(settings)).unwrap())
}

/// What is killed and started again loses nothing, and what is written down says the same
/// when it is judged once more.
#[test]
fn a_register_survives_kills() {
    let out = tempfile::tempdir().unwrap();
    let Some(run) = run(&settings("cas-register", &[Nemesis::Kill], &out)) else { return };
    assert_eq!(run.troubles, [""; 0]);
    assert_eq!(run.finding.verdict, Verdict::Valid, "{:?}", run.finding);
    assert!(!run.faults.is_empty(), "nobody was killed");
    assert!(run.ops.len() > 50, "{} operations", run.ops.len());
    let history = out.path().join(HISTORY);
    let mut options = Options::new(&run.model).unwrap();
    options.independent = true;
    let again = check(&history, Format::Edn, &options, &mut Budget::unlimited()).unwrap();
    assert_eq!(again.verdict, Verdict::Valid);
    let text = std::fs::read_to_string(history).unwrap();
    assert_eq!(text.matches(":f :start-kill").count(), run.faults.len());
    assert_eq!(text.matches(":f :stop-kill").count(), run.faults.len());
}

/// Transactions at all levels keep what they promise.
#[test]
fn each_level_keeps_its_promise() {
    for isolation in ["read-committed", "snapshot", "optimistic", "serializable"] {
        let out = tempfile::tempdir().unwrap();
        let mut settings = settings("list-append", &[Nemesis::Pause], &out);
        settings.isolation = isolation.parse().unwrap();
        settings.length = Duration::from_secs(2);
        let Some(run) = run(&settings) else { return };
        assert_eq!(run.troubles, [""; 0]);
        assert_eq!(run.finding.verdict, Verdict::Valid, "{isolation}: {:?}", run.finding);
    }
}
