//! What happens how often in a schedule. Each draws its own, so that some are calm and some
//! are wild in one way only.

use crate::sim::rng::Rng;

/// How often each of some kinds happens, beside the others.
#[derive(Clone, Debug)]
pub struct Chances<K, const N: usize> {
    of: [(K, u64); N],
    total: u64,
}

impl<K: Copy, const N: usize> Chances<K, N> {
    /// These.
    pub fn new(of: [(K, u64); N]) -> Chances<K, N> {
        Chances { of, total: of.iter().map(|(_, weight)| weight).sum() }
    }

    /// What happens next.
    pub fn next(&self, rng: &mut Rng) -> K {
        let mut chosen = rng.below(self.total);
        for (kind, weight) in &self.of {
            if chosen < *weight {
                return *kind;
            }
            chosen -= weight;
        }
        self.of[0].0
    }
}

/// How wild a schedule is.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    wild: bool,
}

impl Mood {
    /// That of one schedule.
    pub fn draw(rng: &mut Rng) -> Mood {
        Mood { wild: rng.chance(4_000) }
    }

    /// How often something happens, at most so often. Much of what goes wrong does not in many
    /// schedules.
    pub fn some(self, rng: &mut Rng, most: u64) -> u64 {
        match (self.wild, rng.chance(4_000)) {
            (true, _) => rng.within(0..=most),
            (false, true) => 0,
            (false, false) => rng.skewed(most),
        }
    }
}
