//! What a link does to what it carries, and what it did.

use std::time::Duration;

use anyhow::Result;

/// No link is slower than that.
const LONGEST: Duration = Duration::from_secs(60);

/// What happens to the datagrams of a link in one direction. The default: they pass as they
/// came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rule {
    /// It carries nothing, not even what is on its way already.
    pub cut: bool,
    /// The share of datagrams that get lost, of 0 to 1.
    pub loss: f64,
    /// The share of datagrams that arrive twice, of 0 to 1.
    pub duplicate: f64,
    /// How much later each arrives. That alone keeps their order.
    pub delay: Duration,
    /// Each arrives later by up to this much more, so that some overtake others.
    pub jitter: Duration,
    /// The share of datagrams, of 0 to 1, that are held back for some milliseconds, so that
    /// others overtake them.
    pub reorder: f64,
}

impl Rule {
    pub(super) fn check(&self) -> Result<()> {
        let shares =
            [("loss", self.loss), ("duplicate", self.duplicate), ("reorder", self.reorder)];
        for (what, share) in shares {
            anyhow::ensure!((0.0..=1.0).contains(&share), "{what} is of 0 to 1, not {share}");
        }
        for (what, time) in [("delay", self.delay), ("jitter", self.jitter)] {
            anyhow::ensure!(time <= LONGEST, "{what} is at most {LONGEST:?}, not {time:?}");
        }
        Ok(())
    }
}

/// What a link in one direction has done since it was made, in datagrams.
///
/// `arrived + duplicated = passed + dropped + overflowed + waiting` at any moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Came in.
    pub arrived: u64,
    /// Went out.
    pub passed: u64,
    /// Dropped because the rule says so: the link is cut, or it loses some.
    pub dropped: u64,
    /// Dropped because too much waits on the link, or the system had no room for more.
    pub overflowed: u64,
    /// Had to wait, of those that arrived.
    pub delayed: u64,
    /// Copies that were made.
    pub duplicated: u64,
    /// Went out after one that had arrived later.
    pub reordered: u64,
    /// Wait now.
    pub waiting: u64,
}
