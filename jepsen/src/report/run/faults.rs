//! The faults in time: a row for each, with what was seen of it.

use std::fmt::Write as _;

use super::plot::{LEFT, LETTER, RIGHT, Time, chart, color};
use super::{Run, units};
use crate::markup::escaped;

const ROW: f64 = 32.0;
/// How many are drawn.
pub(super) const MOST: usize = 200;

pub(super) fn draw(run: &Run, time: Time) -> String {
    let kinds = run.kinds_of_faults();
    let faults = run.faults_in_order();
    let faults = &faults[..faults.len().min(MOST)];
    let bottom = ROW * faults.len() as f64 + 4.0;
    chart(bottom + 22.0, "Faults over time", |svg| {
        time.axis(svg, 0.0, bottom);
        for (row, fault) in faults.iter().enumerate() {
            let (from, until) = time.span(fault);
            let top = ROW * row as f64;
            let words = fault.words();
            let said = units::cut(&words, ((RIGHT - LEFT) / LETTER) as usize);
            // What does not fit behind its begin goes back to the left.
            let width = LETTER * said.chars().count() as f64;
            let x = from.min(RIGHT - width).max(LEFT);
            let open = if fault.until_ns.is_none() { ", not healed" } else { "" };
            let _ = writeln!(
                svg,
                "<g><title>{}{open}</title><text class=\"said\" x=\"{x:.1}\" y=\"{:.0}\">{}</text>\
                 <rect class=\"bar {}\" x=\"{from:.1}\" y=\"{:.0}\" width=\"{:.1}\" \
                 height=\"8\" rx=\"1.5\"/></g>",
                escaped(&words),
                top + 14.0,
                escaped(&said),
                color(&kinds, &fault.name),
                top + 19.0,
                until - from,
            );
        }
    })
}
