//! What the command is made of, for its examples and tests.
//!
//! ```text
//!   bank      accounts, transfers with receipts, and the check of both
//!   demo      the story of a bank whose servers are killed
//! ```

pub mod age;
pub mod bank;
pub mod demo;
pub mod runtime;
