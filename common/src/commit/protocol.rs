//! Which protocol commits a transaction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::stable::Rule;

/// How a transaction that writes on several shards is committed. What concerns one shard
/// only is committed by that shard, whatever was chosen.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Protocol {
    /// What suits the cluster best: Paxos Commit where there is a group of coordinators,
    /// two-phase commit where there is one.
    #[default]
    Auto,
    /// Two-phase commit: cheapest; while its coordinator is gone, participants that have
    /// voted wait for it.
    TwoPhase,
    /// Three-phase commit with quorums (E3PC): one round more; a majority of the sites
    /// goes on without the coordinator.
    ThreePhase,
    /// Paxos Commit: a majority of the coordinators has the votes, so that any of them goes
    /// on with what another has begun. With one coordinator it is two-phase commit.
    PaxosCommit,
    /// Paxos Commit in which the participants, too, are told who has accepted the votes: they
    /// know the decision one message earlier, for more messages.
    FasterPaxosCommit,
    /// Three-phase commit as it was first published: who is silent for long enough is taken
    /// for dead. If he is not, some commit and others abort; so coordinators refuse it unless
    /// they were told to allow it.
    ClassicalThreePhase,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 6] = [
        Protocol::Auto,
        Protocol::TwoPhase,
        Protocol::ThreePhase,
        Protocol::PaxosCommit,
        Protocol::FasterPaxosCommit,
        Protocol::ClassicalThreePhase,
    ];

    /// When its sites decide; none if its participants are no sites.
    pub fn rule(self) -> Option<Rule> {
        match self {
            Protocol::ThreePhase => Some(Rule::Quorum),
            Protocol::ClassicalThreePhase => Some(Rule::TimeOut),
            Protocol::Auto
            | Protocol::TwoPhase
            | Protocol::PaxosCommit
            | Protocol::FasterPaxosCommit => None,
        }
    }
}

impl From<Rule> for Protocol {
    fn from(rule: Rule) -> Protocol {
        match rule {
            Rule::Quorum => Protocol::ThreePhase,
            Rule::TimeOut => Protocol::ClassicalThreePhase,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Auto => "auto",
            Protocol::TwoPhase => "2pc",
            Protocol::ThreePhase => "3pc",
            Protocol::PaxosCommit => "paxos",
            Protocol::FasterPaxosCommit => "paxos-faster",
            Protocol::ClassicalThreePhase => "3pc-classical",
        })
    }
}

/// There is no such protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no commit protocol '{0}'; there are auto, 2pc, 3pc, paxos, paxos-faster, 3pc-classical"
)]
pub struct BadProtocol(String);

impl FromStr for Protocol {
    type Err = BadProtocol;

    fn from_str(text: &str) -> Result<Protocol, BadProtocol> {
        let found = Protocol::ALL.into_iter().find(|protocol| protocol.to_string() == text);
        found.ok_or_else(|| BadProtocol(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_names() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert!("4pc".parse::<Protocol>().is_err());
    }
}
