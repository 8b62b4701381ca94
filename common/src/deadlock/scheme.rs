//! The four ways of dealing with deadlocks, of which a cluster has one.
//!
//! | scheme       | a wait that has begun                          | costs                          |
//! |--------------|------------------------------------------------|--------------------------------|
//! | `graph`      | is told to the coordinator, which looks for cycles among all | a report every few ms from shards where somebody waits |
//! | `probes`     | is chased from shard to shard until it comes back | messages between shards, per wait and step; no coordinator |
//! | `wound-wait` | stands if the holder is older; else the holder is aborted | aborts without a deadlock; no messages, no delay |
//! | `wait-die`   | stands if the holder is younger; else the waiter is aborted | more of them, of those who have done less |
//!
//! The first two *detect*: nobody is aborted who is not in a cycle. The last two
//! *prevent*: waits lead in one direction of age only, so they never close a cycle.
//! The age is that of the work, which a retry keeps, so whoever is aborted gets older
//! among the others until nobody can abort him.
//!
//! Sources: Chandy, Misra, Haas, *Distributed deadlock detection* (ACM TOCS 1983), for
//! the first two; Rosenkrantz, Stearns, Lewis, *System level concurrency control for
//! distributed database systems* (ACM TODS 1978), for the others and their names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::VictimPolicy;
use crate::id::TxnId;
use crate::time::Timestamp;

/// How a cluster deals with deadlocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// The coordinator looks for cycles in a graph of all waits.
    #[default]
    Graph,
    /// Shards chase the waits of their transactions from one to another.
    Probes,
    /// Who waits for a younger one aborts it.
    WoundWait,
    /// Who would wait for an older one is aborted.
    WaitDie,
}

/// What a cluster has chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handling {
    /// How it deals with deadlocks.
    pub scheme: Scheme,
    /// Who is aborted to break one. Where deadlocks are prevented, the younger is.
    pub victim: VictimPolicy,
}

/// Orders transactions by age: the smaller is the older. Equally old ones go by name,
/// so that of two there is always an older one.
pub type Seniority = (Timestamp, TxnId);

impl Scheme {
    /// All of them.
    pub const ALL: [Scheme; 4] =
        [Scheme::Graph, Scheme::Probes, Scheme::WoundWait, Scheme::WaitDie];

    /// Whether one transaction may wait for another.
    pub fn lets_wait(self, waiter: Seniority, holder: Seniority) -> bool {
        match self {
            Scheme::Graph | Scheme::Probes => true,
            Scheme::WoundWait => holder < waiter,
            Scheme::WaitDie => waiter < holder,
        }
    }

    /// Whether waits that could close a cycle are not let be.
    pub fn prevents(self) -> bool {
        match self {
            Scheme::Graph | Scheme::Probes => false,
            Scheme::WoundWait | Scheme::WaitDie => true,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::Graph => "graph",
            Scheme::Probes => "probes",
            Scheme::WoundWait => "wound-wait",
            Scheme::WaitDie => "wait-die",
        })
    }
}

/// There is no such scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scheme '{0}'; there are graph, probes, wound-wait, wait-die")]
pub struct BadScheme(String);

impl FromStr for Scheme {
    type Err = BadScheme;

    fn from_str(text: &str) -> Result<Scheme, BadScheme> {
        let found = Scheme::ALL.into_iter().find(|scheme| scheme.to_string() == text);
        found.ok_or_else(|| BadScheme(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, SessionId};

    #[test]
    fn schemes_have_names() {
        for scheme in Scheme::ALL {
            assert_eq!(scheme.to_string().parse(), Ok(scheme));
        }
        assert!("no-wait".parse::<Scheme>().is_err());
    }

    #[test]
    fn prevention_lets_waits_lead_in_one_direction_only() {
        let txn = |sequence| TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence };
        let all = [(Timestamp(1), txn(9)), (Timestamp(2), txn(1)), (Timestamp(2), txn(2))];
        for (i, older) in all.iter().enumerate() {
            for younger in &all[i + 1..] {
                assert!(Scheme::WoundWait.lets_wait(*younger, *older));
                assert!(!Scheme::WoundWait.lets_wait(*older, *younger));
                assert!(Scheme::WaitDie.lets_wait(*older, *younger));
                assert!(!Scheme::WaitDie.lets_wait(*younger, *older));
                assert!(Scheme::Graph.lets_wait(*older, *younger));
                assert!(Scheme::Probes.lets_wait(*younger, *older));
            }
        }
    }
}
