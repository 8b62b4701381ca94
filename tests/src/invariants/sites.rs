//! **I11** What a site of three-phase commit has promised never decreases, not even in a
//! crash. **I12** Sites that have accepted the same attempt have accepted the same. And
//! what a quorum has accepted is decided, whoever knows of it: from then on the outcome is
//! held against it like any other.
//!
//! Source: Keidar, Dolev, *Increasing the Resilience of Distributed and Replicated
//! Database Systems* (1998), §4.

use std::collections::{BTreeMap, BTreeSet};

use synod_common::commit::{Ballot, Phase, Say, SiteId, Stable, Verdict};
use synod_common::id::{ShardId, TxnId};
use synod_common::message::SiteMessage;

use super::{Check, agreement, decision};
use crate::sim::ledger::Ledger;
use crate::sim::server::{is_coordinator, peer};

/// What is durable of the sites of one transaction.
#[derive(Debug)]
pub struct Accepted {
    /// Those of the sites that are shards.
    pub participants: Vec<ShardId>,
    /// By server.
    stable: BTreeMap<usize, Stable>,
    attempts: BTreeMap<Ballot, (Verdict, BTreeSet<SiteId>)>,
}

/// Called when it has become durable who the sites of a transaction are.
pub fn named(ledger: &mut Ledger, txn: TxnId, participants: &[ShardId]) {
    ledger.sites.entry(txn).or_insert_with(|| Accepted {
        participants: participants.to_vec(),
        stable: BTreeMap::new(),
        attempts: BTreeMap::new(),
    });
}

/// Called when the state of a site has become durable.
pub fn entered(ledger: &mut Ledger, server: usize, txn: TxnId, stable: Stable) -> Check {
    let name = peer(server);
    let Some(sites) = ledger.sites.get_mut(&txn) else {
        return Err(format!("{name} is no site of {txn} that has voted"));
    };
    let Some(site) = SiteId::of(name, &sites.participants) else {
        return Err(format!("{name} is no site of {txn}"));
    };
    if let Some(before) = sites.stable.insert(server, stable)
        && (stable.elected < before.elected || stable.attempt < before.attempt)
    {
        return Err(format!("I11: {name} goes back on {txn}: {before:?}, now {stable:?}"));
    }
    let Phase::Pre(verdict) = stable.phase else { return Ok(()) };
    let attempt = sites.attempts.entry(stable.attempt);
    let (first, accepted) = attempt.or_insert_with(|| (verdict, BTreeSet::new()));
    if *first != verdict {
        let ballot = stable.attempt;
        return Err(format!("I12: {txn} with {ballot}: {first:?} and {verdict:?} ({name})"));
    }
    accepted.insert(site);
    if is_quorum(&sites.participants, accepted) {
        decided(ledger, txn, verdict)?;
    }
    Ok(())
}

/// Whether these sites of a transaction decide alone; see `common/src/commit/site.rs`.
pub fn is_quorum(participants: &[ShardId], members: &BTreeSet<SiteId>) -> bool {
    let casting = usize::from(members.contains(&SiteId(0)));
    2 * members.len() + casting > participants.len() + 1
}

fn decided(ledger: &mut Ledger, txn: TxnId, verdict: Verdict) -> Check {
    match verdict {
        Verdict::Commit(at) => {
            ledger.committed.insert(txn, at);
            decision::check(ledger, txn, at)?;
        }
        Verdict::Abort => {
            ledger.aborted.insert(txn);
        }
    }
    agreement::check(ledger, txn)
}

/// Whether what a site says is durable there (I6).
pub fn is_durable(ledger: &Ledger, server: usize, message: &SiteMessage) -> bool {
    let SiteMessage { txn, say, .. } = message;
    // All coordinators of a group are one site.
    let server = if is_coordinator(server) { 0 } else { server };
    let known = ledger.sites.get(txn).and_then(|sites| sites.stable.get(&server));
    let stable = known.copied().unwrap_or_default();
    match say {
        Say::Elect { ballot } => stable.elected >= *ballot,
        Say::State { ballot, attempt, .. } => {
            stable.elected >= *ballot && stable.attempt >= *attempt
        }
        Say::Pre { ballot, .. } | Say::Accepted { ballot } => stable.attempt >= *ballot,
        Say::Refused { elected, .. } => stable.elected >= *elected,
        Say::Decided { verdict: Verdict::Commit(at) } => ledger.committed.get(txn) == Some(at),
        Say::Decided { verdict: Verdict::Abort } => !ledger.committed.contains_key(txn),
        // It is a lie only to who is in doubt: then agreement is broken.
        Say::Forgotten => true,
    }
}
