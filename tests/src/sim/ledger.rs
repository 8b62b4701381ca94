//! What is durable where: the records of all logs, parsed as they become
//! durable. It is what an all-seeing observer knows, and what promises are held
//! against. Nothing is ever taken out of it, whatever the servers forget.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use synod_common::commit::{Protocol, Verdict};
use synod_common::id::{Epoch, ShardId, TxnId};
use synod_common::node::{Lsn, Records};
use synod_common::time::Timestamp;
use synod_shard::Record as ShardRecord;

use super::group::GroupLog;
use super::server::is_coordinator;
use crate::invariants::{
    Check, agreement, decision, forgetting, heuristic, implicit, once, paxos, sites, votes,
};

type CoordinatorRecord = synod_coordinator::Record;

/// A record of some server.
#[derive(Clone, Debug)]
pub enum Fact {
    /// Of the coordinator.
    Coordinator(CoordinatorRecord),
    /// Of a shard.
    Shard(ShardRecord),
}

/// The durable facts of one server.
#[derive(Debug, Default)]
pub struct Facts {
    /// Written, not durable.
    tail: VecDeque<(Lsn, Fact)>,
    last: Lsn,
    /// The log is durable up to here.
    pub durable: Lsn,
    /// Prepared here.
    pub prepared: BTreeMap<TxnId, synod_common::time::Timestamp>,
    /// What each of them writes, and the locks it needs after a restart.
    pub records: BTreeMap<TxnId, synod_shard::Prepared>,
    /// Decided here by operators, who may be wrong.
    pub resolved: BTreeMap<TxnId, Verdict>,
    /// Committed here in two phases.
    pub committed: BTreeMap<TxnId, Timestamp>,
    /// Aborted here after a YES vote.
    pub aborted: BTreeSet<TxnId>,
    /// Committed here in one phase.
    pub one_phase: BTreeMap<TxnId, Timestamp>,
}

/// The durable facts of all servers.
#[derive(Debug)]
pub struct Ledger {
    /// By index of the server.
    pub servers: Vec<Facts>,
    /// Durable decisions to commit, wherever they were made.
    pub committed: BTreeMap<TxnId, Timestamp>,
    /// Those who voted YES on what is decided.
    pub voters: BTreeMap<TxnId, Vec<ShardId>>,
    /// Durable aborts.
    pub aborted: BTreeSet<TxnId>,
    /// Timestamps of commits, durable or not, as records and messages say.
    pub claimed: BTreeMap<TxnId, Timestamp>,
    /// What sites of three-phase commit have accepted.
    pub sites: BTreeMap<TxnId, sites::Accepted>,
    /// What coordinators have accepted in Paxos Commit.
    pub accepted: paxos::Accepted,
    /// Transactions that were committed by their votes alone.
    pub by_votes: u64,
    /// Those that the log has aborted though all had prepared.
    pub set_aside: u64,
    /// How many coordinators there are.
    pub coordinators: usize,
    /// Newest durable epoch.
    pub epoch: Epoch,
    /// Largest durable window.
    pub hi: Timestamp,
    /// The durable safe point.
    pub safe_point: Timestamp,
    /// The log of the coordinators, if there are several. What is committed there is durable.
    pub group: Option<GroupLog>,
}

impl Ledger {
    /// Nothing is durable.
    pub fn new(shards: usize, coordinators: usize) -> Ledger {
        Ledger {
            servers: (0..shards + coordinators).map(|_| Facts::default()).collect(),
            accepted: paxos::Accepted::default(),
            by_votes: 0,
            set_aside: 0,
            coordinators,
            committed: BTreeMap::new(),
            voters: BTreeMap::new(),
            aborted: BTreeSet::new(),
            claimed: BTreeMap::new(),
            sites: BTreeMap::new(),
            epoch: Epoch::default(),
            hi: Timestamp::ZERO,
            safe_point: Timestamp::ZERO,
            group: None,
        }
    }

