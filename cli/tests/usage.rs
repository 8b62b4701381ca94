//! Arguments, configuration and certificates: what needs no servers.

mod common;

use common::Scratch;

#[test]
fn wrong_usage_is_one_line_and_exits_2() {
    let scratch = Scratch::new();
    scratch.run(&["frobnicate"]).fails(2, "unrecognized subcommand 'frobnicate'");
    scratch.run(&["get"]).fails(2, "<KEY>");
    scratch.run(&["get", r"a\xZZ"]).fails(2, "two hexadecimal digits");
    scratch.run(&["outcome", "seven"]).fails(2, "ids look like t3.40.12");
    scratch.run(&["txn", "show", "seven"]).fails(2, "ids look like t3.40.12");
    scratch.run(&["txn", "show"]).fails(2, "<TXN>");
    scratch.run(&["txn", "list", "--limit", "0"]).fails(2, "--limit");
    for shard in ["s1", "s0=a:1", "1=a:1", "c1=a:1"] {
        scratch.run(&["txn", "list", "--shard", shard]).fails(2, "does not say where a shard is");
    }
    scratch.run(&["txn", "list", "--older-than", "5"]).fails(2, "'5' is no span of time");
    scratch.run(&["bench", "failover", "--back-within", "1 s"]).fails(2, "is no span of time");
    let bound = ["bench", "put", "--in-doubt-within", "2s"];
    scratch.run(&bound).fails(2, "are for `synod bench failover`");
    for workload in ["load", "deadlock", "failover"] {
        let rate = ["bench", workload, "--rate", "9"];
        scratch.run(&rate).fails(2, "--rate is not for `synod bench");
    }
    scratch.run(&["bench", "put", "--rate", "0"]).fails(2, "--rate");
    scratch.run(&["bench", "load", "--runs", "2"]).fails(2, "--runs is not for");
    for workload in ["load", "failover"] {
        let warm_up = ["bench", workload, "--warm-up", "1"];
        scratch.run(&warm_up).fails(2, "--warm-up is not for `synod bench");
    }
    scratch.run(&["bench", "ycsb-g"]).fails(2, "there is no workload 'ycsb-g'; there are");
    scratch.run(&["up", "--shards", "0"]).fails(2, "--shards");
    for group in ["0", "2", "4", "7", "many"] {
        scratch.run(&["up", "--coordinators", group]).fails(2, "--coordinators");
    }
    scratch.run(&["up", "--coordinators", "2"]).fails(2, "there can be 1, 3 or 5 coordinators");
    scratch.run(&["up", "--shards", "3", "--split", "a"]).fails(2, "leave --shards out");
    scratch.run(&["up", "--split", "b,a"]).fails(2, "strictly increasing");
    scratch.run(&["up", "--base-port", "65500"]).fails(2, "at most 65435");
    scratch.run(&["up", "--memory", "--data", "d"]).fails(2, "cannot be used with");
    assert!(!scratch.path("synod-data").exists());
}

#[test]
fn help_and_version_are_data() {
    let scratch = Scratch::new();
    assert!(scratch.run(&["--help"]).ok().contains("synod"));
    assert!(scratch.run(&["--version"]).ok().starts_with("synod "));
    for command in ["up", "shell", "get", "scan", "outcome", "status", "cert", "config", "txn"] {
        assert!(scratch.run(&[command, "--help"]).ok().contains("Usage:"), "{command}");
    }
}

#[test]
fn what_is_planned_says_so() {
    let scratch = Scratch::new();
    let saga = ["saga", "start", "x", "--input", "{}"];
    scratch.run(&saga).fails(2, "not available in this version");
}

#[test]
fn what_there_is_not_is_refused_with_what_there_is() {
    let scratch = Scratch::new();
    let protocols = "there is no commit protocol '4pc'; there are auto, 2pc, 3pc";
    scratch.run(&["bench", "transfer", "--protocol", "4pc"]).fails(2, protocols);
    scratch.run(&["demo", "--protocol", "4pc"]).fails(2, protocols);
    for command in [&["demo"][..], &["bench", "transfer"]] {
        let unsafe_form = [command, &["--protocol", "3pc-classical"]].concat();
        let refused = scratch.run(&unsafe_form);
        refused.fails(2, "that was started with --unsafe-classical-3pc");
    }
}

