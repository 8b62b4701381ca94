//! Transactions as JSON.

use serde_json::{Value, json};
use synod_client::{
    Commit, CommitStage, Holds, Phase, Protocol, Resolution, ShardId, ShardStage, ShardTxn, Stable,
    Target, TxnId, Verdict,
};

use crate::cmd::locks::target;
use crate::txns::Seen;
use crate::txns::ask::{Found, Servers};

/// All that were found.
pub fn list(found: &Found, servers: &Servers) -> Value {
    let rows: Vec<Value> = found.txns.values().map(summary).collect();
    json!({ "txns": rows, "more": found.more, "silent": silent(servers) })
}

fn silent(servers: &Servers) -> Vec<Value> {
    let silent = servers.silent.iter();
    silent.map(|(server, why)| json!({ "server": server, "reason": why })).collect()
}

fn text(servers: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    servers.into_iter().map(|server| server.to_string()).collect()
}

fn summary(seen: &Seen) -> Value {
    let (for_ms, at_least) = seen.for_ms();
    json!({
        "txn": seen.txn.to_string(),
        "state": seen.state().name(),
        "protocol": seen.protocol(),
        "shards": text(seen.on()),
        "age_ms": seen.age_ms(),
        "for_ms": for_ms,
        "at_least": at_least,
        "waits_for": seen.waits_for(),
    })
}

/// All about one.
pub fn one(seen: &Seen, servers: &Servers) -> Value {
    let mut value = summary(seen);
    let servers_of_it = seen.shards.iter().map(|(shard, row)| {
        let holds = seen.holds.iter().find(|(of, _)| of == shard);
        let holds = holds.map(|(_, holds)| holds.clone()).unwrap_or_default();
        of_shard(*shard, row, &holds)
    });
    value["coordinator"] = seen.commit.as_ref().map(of_commit).into();
    value["on"] = servers_of_it.collect();
    value["silent"] = silent(servers).into();
    value
}

fn of_commit(commit: &Commit) -> Value {
    let mut value = match &commit.stage {
        CommitStage::OnePhase { shard, read } => json!({
            "stage": "one-phase",
            "shard": shard.to_string(),
            "read": text(read.iter().copied()),
        }),
        CommitStage::Preparing { yes, read, missing } => json!({
            "stage": "preparing",
            "yes": text(yes.iter().copied()),
            "read": text(read.iter().copied()),
            "missing": text(missing.iter().copied()),
        }),
        CommitStage::Deciding { at, yes, read } => json!({
            "stage": "deciding",
            "timestamp": at.0,
            "yes": text(yes.iter().copied()),
            "read": text(read.iter().copied()),
        }),
        CommitStage::PreCommitting { yes, site } => json!({
            "stage": "pre-committing",
            "yes": text(yes.iter().copied()),
            "site": self::site(site),
        }),
        CommitStage::Accepting { at, yes, read, accepted } => json!({
            "stage": "accepting",
            "timestamp": at.0,
            "yes": text(yes.iter().copied()),
            "read": text(read.iter().copied()),
            "accepted": text(accepted.iter().copied()),
        }),
        CommitStage::GivingUp { on } => json!({
            "stage": "giving-up",
            "on": text(on.iter().copied()),
        }),
        CommitStage::Committing { at, unacknowledged } => json!({
            "stage": "committing",
            "timestamp": at.0,
            "unacknowledged": text(unacknowledged.iter().copied()),
        }),
    };
    value["h"] = json!(Some(commit.h.0).filter(|h| *h != 0));
    value["for_ms"] = json!(commit.for_ms);
    value["at_least"] = json!(commit.at_least);
    value
}

fn verdict(verdict: Verdict) -> Value {
    match verdict {
        Verdict::Commit(at) => json!({ "state": "committed", "timestamp": at.0 }),
        Verdict::Abort => json!({ "state": "aborted", "timestamp": null }),
    }
}

/// What operators have decided.
pub fn resolved(all: &[(ShardId, Resolution)]) -> Value {
    let row = |(shard, known): &(ShardId, Resolution)| {
        json!({
            "txn": known.txn.to_string(),
            "shard": shard.to_string(),
            "decided": verdict(known.verdict),
            "by": known.by,
            "why": known.why,
            "when_ms": known.when.0,
            "outcome": known.outcome.map(verdict),
            "mixed": known.is_mixed(),
            "read": known.read,
        })
    };
    all.iter().map(row).collect()
}

/// How far one is in three-phase commit.
fn site(site: &Stable) -> Value {
    let (phase, at) = match site.phase {
        Phase::Waiting => ("waiting", None),
        Phase::Pre(Verdict::Commit(at)) => ("pre-committed", Some(at.0)),
        Phase::Pre(Verdict::Abort) => ("pre-aborted", None),
        Phase::Decided(Verdict::Commit(at)) => ("committed", Some(at.0)),
        Phase::Decided(Verdict::Abort) => ("aborted", None),
    };
    let (attempt, elected) = (site.attempt.to_string(), site.elected.to_string());
    json!({ "phase": phase, "timestamp": at, "attempt": attempt, "elected": elected })
}

fn of_shard(shard: ShardId, row: &ShardTxn, holds: &Holds) -> Value {
    let mut value = match &row.stage {
        ShardStage::Active => json!({ "stage": "active" }),
        ShardStage::Preparing { h, participants, coordinator } => json!({
            "stage": "preparing",
            "h": h.0,
            "participants": text(participants.iter().copied()),
            "coordinator": coordinator.to_string(),
        }),
        ShardStage::Prepared { h, m, participants, coordinator, asked, protocol, site } => json!({
            "stage": "prepared",
            "h": h.0,
            "m": m.0,
            "participants": text(participants.iter().copied()),
            "coordinator": coordinator.to_string(),
            "asked": asked,
            "protocol": protocol.to_string(),
            "site": site.as_ref().map(self::site),
        }),
        ShardStage::ReadVoted { h, m, coordinator, asked, protocol } => json!({
            "stage": "read-voted",
            "protocol": Some(protocol).filter(|protocol| **protocol != Protocol::Auto)
                .map(ToString::to_string),
            "h": h.0,
            "m": m.0,
            "coordinator": coordinator.to_string(),
            "asked": asked,
        }),
        ShardStage::Resolved { verdict, participants, coordinator, asked, protocol } => json!({
            "stage": "resolved",
            "protocol": protocol.to_string(),
            "decided": self::verdict(*verdict),
            "participants": text(participants.iter().copied()),
            "coordinator": coordinator.to_string(),
            "asked": asked,
        }),
        ShardStage::OnePhase { h, m, coordinator, asked } => json!({
            "stage": "one-phase",
            "h": h.0,
            "m": m.0,
            "coordinator": coordinator.to_string(),
            "asked": asked,
        }),
    };
    let lock = |(on, mode): &(Target, String)| {
        let mut value = target(on);
        value["mode"] = json!(mode);
        value
    };
    let waiter = |(txn, ms): &(TxnId, u32)| json!({ "txn": txn.to_string(), "waited_ms": ms });
    value["shard"] = json!(shard.to_string());
    value["for_ms"] = json!(row.for_ms);
    value["at_least"] = json!(row.at_least);
    value["locks"] = holds.locks.iter().map(lock).collect();
    value["more_locks"] = json!(row.locks.saturating_sub(holds.locks.len() as u64));
    value["waiting"] = json!(row.waiting);
    value["waiters"] = holds.waiters.iter().map(waiter).collect();
    value["more_waiters"] = json!(holds.more_waiters);
    value
}