    /// A server wrote records.
    pub fn appended(&mut self, server: usize, records: &Records) -> Check {
        for bytes in records.iter() {
            let fact = parse(server, bytes)?;
            votes::check(self, &fact)?;
            forgetting::check(self, &fact)?;
            if let Fact::Coordinator(
                CoordinatorRecord::Committed { txn, at, .. }
                | CoordinatorRecord::Outcome { txn, at },
            )
            | Fact::Shard(
                ShardRecord::Committed { txn, at }
                | ShardRecord::Outcome { txn, verdict: Verdict::Commit(at) },
            ) = &fact
            {
                decision::check(self, *txn, *at)?;
            }
            if let Fact::Shard(
                ShardRecord::Committed { txn, at }
                | ShardRecord::Outcome { txn, verdict: Verdict::Commit(at) },
            ) = &fact
            {
                paxos::carried_out(self, server, *txn, *at)?;
            }
            if let Fact::Coordinator(record) = &fact {
                paxos::written(self, server, record)?;
                implicit::written(self, record)?;
            }
            let facts = &mut self.servers[server];
            facts.last = facts.last.next();
            facts.tail.push_back((facts.last, fact));
        }
        Ok(())
    }

    /// A server's log is durable up to `lsn`.
    pub fn durable(&mut self, server: usize, lsn: Lsn) -> Check {
        let facts = &mut self.servers[server];
        facts.durable = facts.durable.max(lsn);
        while self.servers[server].tail.front().is_some_and(|(at, _)| *at <= lsn) {
            match (self.servers[server].tail.pop_front(), &mut self.group) {
                (Some((_, Fact::Coordinator(CoordinatorRecord::Accepted(bundle)))), _) => {
                    paxos::accepted(self, server, &bundle);
                }
                (Some((_, Fact::Coordinator(record))), Some(group)) => {
                    group.durable(server, record);
                }
                (Some((_, fact)), _) => self.enter(server, fact)?,
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// One of so many coordinators calls all entries of their log up to here committed.
    pub fn committed(&mut self, upto: u64, members: usize) -> Check {
        let Some(group) = &mut self.group else { return Ok(()) };
        for record in group.committed(upto, members)? {
            self.enter(0, Fact::Coordinator(record))?;
        }
        Ok(())
    }

    /// A coordinator has lost its disk. What was on it may be counted when word comes late.
    pub fn lost_disk(&mut self, server: usize) {
        let facts = &mut self.servers[server];
        facts.tail.clear();
        (facts.last, facts.durable) = (Lsn::default(), Lsn::default());
        if let Some(group) = &mut self.group {
            group.lost_disk(server);
        }
    }

    /// A restarted server's log ends with `last`. What was written and not
    /// durable counts if it survived.
    pub fn recovered(&mut self, server: usize, last: Lsn) -> Check {
        let facts = &self.servers[server];
        if last < facts.durable {
            let durable = facts.durable.0;
            return Err(format!(
                "I4: the log ends with {} and was durable up to {durable}",
                last.0
            ));
        }
        self.durable(server, last)?;
        let facts = &mut self.servers[server];
        facts.tail.clear();
        facts.last = last;
        Ok(())
    }

    /// How a transaction ended that has ended.
    pub fn outcome(&self, txn: TxnId) -> Verdict {
        self.committed.get(&txn).map_or(Verdict::Abort, |at| Verdict::Commit(*at))
    }

    /// What an operator has decided about it on a server that is not its outcome.
    pub fn mixed(&self, server: usize, txn: TxnId) -> Option<Verdict> {
        let resolved = self.servers[server].resolved.get(&txn).copied();
        resolved.filter(|verdict| *verdict != self.outcome(txn))
    }

    /// Whether any transaction is mixed anywhere.
    pub fn is_any_mixed(&self) -> bool {
        let servers = self.servers.iter().enumerate();
        let mut all =
            servers.flat_map(|(at, facts)| facts.resolved.keys().map(move |txn| (at, *txn)));
        all.any(|(at, txn)| self.mixed(at, txn).is_some())
    }

    /// Prepared on a server, and not known to be over there, nor decided by an operator.
    pub fn undecided(&self, server: usize) -> impl Iterator<Item = TxnId> {
        let facts = &self.servers[server];
        let over = |txn: &TxnId| {
            facts.committed.contains_key(txn)
                || facts.aborted.contains(txn)
                || facts.resolved.contains_key(txn)
        };
        facts.prepared.keys().copied().filter(move |txn| !over(txn))
    }

    fn enter(&mut self, server: usize, fact: Fact) -> Check {
        once::check(&self.servers[server], &fact)?;
        if let Fact::Shard(record) = &fact {
            heuristic::check(&self.servers[server], record)?;
        }
        if let Fact::Coordinator(CoordinatorRecord::Committed { txn, yes, .. }) = &fact {
            self.voters.entry(*txn).or_insert_with(|| yes.clone());
        }
        let facts = &mut self.servers[server];
        match fact {
            Fact::Coordinator(CoordinatorRecord::Started { epoch }) => {
                self.epoch = self.epoch.max(epoch);
            }
            Fact::Coordinator(CoordinatorRecord::Window { hi }) => self.hi = self.hi.max(hi),
            Fact::Coordinator(CoordinatorRecord::SafePoint { at }) => {
                self.safe_point = self.safe_point.max(at);
            }
            Fact::Coordinator(
                CoordinatorRecord::Committed { txn, at, .. }
                | CoordinatorRecord::Outcome { txn, at },
            ) => {
                self.committed.insert(txn, at);
                agreement::check(self, txn)?;
            }
            Fact::Coordinator(
                CoordinatorRecord::Ended { .. }
                | CoordinatorRecord::Promised(_)
                | CoordinatorRecord::Cut { .. }
                | CoordinatorRecord::Accepted(_)
                | CoordinatorRecord::Mark { .. }
                | CoordinatorRecord::Decided { .. },
            ) => {}
            Fact::Coordinator(CoordinatorRecord::GivenUp { txn, .. }) => {
                paxos::given_up(self, txn)?;
            }
            Fact::Coordinator(CoordinatorRecord::Aborted { txn, .. }) => {
                implicit::aborted(self, txn)?;
            }
            Fact::Coordinator(CoordinatorRecord::Site { txn, sites, stable, .. }) => {
                sites::named(self, txn, &sites);
                sites::entered(self, server, txn, stable)?;
            }
            Fact::Shard(ShardRecord::Site { txn, stable }) => {
                sites::entered(self, server, txn, stable)?;
            }
            Fact::Shard(ShardRecord::Prepared(record)) => {
                if record.protocol == Protocol::ThreePhase {
                    sites::named(self, record.txn, &record.participants);
                }
                let facts = &mut self.servers[server];
                facts.prepared.insert(record.txn, record.m);
                facts.records.insert(record.txn, record);
            }
            Fact::Shard(
                ShardRecord::Committed { txn, at }
                | ShardRecord::Outcome { txn, verdict: Verdict::Commit(at) },
            ) => {
                facts.committed.insert(txn, at);
                agreement::check(self, txn)?;
            }
            Fact::Shard(
                ShardRecord::Aborted { txn }
                | ShardRecord::Outcome { txn, verdict: Verdict::Abort },
            ) => {
                facts.aborted.insert(txn);
                self.aborted.insert(txn);
                agreement::check(self, txn)?;
            }
            Fact::Shard(ShardRecord::Shards(_)) => {}
            Fact::Shard(ShardRecord::Resolved(resolution)) => {
                if !resolution.read {
                    facts.resolved.insert(resolution.txn, resolution.verdict);
                }
            }
            Fact::Shard(ShardRecord::OnePhase(record)) => {
                facts.one_phase.insert(record.txn, record.m);
                self.committed.insert(record.txn, record.m);
                agreement::check(self, record.txn)?;
                decision::check(self, record.txn, record.m)?;
            }
        }
        Ok(())
    }
}

/// Understands a record of a server.
///
/// # Errors
/// If it is none.
pub fn parse(server: usize, bytes: &[u8]) -> Result<Fact, String> {
    let error = |error: postcard::Error| format!("a record can not be read: {error}");
    if is_coordinator(server) {
        postcard::from_bytes(bytes).map(Fact::Coordinator).map_err(error)
    } else {
        postcard::from_bytes(bytes).map(Fact::Shard).map_err(error)
    }
}
