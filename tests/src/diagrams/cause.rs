//! What makes a machine go from one stage to another: a message, by its name in the code, or
//! something else that happens to a server. A new message has a name without a change here; only
//! those have an arm that are about a transaction, or are told apart by what they say.

use synod_common::id::{Peer, TxnId};
use synod_common::message::client::ClientRequest;
use synod_common::message::commit::CommitMessage;
use synod_common::message::{DataRequest, GroupMessage, Message, PaxosMessage, PeerMessage};
use synod_common::node::Event;

use super::NOWHERE;
use super::machine::{Machine, Subject, name};

/// What happened to a server.
#[derive(Clone, Debug)]
pub struct Cause {
    name: String,
    kind: Kind,
    /// The transaction that it is about, if it is about one.
    txn: Option<TxnId>,
}

/// What is not told apart everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The log is durable, or a majority has it; what is in it is decided.
    Log,
    /// Somebody is to be aborted, or not to be waited for.
    Deadlock,
    /// Anything else.
    Other,
}

impl Cause {
    /// Of an event.
    pub fn of(event: &Event) -> Cause {
        let (name, txn) = match event {
            Event::Start { .. } => ("start".to_owned(), None),
            Event::Connected(_) => ("link up".to_owned(), None),
            Event::Disconnected(Peer::Client(_)) => ("client gone".to_owned(), None),
            Event::Disconnected(_) => ("link lost".to_owned(), None),
            Event::Wake => ("time-out".to_owned(), None),
            Event::Durable(_) => ("log durable".to_owned(), None),
            Event::CheckpointWritten => ("checkpoint written".to_owned(), None),
            Event::Message { message, .. } => of_message(message),
        };
        Cause { name, kind: Kind::of(event), txn }
    }

    /// How it is called by a machine that went from one stage to another because of it.
    pub fn seen_by(&self, (machine, txn): Subject, from: &str, to: &str) -> &str {
        let is_own = self.txn.is_none() || self.txn == txn;
        match machine {
            // Whatever has freed them.
            Machine::Participant if from == "Preparing" && to != NOWHERE => "locks held",
            Machine::Participant if self.kind == Kind::Deadlock => "deadlock",
            // Others get their locks then, and it may be in their way.
            Machine::Participant
                if self.kind == Kind::Log && to == NOWHERE && from != "OnePhase" =>
            {
                "another transaction"
            }
            Machine::Coordinator if self.kind == Kind::Log => "log durable",
            Machine::Acceptor if self.kind == Kind::Log => "mark",
            _ if is_own => &self.name,
            _ => "another transaction",
        }
    }
}

impl Kind {
    fn of(event: &Event) -> Kind {
        use GroupMessage as G;
        match event {
            Event::Durable(_) => Kind::Log,
            Event::Message { message, .. } => match message {
                Message::Group(G::Append { .. } | G::Appended { .. } | G::Confirm { .. }) => {
                    Kind::Log
                }
                Message::Deadlock(_) => Kind::Deadlock,
                _ => Kind::Other,
            },
            _ => Kind::Other,
        }
    }
}

fn of_message(message: &Message) -> (String, Option<TxnId>) {
    match message {
        Message::ClientRequest(message) => {
            let txn = match message {
                ClientRequest::Commit { txn, .. } | ClientRequest::Outcome { txn } => Some(*txn),
                _ => None,
            };
            (loud(&name(message)), txn)
        }
        Message::DataRequest(DataRequest::Abort { txn }) => {
            ("client's ABORT".to_owned(), Some(*txn))
        }
        Message::DataRequest(message @ DataRequest::Resolve { txn, .. }) => {
            (loud(&name(message)), Some(*txn))
        }
        Message::DataRequest(message) => {
            let txn = match message {
                DataRequest::Read { access, .. }
                | DataRequest::Scan { access, .. }
                | DataRequest::Lock { access, .. }
                | DataRequest::Return { access, .. } => Some(access.txn),
                _ => None,
            };
            ("access".to_owned(), txn)
        }
        Message::Commit(message) => (of_commit(message), message.txn()),
        Message::Site(message) => (loud(&name(&message.say)), Some(message.txn)),
        Message::Peer(PeerMessage::Inquire { txn, .. }) => ("INQUIRE".to_owned(), Some(*txn)),
        Message::Peer(PeerMessage::Decided { txn, decision }) => {
            (loud(&name(decision)), Some(*txn))
        }
        Message::Paxos(message) => match message {
            PaxosMessage::Propose { txn, vote, .. } => (loud(&name(vote)), Some(*txn)),
            PaxosMessage::Accepted { txn, .. } => (loud(&name(message)), Some(*txn)),
            PaxosMessage::Forward(bundle) => (loud(&name(message)), Some(bundle.txn)),
        },
        // What they are about was in another one's way, or is what they say.
        Message::Deadlock(message) => (loud(&name(message)), None),
        Message::Group(message) => (loud(&name(message)), None),
        Message::ClientReply(message) => (loud(&name(message)), None),
        Message::DataReply(message) => (loud(&name(message)), None),
    }
}

fn of_commit(message: &CommitMessage) -> String {
    match message {
        CommitMessage::Vote { vote, .. } => loud(&name(vote)),
        CommitMessage::OnePhaseDone { vote, .. } => format!("DONE {}", loud(&name(vote))),
        CommitMessage::Decide { decision, .. } => loud(&name(decision)),
        _ => loud(&name(message)),
    }
}

/// The way messages are written in the tables: `OnePhaseDone` is `ONE PHASE DONE`.
pub fn loud(name: &str) -> String {
    let mut loud = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !loud.is_empty() {
            loud.push(' ');
        }
        loud.push(letter.to_ascii_uppercase());
    }
    loud
}
