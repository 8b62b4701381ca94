//! The end of a run: all is healed, and everything has to come right.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::Result;
use synod_client::{Outcome, TxnId};
use tokio::time::{sleep, timeout};

use super::work::{Clients, Doubt};
use crate::history::Kind;
use crate::workload::{Ask, Done, Workload};

/// A cluster that is healed serves writes of all its shards by then.
const RECOVERY: Duration = Duration::from_secs(60);
/// And tells every outcome.
const OUTCOMES: Duration = Duration::from_secs(30);
/// So many keys are on all shards but for one case in many thousands.
const PROBES: i64 = 64;
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until writes go on everywhere. Returns how long that took.
///
/// # Errors
///
/// Why they do not, when that takes too long.
pub(super) async fn recovers(ask: &Ask) -> Result<Duration, String> {
    let began = Instant::now();
    let reason = RefCell::new("no answer".to_owned());
    let all = async {
        for probe in 0..PROBES {
            while let Err(refused) = is_written(ask, probe, began + RECOVERY).await {
                reason.replace(refused);
                sleep(PAUSE).await;
            }
        }
    };
    match timeout(RECOVERY, all).await {
        Ok(()) => Ok(began.elapsed()),
        Err(_) => Err(format!(
            "all is healed, and after {} s the cluster does not serve: {}",
            RECOVERY.as_secs(),
            reason.into_inner()
        )),
    }
}

async fn is_written(ask: &Ask, probe: i64, until: Instant) -> Result<(), String> {
    match ask.write(&ask.key("probe", probe), probe).await {
        Done::Ok(_) => Ok(()),
        Done::InDoubt(txn, _) => match outcome(ask, txn, until).await? {
            true => Ok(()),
            false => Err("aborted".to_owned()),
        },
        Done::Fail(reason) | Done::Wrong(reason) => Err(reason),
    }
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
    ) -> Result<()> {
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
