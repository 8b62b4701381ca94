//! The rules of the house, as tests: which crate may depend on which, that a
//! core has no world, and that what the README shows compiles.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below a folder.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Dependencies point one way; coordinator and shard do not know each other.
#[test]
fn dependencies_point_one_way() {
    let allowed = [
        ("common", &[][..]),
        ("shard", &["common"][..]),
        ("coordinator", &["common"][..]),
        ("client", &["common", "coordinator", "shard"][..]),
        ("cluster", &["client", "common"][..]),
        ("bench", &["client", "cluster", "common"][..]),
        ("cli", &["bench", "client", "cluster", "common", "coordinator", "shard"][..]),
        ("jepsen", &["client", "cluster"][..]),
        ("tests", &["client", "common", "coordinator", "shard"][..]),
    ];
    for (crate_name, allowed) in allowed {
        let manifest = read(format!("{crate_name}/Cargo.toml"));
        let dependencies = manifest.split("\n[dependencies]").nth(1).unwrap();
        let dependencies = dependencies.split("\n[").next().unwrap();
        for line in dependencies.lines().filter_map(|line| line.strip_prefix("synod-")) {
            let name: String = line.chars().take_while(char::is_ascii_lowercase).collect();
            assert!(allowed.contains(&name.as_str()), "{crate_name} may not depend on {name}");
            if (crate_name == "client" && name != "common") || crate_name == "jepsen" {
                assert!(line.contains("optional = true"), "{crate_name} has {name} as a feature");
            }
        }
    }
}

/// A core has no world: no clock, file, thread, socket, randomness, runtime, and
/// no map whose order changes from run to run. What follows `#[cfg(test)]`, and
/// the files of the driver, are not the core.
#[test]
fn cores_have_no_world() {
    let forbidden = [
        "std::time::Instant",
        "std::time::SystemTime",
        "Instant::now",
        "SystemTime::now",
        "std::fs",
        "std::net",
        "std::thread",
        "std::env",
        "std::process",
        "tokio",
        "quinn",
        "rand::",
        "HashMap",
        "HashSet",
        "RandomState",
        "println!",
    ];
    let mut looked_at = 0;
    for path in ["common/src", "shard/src", "coordinator/src"].into_iter().flat_map(sources) {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let outside = ["/driver/", "/sync/", "/server.rs", "tests.rs", "model.rs"];
        if outside.iter().any(|part| name.contains(part)) {
            continue;
        }
        looked_at += 1;
        let text = fs::read_to_string(&path).unwrap();
        let core = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in core.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            for word in forbidden {
                assert!(!code.contains(word), "{name}:{}: {word} in a core", number + 1);
            }
        }
    }
    assert!(looked_at > 30, "only {looked_at} files were looked at");
}

/// The program in the README is the example, which is compiled.
#[test]
fn the_readme_shows_the_example() {
    let readme = read("README.md");
    let example = read("client/examples/transfer.rs");
    let program = example.split("// ---8<---\n").nth(1).expect("the example marks its program");
    assert!(readme.contains(program), "README.md and client/examples/transfer.rs differ");
}

/// The tables of state machines in the documentation are those of the code.
#[test]
fn tables_in_the_documentation_are_those_of_the_code() {
    for (document, file) in [
        ("docs/three-phase-commit.md", "common/src/commit/site.rs"),
        ("docs/three-phase-commit.md", "common/src/commit/site/classical.rs"),
        ("docs/group.md", "coordinator/src/group/replica/mod.rs"),
        ("docs/group.md", "coordinator/src/group/replica/rejoining.rs"),
        ("docs/paxos-commit.md", "coordinator/src/paxos/acceptor.rs"),
        ("docs/paxos-commit.md", "coordinator/src/paxos/takeover.rs"),
        ("docs/paxos-commit.md", "coordinator/src/commit/paxos_commit.rs"),
    ] {
        let text = read(document);
        let begin = format!("<!-- the table of {file} -->\n");
        let (_, shown) = text.split_once(&begin).expect("it has a table of that file");
        let (shown, _) = shown.split_once("<!-- the end of the table -->").expect("and an end");
        let code = read(file);
        let code = code.lines().filter_map(|line| line.strip_prefix("//! |"));
        let code: Vec<String> = code.map(|row| format!("|{row}")).collect();
        let shown: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(shown, code, "{document} does not show the table of {file}");
    }
}

/// What the documentation calls a mutant is a switch, and each rule has one.
#[test]
fn mutants_in_the_documentation_are_switches() {
    let files = [
        "client/src/mutant.rs",
        "common/src/commit/mutant.rs",
        "coordinator/src/mutant.rs",
        "coordinator/src/paxos/mutant.rs",
        "shard/src/mutant.rs",
        "tests/src/core/bug.rs",
        "tests/src/paxos/bug.rs",
        "tests/src/sim/mutation.rs",
    ];
    let switches: String = files.into_iter().map(read).collect();
    let page = read("docs/mutants.md");
    let is_rule = |row: &&str| row.starts_with(['E', 'P', 'X', 'T']);
    let rows: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| ")).collect();
    let rows: Vec<_> = rows.iter().filter(|row| is_rule(row)).collect();
    assert_eq!(rows.len(), 50, "{rows:#?}");
    for row in rows {
        let named = row.split(" | ").nth(2).unwrap().split(", ");
        for name in named.map(|name| name.trim_matches('`')) {
            assert!(switches.contains(&format!("    {name},\n")), "{name} is no mutant: {row}");
        }
    }
}

/// The test command of the README is what CI runs.
#[test]
fn ci_runs_the_test_command_of_the_readme() {
    let command = "cargo test --workspace";
    assert!(read("README.md").contains(command), "the README does not show `{command}`");
    assert!(read(".ci/run").contains(command), ".ci/run does not run `{command}`");
}

/// No file of the product grows beyond what can be seen at a glance.
#[test]
fn files_are_one_noun() {
    let folders = [
        "common/src",
        "shard/src",
        "coordinator/src",
        "client/src",
        "cluster/src",
        "bench/src",
        "bench/peers/src",
        "cli/src",
        "jepsen/src",
        "tests/src",
    ];
    for path in folders.into_iter().flat_map(sources) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 700, "{} has {lines} lines; split it", path.display());
    }
}
