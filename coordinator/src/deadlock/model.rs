//! The search against a plain one, and the detector in a small world whose truth is
//! known: shards whose reports, questions, answers and orders to break are late, lost,
//! doubled and out of order.
//!
//! Runs 256 cases each; more with `PROPTEST_CASES=1000000 cargo test --release -p
//! synod-coordinator deadlock`.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use synod_common::deadlock::{Claim, Target, ToShard, VictimPolicy};
use synod_common::id::{Epoch, SessionId, ShardId, TxnId};
use synod_common::key::Key;
use synod_common::message::DeadlockMessage;
use synod_common::message::bulk::List;
use synod_common::message::deadlock::{Edge, Holder, Wait};
use synod_common::time::{Mono, Now, Timestamp, Wall};

use super::detector::Detector;
use super::graph::Graph;

fn txn(number: u64) -> TxnId {
    TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence: number }
}

fn wait(waiter: u64, number: u64, holders: &[u64]) -> Wait {
    let age = Timestamp(waiter * 7 % 5);
    let priority = (waiter % 3) as u8;
    let holders = holders.iter().map(|n| Holder { txn: txn(*n), locks: 1, returns: 0 });
    Wait {
        waiter: Claim { txn: txn(waiter), age, priority, locks: 1 },
        wait: number,
        target: Target::key(&Key::from("k")),
        mode: "X".to_owned(),
        holders: holders.collect(),
    }
}

/// Whether there is a cycle: takes away who waits for nobody until nothing changes.
fn has_cycle(edges: &BTreeSet<(TxnId, TxnId)>) -> bool {
    let mut edges = edges.clone();
    loop {
        let waiters: BTreeSet<TxnId> = edges.iter().map(|(waiter, _)| *waiter).collect();
        let before = edges.len();
        edges.retain(|(_, holder)| waiters.contains(holder));
        if edges.len() == before {
            return !edges.is_empty();
        }
    }
}

fn edges_of(waits: &[Wait]) -> BTreeSet<(TxnId, TxnId)> {
    let of = |wait: &Wait| {
        let waiter = wait.waiter.txn;
        let holders = wait.holders.clone().into_iter();
        holders.map(move |holder| (waiter, holder.txn)).collect::<Vec<_>>()
    };
    waits.iter().flat_map(of).filter(|(waiter, holder)| waiter != holder).collect()
}

fn policies() -> impl Strategy<Value = VictimPolicy> {
    let all = [VictimPolicy::Youngest, VictimPolicy::FewestLocks, VictimPolicy::LowestPriority];
    prop::sample::select(all.to_vec())
}

proptest! {
    /// What the search finds is real, is enough, and is nothing if there is nothing.
    #[test]
    fn cycles_are_real_and_without_their_victims_there_is_none(
        pairs in vec((0..12_u64, 0..12_u64), 0..30),
        shards in 1..4_usize,
        policy in policies(),
    ) {
        let mut reports: Vec<Vec<Wait>> = vec![Vec::new(); shards];
        for (i, (waiter, holder)) in pairs.iter().enumerate() {
            reports[i % shards].push(wait(*waiter, i as u64, &[*holder]));
        }
        let named = (1..).map(ShardId).zip(reports.iter().map(|waits| &waits[..]));
        let cycles = Graph::of(named, &BTreeSet::new()).cycles(policy);
        let mut edges: BTreeSet<_> = reports.iter().flat_map(|waits| edges_of(waits)).collect();
        prop_assert_eq!(cycles.is_empty(), !has_cycle(&edges));
        for cycle in &cycles {
            let waiter = |at: usize| {
                let arc = &cycle.arcs[at % cycle.arcs.len()];
                reports[usize::from(arc.shard.0) - 1][arc.wait].waiter.txn
            };
            let members: BTreeSet<TxnId> = (0..cycle.arcs.len()).map(waiter).collect();
            prop_assert_eq!(members.len(), cycle.arcs.len(), "each is in it once");
            prop_assert!(members.len() > 1 && members.contains(&cycle.victim));
            for (at, arc) in cycle.arcs.iter().enumerate() {
                prop_assert_eq!(arc.holder, waiter(at + 1));
                prop_assert!(edges.contains(&(waiter(at), arc.holder)));
            }
            // Victims before this one are gone from it.
            edges.retain(|(waiter, holder)| ![*waiter, *holder].contains(&cycle.victim));
        }
        prop_assert!(!has_cycle(&edges));
    }
}

