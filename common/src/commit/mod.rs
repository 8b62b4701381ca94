//! Commit protocols, as far as they can be said without servers: what one site of one
//! transaction knows, and what it does about what it hears.
//!
//! ```text
//!   votes ──▶ shard, coordinator ──▶ Site ──▶ Step { force, messages, decided }
//!                    ▲                              │
//!                    └──── records, links, time ◀───┘
//! ```
//!
//! A [`Site`] has no world: no log, no links, no clock. Whoever keeps it makes its state
//! durable before the messages of a step leave, hands it what arrives, and says when it
//! has waited long enough. So the same lines run in servers, in the simulator, and by the
//! hundred thousand a second in the explorer of `tests/src/core`.
//!
//! Two-phase commit has no file here: its participants decide nothing, so there is
//! little to say without servers (`coordinator/src/commit/two_phase.rs`,
//! `shard/src/participant/two_phase.rs`).

mod ballot;
#[cfg(feature = "mutants")]
pub mod mutant;
mod price;
mod protocol;
mod say;
mod site;
mod stable;

pub use ballot::{Ballot, SiteId};
pub use price::Price;
pub use protocol::{BadProtocol, Protocol};
pub use say::{Say, Verdict};
pub use site::{Site, Step};
pub use stable::{Phase, Rule, Stable};
