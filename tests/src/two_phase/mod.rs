//! The explorer of two-phase commit: a coordinator, two or three shards and a client, by the
//! ten thousand schedules a second.
//!
//! ```text
//!   seed ──▶ World: a copy of servers that have started, a bag of messages, a client
//!             │   deliver, lose, double · flush, crash, restart · wait · cut
//!             │   begin a transaction, a snapshot, ask again
//!             ▼
//!           Server { the real core, its log, its clock }
//!             │
//!             ▼
//!           Check: agreement, votes, timestamps, what the client is told and what it reads;
//!                  in the end nobody is in doubt, and no lock is held
//! ```
//!
//! The simulator beside it runs the same cores for longer, and finds what is wrong between all
//! of their parts. Here are fifty events and one to three transactions, and only what two-phase
//! commit does: presumed abort, votes of READ, one phase, a last agent, questions among
//! participants, decisions of operators. So a schedule takes as long as ten messages do over a
//! network, and there can be a million of them.
//!
//! * `synod-sim core --protocol 2pc --schedules 1000000`
//! * `synod-sim core --protocol 2pc --exhaustive`: all schedules of one transaction on two
//!   shards, with one crash ([`State`]).
//! * `synod-sim core --protocol 2pc --mutants` (with the feature): each deliberate bug must
//!   be caught; [`Bug::Canary`] at once, or the explorer itself is blind.
//!
//! *Worked example.* s1 and s2 have voted YES, c1 decides and dies; s1 has heard of the commit,
//! s2 has not, and asks s1. If one that is in doubt itself says "aborted" then
//! (`PeerInDoubtAborts`), some schedule has s1 ask s2 before it hears of the commit.
//!
//! The engine is [`explore`](crate::explore): how seeds become schedules, and what is made
//! of what they violate.
//!
//! *Every schedule* begins with servers that know each other: what comes before is the same in
//! all, and is done once for each thread.
//!
//! *Windows* of the oracle have four timestamps in some schedules, so that what is next to their
//! end is used.
//!
//! *Time* is another one on each server, and only moves when one has waited: so nothing rests
//! on who is the faster.
//!
//! *Deliberately absent*: checkpoints, deadlocks (who waits for a lock gives up), scans, and
//! other protocols. Of the deliberate bugs in the cores those that only show there; and
//! `NeverVotesForgotten`, which takes a PREPARE that outlives its link.

mod bug;
mod check;
mod client;
mod heal;
mod mutate;
mod net;
mod server;
mod settings;
mod state;
mod template;
mod weights;
mod world;

pub use bug::Bug;
pub use state::{Bounds, Event, State};
pub use world::World;
