//! What must hold in every schedule, and what must have been reached in some.

use std::fmt;
use std::hash::{Hash, Hasher};

use synod_common::commit::Verdict;
use synod_common::error::Reason;
use synod_common::id::ShardId;
use synod_common::message::client::Outcome;
use synod_common::message::commit::{Decision, Vote};
use synod_common::message::{ClientReply, CommitMessage, Message, PeerMessage};
use synod_common::time::Timestamp;
use synod_coordinator::Record as CoordinatorRecord;
use synod_shard::Record as ShardRecord;
use synod_shard::lock::Mode;

use super::client::{About, Client, MOST, Value};
use super::net::{Letter, MOST_SHARDS};
use super::server::Server;
use super::settings::KEYS;
use crate::sim::ledger::Fact;

/// How often what was reached. A run of many schedules that never reached one of these
/// says nothing about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Transactions that were committed with several votes.
    pub committed: u64,
    /// Likewise, that only read.
    pub read: u64,
    /// Of those that one shard has decided alone.
    pub one_phase: u64,
    /// Of those, after others have voted READ.
    pub last_agent: u64,
    /// Transactions of which a client was told that they are aborted.
    pub aborted: u64,
    /// Those that were fenced by a question.
    pub fenced: u64,
    /// Votes of NO.
    pub refused: u64,
    /// Of those, because the timestamp was too late.
    pub windows: u64,
    /// Questions of those who are in doubt, to the coordinator.
    pub inquiries: u64,
    /// Answers to them that it has no record.
    pub forgotten: u64,
    /// Outcomes that one participant told another.
    pub cooperated: u64,
    /// Of those, commits.
    pub cooperated_commits: u64,
    /// Servers that were in doubt when they were back.
    pub in_doubt: u64,
    /// Crashes of servers that lost something that was written.
    pub lost: u64,
    /// Crashes after which something written was durable that nobody had heard of.
    pub survived: u64,
    /// Decisions of operators.
    pub resolved: u64,
    /// Of those, wrong ones.
    pub mixed: u64,
    /// Aborts that were forced, because nobody had voted NO.
    pub set_aside: u64,
    /// Outcomes that were asked for when they were forgotten.
    pub unknown: u64,
    /// Acknowledgements of several commits at once.
    pub batches: u64,
    /// Snapshots that were read.
    pub snapshots: u64,
}

impl Seen {
    /// Each with its name.
    pub fn all(&self) -> [(&'static str, u64); 21] {
        [
            ("commits", self.committed),
            ("commits of what only reads", self.read),
            ("commits in one phase", self.one_phase),
            ("commits of a last agent", self.last_agent),
            ("aborts", self.aborted),
            ("fenced", self.fenced),
            ("votes of NO", self.refused),
            ("votes too late", self.windows),
            ("inquiries", self.inquiries),
            ("answers that there is no record", self.forgotten),
            ("outcomes learned from others", self.cooperated),
            ("commits learned from others", self.cooperated_commits),
            ("in doubt after a restart", self.in_doubt),
            ("crashes that lost something", self.lost),
            ("crashes that lost only the news", self.survived),
            ("decisions of operators", self.resolved),
            ("wrong ones", self.mixed),
            ("forced aborts", self.set_aside),
            ("forgotten outcomes asked for", self.unknown),
            ("acknowledgements of several", self.batches),
            ("snapshots", self.snapshots),
        ]
    }
}

/// What is durable of one transaction, and what was said of it. Nothing is ever taken out,
/// whatever the servers forget.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Facts {
    /// By shard: what it has voted YES with.
    prepared: [Option<Timestamp>; MOST_SHARDS],
    /// By shard: committed in two phases.
    committed: [bool; MOST_SHARDS],
    /// By shard: aborted after a YES vote.
    aborted: [bool; MOST_SHARDS],
    /// By shard: what an operator has decided there.
    resolved: [Option<Verdict>; MOST_SHARDS],
    /// Committed by one shard alone.
    one_phase: [bool; MOST_SHARDS],
    /// Decided by the coordinator, or by votes.
    decided: bool,
    /// Aborted by the coordinator's log.
    set_aside: bool,
    /// The shards that must acknowledge, as it says.
    voters: u8,
    /// When it commits, whoever says so, durably or not.
    at: Option<Timestamp>,
    /// What its client was told.
    told: Option<bool>,
}

impl Facts {
    fn is_committed(&self) -> bool {
        self.decided || self.committed.contains(&true) || self.one_phase.contains(&true)
    }
}

