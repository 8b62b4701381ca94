//! Cycles in words, and drawn.
//!
//! ```text
//!   T1 = line 11: [[:append 9 2]]
//!   T2 = line 21: [[:append 8 1] [:r 9 []]]
//!   T1 before T2: …      ww, wr, rw: by which key; process; realtime
//! ```

use std::f64::consts::TAU;
use std::fmt::Write as _;

use super::cycle::Cycle;
use super::graph::{Arc, Edge};
use super::table::{Mop, Table, TxnNo};
use crate::markup::escaped;

/// Longer ones are cut in the middle.
const MOST_LETTERS: usize = 200;

/// What a model knows of its transactions.
pub trait Explain {
    /// An operation, as EDN.
    fn mop(&self, mop: &Mop) -> String;

    /// What the one behind the edge did; `from` is "it".
    fn edge(&self, from: TxnNo, arc: Arc) -> String;
}

/// Who finds the words.
pub struct Words<'a> {
    /// The transactions.
    pub table: &'a Table,
    /// What the model knows of them.
    pub explain: &'a dyn Explain,
}

impl Words<'_> {
    /// A transaction, as EDN.
    fn txn(&self, txn: TxnNo) -> String {
        let mops = self.table.mops(txn).iter().map(|mop| self.explain.mop(mop));
        cut(format!("[{}]", mops.collect::<Vec<_>>().join(" ")))
    }

    fn because(&self, from: TxnNo, arc: Arc) -> String {
        match arc.edge {
            Edge::Process => "came later in the same session".to_owned(),
            Edge::Realtime => "began when it was done".to_owned(),
            Edge::Ww | Edge::Wr | Edge::Rw => cut(self.explain.edge(from, arc)),
        }
    }

    /// A cycle: its transactions, then why each comes before the next.
    pub fn cycle(&self, cycle: &Cycle) -> String {
        let mut text = String::new();
        for (place, (txn, _)) in cycle.iter().enumerate() {
            let line = self.table.txn(*txn).line;
            let _ = writeln!(text, "T{} = line {line}: {}", place + 1, self.txn(*txn));
        }
        for (place, (txn, arc)) in cycle.iter().enumerate() {
            let (one, other) = (place + 1, (place + 1) % cycle.len() + 1);
            let (name, because) = (name(arc.edge), self.because(*txn, *arc));
            let _ = writeln!(text, "T{one} before T{other}, {name}: T{other} {because}");
        }
        text
    }

    /// The same as an SVG picture.
    pub fn picture(&self, cycle: &Cycle) -> String {
        let (width, radius) = (720.0, 150.0);
        let center = (width / 2.0, radius + 60.0);
        let spot = |place: usize| {
            let turn = TAU * (place as f64 / cycle.len() as f64 - 0.25);
            (center.0 + 1.6 * radius * turn.cos(), center.1 + radius * turn.sin())
        };
        let height = 2.0 * center.1;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\"><defs><marker id=\"to\" \
             viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
             orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n"
        );
        for (place, (_, arc)) in cycle.iter().enumerate() {
            let ((x1, y1), (x2, y2)) = (spot(place), spot((place + 1) % cycle.len()));
            let length = (x2 - x1).hypot(y2 - y1).max(1.0);
            // Beside the straight line, so that there and back are told apart.
            let bend = (14.0 * (y1 - y2) / length, 14.0 * (x2 - x1) / length);
            let (ux, uy) = (22.0 * (x2 - x1) / length, 22.0 * (y2 - y1) / length);
            let middle = ((x1 + x2) / 2.0 - bend.0, (y1 + y2) / 2.0 - bend.1);
            let color = color(arc.edge);
            let _ = writeln!(
                svg,
                "<path d=\"M{:.0} {:.0}Q{:.0} {:.0} {:.0} {:.0}\" fill=\"none\" \
                 stroke=\"{color}\" stroke-width=\"1.5\" marker-end=\"url(#to)\"/>\
                 <text x=\"{:.0}\" y=\"{:.0}\" fill=\"{color}\" text-anchor=\"middle\">{}</text>",
                x1 + ux,
                y1 + uy,
                middle.0 - bend.0,
                middle.1 - bend.1,
                x2 - ux,
                y2 - uy,
                middle.0 - bend.0,
                middle.1 - bend.1,
                name(arc.edge),
            );
        }
        for (place, (txn, _)) in cycle.iter().enumerate() {
            let (x, y) = spot(place);
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"18\" fill=\"#eef\" stroke=\"#446\"/>\
                 <text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">T{}</text>\
                 <title>line {}: {}</title>",
                y + 4.0,
                place + 1,
                self.table.txn(*txn).line,
                escaped(&self.txn(*txn)),
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn name(edge: Edge) -> &'static str {
    match edge {
        Edge::Ww => "ww",
        Edge::Wr => "wr",
        Edge::Rw => "rw",
        Edge::Process => "process",
        Edge::Realtime => "realtime",
    }
}

fn color(edge: Edge) -> &'static str {
    match edge {
        Edge::Ww => "#b03030",
        Edge::Wr => "#2f7a2f",
        Edge::Rw => "#3040c0",
        Edge::Process => "#a06000",
        Edge::Realtime => "#606060",
    }
}

fn cut(text: String) -> String {
    if text.chars().count() <= MOST_LETTERS {
        return text;
    }
    let letters: Vec<char> = text.chars().collect();
    let half = MOST_LETTERS / 2;
    let (begin, end) = (&letters[..half], &letters[letters.len() - half..]);
    format!("{} … {}", begin.iter().collect::<String>(), end.iter().collect::<String>())
}
