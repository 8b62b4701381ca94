//! **I31** What an operator decides on a shard is never taken for the outcome, and never
//! forgotten. He was told only of what is durable. In the end each shard lists the decisions
//! that are durable there and no others, each with the outcome; and those that differ from it,
//! also by the timestamp alone, are mixed, and no others.
//!
//! Only the transaction itself is damaged, on that shard only: what it writes there is there at
//! the operator's timestamp, or not at all, and what it has read there may have changed before
//! it commits. That it is nothing else is checked with I21 and I22, against a history that has
//! just this in it.
//!
//! Source: Gray, Reuter, *Transaction Processing* (1993), §10.5; X/Open XA's `XA_HEURMIX`.

use synod_common::commit::Verdict;
use synod_common::id::{ClientId, Peer, RequestId, TxnId};
use synod_common::message::bulk::List;
use synod_common::message::txns::Resolution;
use synod_common::message::{DataReply, DataRequest, Message};
use synod_common::node::{Event, Node, Output};
use synod_common::time::Now;
use synod_shard::{Record, Shard};

use super::Check;
use crate::sim::ledger::{Facts, Ledger};

/// How many there were on a shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// All.
    pub all: u64,
    /// Those that differ from the outcome.
    pub mixed: u64,
}

/// Called with a record of a shard that has become durable, before it is entered.
pub fn check(facts: &Facts, record: &Record) -> Check {
    match record {
        // Who has voted READ drops its locks; that decides nothing.
        Record::Resolved(Resolution { read: true, .. }) => Ok(()),
        Record::Resolved(Resolution { txn, verdict, .. }) => {
            let over = facts.committed.contains_key(txn) || facts.aborted.contains(txn);
            let known = facts.resolved.contains_key(txn);
            let vote = facts.prepared.get(txn).filter(|_| !over && !known);
            match (vote, verdict) {
                (Some(m), Verdict::Commit(at)) if m == at => Ok(()),
                (Some(_), Verdict::Abort) => Ok(()),
                _ => Err(format!("I31: {verdict:?} of {txn}, which has voted {vote:?}")),
            }
        }
        Record::Outcome { txn, .. } if !facts.resolved.contains_key(txn) => {
            Err(format!("I31: the outcome of {txn}, about which nobody has decided"))
        }
        _ => Ok(()),
    }
}

/// Called when an operator is told that his decision is in force.
pub fn check_told(facts: &Facts, server: usize, txn: TxnId) -> Check {
    match facts.resolved.contains_key(&txn) {
        true => Ok(()),
        false => Err(format!("I31: s{server} has told of a decision on {txn} that is not durable")),
    }
}

/// Called at the end for every shard, with the transactions of which operators were told.
pub fn audit(
    ledger: &Ledger,
    server: usize,
    shard: &Shard,
    now: Now,
    told: &[TxnId],
) -> Result<Found, String> {
    let mut listed = list(shard, now);
    listed.retain(|known| !known.read);
    let resolved = &ledger.servers[server].resolved;
    if let Some(txn) = told.iter().find(|txn| !resolved.contains_key(txn)) {
        return Err(format!("I31: s{server} has forgotten what was decided about {txn}"));
    }
    let mut mixed = 0;
    for (txn, verdict) in resolved {
        let outcome = ledger.outcome(*txn);
        mixed += u64::from(outcome != *verdict);
        let Some(known) = listed.iter().find(|known| known.txn == *txn) else {
            return Err(format!("I31: s{server} does not list {txn}"));
        };
        if known.verdict != *verdict || known.outcome != Some(outcome) {
            let is = format!("{verdict:?}, and the outcome {outcome:?}");
            return Err(format!("I31: s{server} lists {known:?}; it is {is}"));
        }
    }
    let (all, counted) = (resolved.len(), shard.stats().mixed);
    if listed.len() != all || counted != mixed {
        let shown = format!("{} decisions, {counted} of them mixed", listed.len());
        return Err(format!("I31: s{server} knows of {shown}; there are {all}, and {mixed}"));
    }
    Ok(Found { all: all as u64, mixed })
}

/// What a shard answers who asks it for them.
fn list(shard: &Shard, now: Now) -> Vec<Resolution> {
    let (mut shard, mut out) = (shard.clone(), Output::default());
    let from = Peer::Client(ClientId(u64::MAX));
    let message = DataRequest::Resolutions.into();
    shard.handle(now, Event::Message { from, request: RequestId(1), message }, &mut out);
    let lists = out.sends.iter().filter_map(|send| match &send.message {
        Message::DataReply(DataReply::Resolutions { list }) => Some(list),
        _ => None,
    });
    lists.flat_map(|list| List::<Resolution>::read(list).map_while(Result::ok)).collect()
}