/// The judge of one schedule, who sees everything.
#[derive(Clone, Debug, Default)]
pub struct Check {
    facts: [Facts; MOST],
    /// The newest timestamp that was handed out.
    drawn: Timestamp,
    /// Whether outcomes may be forgotten.
    forgets: bool,
    /// What this schedule has reached.
    pub seen: Seen,
}

type Checked = Result<(), String>;

/// What it knows; not what it has counted.
impl Hash for Check {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.facts.hash(state);
    }
}

impl Check {
    /// One who allows that outcomes are forgotten, or does not.
    pub fn new(forgets: bool) -> Check {
        Check { forgets, ..Check::default() }
    }

    /// Whether it is durable that a transaction commits.
    pub fn is_committed(&self, number: usize) -> bool {
        self.facts[number].is_committed()
    }

    /// I3: it commits at one time.
    fn at(&mut self, number: usize, at: Timestamp) -> Checked {
        match self.facts[number].at.replace(at) {
            Some(before) if before != at => {
                Err(format!("I3: {number} commits at {before} and at {at}"))
            }
            _ => Ok(()),
        }
    }

    /// A server has written a record.
    pub fn written(&mut self, site: usize, fact: &Fact, client: &Client) -> Checked {
        match fact {
            Fact::Coordinator(CoordinatorRecord::Committed { txn, at, yes }) => {
                let Some(number) = client.number(*txn) else { return unknown(fact) };
                let facts = &self.facts[number];
                let writers = (0..MOST_SHARDS).filter(|i| client.txns[number].ops[*i].writes());
                for shard in yes.iter().map(|shard| usize::from(shard.0) - 1).chain(writers) {
                    let vote = facts.prepared[shard];
                    if vote.is_none_or(|m| m > *at) {
                        return Err(format!("I2: {number} commits at {at}, a vote is {vote:?}"));
                    }
                }
                if client.txns[number].is_implicit() {
                    self.decided(number, yes);
                }
                self.at(number, *at)?;
                self.agree(number)
            }
            Fact::Coordinator(CoordinatorRecord::Outcome { txn, at }) => {
                let Some(number) = client.number(*txn) else { return unknown(fact) };
                let facts = &self.facts[number];
                let alone = facts.one_phase.contains(&true) || facts.decided;
                if client.txns[number].writers() > 0 && !alone {
                    return Err(format!("I2: {number} commits without its writers"));
                }
                self.at(number, *at)
            }
            Fact::Coordinator(CoordinatorRecord::Ended { txn }) => {
                let Some(number) = client.number(*txn) else { return unknown(fact) };
                let facts = &self.facts[number];
                let owes =
                    |shard: &usize| facts.voters >> shard & 1 == 1 && !facts.committed[*shard];
                match (0..MOST_SHARDS).find(owes) {
                    Some(shard) => {
                        Err(format!("I7: {number} is forgotten, s{} lacks it", shard + 1))
                    }
                    None => Ok(()),
                }
            }
            Fact::Shard(
                ShardRecord::Committed { txn, at }
                | ShardRecord::Outcome { txn, verdict: Verdict::Commit(at) },
            ) => {
                let Some(number) = client.number(*txn) else { return unknown(fact) };
                if !self.facts[number].decided {
                    return Err(format!("I2: {number} is not decided, s{site} commits it"));
                }
                self.at(number, *at)
            }
            Fact::Shard(ShardRecord::OnePhase(record)) => {
                let Some(number) = client.number(record.txn) else { return unknown(fact) };
                let txn = &client.txns[number];
                if txn.writers() > 1 || !txn.ops[site - 1].writes() {
                    return Err(format!("I2: s{site} commits {number} alone"));
                }
                Ok(())
            }
            Fact::Coordinator(_) | Fact::Shard(_) => Ok(()),
        }
    }