/// What happens in the small world.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// A transaction begins to wait at a shard for up to two others.
    Wait(u64, usize, u64, u64),
    /// A transaction ends: waits for it are over, and its own.
    End(u64),
    /// A shard reports.
    Report(usize),
    /// One of the messages that are under way arrives.
    Arrive(usize),
    /// One of them arrives, and a copy stays under way.
    ArriveTwice(usize),
    /// One of them is lost.
    Lose(usize),
    /// Time passes, in milliseconds.
    Pass(u64),
    /// A shard restarts: its waits are gone.
    Restart(usize),
}

const SHARDS: usize = 3;
const TXNS: u64 = 8;

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..TXNS, 0..SHARDS, 0..TXNS, 0..TXNS).prop_map(|(t, s, a, b)| Op::Wait(t, s, a, b)),
        2 => (0..TXNS).prop_map(Op::End),
        6 => (0..SHARDS).prop_map(Op::Report),
        12 => (0..64_usize).prop_map(Op::Arrive),
        1 => (0..64_usize).prop_map(Op::ArriveTwice),
        1 => (0..64_usize).prop_map(Op::Lose),
        3 => (1..60_u64).prop_map(Op::Pass),
        1 => (0..SHARDS).prop_map(Op::Restart),
    ]
}

#[derive(Clone, Debug)]
enum Flying {
    ToCoordinator(usize, DeadlockMessage),
    ToShard(usize, DeadlockMessage),
}

struct Model {
    detector: Detector,
    now: Now,
    /// The waits that are true, by shard and number.
    waits: Vec<BTreeMap<u64, (u64, BTreeSet<u64>)>>,
    lives: [u64; SHARDS],
    reports: u64,
    last_wait: u64,
    flying: Vec<Flying>,
    /// For each question, whether its cycle stood when it left.
    stood: BTreeMap<u64, bool>,
    broken: u64,
    /// Each transaction ends and begins anew under another name.
    names: BTreeMap<u64, u64>,
}

impl Model {
    fn new(policy: VictimPolicy) -> Model {
        let mut detector = Detector::new(policy);
        detector.begin(Epoch(1));
        Model {
            detector,
            now: Now { mono: Mono(1_000_000), wall: Wall(1) },
            waits: vec![BTreeMap::new(); SHARDS],
            lives: [1, 2, 3],
            reports: 0,
            last_wait: 0,
            flying: Vec::new(),
            stood: BTreeMap::new(),
            broken: 0,
            names: (0..TXNS).map(|n| (n, n)).collect(),
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Wait(waiter, shard, one, other) => {
                let waiter = self.names[&waiter];
                let holders = [self.names[&one], self.names[&other]];
                let holders: BTreeSet<u64> = holders.into_iter().filter(|h| *h != waiter).collect();
                if holders.is_empty() {
                    return;
                }
                self.last_wait += 1;
                self.waits[shard].insert(self.last_wait, (waiter, holders));
                // A shard breaks its own cycles at once.
                if has_cycle(&self.edges_at(shard)) {
                    self.end(waiter);
                }
            }
            Op::End(txn) => self.end(self.names[&txn]),
            Op::Report(shard) => self.report(shard),
            Op::Arrive(which) => self.arrive(which, false),
            Op::ArriveTwice(which) => self.arrive(which, true),
            Op::Lose(which) => {
                if !self.flying.is_empty() {
                    self.flying.swap_remove(which % self.flying.len());
                }
            }
            Op::Pass(ms) => self.pass(ms),
            Op::Restart(shard) => {
                self.waits[shard].clear();
                self.lives[shard] += SHARDS as u64;
                self.detector.left(ShardId(shard as u16 + 1));
            }
        }
    }

