//! Messages that a core does not obey because of who sent them, or of the epoch that they
//! speak of. The driver counts them and writes them down; nothing else depends on them.
//!
//! Where it helps the sender it is told, too: it may be a leader that does not know yet that
//! it is deposed. No answer is answered, so there is at most one for each message.
//!
//! *Deliberately absent*: what is only late, or comes twice. It is ignored as the tables of the
//! protocols say.

use std::fmt;

use crate::id::Peer;

/// A message that was not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Who sent it.
    pub from: Peer,
    /// Why.
    pub why: Refusal,
}

/// Why a message is not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It is of an epoch that is over.
    OldEpoch,
    /// It is of a coordinator that leads nobody here: a later one does.
    Deposed,
    /// It is of an epoch of which no leader can be yet.
    EpochOutOfBounds,
    /// Its sender is none of the group.
    Stranger,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 4] =
        [Refusal::OldEpoch, Refusal::Deposed, Refusal::EpochOutOfBounds, Refusal::Stranger];

    /// As it is called in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::OldEpoch => "old_epoch",
            Refusal::Deposed => "deposed",
            Refusal::EpochOutOfBounds => "epoch_out_of_bounds",
            Refusal::Stranger => "stranger",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::OldEpoch => "it is of an epoch that is over",
            Refusal::Deposed => "another coordinator leads",
            Refusal::EpochOutOfBounds => "no epoch can be so late",
            Refusal::Stranger => "its sender is none of the group",
        })
    }
}