    /// A record is durable.
    pub fn durable(&mut self, site: usize, fact: &Fact, client: &Client) -> Checked {
        let txn = match fact {
            Fact::Coordinator(
                CoordinatorRecord::Committed { txn, .. }
                | CoordinatorRecord::Outcome { txn, .. }
                | CoordinatorRecord::Aborted { txn, .. },
            )
            | Fact::Shard(
                ShardRecord::Committed { txn, .. }
                | ShardRecord::Aborted { txn }
                | ShardRecord::Outcome { txn, .. },
            ) => *txn,
            Fact::Shard(ShardRecord::Resolved(resolution)) => resolution.txn,
            Fact::Shard(ShardRecord::Prepared(record)) => record.txn,
            Fact::Shard(ShardRecord::OnePhase(record)) => record.txn,
            Fact::Coordinator(_) | Fact::Shard(_) => return Ok(()),
        };
        let Some(number) = client.number(txn) else { return unknown(fact) };
        let facts = &mut self.facts[number];
        match fact {
            Fact::Coordinator(CoordinatorRecord::Committed { yes, .. }) => {
                self.decided(number, yes);
            }
            Fact::Coordinator(CoordinatorRecord::Aborted { .. }) => {
                facts.set_aside = true;
                self.seen.set_aside += 1;
            }
            Fact::Coordinator(CoordinatorRecord::Outcome { .. }) => {
                self.seen.read += u64::from(client.txns[number].writers() == 0);
                facts.decided = true;
            }
            Fact::Shard(ShardRecord::Prepared(record)) => {
                facts.prepared[site - 1] = Some(record.m);
            }
            Fact::Shard(ShardRecord::Committed { .. }) => {
                if std::mem::replace(&mut facts.committed[site - 1], true) {
                    return Err(format!("I5: {number} is committed twice on s{site}"));
                }
            }
            Fact::Shard(ShardRecord::Aborted { .. }) => facts.aborted[site - 1] = true,
            Fact::Shard(ShardRecord::Resolved(resolution)) => {
                // Who has only read has decided nothing by that.
                if !resolution.read {
                    facts.resolved[site - 1] = Some(resolution.verdict);
                }
                self.seen.resolved += 1;
            }
            Fact::Shard(ShardRecord::Outcome { verdict, .. }) => match verdict {
                Verdict::Commit(_) => facts.committed[site - 1] = true,
                Verdict::Abort => facts.aborted[site - 1] = true,
            },
            Fact::Shard(ShardRecord::OnePhase(record)) => {
                if std::mem::replace(&mut facts.one_phase[site - 1], true) {
                    return Err(format!("I5: {number} is committed twice on s{site}"));
                }
                self.seen.one_phase += 1;
                self.seen.last_agent += u64::from(client.txns[number].shards().count() > 1);
                self.at(number, record.m)?;
            }
            Fact::Coordinator(_) | Fact::Shard(_) => {}
        }
        self.agree(number)
    }

    /// It is committed: the coordinator has that durably, or all have voted YES and it says so.
    fn decided(&mut self, number: usize, yes: &[ShardId]) {
        let facts = &mut self.facts[number];
        if !std::mem::replace(&mut facts.decided, true) {
            self.seen.committed += 1;
        }
        facts.voters = yes.iter().fold(0, |all, shard| all | 1 << (shard.0 - 1));
    }

    /// I1: nothing is both committed and aborted. I4: nor is it for the client.
    fn agree(&self, number: usize) -> Checked {
        let facts = &self.facts[number];
        if facts.is_committed() && (facts.aborted.contains(&true) || facts.set_aside) {
            return Err(format!("I1: {number} is committed and aborted"));
        }
        if facts.is_committed() && facts.told == Some(false) {
            return Err(format!("I4: {number} is committed, its client was told of an abort"));
        }
        Ok(())
    }

    /// I6: what a server says is durable.
    pub fn said(&mut self, client: &Client, letter: &Letter) -> Checked {
        use CommitMessage as C;
        let from = letter.from;
        let fine = match &letter.message {
            Message::Commit(C::Vote { txn, vote: Vote::Yes(m) }) => {
                let number = client.number(*txn);
                number.is_some_and(|it| self.facts[it].prepared[from - 1] == Some(*m))
            }
            Message::Commit(C::OnePhaseDone { txn, vote: Vote::Yes(m) }) => {
                let facts = client.number(*txn).map(|number| &self.facts[number]);
                facts.is_some_and(|it| it.one_phase[from - 1] && it.at == Some(*m))
            }
            Message::Commit(C::Ack { txns }) => txns.iter().all(|txn| {
                let number = client.number(*txn);
                number.is_some_and(|it| self.facts[it].committed[from - 1])
            }),
            Message::Commit(C::Decide { txn, decision: Decision::Commit(at) })
            | Message::Commit(C::Release { txn, at })
            | Message::Peer(PeerMessage::Decided { txn, decision: Decision::Commit(at) }) => {
                let facts = client.number(*txn).map(|number| &self.facts[number]);
                facts.is_some_and(|it| it.is_committed() && it.at == Some(*at))
            }
            _ => true,
        };
        match fine {
            true => Ok(()),
            false => Err(format!("I6: said before it was durable: {:?}", letter.message)),
        }
    }

