//! **I16** No two transactions hold conflicting locks.
//!
//! Source: Eswaran, Gray, Lorie, Traiger, "The notions of consistency and predicate
//! locks" (1976). Read off the lock table itself.

use synod_common::id::TxnId;
use synod_shard::Shard;
use synod_shard::lock::{LockTarget, Mode};

use super::Check;

/// Called now and then.
pub fn check(shard: &Shard) -> Check {
    let txns: Vec<TxnId> = shard.known().collect();
    let locks = shard.locks();
    let held: Vec<(TxnId, LockTarget, Mode)> = txns
        .iter()
        .flat_map(|&txn| locks.locks_of(txn).map(move |(target, mode)| (txn, target, mode)))
        .collect();
    for (i, (txn, target, mode)) in held.iter().enumerate() {
        for (other, other_target, other_mode) in &held[i + 1..] {
            if txn != other && mode.conflicts(*other_mode) && target.overlaps(other_target) {
                return Err(format!(
                    "I16: {txn} holds {mode} on {target}, {other} {other_mode} on {other_target}"
                ));
            }
        }
    }
    if held.len() > locks.held() {
        return Err(format!("I16: {} locks are held, {} counted", held.len(), locks.held()));
    }
    Ok(())
}