    /// A transaction is over; who bears its number now has another name.
    fn end(&mut self, name: u64) {
        for waits in &mut self.waits {
            waits.retain(|_, (waiter, holders)| {
                holders.remove(&name);
                *waiter != name && !holders.is_empty()
            });
        }
        let again = self.names.iter_mut().find(|(_, now)| **now == name);
        if let Some((_, now)) = again {
            *now += TXNS;
        }
    }

    fn edges_at(&self, shard: usize) -> BTreeSet<(TxnId, TxnId)> {
        let of = |(waiter, holders): &(u64, BTreeSet<u64>)| {
            let waiter = *waiter;
            holders.clone().into_iter().map(move |holder| (txn(waiter), txn(holder)))
        };
        self.waits[shard].values().flat_map(of).collect()
    }

    fn all_edges(&self) -> BTreeSet<(TxnId, TxnId)> {
        (0..SHARDS).flat_map(|shard| self.edges_at(shard)).collect()
    }

    fn report(&mut self, shard: usize) {
        self.reports += 1;
        let waits = self.waits[shard].iter().map(|(number, (waiter, holders))| {
            let holders: Vec<u64> = holders.iter().copied().collect();
            wait(*waiter, *number, &holders)
        });
        let waits = List::of(&waits.collect::<Vec<_>>());
        let (life, number) = (self.lives[shard], self.reports);
        let message = DeadlockMessage::Waits { life, number, waits };
        self.flying.push(Flying::ToCoordinator(shard, message));
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono.0 += ms * 1_000;
        for (shard, question) in self.detector.search(self.now.mono) {
            let DeadlockMessage::Confirm { candidate, edges } = &question else {
                panic!("{question:?} is no question");
            };
            let stands = self.stands(usize::from(shard.0) - 1, edges);
            *self.stood.entry(*candidate).or_insert(true) &= stands;
            self.flying.push(Flying::ToShard(usize::from(shard.0) - 1, question));
        }
    }

    fn stands(&self, shard: usize, edges: &[u8]) -> bool {
        List::<Edge>::read(edges).map(|edge| edge.unwrap()).all(|edge| {
            self.waits[shard].get(&edge.wait).is_some_and(|(waiter, holders)| {
                txn(*waiter) == edge.waiter && holders.contains(&edge.holder.sequence)
            })
        })
    }

    fn arrive(&mut self, which: usize, stays: bool) {
        if self.flying.is_empty() {
            return;
        }
        let which = which % self.flying.len();
        let message = match stays {
            true => self.flying[which].clone(),
            false => self.flying.swap_remove(which),
        };
        match message {
            Flying::ToCoordinator(shard, message) => self.coordinator_hears(shard, message),
            Flying::ToShard(shard, message) => self.shard_hears(shard, message),
        }
    }

    fn coordinator_hears(&mut self, shard: usize, message: DeadlockMessage) {
        let from = ShardId(shard as u16 + 1);
        match message {
            DeadlockMessage::Waits { life, number, waits } => {
                let waits = List::read(&waits).map(|wait| wait.unwrap()).collect();
                self.detector.report(self.now.mono, from, (life, number), waits);
            }
            DeadlockMessage::Confirmed { candidate, stands } => {
                let orders = self.detector.answered(self.now, from, candidate, stands);
                if !orders.is_empty() {
                    self.broke(candidate, orders);
                }
            }
            other => panic!("{other:?} is not from a shard"),
        }
    }

    /// The heart of it: whatever is broken was a deadlock when the question left.
    fn broke(&mut self, candidate: u64, orders: Vec<ToShard>) {
        assert!(self.stood[&candidate], "a phantom: {orders:?}");
        let DeadlockMessage::Break { deadlock, txn, .. } = &orders[0].1 else {
            panic!("{orders:?}")
        };
        assert!(deadlock.steps.len() > 1, "nobody waits for himself");
        assert_eq!((deadlock.victim, deadlock.steps[0].waiter), (*txn, *txn));
        self.broken += 1;
        for (shard, order) in orders {
            self.flying.push(Flying::ToShard(usize::from(shard.0) - 1, order));
        }
    }