    /// I19: timestamps leave in order, whoever leads.
    fn draws(&mut self, at: Timestamp) -> Checked {
        match std::mem::replace(&mut self.drawn, at) {
            before if before < at => Ok(()),
            before => Err(format!("I19: {at} is handed out after {before}")),
        }
    }

    /// I4: what a client is told of a transaction is true, and stays so.
    pub fn told(&mut self, letter: &Letter) -> Checked {
        if let Message::ClientReply(
            ClientReply::Timestamp(at) | ClientReply::SessionOpened { now: at, .. },
        ) = &letter.message
        {
            return self.draws(*at);
        }
        let Message::ClientReply(ClientReply::Outcome(outcome)) = &letter.message else {
            return Ok(());
        };
        let Some(About::Outcome(number)) = About::of(letter.request) else { return Ok(()) };
        let committed = match outcome {
            Outcome::Committed(at) => {
                if !self.facts[number].is_committed() {
                    return Err(format!(
                        "I4: told that {number} is committed, which is not durable"
                    ));
                }
                self.at(number, *at)?;
                true
            }
            Outcome::Aborted(reason) => {
                self.seen.fenced += u64::from(*reason == Reason::Fenced);
                false
            }
            Outcome::Undecided => return Ok(()),
            Outcome::Unknown if self.forgets => {
                self.seen.unknown += 1;
                return Ok(());
            }
            Outcome::Unknown => return Err(format!("I4: the outcome of {number} is lost")),
        };
        match self.facts[number].told.replace(committed) {
            None => self.seen.aborted += u64::from(!committed),
            Some(before) if before == committed => {}
            Some(before) => {
                return Err(format!("I4: {number} is committed: told {before}, then {committed}"));
            }
        }
        self.agree(number)
    }

    /// Counts what a message shows.
    pub fn count(&mut self, letter: &Letter) {
        use CommitMessage as C;
        match &letter.message {
            Message::Commit(C::Vote { vote: Vote::No(reason), .. })
            | Message::Commit(C::OnePhaseDone { vote: Vote::No(reason), .. }) => {
                self.seen.refused += 1;
                self.seen.windows += u64::from(*reason == Reason::WindowPassed);
            }
            Message::Commit(C::Ack { txns }) => self.seen.batches += u64::from(txns.len() > 1),
            Message::Commit(C::Inquire { .. }) => self.seen.inquiries += 1,
            Message::Commit(C::Decide { decision: Decision::Forgotten, .. }) => {
                self.seen.forgotten += 1;
            }
            Message::Peer(PeerMessage::Decided { decision, .. }) => {
                self.seen.cooperated += 1;
                self.seen.cooperated_commits += u64::from(matches!(decision, Decision::Commit(_)));
            }
            _ => {}
        }
    }

    /// I9: a shard that is back holds the locks of what is prepared there.
    pub fn reinstated(&self, site: usize, server: &Server, client: &Client) -> Checked {
        let Some(shard) = server.shard() else { return Ok(()) };
        for (txn, facts) in client.txns.iter().zip(&self.facts) {
            let i = site - 1;
            let over = facts.committed[i] || facts.aborted[i] || facts.resolved[i].is_some();
            if facts.prepared[i].is_none() || over {
                continue;
            }
            for (key, name) in KEYS[i].iter().enumerate() {
                let mode = match txn.ops[i].written() {
                    Some(written) if written == key => Mode::Exclusive,
                    _ if key == 0 && txn.ops[i].reads() => Mode::Shared,
                    _ => continue,
                };
                if !shard.locks().holds(txn.id, name, mode) {
                    return Err(format!("I9: {} is prepared on s{site} without a lock", txn.id));
                }
            }
        }
        Ok(())
    }

    /// I24: who has something left to do, and what.
    pub fn left(&self, servers: &[Server]) -> Option<String> {
        servers.iter().enumerate().find_map(|(site, server)| {
            if let Some(shard) = server.shard() {
                let known: Vec<String> = shard.known().map(|txn| txn.to_string()).collect();
                let (ready, locks) = (shard.is_ready(), shard.locks().held());
                let drained = ready && known.is_empty() && locks == 0;
                return (!drained).then(|| {
                    format!("s{site} (ready: {ready}) has {locks} locks, and {}", known.join(" "))
                });
            }
            let (ready, open) = server
                .coordinator()
                .map_or((false, 0), |it| (it.is_ready(), it.stats().in_progress));
            let drained = ready && open == 0;
            (!drained).then(|| format!("c1 (ready: {ready}) has {open} commits in progress"))
        })
    }

