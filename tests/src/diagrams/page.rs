//! Diagrams in the pages, between two marks each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{Arrow, DIAGRAMS, DRAWN, Diagram, MISSED, Transitions};

const END: &str = "<!-- the end of the diagram -->";
/// Causes in one line.
const PER_LINE: usize = 4;
/// Between two lines.
const NEXT_LINE: &str = ",<br/>";

/// All diagrams.
pub fn show(transitions: &Transitions) -> String {
    let all = DIAGRAMS.iter().enumerate();
    let all =
        all.map(|(index, diagram)| format!("{}{}\n", begin(diagram), draw(transitions, index)));
    all.collect()
}

/// Puts them into the pages of a folder.
///
/// # Errors
/// If a page can not be read or written, or has no place for its diagrams.
pub fn write(transitions: &Transitions, folder: &Path) -> Result<(), String> {
    for (index, diagram) in DIAGRAMS.iter().enumerate() {
        let (before, _, behind) = split(diagram, folder)?;
        let text = format!("{before}{}{behind}", draw(transitions, index));
        let path = folder.join(diagram.page);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// What the pages of a folder show, and is never seen, and what they do not show.
///
/// # Errors
/// If a page can not be read, or has no place for its diagrams.
pub fn check(transitions: &Transitions, folder: &Path) -> Result<Vec<String>, String> {
    let mut wrong = Vec::new();
    for (index, diagram) in DIAGRAMS.iter().enumerate() {
        let (_, page, _) = split(diagram, folder)?;
        let shown = read(&page);
        let seen: BTreeMap<Arrow<'_>, u32> = transitions.of_diagram(index).collect();
        let mut say = |sign, Arrow { from, to, cause }: &Arrow<'_>| {
            let Diagram { page, name, .. } = diagram;
            wrong.push(format!("{sign} {from} --> {to}: {cause}    ({page}, {name})"));
        };
        shown.iter().filter(|arrow| !seen.contains_key(arrow)).for_each(|arrow| say('-', arrow));
        let often = seen.iter().filter(|(_, seeds)| **seeds >= MISSED).map(|(arrow, _)| arrow);
        often.filter(|arrow| !shown.contains(arrow)).for_each(|arrow| say('+', arrow));
    }
    Ok(wrong)
}

fn begin(diagram: &Diagram) -> String {
    format!("<!-- the diagram of {} -->\n", diagram.name)
}

/// A page before, within and behind a diagram; the marks are outside.
fn split(diagram: &Diagram, folder: &Path) -> Result<(String, String, String), String> {
    let path = folder.join(diagram.page);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let begin = begin(diagram);
    let place = text.split_once(&begin).and_then(|(before, rest)| {
        let (shown, behind) = rest.split_once(END)?;
        Some((format!("{before}{begin}"), shown.to_owned(), format!("{END}{behind}")))
    });
    place
        .ok_or_else(|| format!("{} has no place for the diagram of {}", diagram.page, diagram.name))
}

fn draw(transitions: &Transitions, index: usize) -> String {
    let mut pairs: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let drawn = transitions.of_diagram(index).filter(|(_, seeds)| *seeds >= DRAWN);
    for (Arrow { from, to, cause }, _) in drawn {
        pairs.entry((from, to)).or_default().push(cause);
    }
    let mut text = "```mermaid\nstateDiagram-v2\n".to_owned();
    for ((from, to), causes) in pairs {
        let lines: Vec<String> = causes.chunks(PER_LINE).map(|line| line.join(", ")).collect();
        text += &format!("    {from} --> {to}: {}\n", lines.join(NEXT_LINE));
    }
    text + "```\n"
}

/// The arrows of what was drawn.
fn read(drawn: &str) -> BTreeSet<Arrow<'_>> {
    let pairs = drawn.lines().filter_map(|line| {
        let (from, rest) = line.trim().split_once(" --> ")?;
        let (to, causes) = rest.split_once(": ")?;
        Some((from, to, causes))
    });
    let arrows = pairs.flat_map(|(from, to, causes)| {
        let causes = causes.split(NEXT_LINE).flat_map(|line| line.split(", "));
        causes.map(move |cause| Arrow { from, to, cause })
    });
    arrows.collect()
}
