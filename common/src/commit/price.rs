//! What a commit costs: by the book, and as it is done here.
//!
//! `N` participants that write, `2F + 1` coordinators; the client's own messages are not
//! counted.
//!
//! | protocol                   | messages by the book | forced | here |
//! |----------------------------|----------------------|--------|------|
//! | one-phase, `N = 1`         | 2                    | 1      | the same |
//! | two-phase, presumed abort  | 4N                   | 2N + 1 | 3N and N |
//! | three-phase with quorums   | 5N                   | 2N + 2 | 5N and 2N + 1 |
//! | Paxos Commit               | NF + F + 3N - 1      | N + F + 1 | NF + F + 3N and the same |
//! | its faster form            | 2NF + 3N - 1         | N + F + 1 | 2NF + 3N + F and the same |
//!
//! Here the outcome is not forced at participants, and acknowledged for many commits at once:
//! neither is of one commit, so neither is in what is counted. In two phases all votes are the
//! decision, if all participants write, so the coordinator forces nothing. In three phases the
//! coordinator's pre-commit is the first that it forces. In Paxos Commit no participant begins
//! the commit, so all N are asked; in the faster form the leader hears of the other acceptors,
//! too.
//!
//! *Delays* are messages between servers that must come one after the other before the client
//! is told.
//!
//! What a group of coordinators says to one another about its log, and forces there, is not of
//! one commit: it is the same for thousands at once. But where the pre-commit, or
//! that the leader still leads is the group's to say, it is two delays more.
//!
//! Sources: Mohan, Lindsay, Obermarck, *Transaction Management in the R\* Distributed Database
//! Management System* (TODS 1986), table 2, with the coordinator apart from the participants;
//! Keidar, Dolev, *Increasing the Resilience of Distributed and Replicated Database Systems*
//! (JCSS 1998); Gray, Lamport, *Consensus on Transaction Commit* (TODS 2006), §5.

use serde::Serialize;

use super::Protocol;

/// The price of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Messages between servers.
    pub messages: u32,
    /// Records that are durable before something is told.
    pub forced_writes: u32,
    /// Messages between servers, one after the other, before the client is told.
    pub message_delays: u32,
}

impl Price {
    /// By the book, with one leader whose decisions are its own in all but Paxos Commit;
    /// one-phase, if there is one participant.
    pub fn by_the_book(protocol: Protocol, participants: u16, coordinators: u16) -> Price {
        let (n, f) = (u32::from(participants), u32::from(coordinators / 2));
        let (messages, forced_writes, message_delays) = match protocol.used_by(coordinators) {
            _ if n == 1 => (2, 1, 2),
            Protocol::Auto | Protocol::TwoPhase => (4 * n, 2 * n + 1, 2),
            Protocol::ThreePhase | Protocol::ClassicalThreePhase => (5 * n, 2 * n + 2, 4),
            Protocol::PaxosCommit => (n * f + f + 3 * n - 1, n + f + 1, 3),
            Protocol::FasterPaxosCommit => (2 * n * f + 3 * n - 1, n + f + 1, 3),
        };
        Price { messages, forced_writes, message_delays }
    }

    /// As it is done here.
    pub fn here(protocol: Protocol, participants: u16, coordinators: u16) -> Price {
        let (n, f) = (u32::from(participants), u32::from(coordinators / 2));
        let by_group = if f > 0 { 2 } else { 0 };
        let (messages, forced_writes, message_delays) = match protocol.used_by(coordinators) {
            _ if n == 1 => (2, 1, 2 + by_group),
            Protocol::Auto | Protocol::TwoPhase => (3 * n, n, 2),
            Protocol::ThreePhase | Protocol::ClassicalThreePhase => {
                (5 * n, 2 * n + 1, 4 + by_group)
            }
            Protocol::PaxosCommit => (n * f + f + 3 * n, n + f + 1, 3),
            Protocol::FasterPaxosCommit => (2 * n * f + 3 * n + f, n + f + 1, 3),
        };
        Price { messages, forced_writes, message_delays }
    }
}

impl Protocol {
    /// What is used by so many coordinators if this is asked for.
    pub fn used_by(self, coordinators: u16) -> Protocol {
        match (self, coordinators) {
            (Protocol::Auto | Protocol::PaxosCommit | Protocol::FasterPaxosCommit, 0 | 1) => {
                Protocol::TwoPhase
            }
            (Protocol::Auto, _) => Protocol::PaxosCommit,
            (chosen, _) => chosen,
        }
    }
}