    /// The end: what was told, what is there, and what was read fit together.
    pub fn end(&mut self, servers: &[Server], client: &Client) -> Checked {
        for (number, txn) in client.txns.iter().enumerate() {
            let facts = &self.facts[number];
            let told = facts.told.or(self.forgets.then_some(facts.is_committed()));
            if told != Some(facts.is_committed()) {
                return Err(format!("I4: {number} is told {told:?}, there is {facts:?}"));
            }
            let (true, Some(at)) = (facts.is_committed(), facts.at) else { continue };
            if at <= txn.after {
                return Err(format!("I20: {number} commits at {at}, behind {}", txn.after));
            }
            let lacks = |shard: &usize| {
                txn.ops[*shard].writes() && !facts.committed[*shard] && !facts.one_phase[*shard]
            };
            if let Some(shard) = (0..MOST_SHARDS).find(lacks) {
                return Err(format!("I24: {number} does not come to s{}", shard + 1));
            }
        }
        for snapshot in &client.snapshots {
            if let Some(at) = snapshot.at.filter(|at| *at <= snapshot.after) {
                return Err(format!("I20: a snapshot is at {at}, behind {}", snapshot.after));
            }
        }
        let resolved = self.facts.iter().any(|facts| facts.resolved != [None; MOST_SHARDS]);
        match resolved {
            // What was read beside that is not mended.
            true => self.audit(servers),
            false => self.read(client),
        }
    }

    /// Each shard knows which decisions of operators were wrong.
    fn audit(&mut self, servers: &[Server]) -> Checked {
        for (shard, server) in servers[1..].iter().enumerate() {
            let wrong = |facts: &&Facts| {
                let outcome = facts.at.filter(|_| facts.is_committed());
                let outcome = outcome.map_or(Verdict::Abort, Verdict::Commit);
                facts.resolved[shard].is_some_and(|verdict| verdict != outcome)
            };
            let wrong = self.facts.iter().filter(wrong).count() as u64;
            let mixed = server.shard().map_or(0, |shard| shard.stats().mixed);
            if wrong != mixed {
                return Err(format!("s{} knows of {mixed} wrong decisions of {wrong}", shard + 1));
            }
            self.seen.mixed += wrong;
        }
        Ok(())
    }

    /// All that was read is the state as of the commit, or of the snapshot.
    fn read(&self, client: &Client) -> Checked {
        for (number, txn) in client.txns.iter().enumerate() {
            let facts = &self.facts[number];
            let (true, Some(at)) = (facts.is_committed(), facts.at) else { continue };
            for shard in 0..MOST_SHARDS {
                if let Some(read) = txn.read[shard] {
                    let before = Timestamp(at.0 - 1);
                    self.as_of(client, (shard, 0), before, read, &number)?;
                }
            }
        }
        for snapshot in &client.snapshots {
            let Some(at) = snapshot.at else { continue };
            for (shard, read) in snapshot.read.iter().enumerate() {
                for (key, read) in read.iter().flatten().enumerate() {
                    self.as_of(client, (shard, key), at, *read, &"a snapshot")?;
                }
            }
        }
        Ok(())
    }

    /// I21, I22: what was read on a shard is the state as of then.
    fn as_of(
        &self,
        client: &Client,
        (shard, key): (usize, usize),
        at: Timestamp,
        read: Value,
        who: &dyn fmt::Display,
    ) -> Checked {
        let written = (0..client.txns.len()).filter(|number| {
            client.txns[*number].ops[shard].written() == Some(key)
                && self.facts[*number].is_committed()
        });
        let written = written.filter_map(|number| Some((self.facts[number].at?, number)));
        let newest = written.filter(|(then, _)| *then <= at).max();
        let value = newest.map_or(0, |(_, number)| number as Value + 1);
        if value == read {
            return Ok(());
        }
        let shard = shard + 1;
        Err(format!("I22: {who} has read {read} on s{shard} as of {at}, there is {value}"))
    }
}

fn unknown(fact: &Fact) -> Checked {
    Err(format!("nobody has begun this: {fact:?}"))
}
