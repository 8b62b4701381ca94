//! The end of a run: all is healed, and everything has to come right.

use std::time::{Duration, Instant};

use anyhow::Result;
use synod_client::{Error, Outcome, TxnId};
use tokio::time::sleep;

use super::work::{Clients, Doubt};
use crate::history::Kind;
use crate::workload::{Ask, Workload};

/// A cluster that is healed serves writes of all its shards by then.
const RECOVERY: Duration = Duration::from_secs(60);
/// And tells every outcome.
const OUTCOMES: Duration = Duration::from_secs(30);
/// So many keys are on all shards but for one case in many thousands.
const PROBES: u32 = 64;
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until writes go on everywhere. Returns how long that took.
pub(super) async fn recovers(ask: &Ask) -> Result<Duration> {
    let began = Instant::now();
    for probe in 0..PROBES {
        loop {
            let error = match ask.db.put(format!("probe/{probe}"), &probe).await {
                Ok(()) | Err(Error::InDoubt(_)) => break,
                Err(error) => error,
            };
            anyhow::ensure!(
                began.elapsed() < RECOVERY,
                "all is healed, and after {} s the cluster does not serve: {error}",
                RECOVERY.as_secs()
            );
            sleep(PAUSE).await;
        }
    }
    Ok(began.elapsed())
}

/// Asks for each outcome that a client did not learn. Returns how many there were, and
/// which of them nobody can tell.
pub(super) async fn ask_in_doubt<W: Workload>(
    clients: &Clients<'_, W>,
    ask: &Ask,
) -> Result<(usize, Vec<String>)> {
    let doubts = clients.doubts.take();
    let until = Instant::now() + OUTCOMES;
    let mut troubles = Vec::new();
    let asked = doubts.len();
    for Doubt { process, txn, value, asked } in doubts {
        let recorder = || clients.recorder.borrow_mut();
        match outcome(ask, txn, until).await {
            Ok(true) => recorder().end(process, Kind::Ok, value, None)?,
            Ok(false) => recorder().end(process, Kind::Fail, asked, Some("aborted, as asked"))?,
            Err(reason) => {
                recorder().end(process, Kind::Info, asked, Some(&reason))?;
                troubles.push(format!("the outcome of {txn} cannot be told: {reason}"));
            }
        }
    }
    Ok((asked, troubles))
}

/// Whether it committed.
async fn outcome(ask: &Ask, txn: TxnId, until: Instant) -> Result<bool, String> {
    loop {
        let reason = match ask.db.outcome(txn).await {
            Ok(Outcome::Committed(_)) => return Ok(true),
            Ok(Outcome::Aborted(_)) => return Ok(false),
            Ok(Outcome::Undecided) => "undecided".to_owned(),
            // It is not older than what is kept.
            Ok(Outcome::Unknown) => return Err("it is not known any more".to_owned()),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= until {
            return Err(reason);
        }
        sleep(PAUSE).await;
    }
}
