//! Transactions as text.

use std::io::{self, Write};

use synod_client::{
    Commit, CommitStage, Holds, Phase, Resolution, ShardId, ShardStage, ShardTxn, Stable,
    Timestamp, Verdict,
};

use crate::render;
use crate::txns::Seen;
use crate::txns::ask::{Found, Servers};
use crate::waits::{age_ms, span};

/// For how long, and that it may be longer.
fn at_least((ms, at_least): (u64, bool)) -> String {
    if at_least { format!("{} or more", span(ms)) } else { span(ms) }
}

fn names(shards: impl IntoIterator<Item = ShardId>) -> String {
    let names: Vec<String> = shards.into_iter().map(|shard| shard.to_string()).collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(" ") }
}

/// All that were found, a line each.
pub fn list(out: &mut impl Write, found: &Found) -> io::Result<()> {
    let row = |seen: &Seen| {
        [
            seen.txn.to_string(),
            seen.state().name().to_owned(),
            seen.protocol().unwrap_or("-".to_owned()),
            names(seen.on()),
            seen.age_ms().map_or("-".to_owned(), span),
            at_least(seen.for_ms()),
            seen.waits_for().join(", "),
        ]
    };
    let rows: Vec<_> = found.txns.values().map(row).collect();
    let heading = ["TRANSACTION", "STATE", "PROTOCOL", "SHARDS", "AGE", "IN STATE", "WAITS FOR"];
    render::table(out, heading, &rows)
}

/// All about one.
pub fn one(out: &mut impl Write, seen: &Seen, servers: &Servers) -> io::Result<()> {
    let age = seen.age_ms().map_or(String::new(), |age| format!(", {} old", span(age)));
    let protocol = seen.protocol().map_or(String::new(), |name| format!(", {name}"));
    let (state, on) = (seen.state().name(), names(seen.on()));
    writeln!(out, "{}: {state}{protocol}, on {on}{age}", seen.txn)?;
    writeln!(out, "waits for {}", seen.waits_for().join(", "))?;
    match &seen.commit {
        Some(commit) => self::commit(out, commit)?,
        None if servers.coordinator => writeln!(out, "\ncoordinator: knows nothing of it")?,
        None => {}
    }
    for (shard, row) in &seen.shards {
        on_shard(out, *shard, row)?;
        let holds = seen.holds.iter().find(|(of, _)| of == shard);
        if let Some((_, holds)) = holds {
            holds_there(out, row, holds)?;
        }
    }
    Ok(())
}

fn commit(out: &mut impl Write, commit: &Commit) -> io::Result<()> {
    let since = at_least((commit.for_ms, commit.at_least));
    let name = |shards: &Vec<ShardId>| names(shards.iter().copied());
    write!(out, "\ncoordinator: ")?;
    match &commit.stage {
        CommitStage::OnePhase { shard, read } => {
            writeln!(out, "left to {shard} for {since}")?;
            if !read.is_empty() {
                writeln!(out, "  READ: {}", name(read))?;
            }
        }
        CommitStage::Preparing { yes, read, missing } => {
            writeln!(out, "collects votes for {since}")?;
            let (yes, read, missing) = (name(yes), name(read), name(missing));
            writeln!(out, "  YES: {yes}; READ: {read}; not yet: {missing}")?;
        }
        CommitStage::Deciding { at, yes, read } => {
            writeln!(out, "writes the decision to commit at {at} for {since}")?;
            writeln!(out, "  YES: {}; READ: {}", name(yes), name(read))?;
        }
        CommitStage::PreCommitting { yes, site } => {
            writeln!(out, "has its sites accept the commit for {since}")?;
            writeln!(out, "  YES: {}", name(yes))?;
            self::site(out, site)?;
        }
        CommitStage::Accepting { at, yes, read, accepted } => {
            writeln!(out, "has the coordinators accept the commit at {at} for {since}")?;
            writeln!(out, "  YES: {}; READ: {}", name(yes), name(read))?;
            let accepted: Vec<String> = accepted.iter().map(ToString::to_string).collect();
            writeln!(out, "  accepted by: {}", accepted.join(", "))?;
        }
        CommitStage::GivingUp { on } => {
            writeln!(out, "makes sure that nobody commits it for {since}")?;
            writeln!(out, "  on: {}", name(on))?;
        }
        CommitStage::Committing { at, unacknowledged } => {
            writeln!(out, "committed at {at}, tells it for {since}")?;
            writeln!(out, "  not acknowledged by: {}", name(unacknowledged))?;
        }
    }
    match commit.h {
        Timestamp::ZERO => Ok(()),
        h => writeln!(out, "  h {h}"),
    }
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Commit(at) => format!("committed at {at}"),
        Verdict::Abort => "aborted".to_owned(),
    }
}

