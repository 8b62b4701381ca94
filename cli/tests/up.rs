//! `synod up` and what talks to it, with real servers on real files.

mod common;

use std::time::{Duration, SystemTime};

use common::{Scratch, base_port, contents};
use synod_common::driver::authority::{Authority, Validity};
use synod_common::driver::tls::Role;

/// Nobody gets what may decide both ways without having asked twice.
#[test]
fn classical_three_phase_commit_is_refused_unless_it_is_allowed() {
    let scratch = Scratch::new();
    let script = "begin 3pc-classical\nput a 1\nput b 2\ncommit\n";
    let shell = |options: &[&str]| {
        let base = base_port().to_string();
        let up = ["up", "--memory", "--split", "b", "--base-port", &base];
        let server = scratch.start(&[&up, options].concat());
        let env = [("SYNOD_URL", server.url())];
        let shell = scratch.pipe(&["shell"], &env, script);
        let read = scratch.run_with(&["get", "a"], &env);
        assert_eq!(server.stop("-INT").0, 0);
        (shell, read)
    };
    let (refused, read) = shell(&[]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("aborted: "), "{refused:?}");
    assert!(refused.err.contains("--unsafe-classical-3pc"), "{refused:?}");
    read.fails(1, "has no value");
    let (committed, read) = shell(&["--unsafe-classical-3pc"]);
    assert!(committed.ok().contains("committed "), "{committed:?}");
    assert_eq!(read.ok(), "1");
}

#[test]
fn one_shot_commands_shell_and_status() {
    let scratch = Scratch::new();
    let base = base_port().to_string();
    let server = scratch.start(&["up", "--memory", "--shards", "2", "--base-port", &base]);
    assert_eq!(server.url(), format!("synod://127.0.0.1:{base}"));
    let env = [("SYNOD_URL", server.url())];
    let run = |args: &[&str]| scratch.run_with(args, &env);

    // Keys and values, odd bytes included.
    assert_eq!(run(&["put", "a", "1"]).ok(), "");
    assert_eq!(run(&["put", r"b\x00", r"x\xff\\"]).ok(), "");
    assert_eq!(run(&["get", "a"]).ok(), "1");
    assert_eq!(run(&["get", r"b\x00"]).out, b"x\xff\\");
    assert_eq!(
        run(&["get", r"b\x00", "--json"]).ok(),
        "{\"key\":\"b\\u0000\",\"value_b64\":\"eP9c\"}\n"
    );
    run(&["get", "none"]).fails(1, "has no value");
    assert_eq!(run(&["scan", "", ""]).ok(), "a\t1\nb\\x00\tx\\xff\\\\\n");
    assert_eq!(run(&["scan", "a", "b", "--json"]).ok(), "{\"key\":\"a\",\"value\":\"1\"}\n");
    assert_eq!(run(&["scan", "a", "c", "--limit", "1", "--reverse"]).ok(), "b\\x00\tx\\xff\\\\\n");
    assert_eq!(run(&["delete", r"b\x00"]).ok(), "");
    assert_eq!(run(&["scan", "", "", "--reverse"]).ok(), "a\t1\n");
    run(&["put", "", "v"]).fails(1, "1 to 4096 bytes");
    run(&["get", &"k".repeat(4097)]).fails(1, "1 to 4096 bytes");

    // What became of a transaction.
    let put = run(&["put", "c", "3", "--json"]);
    let put: serde_json::Value = serde_json::from_str(put.ok()).unwrap();
    let txn = put["txn"].as_str().unwrap();
    let outcome = run(&["outcome", txn]);
    assert_eq!(outcome.ok(), format!("committed {}\n", put["timestamp"]));
    let again: serde_json::Value =
        serde_json::from_str(run(&["outcome", txn, "--json"]).ok()).unwrap();
    assert_eq!(again, put);

    // A script, in a transaction and out of it.
    let script = "begin serializable 2pc\nget-for-update a # was 1\nput a \"2 3\"\nget a\ncommit\n\
                  get a\nget none\nput d 4\nscan a \"\" --reverse --limit 2\ndelete d\n";
    let shell = scratch.pipe(&["shell"], &env, script);
    let lines: Vec<&str> = shell.ok().lines().collect();
    let words: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(
        words[1..],
        ["1", "2", "committed", "2", "(no", "committed", "d\t4", "c\t3", "committed"]
    );
    let committed = lines[3].strip_prefix("committed ").unwrap();
    let past = scratch.pipe(
        &["shell"],
        &env,
        &format!("put a now\nat {committed}\nget a\nat now\nget a\n"),
    );
    assert_eq!(past.ok().lines().skip(1).collect::<Vec<_>>(), ["2 3", "now"]);

    // A script ends at its first error, and what is open is aborted.
    std::fs::write(scratch.path("script"), "begin\nput a lost\nbegin 4pc\nput a more\n").unwrap();
    let failed = run(&["shell", "--file", "script"]);
    assert_eq!(failed.code, 1);
    assert!(failed.err.contains("line 3: usage: begin"), "{failed:?}");
    assert_eq!(run(&["get", "a"]).ok(), "now");

    // How it is.
    let status: serde_json::Value = serde_json::from_str(run(&["status", "--json"]).ok()).unwrap();
    assert_eq!(status["coordinators"][0]["id"], "c1");
    assert_eq!(status["coordinators"][0]["leader"], true);
    assert_eq!(status["shards"].as_array().unwrap().len(), 2);
    assert!(status["shards"].as_array().unwrap().iter().all(|shard| shard["alive"] == true));
    assert_eq!(status["in_doubt"], 0);
    assert!(run(&["status"]).ok().contains("s2"));
    assert_eq!(server.page("/livez").0, 200);
    assert_eq!(server.page("/readyz").0, 200);
    // Only a build for testers lets itself be broken.
    assert_eq!(server.page("/chaos").0, if cfg!(feature = "chaos") { 200 } else { 404 });
    let (code, metrics) = server.page("/metrics");
    assert_eq!(code, 200);
    assert!(metrics.contains("synod_log_syncs_total{server=\"c1\"}"), "{metrics}");

    let (code, said) = server.stop("-TERM");
    assert_eq!(code, 0, "{said}");
    let folder = said.lines().find_map(|line| line.split_once("the data is in ")).unwrap().1;
    let folder = folder.split(' ').next().unwrap();
    assert!(!std::path::Path::new(folder).exists(), "{folder}");
}

