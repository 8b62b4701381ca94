//! What happens how often in a schedule.

use super::client::Op;
use super::net::MOST_SHARDS;
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
    /// A server crashes.
    Crash,
    /// A server is back.
    Restart,
    /// A server has waited long.
    Wait,
    /// Links break, or are mended.
    Cut,
    /// The client begins a transaction.
    Begin,
    /// The client begins a snapshot.
    Look,
    /// The client has waited long.
    Ask,
    /// An operator decides what is in doubt.
    Resolve,
}

/// How often what happens in a schedule.
#[derive(Clone, Debug)]
pub struct Weights {
    of: Chances<Kind, 12>,
    /// A crash in the moment of a write, or of a message, in 1 of 10,000.
    pub aimed: u32,
    /// The newest message is the next to arrive, likewise: so that old ones come late.
    pub newest: u32,
    /// A flush is of a part, likewise.
    pub partial: u32,
    /// An end of a link that is gone notices at once, likewise.
    pub notices: u32,
    /// How many transactions there are.
    pub txns: usize,
    /// What they do, mostly.
    ops: &'static [Op],
}

/// Many that write in several places; many that mostly read; all alike.
const OPS: [&[Op]; 3] = [
    &[Op::Write, Op::Change, Op::Copy, Op::Other, Op::Read],
    &[Op::Read, Op::Read, Op::Read, Op::Copy, Op::Write, Op::Nothing],
    &[Op::Nothing, Op::Read, Op::Write, Op::Change, Op::Copy, Op::Other],
];

impl Weights {
    /// Those of one schedule.
    pub fn draw(rng: &mut Rng) -> Weights {
        let mood = Mood::draw(rng);
        let mut some = |most| mood.some(rng, most);
        let (lose, double, crash, wait) = (some(10), some(15), some(10), some(25));
        let (cut, ask, look) = (some(8), some(15), some(6));
        let (flush, restart, begin) = (rng.within(10..=60), rng.within(4..=30), 12);
        let resolve = rng.pick(&[0, 0, 0, 0, 0, 0, 0, 10]);
        let of = Chances::new([
            (Kind::Deliver, 100),
            (Kind::Lose, lose),
            (Kind::Double, double),
            (Kind::Flush, flush),
            (Kind::Crash, crash),
            (Kind::Restart, restart),
            (Kind::Wait, wait),
            (Kind::Cut, cut),
            (Kind::Begin, begin),
            (Kind::Look, look),
            (Kind::Ask, ask),
            (Kind::Resolve, resolve),
        ]);
        Weights {
            of,
            aimed: rng.pick(&[0, 0, 200, 500, 1_500]),
            newest: rng.pick(&[0, 0, 5_000, 8_000]),
            partial: rng.pick(&[0, 2_000]),
            notices: rng.pick(&[5_000, 10_000]),
            txns: rng.pick(&[1, 1, 1, 2, 2, 3]),
            ops: rng.pick(&OPS),
        }
    }

    /// Those of a search, to which nothing happens by chance.
    pub fn none() -> Weights {
        Weights {
            of: Chances::new([(Kind::Deliver, 0); 12]),
            aimed: 0,
            newest: 0,
            partial: 0,
            notices: 10_000,
            txns: 0,
            ops: OPS[0],
        }
    }

    /// What happens next.
    pub fn next(&self, rng: &mut Rng) -> Kind {
        self.of.next(rng)
    }

    /// What a transaction does on these shards: something.
    pub fn ops(&self, rng: &mut Rng, shards: usize) -> [Op; MOST_SHARDS] {
        let mut ops = [Op::Nothing; MOST_SHARDS];
        ops[..shards].iter_mut().for_each(|op| *op = rng.pick(self.ops));
        if ops == [Op::Nothing; MOST_SHARDS] {
            ops[rng.below(shards as u64) as usize] = Op::Write;
        }
        ops
    }
}