    fn shard_hears(&mut self, shard: usize, message: DeadlockMessage) {
        match message {
            DeadlockMessage::Confirm { candidate, edges } => {
                let stands = self.stands(shard, &edges);
                let answer = DeadlockMessage::Confirmed { candidate, stands };
                self.flying.push(Flying::ToCoordinator(shard, answer));
            }
            DeadlockMessage::Break { txn: victim, wait, .. } => {
                let waits = self.waits[shard].get(&wait);
                if waits.is_some_and(|(waiter, _)| txn(*waiter) == victim) {
                    self.end(victim.sequence);
                }
            }
            DeadlockMessage::LetGo { edge, .. } => {
                if self.stands(shard, &List::of(&[edge])) {
                    self.end(edge.holder.sequence);
                }
            }
            other => panic!("{other:?} is not from the coordinator"),
        }
    }

    /// Nothing new happens, nothing is lost any more: shards report, as they do.
    fn heal(&mut self) {
        for _ in 0..40 {
            (0..SHARDS).for_each(|shard| self.report(shard));
            while !self.flying.is_empty() {
                self.arrive(0, false);
            }
            self.pass(50);
        }
    }
}

proptest! {
    /// No phantom is ever broken; and when all is quiet, no deadlock is left.
    #[test]
    fn no_phantom_is_broken_and_no_deadlock_is_missed(
        ops in vec(ops(), 0..120),
        policy in policies(),
    ) {
        let mut model = Model::new(policy);
        for op in ops {
            model.step(op);
        }
        model.heal();
        prop_assert!(!has_cycle(&model.all_edges()), "{:?}", model.waits);
    }

    /// Waits that never close a cycle are left alone, whatever the order.
    #[test]
    fn waits_that_meet_are_no_cycle(
        pairs in vec((0..10_u64, 1..10_u64, 0..SHARDS), 0..40),
        policy in policies(),
    ) {
        let mut model = Model::new(policy);
        for (from, by, shard) in pairs {
            model.last_wait += 1;
            model.waits[shard].insert(model.last_wait, (from, [from + by].into()));
        }
        model.heal();
        prop_assert_eq!((model.stood.len(), model.broken), (0, 0));
    }
}

/// Ten transactions, each waiting for the next at another shard; and many such at once.
#[test]
fn many_cycles_are_broken_at_once_each_by_one_victim() {
    let mut model = Model::new(VictimPolicy::Youngest);
    for cycle in 0..50 {
        for n in 0..10 {
            model.last_wait += 1;
            let (waiter, holder) = (cycle * 10 + n, cycle * 10 + (n + 1) % 10);
            model.waits[n as usize % SHARDS].insert(model.last_wait, (waiter, [holder].into()));
        }
    }
    model.heal();
    assert_eq!(model.broken, 50);
    assert!(!has_cycle(&model.all_edges()));
}

/// A chain of waits may be longer than any stack.
#[test]
fn a_cycle_of_a_hundred_thousand_is_found() {
    let len = 100_000;
    let waits: Vec<Wait> = (0..len).map(|n| wait(n, n, &[(n + 1) % len])).collect();
    let cycles =
        Graph::of([(ShardId(1), &waits[..])], &BTreeSet::new()).cycles(VictimPolicy::Youngest);
    assert_eq!(cycles.iter().map(|cycle| cycle.arcs.len()).collect::<Vec<_>>(), [len as usize]);
}

/// Who only stands in the queue between two that wait for each other is no victim.
#[test]
fn a_cycle_has_no_detours() {
    // 1 waits for 3, behind 2; 2 waits for 3; 3 waits for 1. The youngest is 2.
    let young = |mut of: Wait| {
        of.waiter.age = Timestamp(99);
        of
    };
    for start in 0..3 {
        let mut here = [wait(1, 1, &[2, 3]), young(wait(2, 2, &[3]))];
        let there = [wait(3, 3, &[1])];
        if start == 1 {
            here.reverse();
        }
        let reports = [(ShardId(1), &here[..]), (ShardId(2), &there[..])];
        let mut reports = reports.to_vec();
        if start == 2 {
            reports.reverse();
        }
        let cycles = Graph::of(reports, &BTreeSet::new()).cycles(VictimPolicy::Youngest);
        assert_eq!(cycles.len(), 1);
        assert!(cycles[0].arcs.len() == 2 && cycles[0].victim != txn(2), "{cycles:?}");
    }
}
