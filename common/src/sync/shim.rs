//! parking_lot's interface over loom's locks.

use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;
use std::time::Duration;

pub use loom::sync::{Arc, atomic};
pub use loom::thread;

/// Whether a deliberate bug is switched on: the one that the environment names, so that all of
/// them are built at once.
pub fn mutated(bug: &str) -> bool {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("SYNOD_MUTANT").ok()).as_deref() == Some(bug)
}

/// A mutex.
#[derive(Debug)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

/// A locked mutex. The option is empty only while a condition variable has it.
pub struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

/// A condition variable.
#[derive(Debug)]
pub struct Condvar(loom::sync::Condvar);

/// What became of a wait with a time limit.
#[derive(Clone, Copy, Debug)]
pub struct WaitTimeoutResult;

impl<T> Mutex<T> {
    /// A mutex around a value.
    pub fn new(value: T) -> Mutex<T> {
        Mutex(loom::sync::Mutex::new(value))
    }

    /// Locks it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().expect("loom's mutexes are not poisoned")))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("locked")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("locked")
    }
}

impl Condvar {
    /// A condition variable that nobody waits for.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Condvar {
        Condvar(loom::sync::Condvar::new())
    }

    /// Waits for a notification.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let locked = guard.0.take().expect("locked");
        guard.0 = Some(self.0.wait(locked).expect("loom's mutexes are not poisoned"));
    }

    /// Times out at once, without letting others in.
    pub fn wait_for<T>(&self, _: &mut MutexGuard<'_, T>, _: Duration) -> WaitTimeoutResult {
        WaitTimeoutResult
    }

    /// Wakes one that waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

impl WaitTimeoutResult {
    /// Whether the time ran out.
    pub fn timed_out(self) -> bool {
        true
    }
}