#[test]
fn config_show_names_each_origin() {
    let scratch = Scratch::new();
    let shown = scratch.run(&["config", "show"]);
    let line = |run: &common::Run, name: &str| -> String {
        let line = run.ok().lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line(&shown, "url"), "synod://127.0.0.1:7400 default");
    assert_eq!(line(&shown, "certs"), "- default");

    std::fs::write(scratch.path("synod.toml"), "url = \"synod://a:1\"\ncerts = \"c\"\n").unwrap();
    let file = scratch.path("synod.toml");
    let file = file.to_str().unwrap();
    let env = [("SYNOD_CONFIG", file), ("SYNOD_TIMEOUT_MS", "7")];
    let shown = scratch.run_with(&["config", "show", "--identity", "me"], &env);
    assert_eq!(line(&shown, "url"), format!("synod://a:1 file {file}"));
    assert!(line(&shown, "certs").starts_with(scratch.path("c").to_str().unwrap()));
    assert_eq!(line(&shown, "timeout_ms"), "7 environment SYNOD_TIMEOUT_MS");
    assert_eq!(line(&shown, "identity"), "me flag");

    let env = [("SYNOD_CONFIG", file), ("SYNOD_URL", "synod://b:2")];
    let shown = scratch.run_with(&["config", "show", "--json"], &env);
    let json: serde_json::Value = serde_json::from_str(shown.ok()).unwrap();
    let url = &json["settings"][0];
    assert_eq!((&url["name"], &url["value"]), (&"url".into(), &"synod://b:2".into()));
    assert_eq!(url["origin"], "environment SYNOD_URL");

    std::fs::write(scratch.path("synod.toml"), "\nulr = \"x\"\n").unwrap();
    let wrong = scratch.run_with(&["config", "show"], &[("SYNOD_CONFIG", file)]);
    wrong.fails(1, "synod.toml:2: unknown field `ulr`");
    let wrong = scratch.run_with(&["config", "show"], &[("SYNOD_BASE_PORT", "x")]);
    wrong.fails(1, "SYNOD_BASE_PORT");
}

#[test]
fn certificates_are_made_and_not_overwritten() {
    let scratch = Scratch::new();
    assert_eq!(scratch.run(&["cert", "init", "certs"]).ok(), "certs/ca.pem\n");
    scratch.run(&["cert", "init", "certs"]).fails(1, "exists already");
    let issue = |role: &str, name: &str| {
        scratch.run(&["cert", "issue", "--role", role, name, "--dir", "certs", "--days", "30"])
    };
    assert_eq!(issue("client", "alice").ok(), "certs/alice.pem\n");
    assert_eq!(issue("shard", "s1").ok(), "certs/s1.pem\n");
    assert_eq!(issue("coordinator", "c1").ok(), "certs/c1.pem\n");
    assert_eq!(issue("operator", "ops").ok(), "certs/ops.pem\n");
    issue("client", "alice").fails(1, "alice.pem exists already");
    issue("shard", "one").fails(2, "a shard can not be called 'one'");
    issue("king", "k").fails(2, "client, shard, coordinator, operator");
    let nowhere = ["cert", "issue", "--role", "client", "bob"];
    scratch.run(&nowhere).fails(1, "synod cert init");
    scratch.run(&[&nowhere[..], &["--dir", "void"]].concat()).fails(1, "holds no authority");
}

#[test]
fn a_client_without_certificates_or_address_says_what_to_do() {
    let scratch = Scratch::new();
    scratch.run(&["get", "a"]).fails(1, "--certs");
    scratch.run(&["get", "a", "--certs", "void"]).fails(1, "void/client.pem does not exist");
    scratch.run(&["cert", "init", "certs"]).ok();
    let dir = ["--role", "client", "client", "--dir", "certs"];
    scratch.run(&[&["cert", "issue"], &dir[..]].concat()).ok();
    let to = |url: &str| scratch.run(&["get", "a", "--certs", "certs", "--url", url]);
    to("http://127.0.0.1:1").fails(2, "one looks like synod://127.0.0.1:7400");
    to("synod://nowhere.invalid:7400").fails(1, "give the address as host:port");
}

