//! What happened in a run: a hash of everything, and lines for people.
//!
//! The hash covers every event with its time and bytes, so that two runs with
//! equal hashes were equal. Lines are made only when somebody will read them.

use std::fmt::Arguments;

/// The trace of one run.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    keep: bool,
    lines: Vec<String>,
}

impl Trace {
    /// A trace that keeps its lines or not.
    pub fn new(keep: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, keep, lines: Vec::new() }
    }

    /// Mixes numbers into the hash.
    pub fn mix(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.hash = (self.hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.hash ^= self.hash >> 29;
        }
    }

    /// Mixes bytes into the hash.
    pub fn mix_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(&[u64::from_le_bytes(word)]);
        }
        self.mix(&[bytes.len() as u64]);
    }

    /// Adds a line.
    pub fn line(&mut self, at: u64, text: Arguments<'_>) {
        if self.keep {
            self.lines.push(format!("{:>10.3} {text}", at as f64 / 1000.0));
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Takes the lines.
    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}
