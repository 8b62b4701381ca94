//! How long to pause between tries: longer each time, never quite the same.

use std::time::Duration;

use synod_common::error::Reason;
use synod_common::time::Mono;

use crate::Error;
use crate::client::Shared;

const FIRST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(250);

/// The pause before try `attempt + 1`, between half and the whole of a bound
/// that doubles each time.
pub(crate) fn pause(attempt: u32, random: u64) -> Duration {
    let bound = FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST);
    let half = bound / 2;
    half + half * u32::try_from(random % 1024).unwrap_or(0) / 1024
}

/// Whether a new try of the same work may succeed. A transaction in doubt must
/// never be tried again: it may have committed.
pub(crate) fn is_worth_it(error: &Error) -> bool {
    match error {
        Error::Retry(_) | Error::Unavailable(_) => true,
        Error::Aborted(_)
        | Error::InDoubt(_)
        | Error::Misuse(_)
        | Error::Locked(_)
        | Error::TooLarge(_)
        | Error::SnapshotTooOld(_)
        | Error::Denied(_)
        | Error::Corrupt(_) => false,
    }
}

/// Whether somebody answered, but no coordinator leads.
pub(crate) fn is_leaderless(error: &Error) -> bool {
    matches!(error, Error::Retry(refusal) if matches!(refusal.reason, Reason::NotLeader(_)))
}

/// What is said when patience is used up: nothing was aborted that never began.
fn nothing_done(error: Error) -> Error {
    match error {
        Error::Retry(refusal) if matches!(refusal.reason, Reason::NotLeader(_)) => {
            Error::Unavailable(refusal.reason.to_string())
        }
        error => error,
    }
}

/// How long harmless requests are repeated.
const PATIENCE: Duration = Duration::from_secs(10);

/// Repeats a request that can do no harm while servers are unreachable or
/// starting.
pub(crate) struct Patience<'a> {
    shared: &'a Shared,
    began: Mono,
    attempt: u32,
}

impl<'a> Patience<'a> {
    /// None used up.
    pub(crate) fn new(shared: &'a Shared) -> Patience<'a> {
        Patience { shared, began: shared.net.now(), attempt: 0 }
    }

    /// Pauses before the request is repeated.
    ///
    /// # Errors
    /// The error itself, if it will not pass, or patience is used up.
    pub(crate) async fn after(&mut self, error: Error) -> Result<(), Error> {
        let passing = match &error {
            Error::Unavailable(_) => true,
            Error::Retry(refusal) => {
                matches!(
                    refusal.reason,
                    Reason::NotReady | Reason::Overloaded | Reason::NotLeader(_)
                )
            }
            _ => false,
        };
        let net = &self.shared.net;
        if !passing || net.now().since(self.began) >= PATIENCE {
            return Err(nothing_done(error));
        }
        self.attempt += 1;
        net.sleep(pause(self.attempt, net.random())).await;
        Ok(())
    }
}
