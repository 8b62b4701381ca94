//! What charts are made of: axes, scales, ticks, and the shades of faults.

use std::fmt::Write as _;

use super::{Fault, Run};
use crate::markup::escaped;

/// All charts are so wide, in pixels.
pub(super) const WIDTH: f64 = 960.0;
/// Where time begins and ends in them.
pub(super) const LEFT: f64 = 64.0;
pub(super) const RIGHT: f64 = 946.0;
/// What a letter takes, about.
pub(super) const LETTER: f64 = 6.2;
/// How many colours there are.
const COLORS: usize = 8;
const LANE: f64 = 13.0;
const LANES: usize = 4;
/// No fault is drawn thinner, also if it was over at once.
const THINNEST: f64 = 3.0;
const SECOND: f64 = 1e9;

/// A picture of this height, which `draw` fills.
pub(super) fn chart(height: f64, name: &str, draw: impl FnOnce(&mut String)) -> String {
    let name = escaped(name);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" role=\"img\" \
         aria-label=\"{name}\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\">\n"
    );
    draw(&mut svg);
    svg.push_str("</svg>\n");
    svg
}

/// The axis of time, from the begin of a run to its end: the same in all its charts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) until_ns: u64,
}

impl Time {
    pub(super) fn of(run: &Run) -> Time {
        Time { until_ns: run.until_ns().max(1) }
    }

    pub(super) fn x(self, ns: u64) -> f64 {
        LEFT + (RIGHT - LEFT) * (ns as f64 / self.until_ns as f64).min(1.0)
    }

    /// From where to where a fault is drawn.
    pub(super) fn span(self, fault: &Fault) -> (f64, f64) {
        let from = self.x(fault.from_ns).min(RIGHT - THINNEST);
        let until = self.x(fault.until_ns.unwrap_or(self.until_ns));
        (from, until.max(from + THINNEST))
    }

    /// Lines from `top` to `bottom`, and below them what moment they are.
    pub(super) fn axis(self, svg: &mut String, top: f64, bottom: f64) {
        let step = step(self.until_ns as f64 / SECOND, 10.0);
        for tick in 0.. {
            let seconds = f64::from(tick) * step;
            if seconds * SECOND > self.until_ns as f64 {
                return;
            }
            let x = self.x((seconds * SECOND) as u64);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {top:.0}V{bottom:.0}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{} s</text>",
                bottom + 15.0,
                decimal(seconds, step)
            );
        }
    }
}

/// One of 1, 2, 5, 10, … such that at most so many of them make the length.
fn step(length: f64, most: f64) -> f64 {
    let least = (length / most).max(1e-9);
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// A multiple of `step`, with as many places as that has.
fn decimal(number: f64, step: f64) -> String {
    let places = (-step.log10().floor()).max(0.0) as usize;
    format!("{number:.places$}")
}

/// What is drawn above what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    top: f64,
    bottom: f64,
    log: bool,
}

impl Scale {
    /// From 0 to a round number that is not below `most`.
    pub(super) fn linear(most: f64, top: f64, bottom: f64) -> Scale {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = step(most, 5.0);
        Scale { low: 0.0, high: (most / step).ceil() * step, top, bottom, log: false }
    }

    /// Powers of ten around `least` and `most`, which are above 0.
    pub(super) fn log(least: f64, most: f64, top: f64, bottom: f64) -> Scale {
        let low = (least.log10() + 1e-9).floor();
        let high = (most.log10() - 1e-9).ceil().max(low + 1.0);
        Scale { low, high, top, bottom, log: true }
    }

    /// Where it stands; what is outside stands on the border.
    pub(super) fn y(&self, value: f64) -> f64 {
        let value = if self.log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.bottom - part * (self.bottom - self.top)
    }

