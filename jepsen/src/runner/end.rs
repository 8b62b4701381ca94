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
            let error = match ask.db.put(ask.key("probe", probe), &probe).await {
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

/// What the end of a run showed.
#[derive(Default)]
pub(super) struct End {
    /// How long after all was healed writes went on everywhere.
    pub(super) recovered_after: Duration,
    /// Outcomes that clients had not learned.
    pub(super) asked_for: usize,
    /// What did not come right.
    pub(super) troubles: Vec<String>,
}

impl End {
    /// Asks for each outcome that a client did not learn, and reads what is to be read last.
    pub(super) async fn meet<W: Workload>(
        &mut self,
        clients: &Clients<'_, W>,
        ask: &Ask,
        recovered_after: Duration,
    ) -> Result<()> {
        self.recovered_after = recovered_after;
        let doubts = clients.doubts.take();
        self.asked_for = doubts.len();
        let until = Instant::now() + OUTCOMES;
        for Doubt { process, txn, value, asked } in doubts {
            let told = outcome(ask, txn, until).await;
            let mut recorder = clients.recorder.borrow_mut();
            match told {
                Ok(true) => recorder.end(process, Kind::Ok, value, None)?,
                Ok(false) => recorder.end(process, Kind::Fail, asked, Some("aborted"))?,
                Err(reason) => {
                    recorder.end(process, Kind::Info, asked, Some(&reason))?;
                    let trouble = format!("the outcome of {txn} cannot be told: {reason}");
                    self.troubles.push(trouble);
                }
            }
        }
        if !clients.read_all(ask).await? {
            self.troubles.push("nothing can be read at the end".to_owned());
        }
        self.troubles.append(&mut clients.wrongs.borrow_mut());
        Ok(())
    }
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
