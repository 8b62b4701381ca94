//! Zipf's law: few keys are asked for often, most of them seldom.
//!
//! Of `n` keys the one of rank `r` has a share of `1 / (r + 1)^0.99`, as in Gray, Sundaresan,
//! Englert, Baclawski, Weinberger, "Quickly generating billion-record synthetic databases"
//! (SIGMOD 1994), §3.2, and in YCSB. Their generator needs the sum of all shares, and is exact
//! for the first two ranks only. This one is exact for all and needs no sum, so that `n` may
//! grow from draw to draw: Hörmann, Derflinger, "Rejection-inversion to generate variates from
//! monotone discrete distributions" (TOMACS 1996).
//!
//! ```text
//!   u uniform in H(1/2) … H(n+1/2) ──H⁻¹──▶ x ──round──▶ k      H: the integral of x^-0.99
//!   taken if u is below the bar of k, else drawn again: seldom, bars and curve are close
//! ```
//!
//! The rank is then scattered over the keys ([`scattered`]), so that popular keys are no
//! neighbours. YCSB takes a hash for that, where some ranks meet; here none do.

use crate::random::Random;

/// How steep it is.
const SKEW: f64 = 0.99;

/// The law for so many ranks.
#[derive(Clone, Copy, Debug)]
pub struct Zipf {
    ranks: f64,
    /// The ends of what is drawn.
    ends: [f64; 2],
    /// So close behind its number, an x is below its bar for sure.
    close: f64,
}

impl Zipf {
    /// So many ranks, at least one.
    pub fn new(ranks: u32) -> Zipf {
        let ranks = f64::from(ranks.max(1));
        let ends = [integral(1.5) - 1.0, integral(ranks + 0.5)];
        Zipf { ranks, ends, close: 2.0 - inverse(integral(2.5) - share(2.0)) }
    }

    /// A rank: 0 is the most popular one.
    pub fn draw(&self, random: &mut Random) -> u32 {
        let [low, high] = self.ends;
        loop {
            let u = high + random.unit() * (low - high);
            let x = inverse(u);
            let k = (x + 0.5).floor().clamp(1.0, self.ranks);
            if k - x <= self.close || u >= integral(k + 0.5) - share(k) {
                return k as u32 - 1;
            }
        }
    }
}

/// Without the constant factor.
fn share(x: f64) -> f64 {
    (-SKEW * x.ln()).exp()
}

/// Of the share, from 1 on.
fn integral(x: f64) -> f64 {
    ((1.0 - SKEW) * x.ln()).exp_m1() / (1.0 - SKEW)
}

fn inverse(integral: f64) -> f64 {
    ((integral * (1.0 - SKEW)).ln_1p() / (1.0 - SKEW)).exp()
}

/// A number below `of` for each one below it, the same again and again.
pub fn scattered(number: u32, of: u32) -> u32 {
    const START: u64 = 0x5bd1_e995;
    const ODD: [u64; 2] = [0x9e37_79b1, 0x85eb_ca6b];
    // On a power of two each step can be undone. What falls beyond `of` goes round again.
    let mask = u64::from(of).next_power_of_two() - 1;
    let half = (mask.count_ones() / 2).max(1);
    let mut x = u64::from(number);
    loop {
        x = x.wrapping_add(START) & mask;
        for odd in ODD {
            x = (x ^ x >> half).wrapping_mul(odd) & mask;
        }
        x ^= x >> half;
        if x < u64::from(of) {
            return x as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Exact shares of ranges of ranks that grow, and in how many of the draws each came.
    fn shares_and_draws(ranks: u32, draws: u32, seed: u64) -> Vec<(f64, f64)> {
        let weight = |rank: u32| f64::from(rank + 1).powf(-SKEW);
        let total: f64 = (0..ranks).map(weight).sum();
        let ends: Vec<u32> = (0..).map(|i| 1 << i).take_while(|end| *end < ranks).collect();
        let range_of = |rank: u32| ends.partition_point(|end| *end <= rank);
        let mut ranges = vec![(0.0, 0.0); ends.len() + 1];
        (0..ranks).for_each(|rank| ranges[range_of(rank)].0 += weight(rank) / total);
        let (zipf, mut random) = (Zipf::new(ranks), Random::new(seed));
        for _ in 0..draws {
            let rank = zipf.draw(&mut random);
            assert!(rank < ranks);
            ranges[range_of(rank)].1 += 1.0;
        }
        ranges
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Pearson's test. A correct generator is beyond the bound once in some 10^9 runs.
        #[test]
        fn each_rank_has_its_share(ranks in 1u32..100_000, seed: u64) {
            const DRAWS: u32 = 40_000;
            let ranges = shares_and_draws(ranks, DRAWS, seed);
            let distance = |(share, came): &(f64, f64)| {
                let expected = share * f64::from(DRAWS);
                (came - expected).powi(2) / expected
            };
            let sum: f64 = ranges.iter().map(distance).sum();
            let degrees = ranges.len() as f64;
            prop_assert!(sum < degrees + 10.0 * (2.0 * degrees).sqrt(), "{sum}: {ranges:?}");
        }

        #[test]
        fn scattering_only_changes_the_order(of in 1u32..5_000) {
            let mut all: Vec<u32> = (0..of).map(|number| scattered(number, of)).collect();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..of));
        }
    }

    /// So closely that it shows if what lies between bar and curve were not drawn again.
    #[test]
    fn the_first_ranks_are_exact() {
        const DRAWS: u32 = 2_000_000;
        for (share, came) in shares_and_draws(4, DRAWS, 1) {
            let deviation = (f64::from(DRAWS) * share * (1.0 - share)).sqrt();
            let distance = (came - f64::from(DRAWS) * share).abs();
            assert!(distance < 4.0 * deviation, "{share}: {came}");
        }
    }

    #[test]
    fn popular_keys_are_no_neighbours() {
        let popular: Vec<u32> = (0..100).map(|rank| scattered(rank, 100_000)).collect();
        let tenths: std::collections::BTreeSet<u32> = popular.iter().map(|n| n / 10_000).collect();
        assert_eq!(tenths.len(), 10, "{popular:?}");
        assert!(popular.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 1));
    }
}
