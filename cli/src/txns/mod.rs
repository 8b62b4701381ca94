//! How far transactions are, for people: what each server says, put side by side.
//!
//! ```text
//!   c1  Preparing: YES s1, missing s2 ─┐
//!   s1  Prepared                       ├─▶ preparing, waits for the vote of s2
//!   s2  Preparing, waits for a lock   ─┘       and a lock on s2
//! ```
//!
//! It is needed most when servers are gone. So each is asked by itself and without a
//! session, whoever is silent is named, and the rest is shown. The servers are asked at
//! the same time while work goes on: a transaction may have moved on at one of them
//! when another one answers.

pub mod ask;

use std::collections::BTreeSet;

use synod_client::{
    Commit, CommitStage, Holds, Protocol, ShardId, ShardStage, ShardTxn, Timestamp, TxnId,
};

use crate::waits::age_ms;

/// A transaction, as those servers see it that know it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name.
    pub txn: TxnId,
    /// What the coordinator says.
    pub commit: Option<Commit>,
    /// What the shards say.
    pub shards: Vec<(ShardId, ShardTxn)>,
    /// What it holds there, if that was asked.
    pub holds: Vec<(ShardId, Holds)>,
    /// There are several coordinators, of which any may lead and decide.
    pub of_group: bool,
}

const ONE_PHASE: &str = "one-phase";

/// How far a transaction is, all in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It reads and locks.
    Active,
    /// Votes are missing.
    Preparing,
    /// All have voted for it, and it is being made sure that they can end it alone.
    PreCommitting,
    /// All have voted for it, and a majority of the coordinators is to accept that.
    Accepting,
    /// Votes are missing, and it is being made sure that nobody commits it.
    GivingUp,
    /// It has voted somewhere; whether it is decided is not known to those who answer.
    InDoubt,
    /// An operator has decided it somewhere; its outcome is not known.
    Resolved,
    /// The decision is on its way to the disk.
    Deciding,
    /// It is committed, and not everybody is done.
    Committing,
}

impl State {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Preparing => "preparing",
            State::PreCommitting => "pre-committing",
            State::Accepting => "accepting",
            State::GivingUp => "giving up",
            State::InDoubt => "in doubt",
            State::Resolved => "resolved",
            State::Deciding => "deciding",
            State::Committing => "committing",
        }
    }

    fn of_commit(stage: &CommitStage) -> State {
        match stage {
            CommitStage::Preparing { .. } => State::Preparing,
            CommitStage::Deciding { .. } => State::Deciding,
            CommitStage::PreCommitting { .. } => State::PreCommitting,
            CommitStage::Accepting { .. } => State::Accepting,
            CommitStage::GivingUp { .. } => State::GivingUp,
            CommitStage::OnePhase { .. } | CommitStage::Committing { .. } => State::Committing,
        }
    }

    fn of_shard(stage: &ShardStage) -> State {
        match stage {
            ShardStage::Active => State::Active,
            ShardStage::Preparing { .. } => State::Preparing,
            ShardStage::Prepared { .. } | ShardStage::ReadVoted { .. } => State::InDoubt,
            ShardStage::OnePhase { .. } => State::Committing,
            ShardStage::Resolved { .. } => State::Resolved,
        }
    }
}

impl Seen {
    /// Nothing is known of it yet.
    pub fn new(txn: TxnId) -> Seen {
        Seen { txn, commit: None, shards: Vec::new(), holds: Vec::new(), of_group: false }
    }

    /// How far it is. The coordinator knows best; without it, a shard that has voted.
    pub fn state(&self) -> State {
        if let Some(commit) = &self.commit {
            return State::of_commit(&commit.stage);
        }
        let states: Vec<State> =
            self.shards.iter().map(|(_, seen)| State::of_shard(&seen.stage)).collect();
        let order = [State::InDoubt, State::Resolved, State::Committing, State::Preparing];
        order.into_iter().find(|state| states.contains(state)).unwrap_or(State::Active)
    }

