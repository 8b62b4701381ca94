//! The explorer of Paxos Commit: a few transactions among a group of coordinators and their
//! participants, by the ten thousand schedules a second.
//!
//! ```text
//!   seed ──▶ World: 3 or 5 members, 2 or 3 participants, a clock, a bag of messages
//!             │   deliver, lose, double · flush, crash, restart, lose a disk · tick · cut
//!             │   begin, wait, mark · rush: some elect one that has not led before
//!             ▼
//!           Member { Replica, Acceptor, Leader, Disk }    Participant { votes, disk }
//!             │
//!             ▼
//!           Check: one outcome for all who are told and for the log; what is accepted;
//!                  in the end nobody is in doubt, and what was committed is known
//! ```
//!
//! What is wrong between a vote that is lost, a leader that gives up and another that takes
//! over shows when several of them die in the wake of others. So here are the machines that
//! servers have ([`Replica`], [`Acceptor`], [`Quorum`], [`Found`] and [`Decided`]), and of the
//! rest only what Paxos Commit needs of it: the leader as in the coordinator's
//! `commit/paxos_commit.rs`, and participants that vote once.
//!
//! * `synod-sim core --protocol paxos --schedules 1000000`
//! * `synod-sim core --protocol paxos --mutants` (with the feature): each deliberate bug must
//!   be caught; [`Bug::Canary`] at once, or the explorer itself is blind.
//! * `synod-sim core --protocol paxos --exhaustive` searches all schedules of one small
//!   transaction ([`State`]), among the same machines.
//!
//! The engine is [`explore`](crate::explore): how seeds become schedules, and what is made
//! of what they violate.
//!
//! *Worked example.* s1 proposes READ to c1, the leader, and to c2; c1 does not hear of it. s1
//! crashes, and is asked again. If it says NO now, c1 aborts. But s2 proposes YES to c2, which
//! accepts both votes; c1 dies, c3 finds them, and commits. So who may have lost a vote in a
//! crash says nothing ([`Bug::RefusesLater`] shows what comes of it).
//!
//! *Every schedule* begins with a leader whom all have elected: before that there is nothing
//! to commit. After the faults a majority of the members is there, or all. Disks of members
//! are lost at any time, but never so many that no majority has its own; who has lost its
//! disk rejoins.
//!
//! *Time* is one clock for all, which only says who may tick. *Timestamps* begin for each
//! epoch above those of all before it, as if it had one window.
//!
//! *Deliberately absent*: what only concerns the log of the group, which has an
//! [explorer of its own](crate::group): all of the log is kept. Participants that ask each
//! other.
//!
//! [`Replica`]: synod_coordinator::group::Replica
//! [`Acceptor`]: synod_coordinator::paxos::Acceptor
//! [`Quorum`]: synod_coordinator::paxos::Quorum
//! [`Found`]: synod_coordinator::paxos::takeover::Found
//! [`Decided`]: synod_coordinator::paxos::Decided

mod bug;
mod check;
mod crash;
mod disk;
mod heal;
mod leader;
mod member;
mod net;
mod participant;
mod rush;
mod state;
mod txn;
mod weights;
mod world;

pub use bug::Bug;
pub use state::{Bounds, State};
pub use world::World;
