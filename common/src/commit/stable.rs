//! What a site of a transaction must not forget.

use serde::{Deserialize, Serialize};

use super::ballot::Ballot;
use super::say::Verdict;

/// When the sites of a transaction decide.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Rule {
    /// When a quorum has accepted; less than a quorum waits.
    #[default]
    Quorum,
    /// When all have accepted, or those who have not were waited for: who is silent is taken
    /// for dead. Unsafe; see `site/classical.rs`.
    TimeOut,
}

/// How far a site is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Phase {
    /// It voted YES and has heard nothing since.
    #[default]
    Waiting,
    /// It has accepted this, which may come to nothing.
    Pre(Verdict),
    /// It knows the decision.
    Decided(Verdict),
}

/// What must survive a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stable {
    /// When it decides.
    pub rule: Rule,
    /// How far it is.
    pub phase: Phase,
    /// The attempt that it accepted last.
    pub attempt: Ballot,
    /// The largest attempt that it has let lead: it accepts nothing smaller.
    pub elected: Ballot,
}

impl Stable {
    /// Of a site that has voted YES and heard nothing since.
    pub fn voted(rule: Rule) -> Stable {
        Stable { rule, phase: Phase::Waiting, attempt: Ballot::NONE, elected: Ballot::NONE }
    }
}

impl Default for Stable {
    fn default() -> Stable {
        Stable::voted(Rule::default())
    }
}