    /// For how long it has been so, in milliseconds, and whether at least so long.
    pub fn for_ms(&self) -> (u64, bool) {
        if let Some(commit) = &self.commit {
            return (commit.for_ms, commit.at_least);
        }
        let state = self.state();
        let same = self.shards.iter().filter(|(_, seen)| State::of_shard(&seen.stage) == state);
        same.map(|(_, seen)| (seen.for_ms, seen.at_least)).max().unwrap_or_default()
    }

    /// How it is committed; none before COMMIT.
    pub fn protocol(&self) -> Option<String> {
        let commit = self.commit.iter().map(|commit| match &commit.stage {
            CommitStage::OnePhase { .. } => ONE_PHASE.to_owned(),
            CommitStage::Deciding { yes, read, .. } if yes.is_empty() && read.is_empty() => {
                ONE_PHASE.to_owned()
            }
            CommitStage::Preparing { .. }
            | CommitStage::Deciding { .. }
            | CommitStage::PreCommitting { .. }
            | CommitStage::Accepting { .. }
            | CommitStage::GivingUp { .. }
            | CommitStage::Committing { .. } => commit.protocol.to_string(),
        });
        // Before a commit that was found in the log: that does not say all of it.
        let writers = self.shards.iter().filter_map(|(_, seen)| match &seen.stage {
            ShardStage::Prepared { protocol, .. } | ShardStage::Resolved { protocol, .. } => {
                Some(protocol.to_string())
            }
            _ => None,
        });
        let shards = self.shards.iter().filter_map(|(_, seen)| match &seen.stage {
            ShardStage::Preparing { participants, .. } if participants.is_empty() => {
                Some(ONE_PHASE.to_owned())
            }
            // One that is to vote does not say it.
            ShardStage::Active | ShardStage::Preparing { .. } => None,
            // Whoever reads before a last agent is told of no protocol.
            ShardStage::ReadVoted { protocol: Protocol::Auto, .. } => Some(ONE_PHASE.to_owned()),
            ShardStage::Prepared { protocol, .. }
            | ShardStage::Resolved { protocol, .. }
            | ShardStage::ReadVoted { protocol, .. } => Some(protocol.to_string()),
            ShardStage::OnePhase { .. } => Some(ONE_PHASE.to_owned()),
        });
        writers.chain(commit).chain(shards).next()
    }

    /// The shards that take part, as far as somebody says so.
    pub fn on(&self) -> BTreeSet<ShardId> {
        let mut on: BTreeSet<ShardId> = self.shards.iter().map(|(shard, _)| *shard).collect();
        for (_, seen) in &self.shards {
            match &seen.stage {
                ShardStage::Preparing { participants, .. }
                | ShardStage::Prepared { participants, .. }
                | ShardStage::Resolved { participants, .. } => on.extend(participants),
                ShardStage::Active | ShardStage::ReadVoted { .. } | ShardStage::OnePhase { .. } => {
                }
            }
        }
        match self.commit.as_ref().map(|commit| &commit.stage) {
            Some(CommitStage::OnePhase { shard, read }) => {
                on.extend([shard].into_iter().chain(read));
            }
            Some(CommitStage::Preparing { yes, read, missing }) => {
                on.extend(yes.iter().chain(read).chain(missing));
            }
            Some(CommitStage::Deciding { yes, read, .. }) => on.extend(yes.iter().chain(read)),
            Some(CommitStage::PreCommitting { yes, .. }) => on.extend(yes),
            Some(CommitStage::Accepting { yes, read, .. }) => on.extend(yes.iter().chain(read)),
            Some(CommitStage::GivingUp { on: shards }) => on.extend(shards),
            Some(CommitStage::Committing { unacknowledged, .. }) => on.extend(unacknowledged),
            None => {}
        }
        on
    }

