//! Edges to all of many, but to oneself.
//!
//! Each of a key's readers may come before each of its writers: an edge for every two
//! would be millions. Two nodes for each writer stand for those from it on and for those
//! up to it, so that a few edges do:
//!
//! ```text
//!   reader ─rw▶ S1 ─▶ S2 ─▶ S3        T2 has read and written: T2 ─rw▶ S3, T2 ─rw▶ P1
//!               │     │     │
//!               ▼     ▼     ▼         P3 ─▶ P2 ─▶ P1, Pi ─▶ Ti
//!               T1    T2    T3
//! ```

use super::cycle::Extra;
use super::graph::{Arc, Edge, Edges};
use super::table::{NONE, TxnNo};

/// All of these come behind something.
pub struct Fan {
    writers: Vec<TxnNo>,
    /// The first of two nodes for each, if there are several writers.
    nodes: u32,
}

impl Fan {
    /// To these writers of a key, in a history of `txns`; none if there are none.
    pub fn new(mut writers: Vec<TxnNo>, key: u32, txns: usize, edges: &mut Edges) -> Option<Fan> {
        writers.sort_unstable();
        writers.dedup();
        let count = writers.len() as u32;
        let nodes = match count {
            0 => return None,
            1 => NONE,
            _ => (0..2 * count).map(|_| edges.virtual_node(txns)).min().unwrap_or(NONE),
        };
        let fan = Fan { writers, nodes };
        let ww = |to| Arc { to, key, edge: Edge::Ww, by: Extra::None };
        if count > 1 {
            for (place, writer) in fan.writers.iter().enumerate() {
                let place = place as u32;
                edges.add(fan.from(place), ww(*writer));
                edges.add(fan.up_to(place), ww(*writer));
                if place + 1 < count {
                    edges.add(fan.from(place), ww(fan.from(place + 1)));
                    edges.add(fan.up_to(place + 1), ww(fan.up_to(place)));
                }
            }
        }
        Some(fan)
    }

    /// All of them, in ascending order.
    pub fn writers(&self) -> &[TxnNo] {
        &self.writers
    }

    /// The node behind which are all writers from this place on.
    fn from(&self, place: u32) -> u32 {
        self.nodes + place
    }

    /// The node behind which are all writers up to this place.
    fn up_to(&self, place: u32) -> u32 {
        self.nodes + self.writers.len() as u32 + place
    }

    /// All of them but itself come behind `txn`.
    pub fn behind(&self, txn: TxnNo, edge: Edge, key: u32, edges: &mut Edges) {
        let arc = |to| Arc { to, key, edge, by: Extra::None };
        let last = self.writers.len() as u32 - 1;
        match self.writers.binary_search(&txn) {
            _ if last == 0 => edges.add(txn, arc(self.writers[0])),
            Err(_) => edges.add(txn, arc(self.from(0))),
            Ok(place) => {
                let place = place as u32;
                if place < last {
                    edges.add(txn, arc(self.from(place + 1)));
                }
                if place > 0 {
                    edges.add(txn, arc(self.up_to(place - 1)));
                }
            }
        }
    }
}
