//! Keys that are added while transactions go on.
//!
//! ```text
//!   0 … loaded-1   loaded … known-1          known …
//!   there          added, told committed     being added; some may be there
//! ```
//!
//! Who reads what has been added must know that it is there, so only what lies before the
//! first gap is known. The number of one that failed is given out again. As many keys are
//! added as were loaded; then those that were added first are written again.

/// The added ones, counted from 0.
#[derive(Debug)]
pub(crate) struct Growth {
    most: u32,
    /// How often a number was given out.
    given: u64,
    /// Those that failed.
    again: Vec<u32>,
    /// Which ones were told committed.
    told: Vec<bool>,
    /// All below were.
    known: u32,
}

impl Growth {
    /// None yet, and so many at most.
    pub fn new(most: u32) -> Growth {
        Growth { most, given: 0, again: Vec::new(), told: Vec::new(), known: 0 }
    }

    /// All below are there.
    pub fn known(&self) -> u32 {
        self.known
    }

    /// How many are there for sure.
    pub fn told(&self) -> usize {
        self.told.iter().filter(|told| **told).count()
    }

    /// Whether one is there for sure.
    pub fn is_told(&self, number: u32) -> bool {
        self.told.get(number as usize).is_some_and(|told| *told)
    }

    /// The next one that is to be added.
    pub fn next(&mut self) -> u32 {
        self.again.pop().unwrap_or_else(|| {
            self.given += 1;
            ((self.given - 1) % u64::from(self.most)) as u32
        })
    }

    /// One was added, or not, or nobody knows.
    pub fn settle(&mut self, number: u32, added: bool) {
        if !added {
            self.again.push(number);
            return;
        }
        let at = number as usize;
        if self.told.len() <= at {
            self.told.resize(at + 1, false);
        }
        self.told[at] = true;
        while self.is_told(self.known) {
            self.known += 1;
        }
    }

    /// The one so many before the last one that is known; none before the first.
    pub fn before_last(&self, back: u32) -> Option<u32> {
        let back = (back < self.known).then(|| u64::from(back) + 1)?;
        match self.known < self.most {
            true => Some(self.known - back as u32),
            // All are there, and the last one is that which was given out last.
            false => Some(((self.given - back) % u64::from(self.most)) as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_behind_a_gap_is_not_known() {
        let mut growth = Growth::new(10);
        assert_eq!([growth.next(), growth.next(), growth.next()], [0, 1, 2]);
        growth.settle(0, true);
        growth.settle(2, true);
        assert_eq!((growth.known(), growth.told(), growth.before_last(0)), (1, 2, Some(0)));
        growth.settle(1, false);
        assert_eq!((growth.known(), growth.is_told(1)), (1, false));
        assert_eq!([growth.next(), growth.next()], [1, 3], "what failed is tried again");
        growth.settle(1, true);
        assert_eq!((growth.known(), growth.before_last(0)), (3, Some(2)));
        assert_eq!((growth.before_last(2), growth.before_last(3)), (Some(0), None));
    }

    #[test]
    fn there_are_no_more_than_the_most() {
        let mut growth = Growth::new(3);
        let given: Vec<u32> = (0..5).map(|_| growth.next()).collect();
        assert_eq!(given, [0, 1, 2, 0, 1]);
        given.iter().for_each(|number| growth.settle(*number, true));
        assert_eq!((growth.known(), growth.told()), (3, 3));
        let latest: Vec<_> = (0..4).map(|back| growth.before_last(back)).collect();
        assert_eq!(latest, [Some(1), Some(0), Some(2), None]);
    }
}
