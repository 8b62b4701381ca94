//! Which configurations the search has been in.
//!
//! A configuration is what is left to do: how far the completions are reached, the state,
//! which of the open operations are done, and which of those that nobody knows of were
//! used. Who has used fewer of the last can do whatever those can who have used more, so
//! one is new only if none with the same rest has used a part of what it has.
//!
//! All lies in a few flat vectors, compared in full: a hash decides only where to look.

const NONE: u32 = u32::MAX;

pub(super) struct Seen {
    /// Words of a key, and of the set beside it.
    key_words: usize,
    set_words: usize,
    /// Where in `keys` one with that hash is; as many as a power of two.
    table: Vec<u32>,
    keys: Vec<u64>,
    /// Of each key its first set; of each set the next one.
    first: Vec<u32>,
    next: Vec<u32>,
    sets: Vec<u64>,
}

impl Seen {
    pub(super) fn new(key_words: usize, set_words: usize) -> Seen {
        Seen {
            key_words,
            set_words,
            table: vec![NONE; 64],
            keys: Vec::new(),
            first: Vec::new(),
            next: Vec::new(),
            sets: Vec::new(),
        }
    }

    /// Whether nothing is there that is as good; then this is.
    pub(super) fn insert(&mut self, key: &[u64], set: &[u64]) -> bool {
        if 2 * (self.first.len() + 1) > self.table.len() {
            self.grow();
        }
        let mut slot = hash(key) & (self.table.len() - 1);
        loop {
            let place = self.table[slot];
            if place == NONE {
                break;
            }
            if self.key(place) == key {
                return self.add(place, set);
            }
            slot = (slot + 1) & (self.table.len() - 1);
        }
        let place = self.first.len() as u32;
        assert!(place < NONE, "there is no memory for so many");
        self.table[slot] = place;
        self.keys.extend_from_slice(key);
        self.first.push(NONE);
        self.add(place, set)
    }

    fn key(&self, place: u32) -> &[u64] {
        let from = place as usize * self.key_words;
        &self.keys[from..from + self.key_words]
    }

    fn add(&mut self, place: u32, set: &[u64]) -> bool {
        let head = self.first[place as usize];
        let mut at = head;
        while at != NONE {
            let from = at as usize * self.set_words;
            let known = &self.sets[from..from + self.set_words];
            if known.iter().zip(set).all(|(known, used)| known & !used == 0) {
                return false;
            }
            at = self.next[at as usize];
        }
        let new = self.next.len() as u32;
        assert!(new < NONE, "there is no memory for so many");
        self.first[place as usize] = new;
        self.next.push(head);
        self.sets.extend_from_slice(set);
        true
    }

    fn grow(&mut self) {
        let mask = 2 * self.table.len() - 1;
        self.table.clear();
        self.table.resize(mask + 1, NONE);
        for place in 0..self.first.len() as u32 {
            let mut slot = hash(self.key(place)) & mask;
            while self.table[slot] != NONE {
                slot = (slot + 1) & mask;
            }
            self.table[slot] = place;
        }
    }
}

const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;

fn hash(words: &[u64]) -> usize {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
    for word in words {
        let wide = u128::from(hash ^ word) * u128::from(FACTOR);
        hash = (wide as u64) ^ ((wide >> 64) as u64);
    }
    (hash ^ (hash >> 29)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_used_less_is_as_good() {
        let mut seen = Seen::new(2, 1);
        assert!(seen.insert(&[1, 2], &[0b110]));
        assert!(!seen.insert(&[1, 2], &[0b110]));
        assert!(!seen.insert(&[1, 2], &[0b111]));
        assert!(seen.insert(&[1, 2], &[0b101]), "one that is needed was not used");
        assert!(seen.insert(&[1, 3], &[0b111]), "another state");
        assert!(seen.insert(&[1, 2], &[0]));
    }

    #[test]
    fn many_are_told_apart() {
        let mut seen = Seen::new(1, 0);
        assert!((0..10_000).all(|word| seen.insert(&[word << 32], &[])));
        assert!((0..10_000).all(|word| !seen.insert(&[word << 32], &[])));
    }
}
