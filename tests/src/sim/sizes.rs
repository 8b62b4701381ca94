//! Sizes and times of a cluster, and how it does things: they differ from seed to seed.

use std::time::Duration;

use synod_common::commit::Protocol;
use synod_common::deadlock::{Handling, Scheme, VictimPolicy};

use super::ambush::Ambush;
use super::loss::disks_last;
use super::mutation::Mutation;
use super::rng::Rng;

/// Sizes and times that differ from seed to seed.
#[derive(Clone, Debug)]
pub struct Sizes {
    pub(super) segment_bytes: u64,
    pub(super) checkpoint_bytes: u64,
    pub(super) session_ttl: Duration,
    pub(super) window: Duration,
    pub(super) retention: Duration,
    pub(super) outcome_retention: Duration,
    /// Time between servers, one way, in microseconds.
    pub far: u64,
    /// When the faults end.
    pub heal_at: u64,
    /// Whether everybody waits so long for locks that no deadlock ends by itself.
    pub long_waits: bool,
    /// How deadlocks are dealt with.
    pub handling: Handling,
    /// How transactions are committed.
    pub protocols: Protocols,
    /// How many shards there are.
    pub shards: usize,
    /// How many coordinators there are.
    pub coordinators: usize,
    /// Whether some of them never come back.
    pub loses: bool,
    /// A coordinator's disk lasts so long at most, in microseconds, if they do not last.
    pub disks_last: u64,
    /// What happens to their checkpoints.
    pub ambush: Ambush,
}

impl Sizes {
    /// Those of a seed, which has so many shards.
    pub fn draw(seed: u64, shards: usize, mutation: Option<Mutation>, rng: &mut Rng) -> Sizes {
        // Drawn apart, so that the rest of a seed is as it would be without.
        let mut deadlocks = Rng::new(seed.rotate_left(32) ^ 0xdead);
        let coordinators = match mutation {
            None => Rng::new(seed ^ 0x9709).pick(&[1, 1, 1, 3, 3, 5]),
            Some(mutation) => mutation.coordinators(),
        };
        let mut ambush = Rng::new(seed.rotate_left(32) ^ 0xa3b5);
        let loses = coordinators > 1 && ambush.chance(3_000);
        Sizes {
            segment_bytes: rng.within(2_000..=20_000),
            checkpoint_bytes: rng.within(500..=20_000),
            session_ttl: Duration::from_millis(rng.within(800..=3_000)),
            window: Duration::from_millis(rng.pick(&[20, 200, 1_000, 3_000])),
            retention: Duration::from_millis(rng.pick(&[50, 500, 30_000])),
            outcome_retention: Duration::from_millis(rng.pick(&[300, 3_600_000, 36_000_000])),
            far: if rng.chance(1_000) { rng.within(1_000..=60_000) } else { 0 },
            heal_at: rng.within(3_000_000..=6_000_000),
            long_waits: deadlocks.chance(3_000),
            handling: handling(&mut deadlocks, mutation),
            protocols: Protocols::of(seed),
            shards,
            coordinators,
            loses,
            disks_last: disks_last(seed, coordinators > 1 && !loses, mutation),
            // What is looked for elsewhere shows without, and some of it rarely enough.
            ambush: match mutation {
                Some(_) if coordinators == 1 => Ambush::default(),
                _ => Ambush::draw(&mut ambush, loses),
            },
        }
    }
}

/// How transactions are committed, in 1 of 10,000; the rest is in two phases.
#[derive(Clone, Copy, Debug)]
pub struct Protocols {
    three_phase: u32,
    /// Of those that are not in three phases.
    paxos: u32,
}

impl Protocols {
    fn of(seed: u64) -> Protocols {
        Protocols {
            three_phase: Rng::new(seed ^ 0x3bc).pick(&[0, 0, 5_000, 5_000, 10_000]),
            paxos: Rng::new(seed ^ 0x9a05).pick(&[0, 5_000, 10_000, 10_000]),
        }
    }

    /// How the transaction with some number is.
    pub fn of_txn(self, number: u64) -> Protocol {
        if Rng::new(number ^ 0x3bc).chance(self.three_phase) {
            Protocol::ThreePhase
        } else if Rng::new(number ^ 0x9a05).chance(self.paxos) {
            let faster = Rng::new(number ^ 0xfa57e2).chance(3_000);
            if faster { Protocol::FasterPaxosCommit } else { Protocol::PaxosCommit }
        } else {
            Protocol::TwoPhase
        }
    }
}

/// How a cluster deals with deadlocks. A bug in one way is looked for in that one.
fn handling(rng: &mut Rng, mutation: Option<Mutation>) -> Handling {
    let victim = rng.pick(&[
        VictimPolicy::Youngest,
        VictimPolicy::Youngest,
        VictimPolicy::FewestLocks,
        VictimPolicy::LowestPriority,
    ]);
    let scheme = rng.pick(&[
        Scheme::Graph,
        Scheme::Graph,
        Scheme::Probes,
        Scheme::Probes,
        Scheme::WoundWait,
        Scheme::WaitDie,
    ]);
    let scheme = mutation.and_then(Mutation::scheme).unwrap_or(scheme);
    Handling { scheme, victim }
}
