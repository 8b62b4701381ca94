//! How long operations took, over the time at which they began.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::figures::quantile;
use super::plot::{LEFT, Names, RIGHT, Scale, Time, chart, shades};
use super::{Run, units};
use crate::history::Kind;

const HEIGHT: f64 = 260.0;
/// More successes than these are drawn as ranges, and more failures as points.
const MOST_DOTS: usize = 5_000;
/// What took less is drawn as if it took that.
const LEAST_NS: u64 = 1_000;

fn many(run: &Run, kind: Kind) -> bool {
    run.ops.iter().filter(|op| op.kind == kind).count() > MOST_DOTS
}

/// What is to be known of the drawing.
pub(super) fn caption(run: &Run, time: Time) -> String {
    let mut words =
        "Each operation stands where it began. All that failed and all of which nobody \
                     knows are there; of marks that cover each other one is drawn."
            .to_owned();
    if many(run, Kind::Fail) {
        words.push_str(" There are many failures: they are points.");
    }
    if many(run, Kind::Ok) {
        let column = (time.until_ns as f64 / (RIGHT - LEFT)) as u64;
        let _ = write!(
            words,
            " Successes are drawn as ranges, one for each {}: from the fastest to the slowest, \
             darker from half of them to 99 of 100, with a point at half.",
            units::time(column)
        );
    }
    words
}

pub(super) fn draw(run: &Run, time: Time) -> String {
    let names = Names::of(run, time);
    let top = names.height() + 6.0;
    let bottom = top + HEIGHT;
    let latencies = || run.ops.iter().map(|op| op.latency_ns().max(LEAST_NS) as f64);
    let (least, most) = latencies()
        .fold((f64::MAX, 0.0), |(least, most): (f64, f64), ns| (least.min(ns), most.max(ns)));
    let scale = match run.ops.is_empty() {
        true => Scale::log(1e6, 1e9, top, bottom),
        false => Scale::log(least, most, top, bottom),
    };
    chart(bottom + 22.0, "Latency over time", |svg| {
        shades(svg, run, time, top, bottom);
        names.draw(svg, 0.0);
        time.axis(svg, top, bottom);
        scale.axis(svg, |ns| units::time(ns.round() as u64));
        match many(run, Kind::Ok) {
            true => ranges(svg, run, time, &scale),
            false => dots(svg, run, time, &scale, Kind::Ok),
        }
        dots(svg, run, time, &scale, Kind::Fail);
        dots(svg, run, time, &scale, Kind::Info);
    })
}

/// A mark for each operation of a kind; of those that would cover each other, one.
fn dots(svg: &mut String, run: &Run, time: Time, scale: &Scale, kind: Kind) {
    // Crosses in a crowd would hide all else.
    let many = kind == Kind::Fail && many(run, kind);
    let mut taken = HashSet::new();
    let mut path = String::new();
    for op in run.ops.iter().filter(|op| op.kind == kind) {
        let (x, y) = (time.x(op.from_ns), scale.y(op.latency_ns().max(LEAST_NS) as f64));
        // To half a pixel.
        let place = ((2.0 * x).round() as i64, (2.0 * y).round() as i64);
        if !taken.insert(place) {
            continue;
        }
        let (x, y) = (place.0 as f64 / 2.0, place.1 as f64 / 2.0);
        let _ = match kind {
            Kind::Fail if !many => write!(path, "M{} {}l4 4m0-4l-4 4", x - 2.0, y - 2.0),
            Kind::Info => write!(path, "M{x} {}l3 5.5h-6z", y - 3.5),
            Kind::Ok | Kind::Fail | Kind::Invoke => write!(path, "M{x} {y}h0"),
        };
    }
    if !path.is_empty() {
        let (name, many) = (kind.name(), if many { " many" } else { "" });
        let _ = writeln!(svg, "<path class=\"dots {name}{many}\" d=\"{path}\"/>");
    }
}

/// The successes of a column of pixels: from the fastest to the slowest, from half of them to
/// 99 of 100, and a point at half.
fn ranges(svg: &mut String, run: &Run, time: Time, scale: &Scale) {
    let mut columns: Vec<Vec<u64>> = vec![Vec::new(); (RIGHT - LEFT) as usize + 1];
    for op in run.ops.iter().filter(|op| op.kind == Kind::Ok) {
        columns[(time.x(op.from_ns) - LEFT) as usize].push(op.latency_ns().max(LEAST_NS));
    }
    let (mut all, mut most, mut half) = (String::new(), String::new(), String::new());
    for (place, column) in columns.iter_mut().enumerate() {
        column.sort_unstable();
        let x = LEFT + place as f64 + 0.5;
        let y = |part| quantile(column, part).map(|ns| scale.y(ns as f64));
        let (Some(low), Some(middle), Some(high), Some(max)) = (y(0.0), y(0.5), y(0.99), y(1.0))
        else {
            continue;
        };
        let _ = write!(all, "M{x} {low:.1}V{max:.1}");
        let _ = write!(most, "M{x} {middle:.1}V{high:.1}");
        let _ = write!(half, "M{x} {middle:.1}h0");
    }
    let _ = writeln!(
        svg,
        "<path class=\"range\" d=\"{all}\"/><path class=\"range most\" d=\"{most}\"/>\
         <path class=\"dots half\" d=\"{half}\"/>"
    );
}