/// What operators have decided, a line each.
pub fn resolved(out: &mut impl Write, all: &[(ShardId, Resolution)]) -> io::Result<()> {
    let row = |(shard, known): &(ShardId, Resolution)| {
        let end = match known.outcome {
            _ if known.read => "only read there".to_owned(),
            None => "not known".to_owned(),
            Some(outcome) if known.is_mixed() => format!("MIXED: {}", verdict(outcome)),
            Some(_) => "the same".to_owned(),
        };
        let (txn, shard) = (known.txn.to_string(), shard.to_string());
        let when = age_ms(Timestamp::of_wall(known.when)).map_or(0, |ms| ms);
        let when = format!("{} ago", span(when));
        [txn, shard, verdict(known.verdict), known.by.clone(), when, end, known.why.clone()]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let heading = ["TRANSACTION", "SHARD", "DECIDED", "BY", "AT", "OUTCOME", "REASON"];
    render::table(out, heading, &rows)
}

/// How far one is in three-phase commit.
fn site(out: &mut impl Write, site: &Stable) -> io::Result<()> {
    let phase = match site.phase {
        Phase::Waiting => "has accepted nothing".to_owned(),
        Phase::Pre(Verdict::Commit(at)) => format!("has accepted to commit at {at}"),
        Phase::Pre(Verdict::Abort) => "has accepted to abort".to_owned(),
        Phase::Decided(_) => "knows the decision".to_owned(),
    };
    writeln!(out, "  {phase}; attempt {}, elected {}", site.attempt, site.elected)
}

fn on_shard(out: &mut impl Write, shard: ShardId, row: &ShardTxn) -> io::Result<()> {
    let since = at_least((row.for_ms, row.at_least));
    write!(out, "\n{shard}: ")?;
    match &row.stage {
        ShardStage::Active => writeln!(out, "active for {since}"),
        ShardStage::Preparing { h, participants, coordinator } => {
            writeln!(out, "preparing for {since}")?;
            let participants = names(participants.iter().copied());
            writeln!(out, "  h {h}, coordinator {coordinator}, participants {participants}")
        }
        ShardStage::Prepared { h, m, participants, coordinator, asked, protocol, site } => {
            writeln!(out, "has voted YES, without a decision for {since}")?;
            let participants = names(participants.iter().copied());
            writeln!(out, "  h {h}, m {m}, participants {participants}, {protocol}")?;
            if let Some(site) = site {
                self::site(out, site)?;
            }
            writeln!(out, "  coordinator {coordinator}, asked {asked} times")
        }
        ShardStage::ReadVoted { h, m, coordinator, asked, .. } => {
            writeln!(out, "has voted READ, without a decision for {since}")?;
            writeln!(out, "  h {h}, m {m}, coordinator {coordinator}, asked {asked} times")
        }
        ShardStage::Resolved { verdict, participants, coordinator, asked, .. } => {
            let verdict = self::verdict(*verdict);
            writeln!(out, "{verdict} by an operator, without a decision for {since}")?;
            let participants = names(participants.iter().copied());
            writeln!(out, "  participants {participants}")?;
            writeln!(out, "  coordinator {coordinator}, asked {asked} times")
        }
        ShardStage::OnePhase { h, m, coordinator, asked } => {
            writeln!(out, "has committed it alone, which is not over for {since}")?;
            writeln!(out, "  h {h}, m {m}, coordinator {coordinator}, told {asked} times more")
        }
    }
}

fn holds_there(out: &mut impl Write, row: &ShardTxn, holds: &Holds) -> io::Result<()> {
    for (target, mode) in &holds.locks {
        writeln!(out, "  holds {mode} on {target}")?;
    }
    let more = row.locks.saturating_sub(holds.locks.len() as u64);
    if more > 0 {
        writeln!(out, "  and {more} more locks")?;
    }
    for (waiter, ms) in &holds.waiters {
        writeln!(out, "  {waiter} waits for it, for {}", span(u64::from(*ms)))?;
    }
    if holds.more_waiters > 0 {
        writeln!(out, "  and {} more wait for it", holds.more_waiters)?;
    }
    Ok(())
}
