//! The wait-for graph as an SVG: boxes are transactions, an arrow leads from who waits
//! to whom he waits for, and says beside the one who waits what it is for. What is
//! waited for stands left of those who wait. Cycles are red, and run back below the
//! boxes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use synod_client::TxnId;

use super::graph::{Arrow, WaitGraph};
use super::{age_ms, span};

const BOX: (f64, f64) = (150.0, 46.0);
/// From the corner of a box to that of the next, across and down.
const GRID: (f64, f64) = (480.0, 112.0);
const MARGIN: f64 = 40.0;
/// Transactions that are drawn.
const MAX_BOXES: usize = 500;
/// Letters of a label.
const LABEL: usize = 40;

const STYLE: &str = "\
<style>
  text { font: 13px ui-monospace, 'DejaVu Sans Mono', monospace; fill: #222 }
  .age, .label { font-size: 11px; fill: #555 }
  .label { paint-order: stroke; stroke: #fff; stroke-width: 4px }
  rect { fill: #f4f6fa; stroke: #57606a; rx: 6px }
  path { fill: none; stroke: #57606a; stroke-width: 1.4px }
  .deadlock rect { fill: #ffebe9; stroke: #cf222e }
  .deadlock path { stroke: #cf222e; stroke-width: 2.2px }
  .deadlock .label { fill: #cf222e }
</style>
<defs>
  <marker id='end' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='8' markerHeight='8' \
markerUnits='userSpaceOnUse' orient='auto'><path d='M0 0L10 5L0 10z' \
style='fill:#57606a;stroke:none'/></marker>
  <marker id='red' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='10' markerHeight='10' \
markerUnits='userSpaceOnUse' orient='auto'><path d='M0 0L10 5L0 10z' \
style='fill:#cf222e;stroke:none'/></marker>
</defs>
";

/// Draws it.
pub fn draw(graph: &WaitGraph) -> String {
    let shown = graph.txns.len().min(MAX_BOXES);
    let places = places(graph, shown);
    let columns = places.iter().map(|(column, _)| *column).max().unwrap_or(0) + 1;
    let rows = places.iter().map(|(_, row)| *row).max().unwrap_or(0) + 1;
    let width = MARGIN + columns as f64 * GRID.0 + MARGIN;
    let height = 2.0 * MARGIN + rows as f64 * GRID.1;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' \
         width='{width}' height='{height}'>\n<rect width='100%' height='100%' \
         style='fill:#fff;stroke:none'/>\n{STYLE}"
    );
    let arrows = || graph.arrows.iter().filter(|arrow| arrow.from.max(arrow.to) < shown);
    let ends = |arrow: &Arrow| (corner(places[arrow.from]), corner(places[arrow.to]));
    for arrow in arrows() {
        draw_arrow(&mut svg, arrow, ends(arrow));
    }
    let red: BTreeSet<usize> =
        arrows().filter(|arrow| arrow.deadlock).map(|arrow| arrow.from).collect();
    for (vertex, known) in graph.txns.iter().enumerate().take(shown) {
        let age = age_ms(known.age).map_or(String::new(), |ms| format!("{} old", span(ms)));
        let is_red = red.contains(&vertex);
        draw_box(&mut svg, corner(places[vertex]), known.txn, &age, is_red);
    }
    // One for all arrows of a wait, on top of everything.
    let mut labelled: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for arrow in arrows() {
        let labels = labelled.entry(arrow.from).or_default();
        if !labels.contains(&&arrow.what[..]) {
            draw_label(&mut svg, arrow, labels.len(), ends(arrow));
            labels.push(&arrow.what);
        }
    }
    if shown < graph.txns.len() {
        let more = graph.txns.len() - shown;
        _ = write!(svg, "<text x='{MARGIN}' y='{}'>and {more} more</text>", height - 12.0);
    }
    if graph.arrows.is_empty() {
        _ = write!(svg, "<text x='{MARGIN}' y='{MARGIN}'>nobody waits</text>");
    }
    svg + "</svg>\n"
}

/// Column and row of each box. Who waits stands right of whom he waits for, as far as
/// there is no cycle; a cycle begins with the first of its members.
fn places(graph: &WaitGraph, shown: usize) -> Vec<(usize, usize)> {
    let mut places: Vec<Option<(usize, usize)>> = vec![None; shown];
    let mut next_row = 0;
    let roots = graph.roots().into_iter();
    let deadlocked = graph.arrows.iter().filter(|arrow| arrow.deadlock).map(|arrow| arrow.to);
    for root in roots.chain(deadlocked).chain(0..shown).filter(|root| *root < shown) {
        if places[root].is_some() {
            continue;
        }
        // Breadth first, column by column, each below what is there.
        let mut column = vec![root];
        let mut at = 0;
        let mut deepest = next_row;
        places[root] = Some((0, next_row));
        while !column.is_empty() {
            let mut row = next_row;
            let mut following = Vec::new();
            for arrow in column.iter().flat_map(|vertex| graph.into(*vertex)) {
                if arrow.from < shown && places[arrow.from].is_none() {
                    places[arrow.from] = Some((at + 1, row));
                    following.push(arrow.from);
                    row += 1;
                }
            }
            deepest = deepest.max(row.max(next_row + 1));
            column = following;
            at += 1;
        }
        next_row = deepest;
    }
    places.into_iter().map(Option::unwrap_or_default).collect()
}

fn corner((column, row): (usize, usize)) -> (f64, f64) {
    (MARGIN + column as f64 * GRID.0, MARGIN + row as f64 * GRID.1)
}

fn draw_box(svg: &mut String, (x, y): (f64, f64), txn: TxnId, age: &str, red: bool) {
    let class = if red { " class='deadlock'" } else { "" };
    let (width, height) = BOX;
    _ = writeln!(
        svg,
        "<g{class}><rect x='{x}' y='{y}' width='{width}' height='{height}'/>\
         <text x='{}' y='{}'>{txn}</text><text class='age' x='{}' y='{}'>{age}</text></g>",
        x + 10.0,
        y + 19.0,
        x + 10.0,
        y + 36.0
    );
}

/// From which side of its box an arrow leaves.
fn side(from: (f64, f64), to: (f64, f64)) -> Ordering {
    to.0.total_cmp(&from.0)
}

/// To the left straight to the other box, to the right around below, within a column
/// around on the right.
fn draw_arrow(svg: &mut String, arrow: &Arrow, (from, to): ((f64, f64), (f64, f64))) {
    let (class, head) = if arrow.deadlock { (" class='deadlock'", "red") } else { ("", "end") };
    let path = match side(from, to) {
        Ordering::Less => {
            let (x1, y1) = (from.0, from.1 + BOX.1 / 2.0);
            let (x2, y2) = (to.0 + BOX.0, to.1 + BOX.1 / 2.0);
            format!("M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}", x1 - 90.0, x2 + 90.0)
        }
        Ordering::Equal => {
            let (x, y1, y2) = (from.0 + BOX.0, from.1 + BOX.1 / 2.0, to.1 + BOX.1 / 2.0);
            let far = x + 30.0 + (y1 - y2).abs() / 8.0;
            format!("M{x} {y1}C{far} {y1} {far} {y2} {x} {y2}")
        }
        Ordering::Greater => {
            let (x1, y1) = (from.0 + BOX.0 * 0.2, from.1 + BOX.1);
            let (x2, y2) = (to.0 + BOX.0 * 0.5, to.1 + BOX.1);
            let low = y1.max(y2) + 46.0;
            format!("M{x1} {y1}C{x1} {low} {x2} {low} {x2} {y2}")
        }
    };
    _ = writeln!(svg, "<g{class}><path d='{path}' marker-end='url(#{head})'/></g>");
}

/// What a wait is for, beside the box of who waits; below the labels it has already.
fn draw_label(svg: &mut String, arrow: &Arrow, nth: usize, (from, to): ((f64, f64), (f64, f64))) {
    let class = if arrow.deadlock { " class='deadlock'" } else { "" };
    let middle = from.1 + BOX.1 / 2.0;
    let (x, y, anchor) = match side(from, to) {
        Ordering::Less if from.1 > to.1 => (from.0 - 10.0, middle + 16.0, "end"),
        Ordering::Less => (from.0 - 10.0, middle - 6.0, "end"),
        Ordering::Equal => (from.0 + BOX.0 + 12.0, middle + 18.0, "start"),
        Ordering::Greater => (from.0 + BOX.0 * 0.2 + 24.0, from.1 + BOX.1 + 16.0, "start"),
    };
    let y = y + 14.0 * nth as f64;
    let what: String = arrow.what.chars().take(LABEL).collect();
    let cut = if what.len() < arrow.what.len() { "…" } else { "" };
    let text = escaped(&format!("{what}{cut} · {}", span(arrow.waited_ms)));
    _ = writeln!(
        svg,
        "<g{class}><text class='label' x='{x}' y='{y}' text-anchor='{anchor}'>{text}</text></g>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waits::graph::tests::{example, row};

    #[test]
    fn boxes_and_arrows_are_all_there_and_cycles_are_red() {
        let graph = example();
        let svg = draw(&graph);
        if let Some(path) = std::env::var_os("SYNOD_SVG") {
            std::fs::write(path, &svg).unwrap();
        }
        assert_eq!(svg.matches("<rect ").count(), 1 + graph.txns.len());
        assert_eq!(svg.matches("marker-end").count(), graph.arrows.len());
        assert_eq!(svg.matches("class='deadlock'><path").count(), 2);
        assert_eq!(svg.matches("class='deadlock'><rect").count(), 2);
        assert!(svg.contains("X on key stock/&lt;7&amp;8&gt;, s2 · 35 ms"));
        assert!(!svg.contains("<7"));
    }

    #[test]
    fn no_two_boxes_lie_on_one_another() {
        let mut places = places(&example(), 6);
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 6);
    }

    #[test]
    fn what_is_drawn_is_bounded() {
        let shard = synod_client::ShardId(1);
        let rows: Vec<_> =
            (1..2_000).map(|n| (shard, row(&"k".repeat(60), n, &[(n + 1, &[n])]))).collect();
        let svg = draw(&WaitGraph::of(&rows));
        assert_eq!(svg.matches("<rect ").count(), 1 + MAX_BOXES);
        assert!(svg.contains("and 1500 more"));
    }
}
