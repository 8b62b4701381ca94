//! The explorer of groups: who leads and what is decided among the members of a group of
//! coordinators, by the ten thousand schedules a second.
//!
//! ```text
//!   seed ──▶ World: 1, 3 or 5 members, each a Node, a clock, a bag of messages
//!             │   deliver, lose, double · flush, crash, restart, lose a disk · tick · cut
//!             │   append, confirm, forget, hand over · rush: some have it all their way
//!             ▼
//!           Node { Replica, Disk, what is not durable }: drives the machine as servers do
//!             │
//!             ▼
//!           Check: one leader per epoch, one entry per index, promises, confirmations;
//!                  in the end one leader, whom everybody has caught up with
//! ```
//!
//! What is wrong in the rules of an election shows when leaders die in the wake of others,
//! each with entries that the next one lacks: in a few of a million schedules. So here is
//! nothing but the machine ([`synod_coordinator::group::Replica`]), a list of records of
//! which a crash loses the end, and messages that arrive when they like.
//!
//! * `synod-sim group --schedules 1000000`
//! * `synod-sim group --mutants` (with the feature): each deliberate bug must be caught;
//!   [`Bug::Canary`] at once, or the explorer itself is blind.
//!
//! The engine is [`explore`](crate::explore): how seeds become schedules, and what is made
//! of what they violate.
//!
//! *Worked example.* c1 leads e1 and writes 4 for itself only. c3 leads e2, by the promise
//! of c2, writes another 4, for itself only. c1 is back, leads e3 by the promise of c2, and
//! sends it the 4 of e1 and a 5. A leader that takes 4 for decided before its own 5 is
//! durable, and then loses that, has said too much: c3 leads e4 with its own 4.
//!
//! *Time* is one clock for all, which only says who may tick: a tick may come late, and a
//! message later than any patience. After the faults it is in order, and there is a bound
//! within which the group must be whole.
//!
//! *Disks* are lost at any time, but never so many that no majority has its own. The judge
//! remembers them: what was on them may be counted when word of it comes late.
//!
//! *Deliberately absent*: what the entries mean; a disk that comes back with anything but
//! a beginning of what was written, or nothing; so many entries that they do not fit into
//! one message; the parts of a state, which is handed over at once.

mod bug;
mod check;
mod heal;
mod loss;
mod node;
mod rush;
mod weights;
mod world;

pub use bug::Bug;
pub(crate) use node::record;
pub use world::World;
