//! Paxos Commit: a majority of the coordinators has the votes of every transaction, so
//! that any of them can go on with what another has begun.
//!
//! ```text
//!   shard s1 ──Propose: YES(m)──┬─▶ c1, the leader    each is an acceptor: once it has
//!   shard s2 ──Propose: YES(m)──┼─▶ c1                all votes, one record for all of
//!                               └─▶ c2                them, then Accepted to the leader
//!
//!   leader: a majority has accepted ─▶ committed
//! ```
//!
//! In Paxos Commit each vote is decided by an instance of Paxos, whose acceptors are the
//! members of the group; a transaction commits if all its instances choose *prepared*. Here
//! one ballot serves all instances of a transaction at once, and the ballots are the epochs
//! of the group: the ballot in which participants propose is the epoch in which the
//! transaction began, and to promise an epoch to a new leader is to accept nothing of an
//! older one any more.
//!
//! - [`Acceptor`] collects votes, and accepts them when all are in. It is a machine without
//!   a world; the member of the group is its driver.
//! - [`Quorum`] counts who has accepted them.
//! - [`takeover`] is what a new leader makes of what a majority of the acceptors has told
//!   with its promises.
//!
//! *What a new leader decides* is an entry of the group's log. So is the only other thing
//! that a leader decides without all votes, to give a transaction up: from then on, what is
//! accepted of it counts for nothing. An acceptor forgets what lies below a mark in the log,
//! [`Record::Mark`](crate::record::Record::Mark): it is decided by entries before it.
//!
//! *Worked example.* With c1 leading three coordinators, s1 and s2 propose YES to c1 and c2.
//! Both have both votes, and force one record each; c2 tells c1; committed. c1 dies before
//! it has told anybody. c3 stands for the next epoch, and c2 promises it, with the votes that
//! it has accepted. c3 writes `Committed` into the log of the group before it serves, and
//! tells s1 and s2.
//!
//! *Deliberately absent*: a ballot of NO. Who votes NO says so to the leader only: nobody can
//! ever have all votes then, so there is nothing to decide. Ballots of single instances, for
//! what one of them chose matters to nobody.
//!
//! Source: Gray, Lamport, *Consensus on Transaction Commit* (2006), §4, with the acceptors of
//! all instances in one (§4.2), co-located with the leader (§5).

mod acceptor;
mod mutant;
mod quorum;
pub mod takeover;

use std::collections::BTreeSet;

use synod_common::id::TxnId;
use synod_common::time::Timestamp;

pub use acceptor::{Acceptor, Answer};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
use mutant::mutated;
pub use quorum::Quorum;

/// What the log decides without saying that it is committed: of Paxos Commit, and once more of
/// two-phase commit, where it is the participants that have the votes.
#[derive(Clone, Debug, Default, Hash)]
pub struct Decided {
    /// All commits that began before this are decided, by the log.
    pub below: Timestamp,
    /// Those that began later and were given up.
    pub given_up: BTreeSet<(Timestamp, TxnId)>,
    /// As far as the log says so, durably or not.
    pub written: Timestamp,
    /// The last one that began.
    pub newest: Timestamp,
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

impl Decided {
    /// With a deliberate bug.
    #[cfg(feature = "mutants")]
    pub fn mutated(self, mutant: Option<Mutant>) -> Decided {
        Decided { mutant, ..self }
    }

    /// Whether the log decides this one without saying that it is committed.
    pub fn is_decided(&self, txn: TxnId, h: Timestamp) -> bool {
        let below = h < self.below && !mutated!(self, MarkIgnored);
        below || self.given_up.contains(&(h, txn)) && !mutated!(self, GivenUpIgnored)
    }

    /// The log says that this one is given up.
    pub fn give_up(&mut self, txn: TxnId, h: Timestamp) {
        self.given_up.insert((h, txn));
        self.newest = self.newest.max(h);
    }

    /// The log says that all before this are decided.
    pub fn raise(&mut self, below: Timestamp) {
        self.below = self.below.max(below);
        self.written = self.written.max(below);
        while self.given_up.first().is_some_and(|(h, _)| *h < self.below) {
            self.given_up.pop_first();
        }
    }
}
