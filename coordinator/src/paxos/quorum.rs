//! Who has accepted the votes of a transaction.
//!
//! In the faster form the participants count, too: they have the decision when all that they
//! were told of have accepted. The leader tells it only if they may not come to know it so: if
//! it relied on others.

use synod_common::id::CoordinatorId;

use super::mutant::mutated;

/// The acceptors that were asked, and those that have accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quorum {
    asked: Vec<CoordinatorId>,
    /// Whether the participants count, too.
    is_faster: bool,
    /// Whether an acceptor got the votes from the leader, and tells nobody else.
    is_forwarded: bool,
    /// In the order of their numbers.
    accepted: Vec<CoordinatorId>,
    #[cfg(feature = "mutants")]
    mutant: Option<super::Mutant>,
}

impl Quorum {
    /// With a deliberate bug.
    #[cfg(feature = "mutants")]
    pub fn mutated(self, mutant: Option<super::Mutant>) -> Quorum {
        Quorum { mutant, ..self }
    }

    /// These are asked by the participants, which count them, too, if it is to be faster.
    pub fn of(asked: Vec<CoordinatorId>, is_faster: bool) -> Quorum {
        Quorum { asked, is_faster, ..Quorum::default() }
    }

    /// Whether the participants count, too.
    pub fn is_faster(&self) -> bool {
        self.is_faster
    }

    /// The leader hands the votes to acceptors that the participants asked in vain.
    pub fn forward(&mut self) {
        self.is_forwarded = true;
    }

    /// Whether all participants are told by the acceptors that it is committed.
    pub fn tells_participants(&self) -> bool {
        let all = self.asked.iter().all(|asked| self.accepted.contains(asked));
        self.is_faster && !self.is_forwarded && !self.asked.is_empty() && all
    }

    /// Those that were asked.
    pub fn asked(&self) -> &[CoordinatorId] {
        &self.asked
    }

    /// Those that have accepted.
    pub fn accepted(&self) -> &[CoordinatorId] {
        &self.accepted
    }

    /// The leader asks one more; false if it was asked before.
    pub fn ask(&mut self, acceptor: CoordinatorId) -> bool {
        let new = !self.asked.contains(&acceptor);
        if new {
            self.asked.push(acceptor);
            self.is_forwarded = true;
        }
        new
    }

    /// An acceptor has accepted; false if that is known.
    pub fn accept(&mut self, acceptor: CoordinatorId) -> bool {
        let place = self.accepted.binary_search(&acceptor);
        if let Err(place) = place {
            self.accepted.insert(place, acceptor);
        }
        place.is_err()
    }

    /// Whether a majority of so many members has.
    pub fn is_reached(&self, members: usize) -> bool {
        let majority = if mutated!(self, MinorityAccepts) { members / 2 } else { members / 2 + 1 };
        self.accepted.len() >= majority
    }
}
