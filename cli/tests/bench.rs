//! `synod bench`: what it reports, and that it fails when something is wrong.

mod common;

use common::{Scratch, base_port};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// An open loop on a cluster of its own, three times.
#[test]
fn an_open_loop_tells_what_was_due_and_runs_tell_how_far_apart_they_are() {
    let scratch = Scratch::new();
    let flags = ["--clients", "8", "--keys", "200", "--seconds", "1", "--warm-up", "0", "--json"];
    let args = [&["bench", "ycsb-f", "--rate", "40", "--runs", "3"], &flags[..]].concat();
    let shown = json(scratch.run(&args).ok());
    assert_eq!((&shown["workload"], &shown["rate"]), (&"ycsb-f".into(), &40.into()));
    assert_eq!((&shown["runs"], &shown["sum_ok"]), (&3.into(), &true.into()));
    assert!(shown["missed"].is_u64(), "{shown}");
    let rate = |name: &str| shown[name].as_f64().unwrap();
    let [least, middle, most] = ["txn_per_s_min", "txn_per_s", "txn_per_s_max"].map(rate);
    assert!(least <= middle && middle <= most, "{shown}");
    let servers = shown["server_rss_bytes"].as_object().unwrap();
    assert_eq!(servers.keys().collect::<Vec<_>>(), ["c1", "s1", "s2"]);
    assert!(servers.values().all(|bytes| bytes.as_u64() > Some(1 << 20)), "{shown}");
}

/// What is only of open loops, of several runs and of servers is not there without them.
#[test]
fn a_closed_loop_in_this_process_tells_no_more_than_it_knows() {
    let scratch = Scratch::new();
    let flags = ["--embedded", "--keys", "200", "--seconds", "1", "--warm-up", "0"];
    let args = |more: &[&'static str]| [&["bench", "smallbank"], &flags[..], more].concat();
    let shown = json(scratch.run(&args(&["--json"])).ok());
    for name in ["rate", "missed", "runs", "txn_per_s_min", "server_rss_bytes"] {
        assert!(shown.get(name).is_none(), "{name} in {shown}");
    }
    let text = scratch.run(&args(&["--rate", "50", "--runs", "2"]));
    let text = text.ok();
    assert!(text.contains("  50  were due in a second; "), "{text}");
    assert!(text.contains(", the middle of 2 runs: "), "{text}");
}

/// Others have worked on a cluster before, which is no fault; that a value is spoiled is one.
#[test]
fn a_bank_that_does_not_hold_what_it_must_is_a_failure() {
    let scratch = Scratch::new();
    let port = base_port().to_string();
    let server = scratch.start(&["up", "--data", "d", "--shards", "2", "--base-port", &port]);
    let url = server.url().to_owned();
    let env = [("SYNOD_URL", &*url)];
    let certs = scratch.path("d/certs");
    let flags = ["--clients", "4", "--keys", "200", "--warm-up", "0", "--seconds", "1", "--json"];
    let to = ["--url", &url, "--certs", certs.to_str().unwrap()];
    let args = [&["bench", "smallbank"], &flags[..], &to].concat();
    for _ in 0..2 {
        assert_eq!(json(scratch.run(&args).ok())["sum_ok"], true);
    }
    scratch.run_with(&["put", "sbank/0000000003", "spoiled"], &env).ok();
    let run = scratch.run(&args);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.err.contains("money was made or lost"), "{run:?}");
    assert_eq!(json(run.text())["sum_ok"], false);
}
