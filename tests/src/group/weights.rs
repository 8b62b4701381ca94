//! What happens how often in a schedule.

use std::time::Duration;

use synod_coordinator::group::Pace;

use crate::explore::chances::{Chances, Mood};
use crate::sim::rng::Rng;

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A message arrives.
    Deliver,
    /// A message is lost.
    Lose,
    /// A message will arrive twice.
    Double,
    /// Some records become durable.
    Flush,
    /// A member crashes.
    Crash,
    /// A member is back.
    Restart,
    /// A member crashes, and loses its disk.
    LoseDisk,
    /// A leader hands its state to one who needs it.
    HandOver,
    /// A member looks at its clock.
    Tick,
    /// Some members have it all their way for a while.
    Rush,
    /// Links break, or are mended.
    Cut,
    /// The leader has more entries.
    Append,
    /// The leader asks whether it still leads.
    Confirm,
    /// A member keeps less of its log, or less of it for its next life.
    Forget,
}

/// How often what happens in a schedule.
#[derive(Debug)]
pub struct Weights {
    of: Chances<Kind, 14>,
    /// A crash in the moment of a write, or of a message, in 1 of 10,000.
    pub aimed: u32,
    /// The newest message is the next to arrive, likewise: so that old ones come late.
    pub newest: u32,
    /// Who is due first ticks first, likewise.
    pub orderly: u32,
    /// Of those due, a leader does not count: it is often late.
    pub slow: bool,
    /// A flush is of a part, likewise.
    pub partial: u32,
    /// Members forget also what others lack, so that these may never catch up.
    pub ruthless: bool,
}

impl Weights {
    /// Those of one schedule.
    pub fn draw(rng: &mut Rng) -> Weights {
        let mood = Mood::draw(rng);
        let mut some = |most| mood.some(rng, most);
        let (lose, double, crash, cut) = (some(10), some(10), some(10), some(8));
        let (append, confirm, forget, rush) = (some(12), some(8), some(6), some(12));
        let (lose_disk, hand_over) = (some(6), some(20));
        let of = Chances::new([
            (Kind::Deliver, 100),
            (Kind::Lose, lose),
            (Kind::Double, double),
            (Kind::Flush, rng.within(10..=60)),
            (Kind::Crash, crash),
            (Kind::Restart, rng.within(2..=30)),
            (Kind::LoseDisk, lose_disk),
            (Kind::HandOver, hand_over),
            (Kind::Tick, rng.within(3..=25)),
            (Kind::Rush, rush),
            (Kind::Cut, cut),
            (Kind::Append, append),
            (Kind::Confirm, confirm),
            (Kind::Forget, forget),
        ]);
        Weights {
            of,
            aimed: rng.pick(&[0, 0, 200, 500, 1_000]),
            newest: rng.pick(&[0, 0, 5_000, 8_000]),
            orderly: rng.pick(&[3_000, 7_000, 9_000, 9_700]),
            slow: rng.chance(3_000),
            partial: rng.pick(&[0, 2_000, 5_000]),
            ruthless: rng.chance(1_000),
        }
    }

    /// What happens next.
    pub fn next(&self, rng: &mut Rng) -> Kind {
        self.of.next(rng)
    }
}

/// How patient the members of a schedule are.
pub fn pace(rng: &mut Rng) -> Pace {
    let heartbeat = Duration::from_millis(100);
    Pace { heartbeat, patience: heartbeat * rng.pick(&[2, 3, 5]) }
}
