//! What may be wrong on purpose.

use synod_coordinator::group::Replica;
#[cfg(feature = "mutants")]
use synod_coordinator::paxos::Mutant;
use synod_coordinator::paxos::{Acceptor, Decided, Quorum};

use crate::explore;

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// The first participant does the opposite when it is told to commit. Whoever does not
    /// notice this notices nothing.
    Canary,
    /// A participant proposes YES before that is durable.
    ProposesUnforced,
    /// X6: a participant that has lost its vote in a crash votes again.
    VotesAgain,
    /// A participant that is asked again after a crash votes as it did, but not at the
    /// timestamp that its record says.
    RepeatsWithoutM,
    /// A participant that may have lost a vote in a crash says NO.
    RefusesLater,
    /// X3: a member says that it has accepted before that is durable.
    AcceptedUnforced,
    /// A member does not know after a restart what it has accepted.
    AcceptedForgotten,
    /// A member promises an epoch without saying what it has accepted.
    PromisesSilently,
    /// A new leader forgets what it has accepted itself.
    OwnIgnored,
    /// A new leader presumes aborts before what it has found is committed in the log.
    ServesEarly,
    /// A leader gives up what it likes, and says so at once.
    GivesUpAlone,
    /// A leader says that all is decided that has begun.
    MarkAhead,
    /// In the faster form one acceptor is enough for a participant.
    AcceptedByOne,
    /// A member that lost its disk begins as a new one.
    RejoinsAsNew,
    /// It accepts votes before it is back.
    AcceptsRejoining,
    /// One in the group.
    #[cfg(feature = "mutants")]
    Group(synod_coordinator::group::Mutant),
    /// One in the machines.
    #[cfg(feature = "mutants")]
    Paxos(Mutant),
}

impl explore::Bug for Bug {
    fn all() -> Vec<(Bug, u64)> {
        let list = vec![
            (Bug::Canary, 100),
            (Bug::ProposesUnforced, 100_000),
            (Bug::VotesAgain, 100_000),
            (Bug::RepeatsWithoutM, 100_000),
            (Bug::RefusesLater, 3_000_000),
            (Bug::AcceptedUnforced, 100_000),
            (Bug::AcceptedForgotten, 100_000),
            (Bug::PromisesSilently, 100_000),
            (Bug::OwnIgnored, 100_000),
            (Bug::ServesEarly, 100_000),
            (Bug::GivesUpAlone, 100_000),
            (Bug::MarkAhead, 100_000),
            (Bug::AcceptedByOne, 100_000),
            (Bug::RejoinsAsNew, 100_000),
            (Bug::AcceptsRejoining, 3_000_000),
        ];
        #[cfg(feature = "mutants")]
        let list = {
            let mut list = list;
            let same = synod_coordinator::group::Mutant::RejoinsSameEpoch;
            list.push((Bug::Group(same), 100_000));
            list.extend(Mutant::ALL.map(|mutant| (Bug::Paxos(mutant), 1_000_000)));
            list
        };
        list
    }

    /// Others need a crash as well, or a disk that is lost.
    fn is_small(self) -> bool {
        match self {
            #[cfg(feature = "mutants")]
            Bug::Paxos(_) => true,
            _ => self == Bug::Canary,
        }
    }
}

/// A replica, with the bug if it is one in the group.
pub fn mutated(bug: Option<Bug>, replica: Replica) -> Replica {
    match bug {
        #[cfg(feature = "mutants")]
        Some(Bug::Group(mutant)) => replica.mutated(Some(mutant)),
        _ => replica,
    }
}

/// A machine that may have a deliberate bug.
pub trait Machine: Sized {
    /// With it.
    #[cfg(feature = "mutants")]
    fn with(self, mutant: Mutant) -> Self;
}

/// The machine, with the bug if it is one in the machines.
pub fn machine<M: Machine>(bug: Option<Bug>, machine: M) -> M {
    match bug {
        #[cfg(feature = "mutants")]
        Some(Bug::Paxos(mutant)) => machine.with(mutant),
        _ => machine,
    }
}

impl Machine for Acceptor {
    #[cfg(feature = "mutants")]
    fn with(self, mutant: Mutant) -> Acceptor {
        self.mutated(Some(mutant))
    }
}

impl Machine for Quorum {
    #[cfg(feature = "mutants")]
    fn with(self, mutant: Mutant) -> Quorum {
        self.mutated(Some(mutant))
    }
}

impl Machine for Decided {
    #[cfg(feature = "mutants")]
    fn with(self, mutant: Mutant) -> Decided {
        self.mutated(Some(mutant))
    }
}
