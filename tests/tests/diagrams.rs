//! The state diagrams of the protocols have their places in the pages, and show what happens.

use std::path::Path;

use synod_tests::diagrams::{DIAGRAMS, Transitions, check, show};

#[test]
fn every_diagram_has_its_place_in_a_page() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let wrong = check(&Transitions::default(), &docs).expect("every page has its places");
    for diagram in &DIAGRAMS {
        let drawn = wrong.iter().any(|line| line.starts_with('-') && line.contains(diagram.name));
        assert!(drawn, "nothing is drawn of {}", diagram.name);
    }
}

#[test]
fn what_happens_everywhere_is_drawn() {
    let seen = Transitions::of_seeds(6, 2);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let wrong = check(&seen, &docs).expect("every page has its places");
    assert_eq!(wrong.iter().find(|line| line.starts_with('+')), None);
    assert!(show(&seen).contains("[*] --> Active: access"));
}
