//! What a commit costs by the book, to stand beside what was counted.
//!
//! `N` participants that write; the client's own messages are not counted.
//!
//! | protocol                   | messages between servers | forced writes | here |
//! |----------------------------|--------------------------|---------------|------|
//! | one-phase, `N = 1`         | 2                        | 1             | and RELEASE, if its timestamp is not the one that was proposed |
//! | two-phase, presumed abort  | 4N                       | 2N + 1        | N + 1: what a participant installs is not forced; its ACK waits for the next fsync |
//! | three-phase with quorums   | 5N                       | 2N + 2        | 6N and 2N + 1: the outcome is acknowledged, so that it may be forgotten; the coordinator's pre-commit is the first that it forces |
//! | Paxos Commit, 2F + 1 coordinators | NF + F + 3N - 1   | N + F + 1     | NF + F + 4N and N + F + 1: no participant begins the commit, so all N are asked; the outcome is acknowledged |
//!
//! What a group of coordinators says to one another about its log, and forces there, is not
//! of one commit, and not counted by the book: it is the same for thousands at once.
//!
//! Sources: Gray, Lamport, *Consensus on Transaction Commit* (TODS 2006), §5, for Paxos Commit;
//! Keidar, Dolev, *Increasing the Resilience of Distributed and Replicated Database
//! Systems* (JCSS 1998), for three phases; Mohan, Lindsay, Obermarck, *Transaction Management in the R\* Distributed
//! Database Management System* (TODS 1986), table 2, with the coordinator apart from the
//! participants.

use serde::Serialize;
use synod_client::Protocol;

/// The price of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Messages between servers.
    pub messages: u32,
    /// Records that are durable before something is told.
    pub forced_writes: u32,
}

impl Price {
    /// By the book; one-phase, if there is one participant.
    pub fn of(protocol: Protocol, participants: u16, coordinators: u16) -> Price {
        let (n, f) = (u32::from(participants), u32::from(coordinators / 2));
        match used(protocol, coordinators) {
            _ if n == 1 => Price { messages: 2, forced_writes: 1 },
            Protocol::Auto | Protocol::TwoPhase => {
                Price { messages: 4 * n, forced_writes: 2 * n + 1 }
            }
            Protocol::ThreePhase | Protocol::ClassicalThreePhase => {
                Price { messages: 5 * n, forced_writes: 2 * n + 2 }
            }
            Protocol::PaxosCommit => {
                Price { messages: n * f + f + 3 * n - 1, forced_writes: n + f + 1 }
            }
            Protocol::FasterPaxosCommit => {
                Price { messages: 2 * n * f + 3 * n - 1, forced_writes: n + f + 1 }
            }
        }
    }
}

/// What is used by so many coordinators if this is asked for.
pub fn used(protocol: Protocol, coordinators: u16) -> Protocol {
    match (protocol, coordinators) {
        (Protocol::Auto | Protocol::PaxosCommit | Protocol::FasterPaxosCommit, 0 | 1) => {
            Protocol::TwoPhase
        }
        (Protocol::Auto, _) => Protocol::PaxosCommit,
        (chosen, _) => chosen,
    }
}
