//! The core workloads of YCSB: Cooper, Silberstein, Tam, Ramakrishnan, Sears, "Benchmarking
//! Cloud Serving Systems with YCSB" (SoCC 2010), §4.
//!
//! | | of a hundred | which keys |
//! | --- | --- | --- |
//! | A | 50 reads, 50 updates | Zipf's law, scattered |
//! | B | 95 reads, 5 updates | the same |
//! | C | 100 reads | the same |
//! | D | 95 reads, 5 inserts | Zipf's law, the latest first |
//! | E | 95 scans of 1 to 100 keys, 5 inserts | scans begin as in A |
//! | F | 50 reads, 50 that read and write | as in A |
//!
//! Each is one transaction. A record is a value of 100 bytes, not ten fields of 100 bytes; an
//! update writes all of it. Inserted keys follow those that were loaded, and there are at most
//! as many of them (`growth.rs`); a scan ends where the keys end.

use crate::deed::Deed;
use crate::keyspace::Keyspace;
use crate::random::Random;
use crate::zipf::{Zipf, scattered};

/// A scan reads so many keys at most.
const SCANNED: u64 = 100;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ycsb {
    /// Many updates.
    A,
    /// Mostly reads.
    B,
    /// Only reads.
    C,
    /// What was inserted last is read.
    D,
    /// Short ranges.
    E,
    /// Reads, of which half write what they have read.
    F,
}

impl Ycsb {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Ycsb::A => "ycsb-a",
            Ycsb::B => "ycsb-b",
            Ycsb::C => "ycsb-c",
            Ycsb::D => "ycsb-d",
            Ycsb::E => "ycsb-e",
            Ycsb::F => "ycsb-f",
        }
    }

    /// The next transaction.
    pub(crate) fn draw(self, keys: &Keyspace, random: &mut Random) -> Deed {
        let of_a_hundred = random.below(100);
        match self {
            Ycsb::A if of_a_hundred < 50 => Deed::Update(popular(keys, random)),
            Ycsb::B if of_a_hundred < 5 => Deed::Update(popular(keys, random)),
            Ycsb::F if of_a_hundred < 50 => Deed::Raise(popular(keys, random)),
            Ycsb::A | Ycsb::B | Ycsb::C | Ycsb::F => Deed::Get(popular(keys, random)),
            Ycsb::D | Ycsb::E if of_a_hundred < 5 => Deed::Insert(keys.next_added()),
            Ycsb::D => {
                let there = Zipf::new(keys.known());
                Deed::Get(keys.before_last(there.draw(random)))
            }
            Ycsb::E => {
                let from = popular_or_added(keys, random);
                let length = 1 + random.below(SCANNED) as u32;
                Deed::Scan(from, length.min(keys.known() - from))
            }
        }
    }
}

/// One of the keys that were loaded.
fn popular(keys: &Keyspace, random: &mut Random) -> u32 {
    scattered(Zipf::new(keys.len()).draw(random), keys.len())
}

/// One of those that are there. Each keeps its rank while others are added.
fn popular_or_added(keys: &Keyspace, random: &mut Random) -> u32 {
    let (zipf, known) = (Zipf::new(keys.most()), keys.known());
    loop {
        let n = scattered(zipf.draw(random), keys.most());
        if n < known {
            return n;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const DRAWN: usize = 20_000;

    fn keys() -> Keyspace {
        Keyspace::new(1_000, 2, |n| n as u16 % 2)
    }

    fn drawn(workload: Ycsb, keys: &Keyspace) -> Vec<Deed> {
        let mut random = Random::new(7);
        (0..DRAWN).map(|_| workload.draw(keys, &mut random)).collect()
    }

    /// Of a hundred.
    fn share(deeds: &[Deed], is_one: impl Fn(&Deed) -> bool) -> f64 {
        deeds.iter().filter(|deed| is_one(deed)).count() as f64 * 100.0 / DRAWN as f64
    }

    #[test]
    fn mixes_are_those_of_the_book() {
        use Ycsb::{A, B, C, D, E, F};
        type Kind = fn(&Deed) -> bool;
        let get: Kind = |deed| matches!(deed, Deed::Get(_));
        let update: Kind = |deed| matches!(deed, Deed::Update(_));
        let insert: Kind = |deed| matches!(deed, Deed::Insert(_));
        let scan: Kind = |deed| matches!(deed, Deed::Scan(..));
        let raise: Kind = |deed| matches!(deed, Deed::Raise(_));
        for (workload, mix) in [
            (A, [(get, 50.0), (update, 50.0)]),
            (B, [(get, 95.0), (update, 5.0)]),
            (C, [(get, 100.0), (update, 0.0)]),
            (D, [(get, 95.0), (insert, 5.0)]),
            (E, [(scan, 95.0), (insert, 5.0)]),
            (F, [(get, 50.0), (raise, 50.0)]),
        ] {
            let deeds = drawn(workload, &keys());
            for (kind, expected) in mix {
                let share = share(&deeds, kind);
                assert!((share - expected).abs() < 1.5, "{workload:?}: {share}, not {expected}");
            }
        }
    }

    #[test]
    fn few_keys_are_asked_for_often() {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for deed in drawn(Ycsb::C, &keys()) {
            let Deed::Get(n) = deed else { panic!("{deed:?}") };
            *counts.entry(n).or_default() += 1;
        }
        let most = counts.iter().max_by_key(|(_, count)| **count).map(|(n, _)| *n);
        assert_eq!(most, Some(scattered(0, 1_000)));
        // Of a thousand, the first has 1 / 7.7 of all.
        let share = counts[&scattered(0, 1_000)] as f64 / DRAWN as f64;
        assert!((0.12..0.14).contains(&share), "{share}");
        assert!(counts.len() > 900, "but seldom ones, too: {}", counts.len());
    }

    /// What is read or scanned is known to be there, and what is new is popular with D.
    #[test]
    fn what_is_added_is_read_when_it_is_there() {
        for workload in [Ycsb::D, Ycsb::E] {
            let (keys, mut random) = (keys(), Random::new(9));
            let (mut reads, mut of_added) = (0, 0);
            for _ in 0..DRAWN {
                let deed = workload.draw(&keys, &mut random);
                let end = match deed {
                    Deed::Insert(n) => {
                        assert!((1_000..2_000).contains(&n));
                        // One in ten fails at first.
                        keys.settle(&deed, random.below(10) > 0);
                        continue;
                    }
                    Deed::Get(n) => n + 1,
                    Deed::Scan(from, length) => {
                        assert!((1..=100).contains(&length));
                        from + length
                    }
                    other => panic!("{other:?}"),
                };
                assert!(end <= keys.known());
                reads += 1;
                of_added += usize::from(end > 1_000);
            }
            assert!(keys.known() > 1_800, "{}", keys.known());
            let least = if workload == Ycsb::D { reads * 3 / 4 } else { reads / 10 };
            assert!(of_added > least, "{workload:?}: {of_added} of {reads}");
        }
    }
}
