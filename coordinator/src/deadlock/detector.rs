//! The detector: reports in, questions and victims out. It knows no network; what it
//! wants to be sent it returns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use synod_common::deadlock::{
    Answered, Confirmations, Happened, Member, PATIENCE, Step, ToShard, VictimPolicy,
};
use synod_common::id::{Epoch, ShardId, TxnId};
use synod_common::message::deadlock::Wait;
use synod_common::time::{Mono, Now};

use super::graph::{Arc, Cycle, Graph};

/// The shortest time between two searches; and what each edge adds to it, so that
/// searching takes a small part of the time, however many wait.
const PAUSE: Duration = Duration::from_millis(1);
const PAUSE_PER_EDGE: Duration = Duration::from_micros(5);
/// A shard whose waits go on says so much more often than this.
const STALE: Duration = Duration::from_secs(5);
/// Edges that are kept of all reports together.
const MAX_EDGES: usize = 1_000_000;
/// Deadlocks that are remembered.
const REMEMBERED: usize = 100;

/// What is known of waits, and what is being done about cycles.
#[derive(Clone, Debug)]
pub struct Detector {
    policy: VictimPolicy,
    reports: BTreeMap<ShardId, Report>,
    confirmations: Confirmations,
    /// Victims that are taken for gone.
    aborted: BTreeMap<TxnId, Aborted>,
    searched: Mono,
    due: Option<Mono>,
    history: VecDeque<Happened>,
    counts: Counts,
}

/// Counters for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deadlocks across shards that were broken.
    pub broken: u64,
    /// Cycles that turned out to be over.
    pub dissolved: u64,
}

/// The newest report of a shard.
#[derive(Clone, Debug)]
struct Report {
    life: u64,
    number: u64,
    heard: Mono,
    waits: Vec<Wait>,
    edges: usize,
}

/// A victim that still shows in the reports.
#[derive(Clone, Debug)]
struct Aborted {
    shard: ShardId,
    wait: u64,
    until: Mono,
}

impl Detector {
    /// Knows nothing yet.
    pub fn new(policy: VictimPolicy) -> Detector {
        Detector {
            policy,
            reports: BTreeMap::new(),
            confirmations: Confirmations::default(),
            aborted: BTreeMap::new(),
            searched: Mono::default(),
            due: None,
            history: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// The coordinator is in this epoch: its questions have names of their own.
    pub fn begin(&mut self, epoch: Epoch) {
        self.confirmations.begin(u64::from(epoch.0) << 32);
    }

    /// When to search next.
    pub fn next(&self) -> Option<Mono> {
        self.due
    }

    /// Counters for people.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The last deadlocks, oldest first.
    pub fn history(&self) -> impl Iterator<Item = &Happened> {
        self.history.iter()
    }

    /// A shard tells all its waits.
    pub fn report(
        &mut self,
        now: Mono,
        shard: ShardId,
        (life, number): (u64, u64),
        mut waits: Vec<Wait>,
    ) {
        let old = self.reports.get(&shard);
        if old.is_some_and(|old| old.life == life && old.number >= number) {
            return;
        }
        self.see_who_is_gone(shard, &waits);
        let others = self.reports.iter().filter(|(other, _)| **other != shard);
        let mut edges = others.map(|(_, report)| report.edges).sum::<usize>();
        let before = edges;
        let fits = waits.iter().position(|wait| {
            edges += wait.holders.len();
            edges > MAX_EDGES
        });
        waits.truncate(fits.unwrap_or(waits.len()));
        let edges = edges.min(MAX_EDGES);
        let pause = PAUSE + PAUSE_PER_EDGE.saturating_mul(edges as u32);
        let edges = edges - before.min(edges);
        self.reports.insert(shard, Report { life, number, heard: now, waits, edges });
        if self.due.is_none() {
            self.due = Some(now.max(self.searched + pause));
        }
    }

    /// A victim whose wait is told no more is not waited for either; should it wait
    /// again, it counts again.
    fn see_who_is_gone(&mut self, shard: ShardId, waits: &[Wait]) {
        if self.aborted.values().any(|aborted| aborted.shard == shard) {
            let told: BTreeSet<u64> = waits.iter().map(|wait| wait.wait).collect();
            self.aborted.retain(|_, gone| gone.shard != shard || told.contains(&gone.wait));
        }
    }

    /// A shard is gone: what it said, and was asked, counts no more.
    pub fn left(&mut self, shard: ShardId) {
        self.reports.remove(&shard);
        self.aborted.retain(|_, aborted| aborted.shard != shard);
        self.confirmations.left(shard);
    }

    /// Searches, if it is time to. Returns questions.
    pub fn search(&mut self, now: Mono) -> Vec<ToShard> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.due = None;
        self.searched = now;
        self.reports.retain(|_, report| now.since(report.heard) < STALE);
        self.confirmations.give_up(now);
        self.aborted.retain(|_, aborted| aborted.until > now);
        // Whoever is about to go counts as gone, with all cycles through him.
        let without = self.confirmations.victims();
        let without: BTreeSet<TxnId> = without.chain(self.aborted.keys().copied()).collect();
        let reports = self.reports.iter().map(|(shard, report)| (*shard, &report.waits[..]));
        let cycles = Graph::of(reports, &without).cycles(self.policy);
        cycles.into_iter().flat_map(|cycle| self.ask(now, &cycle)).collect()
    }

    /// Asks the shards of a cycle whether it stands.
    fn ask(&mut self, now: Mono, cycle: &Cycle) -> Vec<ToShard> {
        let member = |arc: &Arc| {
            let wait = &self.reports[&arc.shard].waits[arc.wait];
            let (waiter, holder) = (wait.waiter.txn, arc.holder);
            let (target, mode) = (wait.target.clone(), wait.mode.clone());
            let step = Step { waiter, target, mode, shard: arc.shard, holder };
            let mut holders = wait.holders.iter().filter(|holder| holder.txn == arc.holder);
            let returns = holders.next().expect("an arc leads to a holder").returns;
            Member { step, wait: wait.wait, returns }
        };
        let members = cycle.arcs.iter().map(member).collect();
        self.confirmations.ask(now, members, cycle.victim, self.policy)
    }

    /// A shard answers. Returns what breaks the cycle, if that was the last answer.
    pub fn answered(&mut self, now: Now, shard: ShardId, id: u64, stands: bool) -> Vec<ToShard> {
        match self.confirmations.answered(shard, id, stands) {
            Answered::Nothing => Vec::new(),
            Answered::Dissolved(members) => {
                self.counts.dissolved += 1;
                self.forget_edges(shard, &members);
                Vec::new()
            }
            Answered::Confirmed { shard, wait, deadlock, orders } => {
                let until = now.mono + PATIENCE;
                self.aborted.insert(deadlock.victim, Aborted { shard, wait, until });
                self.counts.broken += 1;
                self.remember(Happened { at: now.wall, local: None, deadlock });
                orders
            }
        }
    }

    /// One of these edges is gone. The next report says which.
    fn forget_edges(&mut self, shard: ShardId, members: &[Member]) {
        let Some(report) = self.reports.get_mut(&shard) else { return };
        let asked: BTreeSet<(u64, TxnId)> =
            members.iter().map(|member| (member.wait, member.step.holder)).collect();
        for wait in &mut report.waits {
            wait.holders.retain(|holder| !asked.contains(&(wait.wait, holder.txn)));
        }
    }

    /// Remembers a deadlock for people.
    pub fn remember(&mut self, happened: Happened) {
        if self.history.len() >= REMEMBERED {
            self.history.pop_front();
        }
        self.history.push_back(happened);
    }
}
