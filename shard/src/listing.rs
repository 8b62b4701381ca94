//! The locks of a shard, page by page, for people.

use std::ops::ControlFlow;

use synod_common::limits;
use synod_common::message::DataReply;
use synod_common::message::bulk::List;
use synod_common::message::data::{LockHolder, LockPlace, LockRow, LockWaiter};
use synod_common::time::Mono;

use crate::lock::{LockTarget, Row, Ticket};
use crate::shard::Shard;

/// Keys and ranges of one page.
const PAGE_ROWS: usize = 1_000;
/// Holders, and waiters, of one key or range.
const PER_ROW: usize = 256;

impl Shard {
    /// A page of the locks behind `after`.
    pub(crate) fn list_locks(
        &self,
        now: Mono,
        after: Option<LockPlace>,
        contended: bool,
        limit: u32,
    ) -> DataReply {
        let limit = match limit as usize {
            0 => PAGE_ROWS,
            limit => limit.min(PAGE_ROWS),
        };
        let after = after.map(LockTarget::from);
        let rows = self.locks.rows(after.as_ref(), contended, limit);
        let whole = rows.len() < limit;
        let mut list = List::default();
        let mut last = None;
        let listed = rows.into_iter().try_for_each(|row| {
            list.push(&self.lock_row(now, &row));
            last = Some(row.target);
            let full = list.len() >= limits::SCAN_PAGE_BYTES;
            if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let done = whole && listed.is_continue();
        let resume = if done { None } else { last.map(LockPlace::from) };
        DataReply::Locks { resume, locks: list.finish() }
    }

    fn lock_row(&self, now: Mono, row: &Row) -> LockRow {
        let beyond = |len: usize| u32::try_from(len.saturating_sub(PER_ROW)).unwrap_or(u32::MAX);
        let holders = row.holders.iter().take(PER_ROW).map(|(txn, mode)| {
            let (age, prepared) = self.locks.age_of(*txn);
            LockHolder { txn: *txn, mode: mode.to_string(), age, prepared }
        });
        let waiters = row.waiters.iter().take(PER_ROW);
        LockRow {
            target: row.target.shown(),
            holders: holders.collect(),
            waiters: waiters.filter_map(|ticket| self.lock_waiter(now, *ticket)).collect(),
            more: beyond(row.holders.len()) + beyond(row.waiters.len()),
        }
    }

    fn lock_waiter(&self, now: Mono, ticket: Ticket) -> Option<LockWaiter> {
        let (txn, _, mode) = self.locks.request_of(ticket)?;
        let since = self.tickets.get(&ticket).and_then(|id| self.waits.get(id))?.since;
        let waited_ms = u32::try_from(now.since(since).as_millis()).unwrap_or(u32::MAX);
        let behind = self.locks.in_the_way(ticket).into_iter().collect();
        let (age, _) = self.locks.age_of(txn);
        Some(LockWaiter { txn, mode: mode.to_string(), age, waited_ms, behind })
    }
}
