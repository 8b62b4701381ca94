//! Where the entries of the group's log stand in the own log, which has other records,
//! too.
//!
//! ```text
//!   own log   1 2 3 4 5 6 7 8 9
//!             e e p e e e c e e        e an entry, p a promise, c a cut
//!   index     1 2   3 4 5   5 6        the cut went back behind entry 4
//!   runs      └1┘   └─2─┘   └3┘
//! ```

use std::collections::VecDeque;

use synod_common::node::Lsn;

/// Runs of entries that stand one behind another in both logs.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// First index of a run, and where it stands.
    runs: VecDeque<(u64, Lsn)>,
    last: u64,
}

impl Places {
    /// Entries up to here are not in the own log any more.
    pub fn from(last: u64) -> Places {
        Places { runs: VecDeque::new(), last }
    }

    /// The next entry stands here.
    pub fn push(&mut self, lsn: Lsn) {
        self.last += 1;
        let goes_on =
            self.runs.back().is_some_and(|(first, at)| at.0 + (self.last - first) == lsn.0);
        if !goes_on {
            self.runs.push_back((self.last, lsn));
        }
    }

    /// Entries behind this index do not count any more.
    pub fn cut(&mut self, index: u64) {
        self.last = self.last.min(index);
        self.runs.retain(|(first, _)| *first <= index);
    }

    /// Where an entry stands, if it is there.
    pub fn lsn_of(&self, index: u64) -> Option<Lsn> {
        if index > self.last {
            return None;
        }
        let (first, at) = self.runs.iter().rev().find(|(first, _)| *first <= index)?;
        Some(Lsn(at.0 + (index - first)))
    }

    /// The last entry that stands no later than here; none if none does.
    pub fn index_at(&self, lsn: Lsn) -> Option<u64> {
        let run = self.runs.iter().rposition(|(_, at)| *at <= lsn)?;
        let (first, at) = self.runs[run];
        let end = self.runs.get(run + 1).map_or(self.last, |(next, _)| next - 1);
        Some((first + (lsn.0 - at.0)).min(end))
    }

    /// Entries up to this index need not be found any more.
    pub fn forget(&mut self, index: u64) {
        while self.runs.len() > 1 && self.runs[1].0 <= index {
            self.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one in the drawing, with a run cut in the middle.
    #[test]
    fn entries_are_found_both_ways() {
        let mut places = Places::default();
        for lsn in [1, 2, 4, 5, 6] {
            places.push(Lsn(lsn));
        }
        assert_eq!(places.index_at(Lsn(3)), Some(2));
        places.cut(4);
        assert_eq!(places.lsn_of(5), None);
        assert_eq!(places.index_at(Lsn(6)), Some(4), "the old entry 5 counts no more");
        places.push(Lsn(8));
        places.push(Lsn(9));
        let stand: Vec<_> = (1..=7).map(|index| places.lsn_of(index).map(|lsn| lsn.0)).collect();
        assert_eq!(stand, [Some(1), Some(2), Some(4), Some(5), Some(8), Some(9), None]);
        let found: Vec<_> = (0..=10).map(|lsn| places.index_at(Lsn(lsn))).collect();
        let counted = [None, Some(1), Some(2), Some(2), Some(3), Some(4), Some(4), Some(4)];
        assert_eq!(found[..8], counted);
        assert_eq!(found[8..], [Some(5), Some(6), Some(6)]);
        places.forget(4);
        assert_eq!((places.lsn_of(5), places.index_at(Lsn(4))), (Some(Lsn(8)), Some(3)));
        places.forget(5);
        assert_eq!(places.index_at(Lsn(7)), None);
    }

    #[test]
    fn a_run_goes_on_only_where_it_ends() {
        let mut places = Places::from(7);
        places.push(Lsn(3));
        places.cut(7);
        places.push(Lsn(4));
        assert_eq!(places.lsn_of(8), Some(Lsn(4)));
        assert_eq!(places.index_at(Lsn(3)), None);
    }
}
