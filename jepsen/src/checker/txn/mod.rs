//! Transactions: which anomalies are there, and which levels are broken?

mod anomaly;
mod atom;
mod cycle;
mod fan;
mod graph;
mod judge;
mod list;
mod register;
mod snapshot;
pub mod solve;
mod table;
mod words;

use super::{Checker, Options};

/// The checker of lists to which transactions append.
///
/// # Errors
///
/// A level that it does not know, or lists that do not begin empty.
pub fn list_append(options: &Options) -> Result<Box<dyn Checker>, String> {
    Ok(Box::new(list::Lists::new(options)?))
}

/// The checker of registers that transactions read and write.
///
/// # Errors
///
/// A level that it does not know.
pub fn rw_register(options: &Options) -> Result<Box<dyn Checker>, String> {
    Ok(Box::new(register::Registers::new(options)?))
}
