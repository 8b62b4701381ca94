//! Real clusters under faults, in short.
//!
//! They need the `synod` executable, which `cargo test --workspace` builds beside this test;
//! what is to have bugs needs one with the feature `chaos`.
#![cfg(feature = "runner")]

mod convicted;

use std::io::Write;
use std::time::Duration;

use synod_client::{Isolation, Protocol};
use synod_jepsen::nemesis::Nemesis;
use synod_jepsen::report::run::Run;
use synod_jepsen::runner::{self, Breaker, HISTORY, Settings};
use synod_jepsen::{Budget, Finding, Format, Level, Options, Verdict, check};

/// A short run, with few operations, so that its faults weigh.
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
        remote: None,
        links: Breaker::Proxy,
        bin: None,
    }
}

/// What must not happen where `SYNOD_NO_SKIP` is set.
fn skipped(reason: &str) -> Option<Run> {
    assert!(std::env::var_os("SYNOD_NO_SKIP").is_none(), "nothing was run: {reason}");
    eprintln!("SKIPPED, nothing was run: {reason}");
    None
}

/// Runs it; nothing if there is no executable, or none that has the feature it takes.
fn run(settings: &Settings) -> Option<Run> {
    let bin = match synod_cluster::find_bin() {
        Ok(bin) => bin,
        Err(error) => {
            return skipped(&error.to_string());
        }
    };
    if settings.bugs != [None, None] {
        let said = std::process::Command::new(bin).arg("--version").output().unwrap();
        if !String::from_utf8_lossy(&said.stdout).contains("(chaos)") {
            return skipped("synod was built without the feature chaos");
        }
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

/// Transactions at each level keep what it promises, and those below serializable show that
/// they promise no more: else the run would prove nothing.
#[test]
fn each_level_shows_what_it_allows_and_nothing_else() {
    for (isolation, workload, broken) in [
        ("read-committed", "list-append", Some(Level::SnapshotIsolation)),
        ("snapshot", "list-append", Some(Level::Serializable)),
        ("snapshot", "write-skew", Some(Level::Serializable)),
        ("optimistic", "list-append", None),
        ("serializable", "list-append", None),
    ] {
        let out = tempfile::tempdir().unwrap();
        let mut settings = settings(workload, &[], &out);
        settings.isolation = isolation.parse().unwrap();
        settings.rate = None;
        let Some(run) = run(&settings) else { return };
        assert_eq!(run.troubles, [""; 0]);
        let Finding { verdict, violated, anomalies, .. } = &run.finding;
        assert_eq!(*verdict, Verdict::Valid, "{isolation}: {anomalies:?}");
        match broken {
            Some(level) => assert!(violated.contains(&level), "{isolation}: {violated:?}"),
            None => assert!(anomalies.is_empty(), "{isolation}: {anomalies:?}"),
        }
    }
}

/// Whoever breaks links, it is seen to, and nothing is lost.
#[test]
fn links_are_broken_by_a_proxy_and_by_the_kernel() {
    for links in Breaker::ALL {
        if links == Breaker::Namespaces
            && let Err(error) = synod_cluster::probe_namespaces()
        {
            // Not everybody may; but it is said, and not by a macro, whose text is shown of
            // tests that fail only.
            let text = format!("SKIPPED, namespaces were not tested: {error:#}\n");
            std::io::stderr().write_all(text.as_bytes()).unwrap();
            return;
        }
        let out = tempfile::tempdir().unwrap();
        let mut settings = settings("list-append", &[Nemesis::Partition, Nemesis::Kill], &out);
        settings.links = links;
        let Some(run) = run(&settings) else { return };
        assert_eq!(run.troubles, [""; 0]);
        assert_eq!(run.finding.verdict, Verdict::Valid, "{:?}", run.finding);
        let dropped = run.faults.iter().filter(|fault| fault.effect.contains("dropped")).count();
        assert!(dropped > 0, "{:?}", run.faults);
    }
}

/// With a reason, and before anything is made; what else there is, is not.
#[test]
fn what_the_kernel_can_not_do_to_links_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let mut settings = settings("register", Nemesis::ALL, &out);
    settings.check_links().unwrap();
    settings.links = Breaker::Namespaces;
    settings.out = out.path().join("run");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refused = runtime.block_on(runner::run(&settings)).err().unwrap();
    assert_eq!(
        refused.to_string(),
        "with --links namespaces, links can only be cut; --links proxy does slow, lossy, \
         duplicate, reorder"
    );
    assert!(!settings.out.exists());
    settings.nemeses.retain(|nemesis| settings.links.can(*nemesis));
    assert_eq!(settings.nemeses.len(), Nemesis::ALL.len() - 4);
    settings.check_links().unwrap();
}
