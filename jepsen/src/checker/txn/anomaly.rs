//! Anomalies by name, and the levels that each breaks.
//!
//! | Without a cycle | Breaks |
//! | --- | --- |
//! | `G1a` a read of what failed, `G1b` of what its writer overwrote, `garbage-read` of what nobody wrote | read-committed |
//! | `dirty-update` a version built on one that failed, `future-read` of what is written later | read-committed |
//! | `incompatible-order` two reads, neither a prefix of the other | read-committed |
//! | `duplicate-elements`, `cyclic-versions` | read-uncommitted |
//! | `internal` a transaction contradicts itself | read-atomic |
//! | `fractured-read` of one key what another wrote, of a second what it replaced (of lists) | read-atomic |
//! | `lost-update` two have read the same version and replaced it | cursor-stability, update-atomic |
//!
//! | Cycle of | Name | Breaks | with sessions | with real time |
//! | --- | --- | --- | --- | --- |
//! | ww | `G0` | read-uncommitted | strong-session-read-committed | strong-snapshot-isolation |
//! | and wr | `G1c` | read-committed | strong-session-read-committed | strong-snapshot-isolation |
//! | and one rw | `G-single-item` | consistent-view, repeatable-read | strong-session-snapshot-isolation | strong-snapshot-isolation |
//! | and several rw, never two in a row | `G-nonadjacent-item` | snapshot-isolation, repeatable-read | strong-session-snapshot-isolation | strong-snapshot-isolation |
//! | and two rw in a row | `G2-item` | repeatable-read | strong-session-serializable | strict-serializable |
//!
//! Adya (1999), and Kingsbury and Alvaro (2020), §5 and table 2. A cycle with one rw and
//! no ww breaks `causal`, too, and one in which each rw is behind a wr or a session's
//! order breaks `prefix` (Cerone, Bernardi and Gotsman 2015; Biswas and Enea 2019).

use super::cycle::{Extra, Shape};
use crate::checker::Anomaly;
use crate::level::Level;

/// How many cycles of one kind are reported: a thousand say no more than some do.
pub const MOST_OF_A_KIND: usize = 8;
/// How many of one kind are reported of what is no cycle. Of each kind: many of one must
/// not hide that there is another.
const MOST: usize = 64;

/// Reports one that is no cycle.
pub fn report(found: &mut Vec<Anomaly>, name: &str, words: impl FnOnce() -> String) {
    if found.iter().filter(|found| found.name == name).count() < MOST {
        found.push(single(name, words()));
    }
}

fn single(name: &str, words: String) -> Anomaly {
    let breaks = match name {
        "G1a" | "G1b" | "garbage-read" | "dirty-update" | "future-read" | "incompatible-order" => {
            vec![Level::ReadCommitted]
        }
        "duplicate-elements" | "cyclic-versions" => vec![Level::ReadUncommitted],
        "internal" | "fractured-read" => vec![Level::ReadAtomic],
        "lost-update" => vec![Level::CursorStability, Level::UpdateAtomic],
        "empty-transaction-graph" => vec![],
        name => panic!("{name} is in no table"),
    };
    Anomaly { name: name.to_owned(), words, breaks, picture: None }
}

/// The name of a cycle of this shape.
pub fn name(shape: Shape, extra: Extra) -> String {
    let name = match shape {
        Shape::G0 => "G0",
        Shape::G1c => "G1c",
        Shape::GSingle => "G-single-item",
        Shape::GNonadjacent => "G-nonadjacent-item",
        Shape::G2 => "G2-item",
    };
    let extra = match extra {
        Extra::None => "",
        Extra::Process => "-process",
        Extra::Realtime => "-realtime",
    };
    format!("{name}{extra}")
}

/// The levels that a cycle of this shape breaks.
pub fn breaks(shape: Shape, extra: Extra) -> &'static [Level] {
    use Level as L;
    match (extra, shape) {
        (Extra::None, Shape::G0) => &[L::ReadUncommitted],
        (Extra::None, Shape::G1c) => &[L::ReadCommitted],
        (Extra::None, Shape::GSingle) => &[L::ConsistentView, L::RepeatableRead],
        (Extra::None, Shape::GNonadjacent) => &[L::RepeatableRead, L::SnapshotIsolation],
        (Extra::None, Shape::G2) => &[L::RepeatableRead],
        (Extra::Process, Shape::G0 | Shape::G1c) => &[L::StrongSessionReadCommitted],
        (Extra::Process, Shape::GSingle | Shape::GNonadjacent) => {
            &[L::StrongSessionSnapshotIsolation]
        }
        (Extra::Process, Shape::G2) => &[L::StrongSessionSerializable],
        (Extra::Realtime, Shape::G2) => &[L::StrictSerializable],
        (Extra::Realtime, _) => &[L::StrongSnapshotIsolation],
    }
}
