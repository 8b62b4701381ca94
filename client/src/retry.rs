//! How long to pause between tries: longer each time, never quite the same.

use std::time::Duration;

use crate::Error;

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
        | Error::TooLarge(_)
        | Error::SnapshotTooOld(_)
        | Error::Denied(_)
        | Error::Corrupt(_) => false,
    }
}
