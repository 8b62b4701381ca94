//! Faults and deliberate bugs in the servers of this process, for testers.
//!
//! A build with the feature `chaos` answers on `/chaos` of its admin port, and plants the bug
//! that `bug` in a server's file names. Any other build has neither, and says so; no release
//! has the feature. See `docs/chaos.md`.

#[cfg(not(feature = "chaos"))]
mod off;
#[cfg(feature = "chaos")]
mod on;

#[cfg(not(feature = "chaos"))]
pub use off::{Bug, VERSION, routes, warn};
#[cfg(feature = "chaos")]
pub use on::{Bug, VERSION, routes, warn};
