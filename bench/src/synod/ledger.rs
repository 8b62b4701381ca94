//! What clients were told, and what the keys must hold because of it.
//!
//! Every update has a mark of its own in its value. Of the updates of one key that were told
//! committed, those can be the last ones that ended after all others had begun:
//!
//! ```text
//!   1  ├────┤                  over before 3 began: not the last one
//!   2     ├────────────┤       may be the last one
//!   3            ├──┤          may be the last one
//!   4                 ├─ ?     nobody knows: may be the last one
//! ```
//!
//! If the key holds another one in the end, an update that was acknowledged is lost. Where
//! money comes and goes, what was added is counted; where nobody knows, it is between bounds.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;
use synod_client::Error;

use crate::keyspace::{Mark, Sum};

/// The ledger of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Tells its marks from those of others.
    run: u64,
    /// Whether nobody else writes.
    alone: bool,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// Of begins and ends.
    clock: u64,
    updates: HashMap<u32, Updates>,
    /// What was added to all balances together.
    added: i64,
    /// What may have been, beside that: at least, and at most.
    unsure: [i64; 2],
    damaged: u64,
}

/// Those of one key.
#[derive(Debug, Default)]
struct Updates {
    /// When the last one began of those that were told committed.
    began: u64,
    /// When those began and ended that may be the last one.
    last: Vec<[u64; 2]>,
    /// When those began of which nobody knows.
    unsure: Vec<u64>,
}

impl Ledger {
    pub(crate) fn new(alone: bool) -> Ledger {
        Ledger { run: RandomState::new().hash_one(0), alone, book: Mutex::default() }
    }

    /// An update begins: its mark.
    pub(crate) fn begin(&self) -> Mark {
        let mut book = self.book.lock();
        book.clock += 1;
        Mark { run: self.run, began: book.clock }
    }

    /// An update has ended.
    pub(crate) fn end(&self, n: u32, mark: Mark, result: &Result<(), Error>) {
        let mut book = self.book.lock();
        book.clock += 1;
        let ended = book.clock;
        let updates = book.updates.entry(n).or_default();
        match result {
            Ok(()) => {
                updates.began = updates.began.max(mark.began);
                updates.last.push([mark.began, ended]);
                let newest = updates.began;
                updates.last.retain(|[_, ended]| *ended > newest);
            }
            Err(Error::InDoubt(_)) => updates.unsure.push(mark.began),
            Err(_) => {}
        }
    }

    /// A transaction has ended that adds something, between bounds if nobody knows.
    pub(crate) fn add(&self, result: &Result<i64, Error>, bounds: [i64; 2]) {
        let mut book = self.book.lock();
        match result {
            Ok(added) => book.added += added,
            Err(Error::InDoubt(_)) => {
                book.unsure.iter_mut().zip(bounds).for_each(|(sum, bound)| *sum += bound);
            }
            Err(_) => {}
        }
    }

    /// Something was read that nobody wrote, or not found where it must be.
    pub(crate) fn damaged(&self) {
        self.book.lock().damaged += 1;
    }

    /// Whether what a key holds in the end can be its last update.
    pub(crate) fn may_be_last(&self, n: u32, found: Mark) -> bool {
        let book = self.book.lock();
        let Some(updates) = book.updates.get(&n).filter(|updates| !updates.last.is_empty()) else {
            return true;
        };
        if found.run != self.run {
            // It is somebody else's, or what was there at first.
            return !self.alone;
        }
        let told = updates.last.iter().map(|[began, _]| began);
        told.chain(&updates.unsure).any(|began| *began == found.began)
    }

    /// Puts into the sum what was added, and what was wrong.
    pub(crate) fn enter(&self, sum: &mut Sum) {
        let book = self.book.lock();
        sum.should += book.added;
        sum.unsure = book.unsure;
        sum.damaged += book.damaged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_doubt() -> Error {
        Error::InDoubt("t1.1.1".parse().unwrap())
    }

    #[test]
    fn an_update_that_was_over_before_another_began_is_not_the_last_one() {
        let ledger = Ledger::new(true);
        let told = |mark| ledger.end(7, mark, &Ok(()));
        let before = Mark { run: 0, began: 0 };
        assert!(ledger.may_be_last(7, before), "nothing was written");
        let one = ledger.begin();
        let two = ledger.begin();
        told(one);
        assert!(ledger.may_be_last(7, one) && !ledger.may_be_last(7, before));
        assert!(!ledger.may_be_last(7, two), "not yet told, and not unknown either");
        let three = ledger.begin();
        told(three);
        told(two);
        let may_be = |marks: &[Mark]| -> Vec<bool> {
            marks.iter().map(|mark| ledger.may_be_last(7, *mark)).collect()
        };
        assert_eq!(may_be(&[one, two, three]), [false, true, true]);
        let four = ledger.begin();
        ledger.end(7, four, &Err(in_doubt()));
        assert_eq!(may_be(&[one, two, three, four]), [false, true, true, true]);
        let five = ledger.begin();
        ledger.end(7, five, &Err(Error::Unavailable(String::new())));
        assert_eq!(may_be(&[three, five]), [true, false]);
        assert!(ledger.may_be_last(8, before), "another key");
    }

    #[test]
    fn where_others_write_their_marks_are_not_judged() {
        let ledger = Ledger::new(false);
        let one = ledger.begin();
        ledger.end(7, one, &Ok(()));
        let two = ledger.begin();
        ledger.end(7, two, &Ok(()));
        assert!(ledger.may_be_last(7, Mark { run: one.run ^ 1, began: 1 }));
        assert!(!ledger.may_be_last(7, one), "its own are");
    }

    #[test]
    fn what_nobody_knows_makes_the_sum_a_range() {
        let ledger = Ledger::new(true);
        ledger.add(&Ok(5), [0, 9]);
        ledger.add(&Err(in_doubt()), [-6, 0]);
        ledger.add(&Err(in_doubt()), [0, 1]);
        ledger.add(&Err(Error::Unavailable(String::new())), [0, 20]);
        let is_right = |is| {
            let mut sum = Sum { is, should: 100, ..Sum::default() };
            ledger.enter(&mut sum);
            sum.is_right()
        };
        let right: Vec<i64> = (90..120).filter(|is| is_right(*is)).collect();
        assert!(right.into_iter().eq(99..=106));
    }
}
