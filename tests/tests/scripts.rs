//! Situations of a whole cluster as scripts, in `scripts`: what users of the client
//! library see, step by step.
//!
//! After a change that is meant: `UPDATE_GOLDENFILES=1 cargo test -p synod-tests --test scripts`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use synod_common::deadlock::Scheme;
use synod_tests::stage::Player;

/// All scripts below a folder, in order.
fn scripts(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new("scripts").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the scripts are there") {
            let path = entry.expect("readable").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no scripts in {folder}");
    found
}

/// What is promised does not depend on how deadlocks are looked for.
fn play(folder: &str) {
    play_with(folder, &[Scheme::Graph, Scheme::Probes]);
}

fn play_with(folder: &str, schemes: &[Scheme]) {
    for &scheme in schemes {
        for script in scripts(folder) {
            println!("{}, {scheme}", script.display());
            goldenscript::run(&mut Player::of(scheme), &script).expect("the script can be played");
        }
    }
}

#[test]
fn isolation() {
    play("isolation");
}

#[test]
fn deadlocks() {
    play("deadlock");
    play("lost");
}

#[test]
fn prevention() {
    play_with("prevention/wound-wait", &[Scheme::WoundWait]);
    play_with("prevention/wait-die", &[Scheme::WaitDie]);
}

/// The table of docs/isolation.md says of every anomaly and level what the script
/// of that name shows.
#[test]
fn the_table_of_anomalies_is_what_the_scripts_show() {
    let page = fs::read_to_string("../docs/isolation.md").expect("the page is there");
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = page.lines().skip_while(|line| !line.starts_with("| Anomaly")).map(cells);
    let levels = lines.next().expect("the table has a head");
    let mut said = BTreeMap::new();
    for row in lines.skip(1).take_while(|row| row.len() == levels.len()) {
        let name = row[0].split('`').nth(1).expect("the script's name").to_owned();
        for (level, cell) in levels.iter().zip(&row).skip(2) {
            said.insert((name.clone(), level.replace('-', "_")), cell.clone());
        }
    }
    let mut shown = BTreeMap::new();
    for script in scripts("isolation") {
        let text = fs::read_to_string(&script).expect("readable");
        let claim = text.split([' ', ':']).nth(1).expect("a claim").to_owned();
        let part = |path: Option<&Path>| -> String {
            let name = path.and_then(Path::file_name).expect("a name");
            name.to_string_lossy().into_owned()
        };
        shown.insert((part(script.parent()), part(Some(&script))), claim);
    }
    assert_eq!(said, shown);
}
