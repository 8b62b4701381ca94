//! Bars of transactions a second, a panel for each cell, drawn as SVG.

use std::fmt::Write;

use crate::cell::Cell;
use crate::page::Summary;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 150.0;
const BAR: f64 = 16.0;
const HEAD: f64 = 34.0;
const OWN: &str = "#2f6fdb";
const OTHERS: &str = "#9aa4b2";

/// A panel for each cell, each with a scale of its own.
pub fn bars(panels: &[(Cell, Vec<Summary>)]) -> String {
    let height = |summaries: &[Summary]| HEAD + BAR * 1.4 * summaries.len() as f64 + 10.0;
    let all: f64 = panels.iter().map(|(_, summaries)| height(summaries)).sum();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {all}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut top = 0.0;
    for (cell, summaries) in panels {
        panel(&mut svg, top, *cell, summaries);
        top += height(summaries);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, top: f64, cell: Cell, summaries: &[Summary]) {
    let most = summaries.iter().map(|one| one.rate[2]).fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - 110.0) / most;
    text(svg, 8.0, top + 22.0, "bold", &format!("{cell}, transactions a second"));
    for (n, one) in summaries.iter().enumerate() {
        let y = top + HEAD + BAR * 1.4 * n as f64;
        let [least, median, highest] = one.rate.map(|rate| rate * scale);
        let color = if one.system.starts_with("synod") { OWN } else { OTHERS };
        text(svg, 8.0, y + BAR * 0.75, "normal", one.system);
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{median:.1}\" height=\"{BAR}\" fill=\"{color}\"/>\
             <path d=\"M{:.1} {:.1}H{:.1}\" stroke=\"black\" stroke-width=\"1.5\"/>",
            LEFT + least,
            y + BAR / 2.0,
            LEFT + highest,
        );
        text(svg, LEFT + highest + 6.0, y + BAR * 0.75, "normal", &format!("{:.0}", one.rate[1]));
    }
}

fn text(svg: &mut String, x: f64, y: f64, weight: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" font-weight=\"{weight}\">{text}</text>");
}