    /// How old it is, or at least its commit, in milliseconds; none if nobody says so.
    /// Right after a start the oracle is ahead of the clock, so what it has dated seems
    /// too young; it is not younger than it has been as it is.
    pub fn age_ms(&self) -> Option<u64> {
        age_ms(self.began()).map(|age| age.max(self.for_ms().0))
    }

    fn began(&self) -> Timestamp {
        let ages = self.shards.iter().map(|(_, seen)| seen.age);
        let began = ages.filter(|age| *age != Timestamp::ZERO).min();
        let commit = self.commit.as_ref().map(|commit| commit.h);
        began.or(commit).unwrap_or(Timestamp::ZERO)
    }

    /// What it waits for.
    pub fn waits_for(&self) -> Vec<String> {
        let mut waits = Vec::new();
        match self.commit.as_ref().map(|commit| &commit.stage) {
            Some(CommitStage::OnePhase { shard, .. }) => {
                waits.push(format!("the answer of {shard}"));
            }
            Some(CommitStage::Preparing { missing, .. }) => {
                waits.extend(missing.iter().map(|shard| format!("the vote of {shard}")));
            }
            Some(CommitStage::Deciding { .. }) => {
                waits.push("the log of the coordinator".to_owned());
            }
            Some(CommitStage::PreCommitting { .. }) => {
                waits.push("a majority of its sites".to_owned());
            }
            Some(CommitStage::Accepting { .. } | CommitStage::GivingUp { .. }) => {
                waits.push("a majority of the coordinators".to_owned());
            }
            Some(CommitStage::Committing { unacknowledged, .. }) => {
                let acks = unacknowledged.iter();
                waits.extend(acks.map(|shard| format!("the acknowledgement of {shard}")));
            }
            None => waits.extend(self.decisions()),
        }
        let locks = self.shards.iter().filter(|(_, seen)| seen.waiting > 0);
        waits.extend(locks.map(|(shard, _)| format!("a lock on {shard}")));
        if waits.is_empty() && self.state() == State::Active {
            waits.push("its client".to_owned());
        }
        waits
    }

    /// Whose decisions shards wait for that have done what is theirs.
    fn decisions(&self) -> BTreeSet<String> {
        let waits = self.shards.iter().filter_map(|(shard, seen)| match &seen.stage {
            ShardStage::Prepared { protocol, .. }
            | ShardStage::Resolved { protocol, .. }
            | ShardStage::ReadVoted { protocol, .. }
                if protocol.rule().is_some() =>
            {
                Some("a majority of its sites".to_owned())
            }
            ShardStage::ReadVoted { protocol: Protocol::Auto, .. } => {
                Some("the shard that alone writes".to_owned())
            }
            ShardStage::Prepared { .. }
            | ShardStage::Resolved { .. }
            | ShardStage::ReadVoted { .. }
                if self.of_group =>
            {
                Some("the decision of whoever leads the coordinators".to_owned())
            }
            ShardStage::Prepared { coordinator, .. }
            | ShardStage::Resolved { coordinator, .. }
            | ShardStage::ReadVoted { coordinator, .. } => {
                Some(format!("the decision of {coordinator}"))
            }
            ShardStage::OnePhase { .. } => Some(format!("the end of its commit on {shard}")),
            ShardStage::Active | ShardStage::Preparing { .. } => None,
        });
        waits.collect()
    }
}

#[cfg(test)]
mod tests {
    use synod_client::SessionId;
    use synod_common::id::{CoordinatorId, Epoch};

    use super::*;

