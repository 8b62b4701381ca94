//! How the servers of a schedule are set: each waits for little.

use std::time::Duration;

use synod_common::id::{ClusterId, CoordinatorId, ShardId};
use synod_common::key::Key;
use synod_common::route::{Partition, Placement, ShardAddress};

use super::bug::Bug;

const CLUSTER: ClusterId = ClusterId(1);

/// The keys of each shard.
pub const KEYS: [[&[u8]; 2]; 3] = [[b"a1", b"a2"], [b"b1", b"b2"], [b"c1", b"c2"]];

/// Which cluster a schedule has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many shards there are.
    pub shards: usize,
    /// Whether a window has only a few timestamps, and so is used up.
    pub narrow: bool,
    /// Whether an outcome is forgotten as soon as nobody has to acknowledge it.
    pub forgets: bool,
}

/// The map.
fn placement(shards: usize) -> Placement {
    let address = |id| ShardAddress { id: ShardId(id), address: String::new() };
    let splits = KEYS[1..shards].iter().map(|[first, _]| Key::from(*first)).collect();
    Placement {
        epoch: 1,
        partition: Partition::Range(splits),
        shards: (1..=shards as u16).map(address).collect(),
    }
}

/// The coordinator's.
pub fn coordinator(shape: Shape, bug: Option<Bug>) -> synod_coordinator::Settings {
    let Shape { shards, narrow, forgets } = shape;
    let settings = synod_coordinator::Settings {
        vote_timeout: Duration::from_millis(20),
        resend: Duration::from_millis(10),
        ..synod_coordinator::Settings::new(CoordinatorId(1), CLUSTER, placement(shards))
    };
    let window = if narrow { Duration::ZERO } else { settings.window };
    let outcome_retention = if forgets { Duration::ZERO } else { settings.outcome_retention };
    let settings = synod_coordinator::Settings { window, outcome_retention, ..settings };
    #[cfg(feature = "mutants")]
    let settings =
        synod_coordinator::Settings { mutant: bug.and_then(Bug::of_coordinator), ..settings };
    #[cfg(not(feature = "mutants"))]
    let _ = bug;
    settings
}

/// A shard's.
pub fn shard(site: usize, bug: Option<Bug>) -> synod_shard::Settings {
    let settings = synod_shard::Settings {
        lock_timeout: Duration::from_millis(30),
        inquire_after: Duration::from_millis(10),
        join_retry: Duration::from_millis(10),
        // A wait ends soon by itself.
        report_after: Duration::from_secs(3_600),
        ..synod_shard::Settings::new(ShardId(site as u16), CLUSTER, &[CoordinatorId(1)])
    };
    #[cfg(feature = "mutants")]
    let settings = synod_shard::Settings { mutant: bug.and_then(Bug::of_shard), ..settings };
    #[cfg(not(feature = "mutants"))]
    let _ = bug;
    settings
}
