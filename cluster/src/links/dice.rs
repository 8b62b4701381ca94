//! Draws that are the same for the same seed.

/// A stream of random numbers (SplitMix64) that can be entered at any place.
#[derive(Clone, Debug)]
pub(super) struct Dice {
    seed: u64,
    at: u64,
}

impl Dice {
    /// The stream of a seed, from its draw `at` on.
    pub(super) fn new(seed: u64, at: u64) -> Dice {
        Dice { seed, at }
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.at = self.at.wrapping_add(1);
        let mut z = self.seed.wrapping_add(self.at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of 0..1.
    pub(super) fn share(&mut self) -> f64 {
        // The 53 bits that a double holds.
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability: never with 0, always with 1.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// A number below `bound`, which must not be zero.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.draw()) * bound as u128) >> 64) as usize
    }

    /// In another order.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}
