//! What happens how often in a schedule.

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
    /// A site crashes.
    Crash,
    /// A site is back.
    Restart,
    /// A member crashes, and loses its disk.
    LoseDisk,
    /// A member looks at its clock.
    Tick,
    /// Some sites have it all their way for a while.
    Rush,
    /// Links break, or are mended.
    Cut,
    /// A client wants a transaction committed.
    Begin,
    /// Who waits for an answer has waited long.
    Wait,
    /// A leader tells what is decided.
    Mark,
}

/// How often what happens in a schedule.
#[derive(Debug)]
pub struct Weights {
    of: Chances<Kind, 13>,
    /// A crash in the moment of a write, or of a message, in 1 of 10,000.
    pub aimed: u32,
    /// The newest message is the next to arrive, likewise: so that old ones come late.
    pub newest: u32,
    /// A flush is of a part, likewise.
    pub partial: u32,
    /// A participant that votes NO, likewise.
    pub refuse: u32,
    /// Who crashes loses its disk, likewise.
    pub disks: u32,
}

impl Weights {
    /// Those of one schedule.
    pub fn draw(rng: &mut Rng) -> Weights {
        let mood = Mood::draw(rng);
        let mut some = |most| mood.some(rng, most);
        let (lose, double, crash, tick) = (some(10), some(10), some(10), some(10));
        let (rush, cut, wait, mark) = (some(30), some(8), some(20), some(10));
        let disk = some(6);
        let (flush, restart, begin) = (rng.within(10..=60), rng.within(2..=30), 30);
        let of = Chances::new([
            (Kind::Deliver, 100),
            (Kind::Lose, lose),
            (Kind::Double, double),
            (Kind::Flush, flush),
            (Kind::Crash, crash),
            (Kind::Restart, restart),
            (Kind::LoseDisk, disk),
            (Kind::Tick, tick),
            (Kind::Rush, rush),
            (Kind::Cut, cut),
            (Kind::Begin, begin),
            (Kind::Wait, wait),
            (Kind::Mark, mark),
        ]);
        Weights {
            of,
            aimed: rng.pick(&[0, 0, 200, 500, 1_500]),
            newest: rng.pick(&[0, 0, 5_000, 8_000]),
            partial: rng.pick(&[0, 2_000, 5_000]),
            refuse: rng.pick(&[0, 0, 500, 2_000]),
            disks: rng.pick(&[0, 0, 2_000, 5_000]),
        }
    }

    /// What happens next.
    pub fn next(&self, rng: &mut Rng) -> Kind {
        self.of.next(rng)
    }
}
