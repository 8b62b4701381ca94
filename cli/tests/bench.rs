//! `synod bench`: what it reports, and that it fails when something is wrong.

mod common;

use common::Scratch;
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// An open loop on a cluster of its own, three times.
#[test]
fn an_open_loop_tells_what_was_due_and_runs_tell_how_far_apart_they_are() {
    let scratch = Scratch::new();
    let flags = ["--clients", "8", "--keys", "200", "--seconds", "1", "--warm-up", "0", "--json"];
    let args = [&["bench", "transfer", "--rate", "40", "--runs", "3"], &flags[..]].concat();
    let shown = json(scratch.run(&args).ok());
    assert_eq!((&shown["workload"], &shown["rate"]), (&"transfer".into(), &40.into()));
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
    let args = |more: &[&'static str]| [&["bench", "put"], &flags[..], more].concat();
    let shown = json(scratch.run(&args(&["--json"])).ok());
    for name in ["rate", "missed", "runs", "txn_per_s_min", "server_rss_bytes"] {
        assert!(shown.get(name).is_none(), "{name} in {shown}");
    }
    let text = scratch.run(&args(&["--rate", "50", "--runs", "2"]));
    let text = text.ok();
    assert!(text.contains("  50  were due in a second; "), "{text}");
    assert!(text.contains(", the middle of 2 runs: "), "{text}");
}
