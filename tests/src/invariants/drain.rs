//! **I24** After the faults have ended everything drains: no transaction is in
//! doubt, no lock is held, nobody waits, no commit is in progress.
//!
//! Source: the liveness half of atomic commitment, rule AC5 in Bernstein,
//! Hadzilacos, Goodman (1987), §7.3.

use synod_coordinator::Member;
use synod_shard::Shard;

use super::Check;

/// Called for every shard when the run ends.
pub fn check_shard(server: usize, shard: &Shard) -> Check {
    let stats = shard.stats();
    let left: Vec<String> = shard.known().map(|txn| txn.to_string()).collect();
    let in_doubt = stats.in_doubt + stats.read_in_doubt;
    if in_doubt > 0 || stats.locks > 0 || stats.waiting > 0 || !left.is_empty() {
        let left = left.join(" ");
        return Err(format!("I24: s{server} does not drain: {left} {stats:?}"));
    }
    Ok(())
}

/// Called for the coordinator when the run ends.
pub fn check_coordinator(member: &Member) -> Check {
    let stats = member.stats();
    if member.replica().leads() && stats.in_progress > 0 {
        return Err(format!("I24: the coordinator does not drain: {stats:?}"));
    }
    Ok(())
}
