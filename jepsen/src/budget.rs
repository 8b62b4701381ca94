//! Time and memory that a check may take, and that it does not exceed.

use std::fs;
use std::time::{Duration, Instant};

/// How often the world is asked: a look at the memory takes some microseconds.
const STEPS_PER_LOOK: u32 = 256;
const PAGE: u64 = 4_096;

/// What is left of time and memory.
#[derive(Clone, Debug)]
pub struct Budget {
    until: Option<(Instant, Duration)>,
    memory_mb: Option<u64>,
    steps: u32,
    spent: Option<String>,
}

impl Budget {
    /// So much time from now, and so much memory for the whole process.
    pub fn new(timeout: Option<Duration>, memory_mb: Option<u64>) -> Budget {
        let until =
            timeout.and_then(|timeout| Some((Instant::now().checked_add(timeout)?, timeout)));
        Budget { until, memory_mb, steps: 0, spent: None }
    }

    /// As much as there is.
    pub fn unlimited() -> Budget {
        Budget::new(None, None)
    }

    /// Takes a step. Checkers ask at every one that takes time or memory, and give up
    /// when it says no; from then on it always says no.
    pub fn step(&mut self) -> bool {
        self.steps += 1;
        if self.steps >= STEPS_PER_LOOK {
            self.steps = 0;
            self.look();
        }
        self.spent.is_none()
    }

    /// Looks at clock and memory at once: before and after what takes long.
    pub fn look(&mut self) -> bool {
        if self.spent.is_none() {
            self.spent = self.exceeded();
        }
        self.spent.is_none()
    }

    /// Spends it all: what is to be done is more than can be held.
    pub fn give_up(&mut self, reason: String) {
        self.spent.get_or_insert(reason);
    }

    /// What is spent, if anything.
    pub fn spent(&self) -> Option<&str> {
        self.spent.as_deref()
    }

    fn exceeded(&self) -> Option<String> {
        if let Some((until, timeout)) = self.until
            && Instant::now() >= until
        {
            return Some(format!("not decided within {} s", timeout.as_secs_f64()));
        }
        let limit = self.memory_mb?;
        let used = resident_bytes()? >> 20;
        (used >= limit).then(|| format!("not decided within {limit} MB of memory"))
    }
}

/// What the process has in memory; none where the system does not say.
fn resident_bytes() -> Option<u64> {
    let sizes = fs::read_to_string("/proc/self/statm").ok()?;
    Some(sizes.split(' ').nth(1)?.parse::<u64>().ok()? * PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_stays_spent() {
        let mut budget = Budget::new(Some(Duration::ZERO), None);
        assert!(budget.step(), "it looks only now and then");
        assert!(!budget.look());
        assert!(!budget.step());
        assert_eq!(budget.spent(), Some("not decided within 0 s"));
    }

    #[test]
    fn memory_is_that_of_the_process() {
        let mut budget = Budget::new(None, Some(1));
        assert_eq!(budget.look(), resident_bytes().is_none());
        assert!(Budget::new(None, Some(1 << 30)).look());
    }
}
