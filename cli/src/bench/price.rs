//! What a commit costs by the book, to stand beside what was counted.
//!
//! `N` participants that write; the client's own messages are not counted.
//!
//! | protocol                   | messages between servers | forced writes | here |
//! |----------------------------|--------------------------|---------------|------|
//! | one-phase, `N = 1`         | 2                        | 1             | and RELEASE, if its timestamp is not the one that was proposed |
//! | two-phase, presumed abort  | 4N                       | 2N + 1        | N + 1: what a participant installs is not forced; its ACK waits for the next fsync |
//!
//! Source: Mohan, Lindsay, Obermarck, *Transaction Management in the R\* Distributed
//! Database Management System* (TODS 1986), table 2, with the coordinator apart from the
//! participants.

use serde::Serialize;

/// The price of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Messages between servers.
    pub messages: u32,
    /// Records that are durable before something is told.
    pub forced_writes: u32,
}

impl Price {
    /// By the book, of two-phase commit with presumed abort; one-phase, if there is one
    /// participant.
    pub fn of_two_phase(participants: u16) -> Price {
        match u32::from(participants) {
            1 => Price { messages: 2, forced_writes: 1 },
            n => Price { messages: 4 * n, forced_writes: 2 * n + 1 },
        }
    }
}
