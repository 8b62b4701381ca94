//! **I4** A client that was told of a commit was told the truth, for ever: the
//! commit is durable at its one timestamp. A client that was told of an abort was,
//! too: nothing of it ever becomes durable.
//!
//! Source: rule AC5 in Bernstein, Hadzilacos, Goodman (1987), §7.3; and Gray's
//! "the outcome is never lost". That holds for a transaction that only read, too.
//! After the retention an outcome may be called unknown, but never anything that it is not.

use synod_common::id::TxnId;
use synod_common::message::client::Outcome;

use super::Check;
use crate::sim::history::History;
use crate::sim::ledger::Ledger;

/// Called when the coordinator tells a client an outcome.
pub fn check(
    history: &mut History,
    ledger: &Ledger,
    txn: TxnId,
    outcome: &Outcome,
    may_forget: bool,
) -> Check {
    let Some(known) = history.txns.get_mut(&txn) else { return Ok(()) };
    let durable = ledger.committed.get(&txn).copied();
    match outcome {
        Outcome::Committed(at) if durable != Some(*at) => {
            return Err(format!("I4: told that {txn} committed at {at}; durable is {durable:?}"));
        }
        Outcome::Aborted(reason) if durable.is_some() => {
            return Err(format!("I4: told that {txn} is aborted ({reason}); it is committed"));
        }
        Outcome::Committed(_) | Outcome::Aborted(_) => {}
        Outcome::Undecided => return Ok(()),
        Outcome::Unknown if may_forget => return Ok(()),
        Outcome::Unknown => return Err(format!("I4: the outcome of {txn} is lost")),
    }
    match (&known.told, outcome) {
        (Some(Outcome::Committed(a)), Outcome::Committed(b)) if a == b => {}
        (Some(Outcome::Aborted(_)), Outcome::Aborted(_)) => {}
        (None, _) => known.told = Some(outcome.clone()),
        (Some(before), now) => return Err(format!("I4: {txn} was {before}, is now {now}")),
    }
    Ok(())
}

/// Called at the end: what was called aborted has left nothing durable.
pub fn check_all(history: &History, ledger: &Ledger) -> Check {
    for (txn, known) in &history.txns {
        if matches!(known.told, Some(Outcome::Aborted(_)))
            && let Some(at) = ledger.committed.get(txn)
        {
            return Err(format!("I4: {txn} was called aborted and is committed at {at}"));
        }
    }
    Ok(())
}
