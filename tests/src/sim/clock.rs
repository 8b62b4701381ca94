//! A node's clocks: a monotonic one that runs too fast or too slow and begins
//! anywhere after a restart, and a wall clock that is wrong and jumps.

use synod_common::time::{Mono, Now, Wall};

use super::rng::Rng;

/// The wall-clock time at which every run begins, in ms since 1970.
const BEGIN_MS: u64 = 1_700_000_000_000;

/// The clocks of one node.
#[derive(Debug)]
pub struct Clock {
    origin: u64,
    since: u64,
    /// Microseconds of this clock in a second of virtual time.
    rate: u64,
    skew_ms: i64,
}

impl Clock {
    /// A clock that starts now; `wrong` says whether it may be wrong.
    pub fn new(now: u64, rng: &mut Rng, wrong: bool) -> Clock {
        let rate = if wrong { rng.within(900_000..=1_100_000) } else { 1_000_000 };
        let origin = rng.below(1 << 40);
        let mut clock = Clock { origin, since: now, rate, skew_ms: 0 };
        if wrong {
            clock.jump(rng);
        }
        clock
    }

    /// Sets the wall clock wrong by up to two seconds, now and then by an hour.
    pub fn jump(&mut self, rng: &mut Rng) {
        let most = if rng.chance(500) { 3_600_000 } else { 2_000 };
        self.skew_ms = rng.within(0..=2 * most) as i64 - most as i64;
    }

    /// The machine sleeps for so long: its monotonic clock does not notice.
    pub fn suspend(&mut self, time: u64) {
        self.since += time;
    }

    /// What the clocks show at a virtual time.
    pub fn now(&self, time: u64) -> Now {
        let passed = (time - self.since) as u128 * u128::from(self.rate) / 1_000_000;
        let wall = (BEGIN_MS + time / 1000).saturating_add_signed(self.skew_ms);
        Now { mono: Mono(self.origin + passed as u64), wall: Wall(wall) }
    }

    /// The virtual time at which the monotonic clock shows `mono`.
    pub fn when(&self, mono: Mono) -> u64 {
        let ahead = mono.0.saturating_sub(self.origin) as u128;
        self.since + (ahead * 1_000_000).div_ceil(u128::from(self.rate)) as u64
    }
}
