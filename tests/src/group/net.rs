//! The links between the members: what is on its way, and who can not reach whom.

use synod_common::message::GroupMessage;

use crate::sim::rng::Rng;

/// Who can not reach whom.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Everybody can reach everybody.
    None,
    /// Not one side the other; a bit for each member.
    Sides(u64),
    /// Not these two each other.
    Link(usize, usize),
}

impl Cut {
    /// Two sides, the leader cut off, or one link.
    pub fn draw(rng: &mut Rng, members: u64, leader: Option<usize>) -> Cut {
        match leader {
            Some(leader) if rng.chance(5_000) => Cut::Sides(1 << leader),
            _ if rng.chance(6_000) => Cut::Sides(rng.below(1 << members)),
            _ => Cut::Link(rng.below(members) as usize, rng.below(members) as usize),
        }
    }

    /// Whether it is between these two.
    pub fn parts(self, one: usize, other: usize) -> bool {
        match self {
            Cut::None => false,
            Cut::Sides(side) => side >> one & 1 != side >> other & 1,
            Cut::Link(a, b) => a != b && ((a, b) == (one, other) || (b, a) == (one, other)),
        }
    }
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Who sent it; the first member is 0.
    pub from: usize,
    /// Who is to hear it.
    pub to: usize,
    /// What it says.
    pub message: GroupMessage,
}

/// All that is on its way, and what is in the way.
#[derive(Debug)]
pub struct Net {
    bag: Vec<Letter>,
    /// Who can not reach whom.
    pub cut: Cut,
}

impl Net {
    /// One on which nothing was said yet.
    pub fn new() -> Net {
        Net { bag: Vec::new(), cut: Cut::None }
    }

    /// How much is on its way.
    pub fn len(&self) -> usize {
        self.bag.len()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.bag.is_empty()
    }

    /// Something more is.
    pub fn post(&mut self, letter: Letter) {
        self.bag.push(letter);
    }

    /// Any letter; the newest with this chance, so that old ones come late.
    pub fn take(&mut self, rng: &mut Rng, newest: u32) -> Option<Letter> {
        if self.bag.is_empty() {
            return None;
        }
        if rng.chance(newest) {
            return self.bag.pop();
        }
        let i = rng.below(self.bag.len() as u64) as usize;
        Some(self.bag.swap_remove(i))
    }

    /// A letter between two of this side.
    pub fn take_between(&mut self, side: u64) -> Option<Letter> {
        let within = |member: usize| side >> member & 1 == 1;
        let between = |letter: &Letter| within(letter.from) && within(letter.to);
        let i = self.bag.iter().position(between)?;
        Some(self.bag.swap_remove(i))
    }

    /// One that can not arrive now will do so later.
    pub fn keep(&mut self, letter: Letter) {
        self.bag.push(letter);
        // Not as the newest, or nothing else would arrive.
        let last = self.bag.len() - 1;
        self.bag.swap(0, last);
    }
}
