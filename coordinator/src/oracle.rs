//! The timestamp oracle: strictly increasing, over restarts too.
//!
//! It hands out timestamps from a window whose end `hi` is durable before any
//! timestamp below it is used. A restarted coordinator begins at the old `hi`,
//! so nothing is handed out twice, and nothing in the wrong order.
//!
//! ```text
//!    …──────last────────────────────hi──────────────────▶
//!     used  │  may be handed out    │  not yet durable
//! ```
//!
//! The wall clock only lifts timestamps towards the present; if it stands still
//! or runs backwards, they go on from the last one.

use std::time::Duration;

use synod_common::node::Lsn;
use synod_common::time::{Now, Timestamp, Wall};

/// The oracle. [`Oracle::window_to_write`] says what to force, and
/// [`Oracle::durable`] is told when that is done.
#[derive(Clone, Debug)]
pub struct Oracle {
    span: u64,
    last: Timestamp,
    hi: Timestamp,
    pending: Option<(Lsn, Timestamp)>,
}

impl Oracle {
    /// An oracle whose windows reach `span` ahead; empty until a window is durable.
    pub fn new(span: Duration) -> Oracle {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let span = Timestamp::of_wall(Wall(millis)).0.max(4);
        Oracle { span, last: Timestamp::ZERO, hi: Timestamp::ZERO, pending: None }
    }

    /// A window found in the log: everything below `hi` may have been used.
    pub fn recovered(&mut self, hi: Timestamp) {
        self.hi = self.hi.max(hi);
        self.last = self.hi;
    }

    /// End of the durable window.
    pub fn hi(&self) -> Timestamp {
        self.hi
    }

    /// The newest timestamp handed out, or passed over.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// Whether there is a timestamp to hand out.
    pub fn can_draw(&self) -> bool {
        self.last.next() < self.hi
    }

    /// Hands out the next timestamp, or `None` if the window is used up.
    pub fn draw(&mut self, now: Now) -> Option<Timestamp> {
        let next = self.last.next();
        if next >= self.hi {
            return None;
        }
        // Lift towards the wall clock, but leave the upper half of what is left
        // to votes above `h` and to counting while the next window is written. After
        // a long pause the window is wide; all but its last span lies in the past.
        let from = next.0.max(self.hi.0.saturating_sub(self.span));
        let middle = Timestamp(from + (self.hi.0 - from) / 2);
        self.last = next.max(Timestamp::of_wall(now.wall).min(middle));
        Some(self.last)
    }

    /// Moves past a commit timestamp before anybody learns of the commit.
    pub fn advance(&mut self, to: Timestamp) {
        assert!(to < self.hi, "{to} was voted above the window {}", self.hi);
        self.last = self.last.max(to);
    }

    /// Closes the window: later timestamps lie above the returned end of it.
    pub fn close(&mut self) -> Timestamp {
        self.last = self.hi;
        self.hi
    }

    /// The end of a new window, if it is time to write one and none is on its way.
    pub fn window_to_write(&self, now: Now) -> Option<Timestamp> {
        let left = self.hi.0.saturating_sub(self.last.0);
        if self.pending.is_some() || left > self.span / 2 {
            return None;
        }
        let base = self.hi.max(self.last).max(Timestamp::of_wall(now.wall));
        Some(Timestamp(base.0.saturating_add(self.span)))
    }

    /// The window is on its way to the disk.
    pub fn written(&mut self, lsn: Lsn, hi: Timestamp) {
        self.pending = Some((lsn, hi));
    }

    /// The log is durable up to `lsn`. Whether a new window opened.
    pub fn durable(&mut self, lsn: Lsn) -> bool {
        match self.pending {
            Some((at, hi)) if at <= lsn => {
                self.hi = hi;
                self.pending = None;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: u64) -> Now {
        Now { wall: Wall(wall), ..Now::default() }
    }

    fn open(oracle: &mut Oracle, now: Now) {
        let hi = oracle.window_to_write(now).expect("a window is due");
        oracle.written(Lsn(1), hi);
        assert!(oracle.durable(Lsn(1)));
    }

    #[test]
    fn nothing_before_a_window_is_durable() {
        let mut oracle = Oracle::new(Duration::from_secs(1));
        assert_eq!(oracle.draw(at(1000)), None);
        let hi = oracle.window_to_write(at(1000)).unwrap();
        oracle.written(Lsn(7), hi);
        assert_eq!(oracle.window_to_write(at(1000)), None);
        assert_eq!(oracle.draw(at(1000)), None);
        assert!(!oracle.durable(Lsn(6)));
        assert!(oracle.durable(Lsn(7)));
        assert!(oracle.draw(at(1000)).is_some());
    }

    #[test]
    fn increases_whatever_the_clock_does() {
        let mut oracle = Oracle::new(Duration::from_secs(1));
        open(&mut oracle, at(1000));
        let mut last = Timestamp::ZERO;
        for wall in [1000, 1001, 5, 0, u64::MAX, 1000, 1400, 1399] {
            let drawn = oracle.draw(at(wall)).unwrap();
            assert!(drawn > last && drawn < oracle.hi());
            last = drawn;
        }
    }

    #[test]
    fn a_restart_begins_above_the_old_window() {
        let mut oracle = Oracle::new(Duration::from_secs(1));
        open(&mut oracle, at(1000));
        let before = oracle.draw(at(1000)).unwrap();
        let mut restarted = Oracle::new(Duration::from_secs(1));
        restarted.recovered(oracle.hi());
        assert_eq!(restarted.draw(at(0)), None);
        open(&mut restarted, at(0));
        assert!(restarted.draw(at(0)).unwrap() > oracle.hi());
        assert!(before < oracle.hi());
    }

    /// Else the first commits would look so old that their outcomes are forgotten.
    #[test]
    fn is_in_the_present_at_once_after_a_long_pause() {
        let mut oracle = Oracle::new(Duration::from_secs(1));
        open(&mut oracle, at(1000));
        oracle.recovered(oracle.hi());
        let days = 5 * 24 * 3_600_000;
        open(&mut oracle, at(days));
        let drawn = oracle.draw(at(days)).unwrap();
        assert!(drawn.wall().0 >= days, "{drawn}");
    }

    #[test]
    fn closing_leaves_nothing_below() {
        let mut oracle = Oracle::new(Duration::from_secs(1));
        open(&mut oracle, at(1000));
        let floor = oracle.close();
        assert_eq!(oracle.draw(at(1000)), None);
        open(&mut oracle, at(1000));
        assert!(oracle.draw(at(1000)).unwrap() > floor);
    }
}
