//! The keys of the workloads: 16 bytes, values of 100 bytes, a balance inside.

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;

use crate::deed::Deed;
use crate::growth::Growth;
use crate::random::Random;

/// All keys begin like this; a number of 10 digits follows.
pub const PREFIX: &str = "bench/";
/// The balance that every key begins with.
pub const INITIAL: i64 = 1_000;
/// Keys at least.
pub const LEAST: u32 = 200;
const VALUE_BYTES: usize = 100;

/// The keys, and which part of the system has which.
#[derive(Debug)]
pub struct Keyspace {
    /// The part of each that is loaded.
    homes: Vec<u16>,
    parts: u16,
    /// Those that are added.
    growth: Mutex<Growth>,
}

/// What the books say at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Keys found.
    pub keys: u64,
    /// The sum of their balances.
    pub is: i64,
    /// What it has to be.
    pub should: i64,
    /// What may have been added beside that: at least, and at most.
    pub unsure: [i64; 2],
    /// Values that are not what was written.
    pub damaged: u64,
}

/// Which update has written a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Of which run it is.
    pub run: u64,
    /// When it began, as the run counts.
    pub began: u64,
}

impl Sum {
    /// One more value.
    pub fn count(&mut self, value: &[u8]) {
        self.keys += 1;
        self.should += INITIAL;
        match balance(value) {
            Some(balance) => self.is += balance,
            None => self.damaged += 1,
        }
    }

    /// Whether no money was made or lost.
    pub fn is_right(&self) -> bool {
        let [least, most] = self.unsure.map(|unsure| self.should + unsure);
        (least..=most).contains(&self.is) && self.damaged == 0
    }
}

/// The text of a key.
pub fn key(n: u32) -> String {
    key_in(PREFIX, n)
}

/// The same, with another beginning.
pub(crate) fn key_in(prefix: &str, n: u32) -> String {
    format!("{prefix}{n:010}")
}

/// Which key it is of those that begin so.
pub(crate) fn number_in(prefix: &str, key: &[u8]) -> Option<u32> {
    std::str::from_utf8(key.strip_prefix(prefix.as_bytes())?).ok()?.parse().ok()
}

/// A value with a balance.
pub fn value(balance: i64) -> Bytes {
    filled(&[balance.cast_unsigned()])
}

/// A value with the first balance and a mark.
pub(crate) fn marked(mark: Mark) -> Bytes {
    filled(&[INITIAL.cast_unsigned(), mark.run, mark.began])
}

fn filled(numbers: &[u64]) -> Bytes {
    let mut value = BytesMut::with_capacity(VALUE_BYTES);
    numbers.iter().for_each(|number| value.put_u64(*number));
    value.put_bytes(b'.', VALUE_BYTES - value.len());
    value.freeze()
}

/// The mark in a value; what stands there if it has none.
pub(crate) fn mark(value: &[u8]) -> Option<Mark> {
    let (_, rest) = value.split_first_chunk::<8>()?;
    let (run, rest) = rest.split_first_chunk()?;
    Some(Mark { run: u64::from_be_bytes(*run), began: u64::from_be_bytes(*rest.first_chunk()?) })
}

/// The balance in a value; none if it is not one of ours.
pub fn balance(value: &[u8]) -> Option<i64> {
    let first = value.first_chunk().filter(|_| value.len() == VALUE_BYTES)?;
    Some(i64::from_be_bytes(*first))
}

impl Keyspace {
    /// Keys of which each lies in one of so many parts.
    pub fn new(keys: u32, parts: u16, part_of: impl FnMut(u32) -> u16) -> Keyspace {
        let growth = Mutex::new(Growth::new(keys));
        Keyspace { homes: (0..keys).map(part_of).collect(), parts, growth }
    }

    /// How many are loaded.
    pub fn len(&self) -> u32 {
        u32::try_from(self.homes.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.homes.is_empty()
    }

    /// How many parts the system has.
    pub fn parts(&self) -> u16 {
        self.parts
    }

    /// The part that has a key.
    pub fn part_of(&self, n: u32) -> u16 {
        self.homes[n as usize]
    }

    /// Any key.
    pub fn any(&self, random: &mut Random) -> u32 {
        random.below(self.homes.len() as u64) as u32
    }

    /// Two keys in two parts; in one part if there is only one.
    pub fn any_two(&self, random: &mut Random) -> [u32; 2] {
        let first = self.any(random);
        loop {
            let second = self.any(random);
            let apart = self.part_of(first) != self.part_of(second);
            if second != first && (apart || self.parts == 1) {
                return [first, second];
            }
        }
    }

    /// A key of a part.
    pub fn any_of(&self, part: u16, random: &mut Random) -> u32 {
        loop {
            let n = self.any(random);
            if self.part_of(n) == part {
                return n;
            }
        }
    }

    /// How many there may ever be.
    pub(crate) fn most(&self) -> u32 {
        self.len().saturating_mul(2)
    }

    /// All below are there.
    pub(crate) fn known(&self) -> u32 {
        self.len() + self.growth.lock().known()
    }

    /// The key that is so many before the last one of these.
    pub(crate) fn before_last(&self, back: u32) -> u32 {
        let growth = self.growth.lock();
        match growth.before_last(back) {
            Some(added) => self.len() + added,
            None => self.len() - 1 - (back - growth.known()),
        }
    }

    /// The key that is to be added next.
    pub(crate) fn next_added(&self) -> u32 {
        self.len() + self.growth.lock().next()
    }

    /// Whether a key was added, for sure.
    pub(crate) fn is_added(&self, n: u32) -> bool {
        n.checked_sub(self.len()).is_some_and(|added| self.growth.lock().is_told(added))
    }

    /// How many were.
    pub(crate) fn added(&self) -> u32 {
        self.growth.lock().told() as u32
    }

    /// A transaction was done, or not, or nobody knows.
    pub(crate) fn settle(&self, deed: &Deed, done: bool) {
        if let Deed::Insert(n) = deed {
            self.growth.lock().settle(n - self.len(), done);
        }
    }

    /// A key of every part, where there is one.
    pub fn one_of_each(&self) -> Vec<u32> {
        let first = |part| self.homes.iter().position(|home| *home == part);
        (0..self.parts).filter_map(first).filter_map(|n| u32::try_from(n).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_as_large_as_is_said() {
        assert_eq!((key(0).len(), key(u32::MAX).len()), (16, 16));
        assert_eq!(value(-3).len(), VALUE_BYTES);
        assert_eq!((balance(&value(-3)), balance(b"short")), (Some(-3), None));
        let one = Mark { run: 7, began: 8 };
        let value = marked(one);
        assert_eq!((value.len(), balance(&value), mark(&value)), (100, Some(INITIAL), Some(one)));
        assert_eq!(mark(b"short"), None);
        let number = |key: &str| number_in(PREFIX, key.as_bytes());
        assert_eq!(
            (number(&key(7)), number("other/0007"), number("bench/x")),
            (Some(7), None, None)
        );
    }

    #[test]
    fn a_sum_notices_money_and_damage() {
        let mut sum = Sum::default();
        [INITIAL - 5, INITIAL + 5].iter().for_each(|balance| sum.count(&value(*balance)));
        assert!(sum.is_right() && sum.keys == 2);
        let (mut lost, mut damaged) = (sum, sum);
        lost.count(&value(INITIAL - 1));
        damaged.count(b"");
        assert!(!lost.is_right() && !damaged.is_right());
    }
}
