//! In the end some servers go on without the others.
//!
//! ```text
//!   s1 s2 s3  c1 c2 c3      faults of all kinds
//!   s1 ╳  s3  ╳  c2 c3      no faults; c1 led, and somebody was in doubt
//!      │                    nobody stays so (I25) for whom those who are left are enough
//!   s1 s2 s3  c1 c2 c3      the others are back, and know it no better (I1, I3)
//! ```
//!
//! Those who are left can not tell that the others will come back, so for them they are gone
//! for good.

use synod_common::commit::Protocol;
use synod_common::id::{ShardId, TxnId};
use synod_common::message::txns::ShardStage;
use synod_coordinator::Member;
use synod_shard::Shard;

use super::rng::Rng;
use super::server::{Core, peer};
use super::world::{Happening, Phase, World};
use crate::invariants::Check;
use crate::invariants::never_blocked::{InDoubt, Left};

/// So often a moment is looked for in which somebody is in doubt.
const LOOKS: u32 = 4_000;
/// Between two looks, in microseconds.
const LOOK: u64 = 500;
/// Between two checks.
const PAUSE: u64 = 1_000_000;
/// At least so many of them.
const CHECKS: u32 = 3;

/// How far it is.
#[derive(Debug)]
pub struct Half {
    rng: Rng,
    /// How often it is still looked for the moment to begin.
    looks: u32,
    gone: Vec<usize>,
    left: Left,
    in_doubt: InDoubt,
    began: u64,
    checks: u32,
}

impl Half {
    /// Whether there is such a time is drawn apart, so that all before is as it would be without.
    pub fn draw(seed: u64) -> Half {
        let mut rng = Rng::new(seed.rotate_left(32) ^ 0x4a1f);
        let looks = if rng.chance(4_000) { LOOKS } else { 0 };
        let (left, in_doubt) = (Left::default(), InDoubt::default());
        Half { rng, looks, gone: Vec::new(), left, in_doubt, began: 0, checks: 0 }
    }
}

impl World {
    /// The faults end. If it is to be so, some of the servers are gone from now on.
    pub(super) fn halve(&mut self) -> Check {
        if self.half.looks == 0 {
            return self.heal();
        }
        self.half.looks -= 1;
        let gone = self.who_goes();
        self.half.left = self.left_without(&gone);
        let is_moment = |(_, _, stage, enough)| {
            let is_two_phase =
                matches!(stage, ShardStage::Prepared { protocol: Protocol::TwoPhase, .. });
            is_two_phase || enough && matches!(stage, ShardStage::Prepared { .. })
        };
        if !self.in_doubt().any(is_moment) && self.half.looks > 0 {
            self.after(LOOK, Happening::Halve);
            return Ok(());
        }
        for &server in &gone {
            self.trace.line(self.time, format_args!("{} GONE", peer(server)));
            self.servers[server].absent = true;
            self.crash(server, 0)?;
        }
        self.half.gone = gone;
        self.calm(Phase::Half)?;
        self.half.left = self.left_without(&[]);
        self.half.began = self.time;
        self.count_in_doubt();
        self.halved()
    }

    /// Looks whether anybody stays in doubt. Who was in doubt in the beginning is waited for.
    pub(super) fn halved(&mut self) -> Check {
        let votes = self.in_doubt().filter(|(.., enough)| *enough);
        let votes = votes.map(|(server, txn, ..)| (server, txn));
        let enough: Vec<_> = votes.chain(self.undecided()).collect();
        let half = &mut self.half;
        half.in_doubt.check(self.time, enough.into_iter())?;
        half.checks += 1;
        if half.checks <= CHECKS || half.in_doubt.any_since(half.began) {
            self.after(PAUSE, Happening::Halved);
            return Ok(());
        }
        let blocked = self.in_doubt().filter(|(.., stage, enough)| stage.is_in_doubt() && !enough);
        self.reached.blocked += blocked.count() as u64;
        for server in std::mem::take(&mut self.half.gone) {
            self.servers[server].absent = false;
        }
        self.sizes.heal_at = self.time;
        self.heal()
    }

    /// Either all coordinators, or as many as a group can do without, the leader first; and
    /// perhaps some of the shards.
    fn who_goes(&mut self) -> Vec<usize> {
        let leads = |at: &usize| {
            let core = self.servers[*at].core.as_ref().and_then(Core::coordinator);
            core.is_some_and(|member| member.replica().leads())
        };
        let mut gone: Vec<usize> = self.coordinators().filter(|at| !self.is_absent(*at)).collect();
        gone.sort_by_key(|at| !leads(at));
        if self.half.rng.chance(6_000) {
            gone.retain(|at| self.counts(*at));
            let lacking = self.sizes.coordinators - gone.len();
            gone.truncate(((self.sizes.coordinators - 1) / 2).saturating_sub(lacking));
        }
        let mut shards: Vec<usize> = self.shards().collect();
        let first = self.half.rng.below(shards.len() as u64) as usize;
        shards.rotate_left(first);
        let most = shards.len() as u64 / 2;
        shards.truncate(self.half.rng.below(most + 1) as usize);
        gone.extend(shards);
        gone
    }

    fn is_absent(&self, server: usize) -> bool {
        self.servers[server].absent
    }

    /// Whether a coordinator is there, and not only on its way back without its disk.
    fn counts(&self, server: usize) -> bool {
        !self.is_absent(server) && !self.servers[server].rejoins
    }

    fn left_without(&self, gone: &[usize]) -> Left {
        let is_left = |at: &usize| !self.is_absent(*at) && !gone.contains(at);
        let shards = self.shards().filter(is_left).map(|at| ShardId(at as u16)).collect();
        let coordinators = self.coordinators().filter(is_left).filter(|at| self.counts(*at));
        let coordinators = coordinators.count();
        Left { shards, coordinators: 2 * coordinators > self.sizes.coordinators }
    }

    /// The votes without an outcome on the shards that are left, and whether those who are
    /// left are enough for them.
    fn in_doubt(&self) -> impl Iterator<Item = (usize, TxnId, ShardStage, bool)> {
        let left = &self.half.left;
        left.shards.iter().map(|shard| usize::from(shard.0)).flat_map(move |at| {
            let core = self.servers[at].core.as_ref().and_then(Core::shard);
            let stages = core.into_iter().flat_map(Shard::stages);
            stages.map(move |(txn, stage)| {
                let enough = left.are_enough(&self.ledger, txn, &stage);
                (at, txn, stage, enough)
            })
        })
    }

    /// The commits without an end where somebody leads, for which those who are left are
    /// enough.
    fn undecided(&self) -> impl Iterator<Item = (usize, TxnId)> {
        self.coordinators().flat_map(move |at| {
            let core = self.servers[at].core.as_ref().and_then(Core::coordinator);
            let stages = core.and_then(Member::stages).into_iter().flatten();
            let left = &self.half.left;
            let open = stages.filter(|commit| left.are_enough_to_commit(&commit.stage));
            open.map(move |commit| (at, commit.txn))
        })
    }

    fn count_in_doubt(&mut self) {
        let (mut by_leader, mut to_sites) = (0, 0);
        for (_, _, stage, enough) in self.in_doubt() {
            let ShardStage::Prepared { protocol, .. } = stage else { continue };
            match protocol {
                Protocol::PaxosCommit | Protocol::FasterPaxosCommit if enough => by_leader += 1,
                Protocol::ThreePhase if enough && !self.half.left.coordinators => to_sites += 1,
                _ => {}
            }
        }
        self.reached.left_by_leader += by_leader;
        self.reached.left_to_sites += to_sites;
    }
}
