//! How old something is that has a timestamp.

use std::time::SystemTime;

use synod_client::Timestamp;

/// How long ago a timestamp was, in milliseconds; none if it says nothing.
pub fn age_ms(age: Timestamp) -> Option<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    (age != Timestamp::ZERO).then(|| now.saturating_sub(age.wall().0))
}