#[test]
fn server_files_are_checked() {
    let scratch = Scratch::new();
    let run = |kind: &str, text: &str| {
        std::fs::write(scratch.path("x.toml"), text).unwrap();
        scratch.run(&[kind, "--config", "x.toml"])
    };
    let shard = "cluster = \"7\"\nid = 1\nlisten = \"127.0.0.1:0\"\ncoordinator = \"127.0.0.1:1\"\n\
                 data = \"s1\"\ncerts = \"certs\"\n";
    run("shard", &format!("{shard}lock_timeout = 3\n")).fails(1, "unknown field `lock_timeout`");
    run("shard", &format!("{shard}lock_timeout_ms = 0\n")).fails(1, "more than 0");
    run("shard", &shard.replace("\"7\"", "\"x\"")).fails(1, "no cluster id");
    run("shard", &shard.replace("127.0.0.1:1", "there")).fails(1, "host:port");
    run("shard", shard).fails(1, "s1.pem does not exist");
    run("coordinator", "cluster = \"7\"\n").fails(1, "missing field");
    let where_they_are = "say where the coordinators are";
    run("shard", &shard.replace("coordinator =", "# ")).fails(1, where_they_are);
    let both = format!("{shard}coordinators = [\"h:1\", \"h:2\", \"h:3\"]\n");
    run("shard", &both).fails(1, where_they_are);
    let two = shard.replace("coordinator = ", "coordinators = [\"h:2\", ").replace(":1\"", ":1\"]");
    run("shard", &two).fails(1, "there can be 1, 3 or 5 coordinators, not 2");
    scratch.run(&["shard", "--config", "void.toml"]).fails(1, "void.toml");
    assert!(!scratch.path("s1").exists());
}

/// What `cli/tests/chaos.rs` tests is in no other build.
#[test]
#[cfg(not(feature = "chaos"))]
fn bugs_are_not_planted() {
    let scratch = Scratch::new();
    let bug = "cluster = \"7\"\nlisten = \"127.0.0.1:0\"\ndata = \"d\"\ncerts = \"certs\"\n\
               bug = \"EarlyRelease\"\n";
    let refusal = "x.toml:5: `bug` plants a bug; only a build with the feature `chaos`";
    let shard = format!("{bug}id = 1\ncoordinator = \"127.0.0.1:1\"\n");
    for (kind, text) in [("shard", shard), ("coordinator", format!("{bug}shards = [\"h:9\"]\n"))] {
        std::fs::write(scratch.path("x.toml"), text).unwrap();
        scratch.run(&[kind, "--config", "x.toml"]).fails(1, refusal);
    }
    assert!(!scratch.run(&["--version"]).ok().contains("chaos"));
}

#[test]
fn files_of_a_group_are_checked() {
    let scratch = Scratch::new();
    let run = |flags: &[&str], more: &str| {
        let text = format!(
            "cluster = \"7\"\nlisten = \"127.0.0.1:0\"\ndata = \"c\"\ncerts = \"certs\"\n\
             shards = [\"h:9\"]\n{more}\n"
        );
        std::fs::write(scratch.path("c.toml"), text).unwrap();
        scratch.run(&[&["coordinator", "--config", "c.toml"], flags].concat())
    };
    let group = "group = [\"h:1\", \"h:2\", \"h:3\"]\n";
    run(&[], "id = 2").fails(1, "without others it is 1, not 2");
    run(&[], "group = [\"h:1\", \"h:2\"]").fails(1, "there can be 1, 3 or 5 coordinators, not 2");
    run(&[], "group = [\"h:1\", \"h:2\", \"h:1\"]").fails(1, "'h:1' is named twice");
    run(&[], "group = [\"h:1\", \"h:2\", \"h\"]").fails(1, "'h' is no address");
    run(&[], &format!("{group}id = 4")).fails(1, "no coordinator 4 in a group of 3");
    run(&[], &format!("{group}id = 0")).fails(1, "no coordinator 0 in a group of 3");
    run(&[], &format!("{group}heartbeat_ms = 0")).fails(1, "heartbeat_ms must be more than 0");
    run(&[], &format!("{group}heartbeat_ms = 300")).fails(1, "patience_ms must be at least twice");
    // Nothing is there yet: only a new group begins like that, or who has lost it.
    run(&[], &format!("{group}id = 2")).fails(1, "with --rejoin, and if the whole group is new");
    assert_eq!(run(&["--new", "--rejoin"], &format!("{group}id = 2")).code, 2);
    run(&["--rejoin"], "").fails(1, "--rejoin: without a group there is nobody who knows");
    run(&["--new"], &format!("{group}id = 2")).fails(1, "c2.pem does not exist");
    run(&[], "").fails(1, "c1.pem does not exist");
    assert!(!scratch.path("c").exists());
}
