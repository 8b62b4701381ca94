//! A timeline as SVG: a row for each process, a bar for each operation.
//!
//! What is between two events is as wide as what is between any other two: only the order
//! counts. A bar that fades out to the right belongs to an operation that never ended.

use crate::markup::escaped;
use std::collections::BTreeMap;
use std::fmt::Write;

/// An operation in a picture.
pub(super) struct Bar {
    pub process: i64,
    pub began: u32,
    pub ended: Option<u32>,
    /// What stands in it, and what is said of it.
    pub what: String,
    pub called: String,
    pub look: Look,
}

/// What it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It has that place in the order.
    Taken(usize),
    /// It could have been taken.
    Open,
    /// It cannot be taken.
    Stuck,
}

const LEFT: usize = 90;
const STEP: usize = 46;
const ROW: usize = 34;
const TOP: usize = 30;

pub(super) fn draw(bars: &[Bar]) -> String {
    let mut events: Vec<u32> =
        bars.iter().flat_map(|bar| [Some(bar.began), bar.ended]).flatten().collect();
    events.sort_unstable();
    events.dedup();
    let right = LEFT + STEP * (events.len() + 1);
    let x = |event: u32| LEFT + STEP * events.partition_point(|other| *other < event);
    let rows = rows(bars);
    let height = TOP + ROW * rows.len() + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {right} {height}\" \
         width=\"{right}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{right}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"8\" y=\"18\" fill=\"#555555\">Red: cannot be linearized. Green: one order of \
         the others. Grey: open, not taken.</text>\n"
    );
    for (row, (process, _)) in rows.iter().enumerate() {
        let y = TOP + ROW * row;
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{}\" fill=\"#333333\">process {process}</text>\n\
             <line x1=\"{LEFT}\" y1=\"{}\" x2=\"{right}\" y2=\"{}\" stroke=\"#e0e0e0\"/>",
            y + 19,
            y + ROW,
            y + ROW
        );
    }
    for (row, (_, of_row)) in rows.iter().enumerate() {
        for (place, bar) in of_row.iter().enumerate() {
            let from = x(bar.began);
            let to = bar.ended.map_or(right, x);
            // What is said may reach to the next one.
            let room = of_row.get(place + 1).map_or(right, |next| x(next.began)) - from;
            draw_bar(&mut svg, bar, from, to - from, room, TOP + ROW * row + 4);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Bars that do not overlap, in a row; a process has more than one row where it has left
/// operations without an end.
fn rows(bars: &[Bar]) -> Vec<(i64, Vec<&Bar>)> {
    let mut processes: BTreeMap<i64, Vec<&Bar>> = BTreeMap::new();
    for bar in bars {
        processes.entry(bar.process).or_default().push(bar);
    }
    let mut rows: Vec<(i64, Vec<&Bar>)> = Vec::new();
    for (process, mut of_process) in processes {
        of_process.sort_by_key(|bar| bar.began);
        let first = rows.len();
        for bar in of_process {
            let free = rows[first..].iter_mut().find(|(_, row)| {
                row.last().is_none_or(|last| last.ended.is_some_and(|ended| ended <= bar.began))
            });
            match free {
                Some((_, row)) => row.push(bar),
                None => rows.push((process, vec![bar])),
            }
        }
    }
    rows
}

fn draw_bar(svg: &mut String, bar: &Bar, x: usize, width: usize, room: usize, y: usize) {
    let (fill, stroke) = match bar.look {
        Look::Taken(_) => ("#d9f0d9", "#3c8c3c"),
        Look::Open => ("#eeeeee", "#888888"),
        Look::Stuck => ("#ffd6d6", "#cc0000"),
    };
    let dashes = if bar.ended.is_none() { " stroke-dasharray=\"5 3\"" } else { "" };
    let label = match bar.look {
        Look::Taken(place) => format!("{place}: {}", bar.what),
        _ => bar.what.clone(),
    };
    let fits = (room / 8).max(3);
    let label: String = if label.chars().count() > fits {
        label.chars().take(fits - 1).chain(['…']).collect()
    } else {
        label
    };
    let _ = writeln!(
        svg,
        "<g><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"26\" rx=\"4\" \
         fill=\"{fill}\" stroke=\"{stroke}\"{dashes}/><text x=\"{}\" y=\"{}\" \
         fill=\"#111111\">{}</text></g>",
        escaped(&bar.called),
        x + 5,
        y + 17,
        escaped(&label)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ended_has_a_row_of_its_own_behind_it() {
        let bar = |began, ended, look| Bar {
            process: 3,
            began,
            ended,
            what: "write \"<1>\"".to_owned(),
            called: "it".to_owned(),
            look,
        };
        let bars = [
            bar(1, Some(2), Look::Taken(1)),
            bar(4, None, Look::Open),
            bar(9, Some(12), Look::Stuck),
        ];
        assert_eq!(rows(&bars).len(), 2);
        let svg = draw(&bars);
        assert!(svg.contains("1: wr"), "{svg}");
        assert!(svg.contains("&quot;&lt;") || svg.contains("…"), "{svg}");
        assert!(!svg.contains("<1>"), "{svg}");
        assert_eq!(svg.matches("stroke-dasharray").count(), 1);
    }
}