    fn seen(commit: Option<CommitStage>, shards: Vec<(u16, ShardStage, u32)>) -> Seen {
        let txn = TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence: 1 };
        let (h, at_least) = (Timestamp(9), false);
        let shard = |(n, stage, waiting)| {
            let age = Timestamp(5);
            let for_ms = u64::from(n);
            let shown = ShardTxn { txn, stage, for_ms, at_least, age, locks: 1, waiting };
            (ShardId(n), shown)
        };
        Seen {
            commit: commit.map(|stage| {
                let protocol = Protocol::TwoPhase;
                Commit { txn, h, protocol, stage, for_ms: 7, at_least }
            }),
            shards: shards.into_iter().map(shard).collect(),
            ..Seen::new(txn)
        }
    }

    fn preparing() -> ShardStage {
        let (participants, coordinator) = (shards(&[1, 2]), CoordinatorId(1));
        ShardStage::Preparing { h: Timestamp(9), participants, coordinator }
    }

    fn prepared() -> ShardStage {
        let (h, m, asked) = (Timestamp(9), Timestamp(9), 0);
        let (participants, coordinator) = (shards(&[1, 2]), CoordinatorId(1));
        let protocol = Protocol::TwoPhase;
        ShardStage::Prepared { h, m, participants, coordinator, asked, protocol, site: None }
    }

    fn shards(list: &[u16]) -> Vec<ShardId> {
        list.iter().copied().map(ShardId).collect()
    }

    #[test]
    fn whoever_knows_more_is_believed() {
        let missing =
            CommitStage::Preparing { yes: shards(&[1]), read: vec![], missing: shards(&[2]) };
        let whole = seen(Some(missing), vec![(1, prepared(), 0), (2, preparing(), 1)]);
        assert_eq!((whole.state(), whole.for_ms()), (State::Preparing, (7, false)));
        assert_eq!(whole.waits_for(), ["the vote of s2", "a lock on s2"]);

        let headless = seen(None, vec![(1, prepared(), 0), (2, preparing(), 0)]);
        assert_eq!((headless.state(), headless.for_ms()), (State::InDoubt, (1, false)));
        assert_eq!(headless.waits_for(), ["the decision of c1"]);
        assert_eq!(headless.protocol().as_deref(), Some("2pc"));

        let half = seen(None, vec![(1, prepared(), 0)]);
        assert_eq!(half.on(), shards(&[1, 2]).into_iter().collect());

        let told = CommitStage::Committing { at: Timestamp(9), unacknowledged: shards(&[2]) };
        let told = seen(Some(told), vec![(2, prepared(), 0)]);
        assert_eq!(told.state(), State::Committing);
        assert_eq!(told.waits_for(), ["the acknowledgement of s2"]);

        let idle = seen(None, vec![(1, ShardStage::Active, 0)]);
        assert_eq!((idle.state(), idle.protocol()), (State::Active, None));
        assert_eq!(idle.waits_for(), ["its client"]);
        let stuck = seen(None, vec![(1, ShardStage::Active, 1)]);
        assert_eq!(stuck.waits_for(), ["a lock on s1"]);
    }

    /// It is not always the coordinator that asked for the vote.
    #[test]
    fn what_a_voter_waits_for_depends_on_how_it_is_committed() {
        let (h, m, coordinator, asked) = (Timestamp(9), Timestamp(9), CoordinatorId(1), 0);
        let voted = |protocol| ShardStage::ReadVoted { h, m, coordinator, asked, protocol };
        let waits = |of_group, stage| {
            let seen = Seen { of_group, ..seen(None, vec![(1, stage, 0)]) };
            (seen.protocol().unwrap(), seen.waits_for().concat())
        };
        let said = |protocol: &str, waits: &str| (protocol.to_owned(), waits.to_owned());
        let leader = "the decision of whoever leads the coordinators";
        assert_eq!(waits(false, prepared()), said("2pc", "the decision of c1"));
        assert_eq!(waits(true, prepared()), said("2pc", leader));
        assert_eq!(waits(true, voted(Protocol::PaxosCommit)), said("paxos", leader));
        let sites = "a majority of its sites";
        assert_eq!(waits(true, voted(Protocol::ThreePhase)), said("3pc", sites));
        let writer = "the shard that alone writes";
        assert_eq!(waits(false, voted(Protocol::Auto)), said("one-phase", writer));
    }
}
