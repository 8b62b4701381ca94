//! The wait-for graph as an SVG: boxes are transactions, an arrow leads from who waits
//! to whom he waits for. What is waited for stands left of those who wait. Cycles are
//! red, and run back below the boxes.

use std::fmt::Write;

use synod_client::TxnId;

use super::graph::{Arrow, WaitGraph};
use super::{age_ms, span};

const BOX: (f64, f64) = (150.0, 46.0);
/// From the corner of a box to that of the next, across and down.
const GRID: (f64, f64) = (430.0, 96.0);
const MARGIN: f64 = 40.0;
/// Transactions that are drawn.
const MAX_BOXES: usize = 500;
/// Letters of a label.
const LABEL: usize = 40;

const STYLE: &str = "\
<style>
  text { font: 13px ui-monospace, 'DejaVu Sans Mono', monospace; fill: #222 }
  .age, .label { font-size: 11px; fill: #555 }
  .label { paint-order: stroke; stroke: #fff; stroke-width: 5px; text-anchor: middle }
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
    let width = 2.0 * MARGIN + (columns - 1) as f64 * GRID.0 + BOX.0;
    let height = 2.0 * MARGIN + rows as f64 * GRID.1;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' \
         width='{width}' height='{height}'>\n<rect width='100%' height='100%' \
         style='fill:#fff;stroke:none'/>\n{STYLE}"
    );
    let arrows = || graph.arrows.iter().filter(|arrow| arrow.from.max(arrow.to) < shown);
    let red = |vertex| arrows().any(|arrow| arrow.deadlock && arrow.from == vertex);
    for (arrow, nth) in arrows().zip(nths(graph)) {
        draw_arrow(&mut svg, arrow, nth, corner(places[arrow.from]), corner(places[arrow.to]));
    }
    for (vertex, known) in graph.txns.iter().enumerate().take(shown) {
        let age = age_ms(known.age).map_or(String::new(), |ms| format!("{} old", span(ms)));
        draw_box(&mut svg, corner(places[vertex]), known.txn, &age, red(vertex));
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

/// For every arrow, how many lead between the same two boxes before it.
fn nths(graph: &WaitGraph) -> impl Iterator<Item = usize> {
    graph.arrows.iter().enumerate().map(|(i, arrow)| {
        let same = |other: &&Arrow| (other.from, other.to) == (arrow.from, arrow.to);
        graph.arrows[..i].iter().filter(same).count()
    })
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

/// To the left straight to the other box; otherwise around below.
fn draw_arrow(svg: &mut String, arrow: &Arrow, nth: usize, from: (f64, f64), to: (f64, f64)) {
    let shift = 16.0 * nth as f64;
    let (class, head) = if arrow.deadlock { (" class='deadlock'", "red") } else { ("", "end") };
    let (path, label) = if from.0 > to.0 {
        let (x1, y1) = (from.0, from.1 + BOX.1 / 2.0);
        let (x2, y2) = (to.0 + BOX.0, to.1 + BOX.1 / 2.0 + shift.min(BOX.1 / 2.0));
        let reach = 60.0;
        let path = format!("M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}", x1 - reach, x2 + reach);
        // Nearer to who waits, where fewer arrows meet.
        (path, (x1 - (x1 - x2) * 0.42, y1 - (y1 - y2) * 0.42 - 6.0))
    } else {
        let (x1, y1) = (from.0 + BOX.0 * 0.6, from.1 + BOX.1);
        let (x2, y2) = (to.0 + BOX.0 * 0.4, to.1 + BOX.1);
        let low = y1.max(y2) + 40.0 + shift;
        let path = format!("M{x1} {y1}C{x1} {low} {x2} {low} {x2} {y2}");
        (path, ((x1 + x2) / 2.0, (y1 + y2) / 8.0 + low * 0.75 - 6.0))
    };
    let what: String = arrow.what.chars().take(LABEL).collect();
    let cut = if what.len() < arrow.what.len() { "…" } else { "" };
    let text = escaped(&format!("{what}{cut} · {}", span(arrow.waited_ms)));
    _ = writeln!(
        svg,
        "<g{class}><path d='{path}' marker-end='url(#{head})'/>\
         <text class='label' x='{}' y='{}'>{text}</text></g>",
        label.0, label.1
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
