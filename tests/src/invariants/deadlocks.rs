//! **I18** Every deadlock across shards that is broken was a real cycle when it was
//! asked whether it is one; nobody waits for himself; every real cycle is broken soon
//! after the faults have ended. (That no victim has voted, shards assert. What a shard
//! asks itself, it has just seen.) Where deadlocks are prevented, nobody waits against
//! the order of age but for one who has voted.
//!
//! Source: Chandy, Misra, Haas, "Distributed deadlock detection" (1983): no false
//! deadlock is declared, every deadlock is. Read off all lock tables at once, which
//! only an all-seeing observer can.

use std::collections::{BTreeMap, BTreeSet};

use synod_common::deadlock::Scheme;
use synod_common::id::TxnId;
use synod_common::message::DeadlockMessage;
use synod_common::message::bulk::List;
use synod_common::message::deadlock::Edge;
use synod_shard::Shard;

use super::Check;

/// For so long may a transaction stay within a cycle, in microseconds.
pub const BOUND: u64 = 1_000_000;

/// What the observer remembers.
#[derive(Debug, Default)]
pub struct Observed {
    /// For every question, by who asked, whether all of it stood when it left.
    stood: BTreeMap<(usize, u64), bool>,
    /// Since when a transaction has been seen to be in a cycle.
    since: BTreeMap<TxnId, u64>,
    /// How many deadlocks across shards were broken.
    pub broken: u64,
}

/// Called when anybody sends. `shard` finds a shard that runs, by its index.
pub fn check<'a>(
    observed: &mut Observed,
    (from, to): (usize, usize),
    message: &DeadlockMessage,
    shard: impl Fn(usize) -> Option<&'a Shard>,
) -> Check {
    let stands = |at: usize, waiter: TxnId, holder: TxnId| {
        shard(at).is_some_and(|shard| shard.locks().waits_for(waiter).contains(&holder))
    };
    match message {
        DeadlockMessage::Confirm { candidate, edges } => {
            let mut all = true;
            for edge in List::<Edge>::read(edges).map_while(Result::ok) {
                if edge.waiter == edge.holder {
                    return Err(format!("I18: {} waits for itself", edge.waiter));
                }
                all &= stands(to, edge.waiter, edge.holder);
            }
            *observed.stood.entry((from, *candidate)).or_insert(true) &= all;
        }
        DeadlockMessage::Break { candidate, deadlock, .. } => {
            observed.broken += 1;
            let steps = &deadlock.steps;
            let now = || steps.iter().all(|s| stands(usize::from(s.shard.0), s.waiter, s.holder));
            let real = observed.stood.get(&(from, *candidate)).copied().unwrap_or_else(now);
            if !real || steps.len() < 2 {
                return Err(format!("I18: this was none: {deadlock}"));
            }
        }
        DeadlockMessage::Waits { .. }
        | DeadlockMessage::Confirmed { .. }
        | DeadlockMessage::Broken { .. }
        | DeadlockMessage::Wound { .. }
        | DeadlockMessage::LetGo { .. }
        | DeadlockMessage::Probes { .. } => {}
    }
    Ok(())
}

/// Called now and then after the faults have ended, with all shards.
pub fn check_progress<'a>(
    observed: &mut Observed,
    time: u64,
    scheme: Scheme,
    shards: impl Iterator<Item = &'a Shard>,
) -> Check {
    let mut edges = BTreeSet::new();
    for shard in shards {
        let locks = shard.locks();
        for txn in shard.known() {
            for holder in locks.waits_for(txn) {
                let (age, (holder_age, voted)) = (locks.age_of(txn).0, locks.age_of(holder));
                if !voted && !scheme.lets_wait((age, txn), (holder_age, holder)) {
                    return Err(format!("I18: {txn} waits for {holder} in spite of {scheme}"));
                }
            }
            edges.extend(shard.locks().waits_for(txn).into_iter().map(|holder| (txn, holder)));
        }
    }
    // Takes away who waits for nobody, and whom nobody waits for, until only cycles
    // and what lies between them are left.
    loop {
        let waiters: BTreeSet<TxnId> = edges.iter().map(|(waiter, _)| *waiter).collect();
        let holders: BTreeSet<TxnId> = edges.iter().map(|(_, holder)| *holder).collect();
        let before = edges.len();
        edges.retain(|(waiter, holder)| waiters.contains(holder) && holders.contains(waiter));
        if edges.len() == before {
            break;
        }
    }
    let stuck: BTreeSet<TxnId> = edges.iter().map(|(waiter, _)| *waiter).collect();
    observed.since.retain(|txn, _| stuck.contains(txn));
    for txn in stuck {
        let since = *observed.since.entry(txn).or_insert(time);
        if time - since > BOUND {
            return Err(format!("I18: {txn} has been in a deadlock for {} us", time - since));
        }
    }
    Ok(())
}
