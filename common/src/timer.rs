//! The timers of a core: which name is due when.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Mono;

/// Timers by name; setting a name again moves it. Ties fire in the order of
/// their names, so that a run can be repeated.
#[derive(Clone, Debug)]
pub struct TimerTable<N> {
    due: BTreeSet<(Mono, N)>,
    set: BTreeMap<N, Mono>,
}

impl<N> Default for TimerTable<N> {
    fn default() -> Self {
        TimerTable { due: BTreeSet::new(), set: BTreeMap::new() }
    }
}

impl<N: Copy + Ord> TimerTable<N> {
    /// Sets or moves the timer `name`.
    pub fn set(&mut self, name: N, at: Mono) {
        if let Some(old) = self.set.insert(name, at) {
            self.due.remove(&(old, name));
        }
        self.due.insert((at, name));
    }

    /// Stops the timer `name`, if it is set.
    pub fn stop(&mut self, name: N) {
        if let Some(at) = self.set.remove(&name) {
            self.due.remove(&(at, name));
        }
    }

    /// Whether the timer `name` is set.
    pub fn is_set(&self, name: N) -> bool {
        self.set.contains_key(&name)
    }

    /// When the next timer is due.
    pub fn next(&self) -> Option<Mono> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due at `now`.
    pub fn pop(&mut self, now: Mono) -> Option<N> {
        let &(at, name) = self.due.first()?;
        if at > now {
            return None;
        }
        self.due.remove(&(at, name));
        self.set.remove(&name);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_in_order_and_only_the_last_setting() {
        let mut timers = TimerTable::default();
        timers.set('b', Mono(10));
        timers.set('a', Mono(20));
        timers.set('b', Mono(30));
        timers.set('c', Mono(5));
        timers.stop('c');
        assert_eq!(timers.next(), Some(Mono(20)));
        assert_eq!(timers.pop(Mono(19)), None);
        assert_eq!(timers.pop(Mono(30)), Some('a'));
        assert!(timers.is_set('b'));
        assert_eq!(timers.pop(Mono(30)), Some('b'));
        assert_eq!(timers.pop(Mono(30)), None);
    }
}
