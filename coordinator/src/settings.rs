//! What can be set about a coordinator.

use std::time::Duration;

use synod_common::deadlock::Handling;
use synod_common::id::{ClusterId, CoordinatorId};
use synod_common::route::{CoordinatorAddress, Placement};

/// Settings of a coordinator. Times are upper bounds on waiting, never part of
/// an argument for safety.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its number.
    pub id: CoordinatorId,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The members of its group, itself among them; none if it is alone.
    pub group: Vec<CoordinatorAddress>,
    /// The leader of a group says so often that it is there.
    pub heartbeat: Duration,
    /// A member that has heard no leader for this long, or for up to twice that, wants to
    /// lead; a leader that has heard of no majority for this long stops.
    pub patience: Duration,
    /// The shard map.
    pub placement: Placement,
    /// A session lapses when nothing was heard for this long.
    pub session_ttl: Duration,
    /// How far the oracle's durable window reaches ahead.
    pub window: Duration,
    /// A transaction whose votes are not in after this long is aborted.
    pub vote_timeout: Duration,
    /// Decisions without acknowledgement, and one-phase commits without answer,
    /// are asked after again after this long.
    pub resend: Duration,
    /// How long outcomes are kept.
    pub outcome_retention: Duration,
    /// How long versions that are not the newest are kept for snapshots.
    pub retention: Duration,
    /// How many blocks of 64 neighbouring outcomes are kept at most, about 600
    /// bytes each.
    pub outcome_blocks: usize,
    /// Sessions that may be open at once.
    pub max_sessions: usize,
    /// Commits that may be in progress at once.
    pub max_commits: usize,
    /// How the whole cluster deals with deadlocks.
    pub deadlocks: Handling,
    /// Whether transactions may choose classical three-phase commit, under which some of
    /// their shards may commit and others abort.
    pub unsafe_classical_3pc: bool,
    /// A checkpoint begins when the log has grown by so many bytes.
    pub checkpoint_bytes: u64,
    /// A deliberate bug.
    #[cfg(feature = "mutants")]
    pub mutant: Option<crate::Mutant>,
}

impl Settings {
    /// With defaults.
    pub fn new(id: CoordinatorId, cluster: ClusterId, placement: Placement) -> Settings {
        Settings {
            id,
            cluster,
            group: Vec::new(),
            heartbeat: Duration::from_millis(75),
            patience: Duration::from_millis(400),
            placement,
            session_ttl: Duration::from_secs(10),
            window: Duration::from_secs(3),
            vote_timeout: Duration::from_secs(15),
            resend: Duration::from_millis(500),
            outcome_retention: Duration::from_secs(3600),
            retention: Duration::from_secs(30),
            outcome_blocks: 1 << 18,
            max_sessions: 100_000,
            max_commits: 100_000,
            deadlocks: Handling::default(),
            unsafe_classical_3pc: false,
            checkpoint_bytes: 64 << 20,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }
}
