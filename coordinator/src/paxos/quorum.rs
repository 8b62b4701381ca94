//! Who has accepted the votes of a transaction.

use synod_common::id::CoordinatorId;

use super::mutant::mutated;

/// The acceptors that were asked, and those that have accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quorum {
    asked: Vec<CoordinatorId>,
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

    /// These are asked by the participants.
    pub fn of(asked: Vec<CoordinatorId>) -> Quorum {
        Quorum { asked, ..Quorum::default() }
    }

    /// Those that were asked.
    pub fn asked(&self) -> &[CoordinatorId] {
        &self.asked
    }

    /// Those that have accepted.
    pub fn accepted(&self) -> &[CoordinatorId] {
        &self.accepted
    }

    /// Asks one more; false if it was asked before.
    pub fn ask(&mut self, acceptor: CoordinatorId) -> bool {
        let new = !self.asked.contains(&acceptor);
        if new {
            self.asked.push(acceptor);
        }
        new
    }

    /// An acceptor has accepted.
    pub fn accept(&mut self, acceptor: CoordinatorId) {
        if !self.accepted.contains(&acceptor) {
            self.accepted.push(acceptor);
        }
    }

    /// Whether a majority of so many members has.
    pub fn is_reached(&self, members: usize) -> bool {
        let majority = if mutated!(self, MinorityAccepts) { members / 2 } else { members / 2 + 1 };
        self.accepted.len() >= majority
    }
}
