//! What can be chosen per transaction.

use std::time::Duration;

use synod_common::commit::Protocol;
use synod_common::deadlock::DEFAULT_PRIORITY;

use crate::Isolation;

/// Choices for one transaction, with sensible defaults.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) timeout: Duration,
    pub(crate) lock_wait: Duration,
    pub(crate) attempts: u32,
    pub(crate) isolation: Isolation,
    pub(crate) priority: u8,
    pub(crate) protocol: Protocol,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            timeout: Duration::from_secs(30),
            lock_wait: Duration::from_secs(1),
            attempts: 1000,
            isolation: Isolation::default(),
            priority: DEFAULT_PRIORITY,
            protocol: Protocol::default(),
        }
    }
}

impl Options {
    /// The defaults: 30 s in all, 1 s per lock, 1,000 attempts, serializable,
    /// priority 100.
    pub fn new() -> Options {
        Options::default()
    }

    /// How long the transaction may take in all, retries included. After that
    /// no new attempt is begun, and an unanswered COMMIT is reported in doubt.
    pub fn timeout(mut self, timeout: Duration) -> Options {
        self.timeout = timeout;
        self
    }

    /// How long to wait for each lock. Deadlocks end long before.
    pub fn lock_wait(mut self, lock_wait: Duration) -> Options {
        self.lock_wait = lock_wait;
        self
    }

    /// How the transaction is isolated from others.
    pub fn isolation(mut self, isolation: Isolation) -> Options {
        self.isolation = isolation;
        self
    }

    /// How often [`Client::transact`](crate::Client::transact) tries at most.
    pub fn attempts(mut self, attempts: u32) -> Options {
        self.attempts = attempts.max(1);
        self
    }

    /// How little the transaction wants to be the victim of a deadlock. It counts
    /// where the cluster chooses victims by priority: the lowest one loses.
    pub fn priority(mut self, priority: u8) -> Options {
        self.priority = priority;
        self
    }

    /// How it is committed, if it writes on several shards.
    pub fn protocol(mut self, protocol: Protocol) -> Options {
        self.protocol = protocol;
        self
    }
}
