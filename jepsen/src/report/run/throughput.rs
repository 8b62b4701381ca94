//! How many operations ended, over time: what succeeded, and below it, on a scale of its own,
//! what failed or stayed unknown.

use std::fmt::Write as _;

use super::figures::{Counts, rate};
use super::plot::{LEFT, Names, RIGHT, Scale, Time, chart, shades};
use super::{Run, units};
use crate::history::Kind;

const HEIGHT: f64 = 130.0;
const BELOW: f64 = 70.0;
const BETWEEN: f64 = 20.0;
const INTERVALS: usize = 120;

/// What ended in each of the intervals, which are as long as each other.
pub(super) fn intervals(run: &Run, time: Time) -> Vec<Counts> {
    let mut intervals = vec![Counts::default(); INTERVALS];
    for op in &run.ops {
        let place = u128::from(op.until_ns) * INTERVALS as u128 / u128::from(time.until_ns);
        intervals[(place as usize).min(INTERVALS - 1)].add(op.kind);
    }
    intervals
}

/// How long an interval is, in nanoseconds.
pub(super) fn interval_ns(time: Time) -> u64 {
    time.until_ns / INTERVALS as u64
}

pub(super) fn draw(run: &Run, time: Time) -> String {
    let intervals = intervals(run, time);
    let seconds = time.until_ns as f64 / 1e9 / INTERVALS as f64;
    let rates = |of: fn(&Counts) -> u64| -> Vec<f64> {
        intervals.iter().map(|counts| rate(of(counts), seconds)).collect()
    };
    let (ok, fail, info) =
        (rates(|counts| counts.ok), rates(|counts| counts.fail), rates(|counts| counts.info));
    let most = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
    let below = most(&fail).max(most(&info));
    let names = Names::of(run, time);
    let top = names.height() + 6.0;
    let middle = top + HEIGHT;
    let bottom = if below > 0.0 { middle + BETWEEN + BELOW } else { middle };
    chart(bottom + 22.0, "Throughput over time", |svg| {
        shades(svg, run, time, top, bottom);
        names.draw(svg, 0.0);
        time.axis(svg, top, bottom);
        let scale = Scale::linear(most(&ok), top, middle);
        scale.axis(svg, per_second);
        steps(svg, &ok, &scale, Kind::Ok);
        if below > 0.0 {
            let scale = Scale::linear(below, middle + BETWEEN, bottom);
            scale.axis(svg, per_second);
            steps(svg, &fail, &scale, Kind::Fail);
            steps(svg, &info, &scale, Kind::Info);
        }
    })
}

fn per_second(rate: f64) -> String {
    if rate < 10.0 {
        format!("{}/s", units::three(rate))
    } else {
        format!("{}/s", units::count(rate.round() as u64))
    }
}

/// A line with a step at each interval, and the area below it.
fn steps(svg: &mut String, rates: &[f64], scale: &Scale, kind: Kind) {
    if rates.iter().all(|rate| *rate == 0.0) {
        return;
    }
    let width = (RIGHT - LEFT) / rates.len() as f64;
    let mut line = String::new();
    for (place, rate) in rates.iter().enumerate() {
        let y = scale.y(*rate);
        let _ = match place {
            0 => write!(line, "M{LEFT} {y:.1}"),
            _ => write!(line, "V{y:.1}"),
        };
        let _ = write!(line, "H{:.1}", LEFT + width * (place + 1) as f64);
    }
    let (name, zero) = (kind.name(), scale.y(0.0));
    let _ = writeln!(
        svg,
        "<path class=\"area {name}\" d=\"{line}V{zero:.1}H{LEFT}z\"/>\
         <path class=\"rate {name}\" d=\"{line}\"/>"
    );
}
