//! The links between the sites of a schedule: what is on its way, and who can not reach whom.

use crate::sim::rng::Rng;

/// Who can not reach whom.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Everybody can reach everybody.
    None,
    /// Not one side the other; a bit for each site.
    Sides(u64),
    /// Not these two each other.
    Link(usize, usize),
}

impl Cut {
    /// Two sides, the leader cut off, or one link.
    pub fn draw(rng: &mut Rng, sites: u64, leader: Option<usize>) -> Cut {
        match leader {
            Some(leader) if rng.chance(5_000) => Cut::Sides(1 << leader),
            _ if rng.chance(6_000) => Cut::Sides(rng.below(1 << sites)),
            _ => Cut::Link(rng.below(sites) as usize, rng.below(sites) as usize),
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
pub struct Letter<M> {
    /// Who sent it, by place.
    pub from: usize,
    /// Who is to hear it.
    pub to: usize,
    /// What it says.
    pub message: M,
}

/// All that is on its way, and what is in the way.
#[derive(Clone, Debug)]
pub struct Net<L> {
    bag: Vec<L>,
    /// Who can not reach whom.
    pub cut: Cut,
}

impl<L> Net<L> {
    /// One on which nothing was said yet.
    pub fn new() -> Net<L> {
        Net { bag: Vec::new(), cut: Cut::None }
    }

    /// Nothing is on its way, and nothing in the way.
    pub fn clear(&mut self) {
        self.bag.clear();
        self.cut = Cut::None;
    }

    /// How much is on its way.
    pub fn len(&self) -> usize {
        self.bag.len()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.bag.is_empty()
    }

    /// All that is.
    pub fn letters(&mut self) -> &mut Vec<L> {
        &mut self.bag
    }

    /// Something more is.
    pub fn post(&mut self, letter: L) {
        self.bag.push(letter);
    }

    /// What was posted last.
    pub fn newest(&self) -> Option<&L> {
        self.bag.last()
    }

    /// Takes that back.
    pub fn withdraw(&mut self) -> Option<L> {
        self.bag.pop()
    }

    /// Any letter; the newest with this chance, so that old ones come late.
    pub fn take(&mut self, rng: &mut Rng, newest: u32) -> Option<L> {
        if self.bag.is_empty() {
            return None;
        }
        if rng.chance(newest) {
            return self.bag.pop();
        }
        let i = rng.below(self.bag.len() as u64) as usize;
        Some(self.bag.swap_remove(i))
    }

    /// The first of these.
    pub fn take_if(&mut self, is: impl Fn(&L) -> bool) -> Option<L> {
        let place = self.bag.iter().position(is)?;
        Some(self.bag.remove(place))
    }

    /// One that can not arrive now will do so later.
    pub fn keep(&mut self, letter: L) {
        self.bag.push(letter);
        // Not as the newest, or nothing else would arrive.
        let last = self.bag.len() - 1;
        self.bag.swap(0, last);
    }
}

impl<M> Net<Letter<M>> {
    /// A letter between two of this side.
    pub fn take_between(&mut self, side: u64) -> Option<Letter<M>> {
        let within = |site: usize| side >> site & 1 == 1;
        let i = self.bag.iter().position(|letter| within(letter.from) && within(letter.to))?;
        Some(self.bag.swap_remove(i))
    }
}

impl<L> Default for Net<L> {
    fn default() -> Net<L> {
        Net::new()
    }
}
