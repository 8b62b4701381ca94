//! The words, messages, log and drivers that every part of Synod shares.

pub mod commit;
pub mod deadlock;
#[cfg(feature = "driver")]
pub mod driver;
pub mod error;
pub mod id;
pub mod key;
pub mod limits;
pub mod message;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod node;
pub mod operation;
pub mod refusal;
pub mod route;
pub mod sync;
pub mod time;
pub mod timer;
pub mod wal;
