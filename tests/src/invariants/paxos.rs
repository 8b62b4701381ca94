//! **I13** What acceptors of Paxos Commit have accepted of a transaction is the same for
//! all, and every participant that it names has prepared. **I14** The transaction commits if
//! a majority has accepted it before its leader says so, or a participant counts it in the
//! faster form, and not if the log of the group gives
//! it up.
//!
//! That a majority has accepted it is not yet a commit: its leader may have given it up, as
//! long as nobody was told. It is one as soon as the leader of its epoch writes so.
//!
//! Source: Gray, Lamport, *Consensus on Transaction Commit* (2006), §4.

use std::collections::{BTreeMap, BTreeSet};

use synod_common::commit::Protocol;
use synod_common::id::{Epoch, TxnId};
use synod_common::message::paxos::Bundle;
use synod_common::time::Timestamp;
use synod_coordinator::Record;

use super::{Check, agreement};
use crate::sim::ledger::Ledger;

/// What is known of all that was accepted.
#[derive(Debug, Default)]
pub struct Accepted {
    /// What was accepted, and by which servers durably.
    bundles: BTreeMap<TxnId, (Bundle, BTreeSet<usize>)>,
    /// The epoch of the entries that a server writes now.
    epochs: BTreeMap<usize, Epoch>,
    /// Transactions that the leader of their epoch has committed, because a majority had
    /// accepted them.
    pub counted: u64,
    /// Those that a participant has, before its leader did.
    pub counted_by_shards: u64,
    /// Those that a later leader has found accepted.
    pub taken_over: BTreeSet<TxnId>,
    /// Those that were given up though some acceptor had all votes.
    pub given_up: u64,
}

/// Called when a coordinator writes a record.
pub fn written(ledger: &mut Ledger, server: usize, record: &Record) -> Check {
    match record {
        Record::Started { epoch } => {
            ledger.accepted.epochs.insert(server, *epoch);
            Ok(())
        }
        Record::Accepted(bundle) => same(ledger, bundle),
        Record::Committed { txn, at, .. } | Record::Outcome { txn, at } => {
            said(ledger, server, *txn, *at)
        }
        _ => Ok(()),
    }
}

fn same(ledger: &mut Ledger, bundle: &Bundle) -> Check {
    let Bundle { txn, at, yes, .. } = bundle;
    for shard in yes {
        match ledger.servers[usize::from(shard.0)].prepared.get(txn) {
            Some(m) if m <= at => {}
            m => return Err(format!("I13: {txn} is accepted at {at}, {shard} has voted {m:?}")),
        }
    }
    let sorted = |bundle: &Bundle| {
        let mut bundle = bundle.clone();
        bundle.yes.sort_unstable();
        bundle.read.sort_unstable();
        bundle
    };
    let (first, _) =
        ledger.accepted.bundles.entry(*txn).or_insert_with(|| (sorted(bundle), BTreeSet::new()));
    match *first == sorted(bundle) {
        true => Ok(()),
        false => Err(format!("I13: {bundle:?} is accepted, and {first:?}")),
    }
}

/// The leader of its own epoch says that it is committed: then it is.
fn said(ledger: &mut Ledger, server: usize, txn: TxnId, at: Timestamp) -> Check {
    let own = ledger.accepted.epochs.get(&server) == Some(&txn.session.epoch);
    let members = ledger.coordinators;
    let Some((_, by)) = ledger.accepted.bundles.get(&txn) else { return Ok(()) };
    if ledger.committed.contains_key(&txn) {
        return Ok(());
    }
    if own && 2 * by.len() > members {
        ledger.accepted.counted += 1;
        ledger.committed.insert(txn, at);
        return agreement::check(ledger, txn);
    }
    if !own {
        ledger.accepted.taken_over.insert(txn);
    }
    Ok(())
}

/// Called when a shard writes that one is committed: in the faster form it need not have
/// heard that from a leader.
pub fn carried_out(ledger: &mut Ledger, server: usize, txn: TxnId, at: Timestamp) -> Check {
    let record = ledger.servers[server].records.get(&txn);
    let faster = record.is_some_and(|record| record.protocol == Protocol::FasterPaxosCommit);
    if !faster || ledger.committed.contains_key(&txn) {
        return Ok(());
    }
    let by = ledger.accepted.bundles.get(&txn).map_or(0, |(_, by)| by.len());
    if 2 * by <= ledger.coordinators {
        return Err(format!("I14: s{server} commits {txn}, which {by} have accepted"));
    }
    ledger.accepted.counted_by_shards += 1;
    ledger.committed.insert(txn, at);
    agreement::check(ledger, txn)
}

/// Called when a member of the group has accepted something durably.
pub fn accepted(ledger: &mut Ledger, server: usize, bundle: &Bundle) {
    if let Some((_, by)) = ledger.accepted.bundles.get_mut(&bundle.txn) {
        by.insert(server);
    }
}

/// Called when the log of the group gives a transaction up.
pub fn given_up(ledger: &mut Ledger, txn: TxnId) -> Check {
    ledger.accepted.given_up += u64::from(ledger.accepted.bundles.contains_key(&txn));
    ledger.aborted.insert(txn);
    agreement::check(ledger, txn)
}