#[test]
fn a_data_folder_keeps_its_data_and_its_shape() {
    let scratch = Scratch::new();
    let base = base_port().to_string();
    let with = |more: &[&'static str]| {
        let mut args = vec!["up", "--data", "d", "--base-port", &base];
        args.extend(more);
        args
    };
    let start = |more: &[&'static str]| scratch.start(&with(more));
    let refused = |more: &[&'static str], says: &str| scratch.run(&with(more)).fails(1, says);
    let server = start(&["--split", r"g,p\x00"]);
    let url = format!("synod://127.0.0.1:{base}");
    let run = |args: &[&str]| scratch.run_with(args, &[("SYNOD_URL", &url)]);
    for key in ["a", "h", "z"] {
        run(&["put", key, "kept"]).ok();
    }
    let status: serde_json::Value = serde_json::from_str(run(&["status", "--json"]).ok()).unwrap();
    assert_eq!(status["shards"][1]["range"], "g..p\\x00");
    assert_eq!(status["shards"][1]["keys"], 1);

    // In use, and the ports as well.
    refused(&[], "is in use by another process");
    let other = scratch.run(&["up", "--data", "e", "--shards", "1", "--base-port", &base]);
    other.fails(1, "in use by another process");
    assert_eq!(run(&["get", "h"]).ok(), "kept");
    assert_eq!(server.stop("-INT").0, 0);

    // Another shape.
    let before = contents(&scratch.path("d"));
    refused(&["--shards", "5"], "has 3 shards, not 5");
    refused(&["--split", "g"], "is split at g,p\\x00");
    assert!(contents(&scratch.path("d")) == before, "something was changed");

    // The same again, from what is stored.
    let server = start(&[]);
    assert_eq!(run(&["scan", "", ""]).ok(), "a\tkept\nh\tkept\nz\tkept\n");
    assert_eq!(server.stop("-TERM").0, 0);

    // A shard's folder of another cluster, and a folder of something else.
    std::fs::remove_dir_all(scratch.path("e/s1")).unwrap_or_default();
    std::fs::rename(scratch.path("d/s1"), scratch.path("e/s1")).unwrap();
    let before = contents(&scratch.path("e/s1"));
    let foreign = scratch.run(&["up", "--data", "e", "--base-port", &base]);
    foreign.fails(1, "belongs to s1 of cluster");
    assert!(contents(&scratch.path("e/s1")) == before, "something was changed");
    std::fs::create_dir(scratch.path("f")).unwrap();
    std::fs::write(scratch.path("f/letter"), "dear").unwrap();
    scratch.run(&["up", "--data", "f"]).fails(1, "is no data folder of a cluster");
}

#[test]
fn servers_from_files_and_certificates_that_do_not_fit() {
    let scratch = Scratch::new();
    let base = base_port();
    let certs = scratch.path("certs");
    let authority = Authority::create(&certs).unwrap();
    authority.issue(Role::Coordinator, "c1").unwrap();
    authority.issue(Role::Shard, "s1").unwrap();
    authority.issue(Role::Client, "client").unwrap();
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let past = Validity { from: now - 2 * hour, until: now - hour };
    authority.issue_valid(Role::Client, "old", past).unwrap();
    let foreign = scratch.path("foreign");
    Authority::create(&foreign).unwrap().issue(Role::Client, "client").unwrap();

    let admin = base + 80;
    let shard = base + 100;
    let common = "cluster = \"c0ffee\"\ncerts = \"certs\"\nsegment_bytes = 1048576\n";
    let c1 = format!(
        "{common}listen = \"127.0.0.1:{base}\"\nadmin = \"127.0.0.1:{admin}\"\ndata = \"c1\"\n\
         shards = [\"127.0.0.1:{shard}\"]\n"
    );
    let s1 = format!(
        "{common}id = 1\nlisten = \"127.0.0.1:{shard}\"\ndata = \"s1\"\n\
         coordinator = \"127.0.0.1:{base}\"\nlock_timeout_ms = 2000\n"
    );
    std::fs::write(scratch.path("c1.toml"), c1).unwrap();
    std::fs::write(scratch.path("s1.toml"), s1).unwrap();
    let mut coordinator = scratch.spawn(&["coordinator", "--config", "c1.toml"]);
    let server = scratch.start(&["shard", "--config", "s1.toml"]);
    assert_eq!(server.ready, format!("READY synod://127.0.0.1:{shard}\n"));
    coordinator.wait_ready();
    assert_eq!(
        coordinator.ready,
        format!("READY synod://127.0.0.1:{base} http://127.0.0.1:{admin}\n")
    );

    let url = format!("synod://127.0.0.1:{base}");
    let run = |certs: &str, name: &str, key: &str| {
        scratch.run(&["get", key, "--url", &url, "--certs", certs, "--identity", name])
    };
    let put = ["put", "k", "v", "--url", &url, "--certs", "certs"];
    scratch.run(&put).ok();
    assert_eq!(run("certs", "client", "k").ok(), "v");
    run("certs", "old", "k").fails(1, "old.pem has expired");
    run("foreign", "client", "k").fails(1, "authority");
    run("certs", "s1", "k").fails(1, "s1.pem has the role shard, which may not");

    // Only one at a time in a folder.
    let again = scratch.run(&["shard", "--config", "s1.toml"]);
    again.fails(1, "in use by another process");
    assert_eq!(server.stop("-TERM").0, 0);
    let status = scratch.run(&["status", "--json", "--url", &url, "--certs", "certs"]);
    let status: serde_json::Value = serde_json::from_str(status.ok()).unwrap();
    assert_eq!(status["shards"][0]["alive"], false);
    assert_eq!(status["shards"][0]["keys"], serde_json::Value::Null);
    assert_eq!(coordinator.page("/readyz").0, 503);
    assert_eq!(coordinator.stop("-TERM").0, 0);
}
