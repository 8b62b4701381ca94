//! What the sites of a transaction say to one another.

use serde::{Deserialize, Serialize};

use super::ballot::Ballot;
use crate::time::Timestamp;

/// How a transaction ends, or would end if it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Committed at this timestamp.
    Commit(Timestamp),
    /// Aborted.
    Abort,
}

/// What sites say to one another. Any of it may be lost, late or doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Say {
    /// Let me lead, and tell me how far you are.
    Elect {
        /// The attempt.
        ballot: Ballot,
    },
    /// I let you lead, and am so far.
    State {
        /// The attempt.
        ballot: Ballot,
        /// What I accepted last.
        accepted: Option<Verdict>,
        /// The attempt that I accepted it from.
        attempt: Ballot,
    },
    /// Accept this: pre-commit or pre-abort.
    Pre {
        /// The attempt.
        ballot: Ballot,
        /// What to accept.
        verdict: Verdict,
    },
    /// I have accepted it, durably.
    Accepted {
        /// The attempt.
        ballot: Ballot,
    },
    /// I have let a later attempt lead.
    Refused {
        /// The attempt that was refused.
        ballot: Ballot,
        /// The later one.
        elected: Ballot,
    },
    /// It is decided.
    Decided {
        /// How.
        verdict: Verdict,
    },
    /// It is over, and nobody who had to know of a commit is in doubt. So whoever is may
    /// conclude that it is aborted. A site never says this: who keeps one may, later on.
    Forgotten,
}

impl Say {
    /// The timestamp at which it would have the transaction commit.
    pub fn commits_at(self) -> Option<Timestamp> {
        let verdict = match self {
            Say::State { accepted, .. } => accepted,
            Say::Pre { verdict, .. } | Say::Decided { verdict } => Some(verdict),
            Say::Elect { .. } | Say::Accepted { .. } | Say::Refused { .. } | Say::Forgotten => None,
        };
        match verdict {
            Some(Verdict::Commit(at)) => Some(at),
            Some(Verdict::Abort) | None => None,
        }
    }
}
