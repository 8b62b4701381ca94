//! How far a run is: a line on a terminal, nothing in a pipe.
//!
//! ```text
//!   ━━━━━━━━━━━━━━╸               38 s left, 4120 ops/s, kill s2, partition c1 c2 | c3
//! ```

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// A rate is that of as long a time.
const SPAN: Duration = Duration::from_secs(1);

/// Shows how far a run is.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    began: Instant,
    pace: Pace,
}

impl Progress {
    /// Of a run that begins now and is so long. On standard error, if that is a terminal.
    pub fn new(length: Duration) -> Progress {
        let bar = ProgressBar::new(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
        // Also where a run ends with an error.
        let bar = bar.with_finish(ProgressFinish::AndClear);
        if let Ok(style) = ProgressStyle::with_template("  {bar:30} {wide_msg}") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        Progress { bar, began: Instant::now(), pace: Pace::new(length) }
    }

    /// Shows that so many operations are done since the run began, and which faults are on.
    /// May be called as often as one likes.
    pub fn tick(&mut self, ops_done: u64, faults_on: &[String]) {
        let elapsed = self.began.elapsed();
        let words = self.pace.words(elapsed, ops_done, faults_on);
        self.bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        self.bar.set_message(words);
    }

    /// Takes the line away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// What is said; it has no clock.
#[derive(Debug)]
struct Pace {
    length: Duration,
    /// Until when, and how many there were then.
    counted: (Duration, u64),
    per_s: Option<f64>,
}

impl Pace {
    fn new(length: Duration) -> Pace {
        Pace { length, counted: (Duration::ZERO, 0), per_s: None }
    }

    fn words(&mut self, elapsed: Duration, ops: u64, faults: &[String]) -> String {
        let (until, before) = self.counted;
        let span = elapsed.saturating_sub(until);
        if span >= SPAN {
            self.per_s = Some(ops.saturating_sub(before) as f64 / span.as_secs_f64());
            self.counted = (elapsed, ops);
        }
        let left = self.length.saturating_sub(elapsed);
        let mut words = format!("{:.0} s left", left.as_secs_f64().ceil());
        if let Some(per_s) = self.per_s {
            words.push_str(&format!(", {per_s:.0} ops/s"));
        }
        for fault in faults {
            words.push_str(", ");
            words.push_str(fault);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_second() {
        let mut pace = Pace::new(Duration::from_secs(10));
        let mut at = |ms, ops, faults: &[&str]| {
            let faults: Vec<String> = faults.iter().map(|fault| (*fault).to_owned()).collect();
            pace.words(Duration::from_millis(ms), ops, &faults)
        };
        assert_eq!(at(0, 0, &[]), "10 s left");
        assert_eq!(at(500, 90, &[]), "10 s left", "nothing is known yet");
        assert_eq!(at(1_000, 100, &["kill s2"]), "9 s left, 100 ops/s, kill s2");
        assert_eq!(at(1_900, 9_000, &["kill s2", "pause"]), "9 s left, 100 ops/s, kill s2, pause");
        assert_eq!(at(3_000, 500, &[]), "7 s left, 200 ops/s");
        assert_eq!(at(12_000, 500, &[]), "0 s left, 0 ops/s", "later than was planned");
    }

    #[test]
    fn it_may_be_called_at_any_time() {
        let mut progress = Progress::new(Duration::ZERO);
        progress.tick(5, &[]);
        progress.tick(0, &["kill".to_owned()]);
        progress.finish();
        Progress::new(Duration::MAX).tick(u64::MAX, &[]);
    }
}
