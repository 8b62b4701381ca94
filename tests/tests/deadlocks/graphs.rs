//! Random graphs of waits on real cores, in each way of dealing with deadlocks: whoever
//! is aborted for a cycle was in one, and in the end nobody stands still.
//!
//! Runs 256 cases for each scheme; more with `PROPTEST_CASES=1000000 cargo test --release
//! -p synod-tests --test deadlocks graphs`.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use synod_common::deadlock::{Handling, Scheme, VictimPolicy};
use synod_common::id::TxnId;
use synod_common::message::Message;
use synod_common::message::data::ReadMode;

use crate::cluster::{Cluster, Fate};

/// Shards of the cluster.
const SHARDS: u16 = 3;
/// In milliseconds: when nothing gets lost, and when something was.
const SOON: u64 = 60;
const PATIENCE: u64 = 1_500;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A transaction asks for a key of a shard, whether it waits already or not.
    Lock(u64, u16, u8, ReadMode),
    /// A transaction ends.
    End(u64),
    /// Time passes, in milliseconds.
    Pass(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let mode = prop::sample::select(vec![
        ReadMode::Exclusive,
        ReadMode::Exclusive,
        ReadMode::Update,
        ReadMode::Shared,
    ]);
    let lock = (0..8_u64, 1..=SHARDS, 0..3_u8, mode);
    let op = prop_oneof![
        12 => lock.prop_map(|(txn, shard, key, mode)| Op::Lock(txn, shard, key, mode)),
        1 => (0..8_u64).prop_map(Op::End),
        1 => (1..6_u64).prop_map(Op::Pass),
    ];
    vec(op, 0..40)
}

/// What becomes of the messages about deadlocks, one after the other; most of the
/// time, nothing happens to them.
fn fates() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => Just(Vec::new()), 1 => vec(0..6_u8, 1..12)]
}

fn policies() -> impl Strategy<Value = VictimPolicy> {
    let all = [VictimPolicy::Youngest, VictimPolicy::FewestLocks, VictimPolicy::LowestPriority];
    prop::sample::select(all.to_vec())
}

/// Transactions by number; who is over comes back under another name and as old as
/// before.
#[derive(Default)]
struct Names {
    current: BTreeMap<u64, TxnId>,
    given: u64,
}

impl Names {
    fn of(&mut self, cluster: &mut Cluster, number: u64) -> TxnId {
        let old = self.current.get(&number).copied();
        if let Some(txn) = old.filter(|txn| !cluster.refused.contains_key(txn)) {
            return txn;
        }
        self.given += 1;
        let txn = cluster.txn(self.given);
        cluster.age.insert(txn, number);
        cluster.priority.insert(txn, (number % 3) as u8);
        self.current.insert(number, txn);
        txn
    }
}

fn play(scheme: Scheme, victim: VictimPolicy, ops: &[Op], fates: Vec<u8>) {
    let mut cluster = Cluster::new(SHARDS, Handling { scheme, victim });
    let is_clean = fates.is_empty();
    if !is_clean {
        let mut fates = fates.into_iter().cycle();
        cluster.fate(move |message| match (message, fates.next()) {
            (Message::Deadlock(_), Some(0)) => Fate::IsLost,
            (Message::Deadlock(_), Some(1)) => Fate::ComesTwice,
            (Message::Deadlock(_), Some(2)) => Fate::Waits,
            _ => Fate::Arrives,
        });
    }
    let mut names = Names::default();
    for op in ops {
        match *op {
            Op::Lock(txn, shard, key, mode) => {
                let txn = names.of(&mut cluster, txn);
                cluster.lock_in(txn, &format!("{shard}/{key}"), mode);
            }
            Op::End(txn) => {
                if let Some(txn) = names.current.remove(&txn) {
                    cluster.end(txn);
                }
            }
            Op::Pass(ms) => cluster.pass(ms),
        }
    }
    cluster.let_go();
    cluster.pass(if is_clean { SOON } else { PATIENCE });
    // What was told here, the cluster has checked: whether it was true.
    cluster.stands_still().unwrap_or_else(|what| panic!("{what}"));
}

proptest! {
    #[test]
    fn graph(ops in ops(), fates in fates(), victim in policies()) {
        play(Scheme::Graph, victim, &ops, fates);
    }

    #[test]
    fn probes(ops in ops(), fates in fates(), victim in policies()) {
        play(Scheme::Probes, victim, &ops, fates);
    }

    #[test]
    fn wound_wait(ops in ops(), fates in fates(), victim in policies()) {
        play(Scheme::WoundWait, victim, &ops, fates);
    }

    #[test]
    fn wait_die(ops in ops(), fates in fates(), victim in policies()) {
        play(Scheme::WaitDie, victim, &ops, fates);
    }
}
