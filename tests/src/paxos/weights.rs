//! What happens how often: each schedule draws its own, so that some are calm and some are
//! wild in one way only.

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

const KINDS: [Kind; 13] = [
    Kind::Deliver,
    Kind::Lose,
    Kind::Double,
    Kind::Flush,
    Kind::Crash,
    Kind::Restart,
    Kind::LoseDisk,
    Kind::Tick,
    Kind::Rush,
    Kind::Cut,
    Kind::Begin,
    Kind::Wait,
    Kind::Mark,
];

/// How often what happens in a schedule.
#[derive(Debug)]
pub struct Weights {
    of: [u64; KINDS.len()],
    total: u64,
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
        let wild = rng.chance(4_000);
        let mut some = |most: u64| match (wild, rng.chance(4_000)) {
            (true, _) => rng.within(0..=most),
            (false, true) => 0,
            (false, false) => rng.skewed(most),
        };
        let (lose, double, crash, tick) = (some(10), some(10), some(10), some(10));
        let (rush, cut, wait, mark) = (some(30), some(8), some(20), some(10));
        let disk = some(6);
        let (flush, restart, begin) = (rng.within(10..=60), rng.within(2..=30), 30);
        let of =
            [100, lose, double, flush, crash, restart, disk, tick, rush, cut, begin, wait, mark];
        Weights {
            of,
            total: of.iter().sum(),
            aimed: rng.pick(&[0, 0, 200, 500, 1_500]),
            newest: rng.pick(&[0, 0, 5_000, 8_000]),
            partial: rng.pick(&[0, 2_000, 5_000]),
            refuse: rng.pick(&[0, 0, 500, 2_000]),
            disks: rng.pick(&[0, 0, 2_000, 5_000]),
        }
    }

    /// What happens next.
    pub fn next(&self, rng: &mut Rng) -> Kind {
        let mut chosen = rng.below(self.total);
        for (kind, weight) in KINDS.into_iter().zip(self.of) {
            if chosen < weight {
                return kind;
            }
            chosen -= weight;
        }
        Kind::Deliver
    }
}