    /// Lines across, and left of them what they stand for.
    pub(super) fn axis(&self, svg: &mut String, label: impl Fn(f64) -> String) {
        let (step, power) = match self.log {
            true => (1.0, true),
            false => (step(self.high, 5.0), false),
        };
        let ticks = ((self.high - self.low) / step).round() as u32;
        for tick in 0..=ticks {
            let value = self.low + f64::from(tick) * step;
            let value = if power { 10_f64.powf(value) } else { value };
            let y = self.y(value);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                escaped(&label(value))
            );
        }
    }
}

/// The class of a kind of fault: its colour.
pub(super) fn color(kinds: &[&str], name: &str) -> String {
    let place = kinds.iter().position(|kind| *kind == name).unwrap_or(0);
    format!("f{}", place % COLORS)
}

/// Shades from `top` to `bottom` where faults were on.
pub(super) fn shades(svg: &mut String, run: &Run, time: Time, top: f64, bottom: f64) {
    let kinds = run.kinds_of_faults();
    for fault in run.faults_in_order() {
        let (from, until) = time.span(fault);
        let _ = writeln!(
            svg,
            "<rect class=\"shade {}\" x=\"{from:.1}\" y=\"{top:.0}\" width=\"{:.1}\" \
             height=\"{:.0}\"><title>{}</title></rect>",
            color(&kinds, &fault.name),
            until - from,
            bottom - top,
            escaped(&fault.words())
        );
    }
}

/// The names of faults above their shades, as far as there is room.
pub(super) struct Names {
    placed: Vec<(f64, usize, String)>,
    lanes: usize,
}

impl Names {
    pub(super) fn of(run: &Run, time: Time) -> Names {
        let mut ends: Vec<f64> = Vec::new();
        let mut placed = Vec::new();
        for fault in run.faults_in_order() {
            let width = LETTER * fault.name.chars().count() as f64;
            let x = time.span(fault).0.min(RIGHT - width);
            let free = ends.iter().position(|end| *end <= x);
            let lane = match free {
                Some(lane) => lane,
                None if ends.len() < LANES => {
                    ends.push(0.0);
                    ends.len() - 1
                }
                None => continue,
            };
            ends[lane] = x + width + LETTER;
            placed.push((x, lane, fault.name.clone()));
        }
        Names { placed, lanes: ends.len() }
    }

    /// How much room they take.
    pub(super) fn height(&self) -> f64 {
        LANE * self.lanes as f64
    }

    /// Writes them between `top` and what [`Names::height`] is below.
    pub(super) fn draw(&self, svg: &mut String, top: f64) {
        for (x, lane, name) in &self.placed {
            let y = top + LANE * (*lane as f64 + 1.0) - 3.0;
            let name = escaped(name);
            let _ = writeln!(svg, "<text class=\"said\" x=\"{x:.1}\" y=\"{y:.0}\">{name}</text>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        let lengths = [0.004, 1.0, 7.0, 10.0, 19.0, 60.0, 301.0];
        assert_eq!(
            lengths.map(|length| step(length, 10.0)),
            [0.0005, 0.1, 1.0, 1.0, 2.0, 10.0, 50.0]
        );
        assert_eq!(decimal(0.3, 0.1), "0.3");
        assert_eq!(decimal(20.0, 5.0), "20");
    }

    #[test]
    fn scales_end_at_round_numbers() {
        let linear = Scale::linear(42.0, 10.0, 110.0);
        assert_eq!([0.0, 25.0, 50.0, 99.0].map(|value| linear.y(value)), [110.0, 60.0, 10.0, 10.0]);
        let log = Scale::log(2e6, 1e8, 0.0, 100.0);
        assert_eq!(
            [1e6, 1e7, 1e8, 1e9, 0.0].map(|value| log.y(value)),
            [100.0, 50.0, 0.0, 0.0, 100.0]
        );
        let one = Scale::log(1e6, 1e6, 0.0, 100.0);
        assert_eq!([1e6, 1e7].map(|value| one.y(value)), [100.0, 0.0]);
    }
}
