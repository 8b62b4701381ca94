//! The machines whose stages are watched, and the diagrams that are drawn of them.
//!
//! A stage is called as in the code; a new one is drawn without a change here. A machine is
//! added in [`stages`], a diagram in [`DIAGRAMS`].

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Write};

use synod_common::commit::Protocol;
use synod_common::id::TxnId;
use synod_common::message::txns::ShardStage;

use super::site::phase;
use crate::sim::server::Core;

/// Something that goes through stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// A transaction at the coordinator that leads.
    Coordinator,
    /// A transaction on a shard.
    Participant,
    /// A transaction at an acceptor of Paxos Commit.
    Acceptor,
    /// A member of a group of coordinators.
    Member,
    /// A site of three-phase commit, without a server.
    Site,
}

/// A machine, and the transaction that it is about, if it is about one.
pub type Subject = (Machine, Option<TxnId>);

/// The stages of all machines in a server.
pub fn stages(core: &Core) -> BTreeMap<Subject, String> {
    match core {
        Core::Shard(shard) => {
            let stages = shard.stages();
            stages.map(|(txn, stage)| of(Machine::Participant, txn, shard_stage(&stage))).collect()
        }
        Core::Coordinator(member) => {
            let commits = member.stages().into_iter().flatten();
            let commits = commits.map(|row| of(Machine::Coordinator, row.txn, name(&row.stage)));
            let accepts = member.acceptor().stages();
            let accepts = accepts.map(|(txn, stage)| of(Machine::Acceptor, txn, name(stage)));
            let role = ((Machine::Member, None), name(member.replica().role()));
            commits.chain(accepts).chain([role]).collect()
        }
    }
}

fn of(machine: Machine, txn: TxnId, stage: String) -> (Subject, String) {
    ((machine, Some(txn)), stage)
}

/// One that is a site of three-phase commit has stages beyond its YES.
fn shard_stage(stage: &ShardStage) -> String {
    let ShardStage::Prepared { site: Some(site), .. } = stage else { return name(stage) };
    phase(site.phase).to_owned()
}

/// The first word of what is shown of something: of an enum its variant.
pub fn name(of: &dyn Debug) -> String {
    struct Word(String);
    impl Write for Word {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let rest = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            self.0.push_str(&text[..text.len() - rest.len()]);
            if rest.is_empty() { Ok(()) } else { Err(fmt::Error) }
        }
    }
    let mut word = Word(String::new());
    // It ends with an error where the word does.
    _ = write!(word, "{of:?}");
    word.0
}

/// A way in which transactions are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Two-phase commit; with one participant that decides, one-phase.
    TwoPhase,
    /// Three-phase commit.
    ThreePhase,
    /// Paxos Commit, in both forms.
    Paxos,
}

impl From<Protocol> for Way {
    fn from(protocol: Protocol) -> Way {
        match protocol {
            Protocol::Auto | Protocol::TwoPhase => Way::TwoPhase,
            Protocol::ThreePhase | Protocol::ClassicalThreePhase => Way::ThreePhase,
            Protocol::PaxosCommit | Protocol::FasterPaxosCommit => Way::Paxos,
        }
    }
}

/// A diagram in a page.
#[derive(Clone, Copy, Debug)]
pub struct Diagram {
    /// The page, in `docs`.
    pub page: &'static str,
    /// How it is called there.
    pub name: &'static str,
    /// What it shows.
    pub machine: Machine,
    /// Of the transactions that are committed so; of all if none is said.
    pub way: Option<Way>,
}

/// All of them.
pub const DIAGRAMS: [Diagram; 9] = [
    Diagram {
        page: "protocols.md",
        name: "a transaction in two-phase commit, at the coordinator",
        machine: Machine::Coordinator,
        way: Some(Way::TwoPhase),
    },
    Diagram {
        page: "protocols.md",
        name: "a transaction in two-phase commit, on a shard",
        machine: Machine::Participant,
        way: Some(Way::TwoPhase),
    },
    Diagram {
        page: "three-phase-commit.md",
        name: "a transaction in three-phase commit, at the coordinator",
        machine: Machine::Coordinator,
        way: Some(Way::ThreePhase),
    },
    Diagram {
        page: "three-phase-commit.md",
        name: "a transaction in three-phase commit, on a shard",
        machine: Machine::Participant,
        way: Some(Way::ThreePhase),
    },
    Diagram {
        page: "three-phase-commit.md",
        name: "a site of three-phase commit",
        machine: Machine::Site,
        way: None,
    },
    Diagram {
        page: "paxos-commit.md",
        name: "a transaction in Paxos Commit, at the leader",
        machine: Machine::Coordinator,
        way: Some(Way::Paxos),
    },
    Diagram {
        page: "paxos-commit.md",
        name: "a transaction in Paxos Commit, on a shard",
        machine: Machine::Participant,
        way: Some(Way::Paxos),
    },
    Diagram {
        page: "paxos-commit.md",
        name: "a transaction in Paxos Commit, at an acceptor",
        machine: Machine::Acceptor,
        way: None,
    },
    Diagram { page: "group.md", name: "a member of a group", machine: Machine::Member, way: None },
];
