//! Who does the transactions of a workload.

use anyhow::Result;

use crate::deed::Deed;

/// One client of a system, with one transaction at a time.
pub trait Session {
    /// Does a transaction, again and again while the system says that it may succeed so.
    /// Counts the attempts.
    ///
    /// # Errors
    /// If it was not done, or nobody knows.
    fn act(&mut self, deed: &Deed, attempts: &mut u64) -> impl Future<Output = Result<()>>;
}
