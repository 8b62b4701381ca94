//! Limits of time and memory, with the command itself: they are those of a process.

use std::fmt::Write as _;
use std::process::Command;

/// Of so many writers of one key each two are a choice: all of them would take ten gigabytes.
#[test]
fn a_key_that_all_have_written_does_not_exceed_the_memory() {
    let mut history = String::new();
    for writer in 0..40_000 {
        let mops = format!("[[:w 0 {}]]", writer + 1);
        let _ = writeln!(history, "{{:type :ok :process {writer} :f :txn :value {mops}}}");
    }
    history.push_str("{:type :ok :process 40000 :f :txn :value [[:r 0 7]]}");
    let path = std::env::temp_dir().join(format!("synod-limits-{}.edn", std::process::id()));
    std::fs::write(&path, history).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_synod-jepsen"))
        .args(["check", "--format", "edn", "--model", "rw-register", "--memory-mb", "300"])
        .arg(&path)
        .output()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("not decided within 300 MB of memory"), "{said}");
    assert_eq!(output.status.code(), Some(3), "unknown");
}
