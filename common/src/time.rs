//! Three kinds of time, kept apart by type.
//!
//! * [`Timestamp`] orders transactions. Only the oracle makes them.
//! * [`Mono`] is a node's monotonic clock. Timers and leases use it.
//! * [`Wall`] is a node's wall clock. It seeds timestamps and dates records for
//!   people; no safety rests on it.
//!
//! A core is handed [`Now`] with every event and never asks for the time.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in the commit order: 48 bits of milliseconds since 1970, 16 bits of
/// counter. Zero is before everything.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Before every version.
    pub const ZERO: Timestamp = Timestamp(0);
    /// After every version.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// The first timestamp of a wall-clock millisecond.
    pub fn of_wall(wall: Wall) -> Timestamp {
        Timestamp(wall.0.saturating_mul(1 << 16))
    }

    /// The wall-clock millisecond that this timestamp began in.
    pub fn wall(self) -> Wall {
        Wall(self.0 >> 16)
    }

    /// The next one.
    pub fn next(self) -> Timestamp {
        Timestamp(self.0.saturating_add(1))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Monotonic time of one node in microseconds, from an arbitrary origin.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Mono(pub u64);

impl Mono {
    /// Time passed since `earlier`, zero if it lies ahead.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;

    fn add(self, rhs: Duration) -> Mono {
        let micros = u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX);
        Mono(self.0.saturating_add(micros))
    }
}

/// Wall-clock time of one node in milliseconds since 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Wall(pub u64);

/// The time of an event, as the driver saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For timers.
    pub mono: Mono,
    /// For people, and to seed timestamps.
    pub wall: Wall,
}
