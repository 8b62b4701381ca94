//! How the ledger lies in the store.
//!
//! ```text
//!   ("account", 2378)            ──▶ balance
//!   ("counter", "cash", 17)      ──▶ balance of one slot of a counter-account
//!   ("day", 2378, 930101)        ──▶ the account's balance after the day's last row
//!   ("row", 695247)              ──▶ the change; the receipt that it was booked
//! ```
//!
//! Almost every row touches one of only four counter-accounts. As one key each,
//! they would let one row through at a time; so each is spread over slots, and
//! an account always uses the slot of its number. The counter-account's balance
//! is the sum of its slots.
//!
//! The receipt makes a row idempotent: whoever is not sure whether it was booked
//! books it again, and finds the receipt.

use synod_client::{AsKey, Client, Error, Key};

use crate::rows::Row;

/// Slots of each counter-account.
const SLOTS: u64 = 64;

/// The four kinds of keys.
pub const ACCOUNT: &str = "account";
/// Slots of counter-accounts.
pub const COUNTER: &str = "counter";
/// Balances at the ends of days.
pub const DAY: &str = "day";
/// Receipts.
pub const ROW: &str = "row";

/// The key of an account's balance at the end of a day.
pub fn day(account: u64, date: u32) -> Key {
    (DAY, account, date).as_key()
}

/// Books a row, once. Counts the attempts.
///
/// # Errors
/// If it is not known whether it was booked, or it was not.
pub async fn book(db: &Client, row: &Row, attempts: &mut u64) -> Result<(), Error> {
    let account = (ACCOUNT, row.account).as_key();
    let counter = (COUNTER, row.counter.name(), row.account % SLOTS).as_key();
    let receipt = (ROW, row.id).as_key();
    let (account, counter, receipt) = (&account, &counter, &receipt);
    db.transact(|tx| {
        *attempts += 1;
        async move {
            let found = tx.get_many_for_update([receipt, account, counter]).await?;
            if found[0].is_present() {
                return Ok(());
            }
            // Every account starts from zero.
            let balance = found[1].decode_opt::<i64>()?.unwrap_or(0) + row.change;
            let against = found[2].decode_opt::<i64>()?.unwrap_or(0) - row.change;
            tx.put(receipt, &row.change)?;
            tx.put(account, &balance)?;
            tx.put(counter, &against)?;
            tx.put(day(row.account, row.date), &balance)
        }
    })
    .await
}
