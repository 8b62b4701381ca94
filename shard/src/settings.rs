//! What can be set about a shard.

use std::time::Duration;

use synod_common::id::{ClusterId, CoordinatorId, ShardId};

/// Settings of a shard. Times are upper bounds on waiting, never part of an
/// argument for safety.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its number.
    pub id: ShardId,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The coordinators, of which it joins the one that leads.
    pub coordinators: Vec<CoordinatorId>,
    /// The locks of a session's transactions go when nothing was heard of the
    /// session for this long.
    pub session_ttl: Duration,
    /// How long PREPARE waits for its write locks.
    pub lock_timeout: Duration,
    /// How long a voter waits before it first asks for the decision.
    pub inquire_after: Duration,
    /// The coordinator is told of lock waits that are at least so old, and told
    /// again at least so much later.
    pub report_after: Duration,
    /// How often joining is tried again.
    pub join_retry: Duration,
    /// Transactions known at once.
    pub max_txns: usize,
    /// Locks one transaction may hold, and all together.
    pub max_locks: (usize, usize),
    /// Requests that may wait for locks or for prepared writers at once.
    pub max_waits: usize,
    /// A checkpoint begins when the log has grown by so many bytes.
    pub checkpoint_bytes: u64,
    /// A deliberate bug.
    #[cfg(feature = "mutants")]
    pub mutant: Option<crate::Mutant>,
}

impl Settings {
    /// With defaults.
    pub fn new(id: ShardId, cluster: ClusterId, coordinators: &[CoordinatorId]) -> Settings {
        Settings {
            id,
            cluster,
            coordinators: coordinators.to_vec(),
            session_ttl: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(5),
            inquire_after: Duration::from_millis(500),
            report_after: Duration::from_millis(2),
            join_retry: Duration::from_millis(100),
            max_txns: 100_000,
            max_locks: (2 * synod_common::limits::TXN_KEYS, 4_000_000),
            max_waits: 100_000,
            checkpoint_bytes: 128 << 20,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }
}
