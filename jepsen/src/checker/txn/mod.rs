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
use crate::level::Level;

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

/// The level that is asked for, of those that transactions have.
fn level_of(options: &Options) -> Result<Level, String> {
    match options.level.unwrap_or(Level::StrictSerializable) {
        level @ (Level::Linearizable | Level::Model) => {
            Err(format!("{} knows no level {level}", options.model))
        }
        level => Ok(level),
    }
}
