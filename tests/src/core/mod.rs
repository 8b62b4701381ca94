//! The explorer: one transaction under three-phase commit, by the hundred thousand
//! schedules a second.
//!
//! ```text
//!   seed ──▶ World: 1 to 4 participants and a coordinator, each a Node
//!             │   deliver, lose, double · flush, crash, restart · wait · cut
//!             ▼
//!           Node { Site, disk }: keeps the machine as servers do
//!             │
//!             ▼
//!           Check: agreement, votes, promises, equal attempts; in the end everybody knows
//! ```
//!
//! The simulator beside it runs whole servers; it finds what is wrong between parts. What
//! is wrong in the rules of an election shows once in a million schedules, and only if
//! leaders crash while they lead in the wake of others. So here is nothing but the machine
//! (`synod_common::commit::Site`), a disk that may lose what was not flushed, and a bag of
//! messages.
//!
//! * `synod-sim core --protocol 3pc --schedules 1000000`
//! * `synod-sim core --protocol 3pc --exhaustive`: all schedules of two participants, with
//!   one crash and one election ([`State`]).
//! * `synod-sim core --protocol 3pc-classical --schedules 1000`: the same under the classical
//!   rule, until the first schedule that decides both ways.
//! * `synod-sim core --protocol 3pc-classical --demonstrate`: how a partition does that, step
//!   by step ([`demonstrate`]).
//! * `synod-sim core --protocol 3pc --mutants` (with the feature): each deliberate bug must
//!   be caught; [`Bug::Canary`] at once, or the explorer itself is blind.
//!
//! The engine is [`explore`](crate::explore): how seeds become schedules, and what is made
//! of what they violate.
//!
//! *Deliberately absent*: time. Whoever waits may wait long enough at any moment.

mod bug;
mod check;
mod demonstration;
mod node;
mod state;
mod world;

pub use bug::Bug;
pub use demonstration::{Demonstration, demonstrate};
pub use node::{Life, Message};
pub use state::{Bounds, Event, State};
pub use world::{Turn, World};
