//! A group of coordinators that is as one which does not die.
//!
//! ```text
//!                 ┌──────────── a member ────────────┐
//!   clients, ────▶│ member ─ while it leads ─▶ core  │   the core's records
//!   shards        │   │ ▲                       │    │   are the entries of
//!                 │   ▼ │ replica   ◀─ records ─┘    │   the group's log
//!   others  ◀────▶│   log ─ committed ─▶ core.apply  │
//!                 └──────────────────────────────────┘
//! ```
//!
//! The core of a coordinator ([`crate::Coordinator`]) appends records to a log and goes on
//! when they are durable. In a group that log is the group's: a record is durable when a
//! majority of the members has it, and its number is its place there. So all that the core
//! does, it does for the group, and it need not know that there is one.
//!
//! - [`Replica`] decides who leads and what is committed. It is a machine without a world,
//!   with its table in view.
//! - [`Member`] is the node: it lets the core work while it leads, and feeds it the
//!   group's log while another member does. When it becomes the leader, its core has read
//!   all that there is; it begins an epoch, as after a restart.
//!
//! A group of one is the same with no others to ask: each record is committed when it is
//! durable.
//!
//! *What only a leader may say.* Whatever waits for a record is said when the record is
//! committed, which is also proof that its writer still leads. What waits for none, but
//! would be wrong if another one led already (a fresh timestamp, the floor of a shard, a commit
//! that votes decide), waits for a round in which a majority confirms it, which begins after it
//! was asked for.
//!
//! *Worked example.* With the leader c1 of three, a commit that some only read in forces
//! `Committed`: c1 appends
//! it, sends it to c2 and c3, and all three force it. With the first of their answers,
//! and its own disk, a majority has it: the core hears that its record is durable, and
//! tells client and shards. c1 dies. c2 hears nothing for a while, is elected by c3 (it
//! has that record, or c3 would refuse), applies the record, begins the next epoch, and
//! calls the shards; asked for the outcome, it knows it.
//!
//! *A member that lost its disk* has lost its promises, too. It comes back as one that counts
//! for nothing until the others have told it enough (`replica/rejoining.rs`).
//!
//! *Deliberately absent*: changing who the members are.

mod log;
mod member;
#[cfg(feature = "mutants")]
mod mutant;
mod places;
mod replica;
mod transfer;

pub use log::{Entry, Log};
pub use member::Member;
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use replica::{Offer, Pace, Promise, Replica, Step, Turn, When};
