//! How many commits there were, or are, of each kind. For people.

use synod_common::commit::Protocol;

use super::{Commit, Stage};

/// Its participant decided, or the only one that writes.
const ONE_PHASE: &str = "one-phase";

/// Numbers of commits by protocol, and of those that one shard decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    one_phase: u64,
    by_protocol: [u64; Protocol::ALL.len()],
}

impl Counts {
    /// One more.
    pub fn add(&mut self, commit: &Commit) {
        let place = Protocol::ALL.iter().position(|known| *known == commit.protocol());
        match place.filter(|_| !commit.is_one_phase()) {
            Some(place) => self.by_protocol[place] += 1,
            None => self.one_phase += 1,
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.one_phase + self.by_protocol.iter().sum::<u64>()
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> {
        // No commit is of the kind that has not been chosen yet.
        let known = Protocol::ALL.iter().zip(self.by_protocol);
        let known = known.filter(|(protocol, _)| **protocol != Protocol::Auto);
        let known = known.map(|(protocol, count)| (protocol.to_string(), count));
        known.chain([(ONE_PHASE.to_owned(), self.one_phase)])
    }
}

impl Commit {
    /// Whether one shard decides it: the only one, or the only one that writes.
    pub(super) fn is_one_phase(&self) -> bool {
        match &self.stage {
            Stage::OnePhase { .. } => true,
            // Its only participant read.
            Stage::Deciding { yes, read, .. } => yes.is_empty() && read.is_empty(),
            Stage::Preparing(_) => self.last_agent.is_some(),
            Stage::PreCommitting(_)
            | Stage::Accepting(_)
            | Stage::GivingUp { .. }
            | Stage::Committing { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use synod_common::id::ShardId;
    use synod_common::time::Timestamp;

    use super::*;

    #[test]
    fn each_is_counted_once() {
        let at = Timestamp(9);
        let shards = vec![ShardId(1), ShardId(2)];
        let alone = Stage::OnePhase { shard: ShardId(1), read: vec![] };
        let told = Stage::Committing { at, unacknowledged: shards.clone() };
        let of_sites = Commit { sites: shards, ..Commit::recovered(at, told.clone()) };
        let mut counts = Counts::default();
        for commit in [Commit::recovered(at, alone), Commit::recovered(at, told), of_sites] {
            counts.add(&commit);
        }
        let shown: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
        let expected = ["2pc", "3pc", "one-phase"].map(|name| (name.to_owned(), 1));
        assert_eq!((shown, counts.total()), (expected.to_vec(), 3));
    }
}
