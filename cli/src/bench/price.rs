//! What a commit costs by the book, to stand beside what was counted.
//!
//! `N` participants that write; the client's own messages are not counted.
//!
//! | protocol                   | messages between servers | forced writes | here |
//! |----------------------------|--------------------------|---------------|------|
//! | one-phase, `N = 1`         | 2                        | 1             | and RELEASE, if its timestamp is not the one that was proposed |
//! | two-phase, presumed abort  | 4N                       | 2N + 1        | N + 1: what a participant installs is not forced; its ACK waits for the next fsync |
//! | three-phase with quorums   | 5N                       | 2N + 2        | 6N and 2N + 1: the outcome is acknowledged, so that it may be forgotten; the coordinator's pre-commit is the first that it forces |
//!
//! Sources: Keidar, Dolev, *Increasing the Resilience of Distributed and Replicated Database
//! Systems* (JCSS 1998), for the last; Mohan, Lindsay, Obermarck, *Transaction Management in the R\* Distributed
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
    pub fn of(protocol: Protocol, participants: u16) -> Price {
        match (protocol, u32::from(participants)) {
            (_, 1) => Price { messages: 2, forced_writes: 1 },
            (Protocol::Auto | Protocol::TwoPhase, n) => {
                Price { messages: 4 * n, forced_writes: 2 * n + 1 }
            }
            (Protocol::ThreePhase, n) => Price { messages: 5 * n, forced_writes: 2 * n + 2 },
        }
    }
}
