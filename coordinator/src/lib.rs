//! The coordinator: timestamps, sessions, commits and outcomes.
//!
//! ```text
//!   client ──OpenSession──▶ session     grants names, notices who vanished
//!          ──Timestamp────▶ oracle      strictly increasing, from a durable window
//!          ──Commit───────▶ commit      one-phase for one participant; else two-phase,
//!                                 three-phase or Paxos Commit, as its client says
//!          ──Outcome──────▶ outcomes    what became of it, for the retention
//!   shard  ──Join─────────▶ membership  who is connected, whose floor is closed
//!          ──Waits────────▶ deadlock    who waits for whom, and who must give way
//!          ◀─SafePoint───── safe_point  what no snapshot needs any more
//! ```
//!
//! [`Coordinator`] is a core (see [`synod_common::node`]): it only routes events
//! to the rooms above. Two-phase commit is presumed abort (Mohan, Lindsay,
//! Obermarck, "Transaction management in the R* distributed database management
//! system", 1986): nothing is logged and nobody acknowledges an abort, and where
//! there is no record, the answer is abort. In Paxos Commit ([`paxos`]) there may be votes
//! without a record of the leader; a new one looks for them first, and who gives a
//! transaction up without a NO says so in the log.
//!
//! What is durable: the epoch, the end of the oracle's window, commit decisions
//! with those who must acknowledge them, outcomes, and the safe point. Sessions, votes and
//! aborts are not, but in Paxos Commit: a restart begins a new epoch, and no transaction of an older
//! epoch is ever begun to be committed.
//!
//! Several coordinators are a [`group`]: the core runs in a [`Member`] of one, and its
//! records are the group's. Alone it is a group of one.
//!
//! *Deliberately absent*: more than one leader at a time.

mod checkpoint;
mod commit;
mod confirming;
mod coordinator;
mod deadlock;
mod expiry;
pub mod group;
mod membership;
mod mutant;
mod oracle;
mod outcomes;
pub mod paxos;
mod record;
mod recovery;
mod safe_point;
#[cfg(feature = "driver")]
pub mod server;
mod session;
mod settings;
mod txns;

pub use commit::counts::Counts;
pub use coordinator::{Coordinator, Stats};
pub use group::Member;
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use record::Record;
pub use settings::Settings;
