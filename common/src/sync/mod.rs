//! What is truly concurrent, and the shim under it.
//!
//! Cores are single-threaded. Three hand-offs are not: from a core to the thread
//! of its log ([`GroupCommit`]), back from it, and from many tasks to the one
//! that writes to a link ([`SendQueue`]). They stand here, without tokio, files
//! or clocks, so that loom can try every interleaving of them.
//!
//! Everything here takes its locks from this module: parking_lot's normally,
//! loom's under `--cfg synod_loom` (not `--cfg loom`, which the whole graph of
//! dependencies would react to). `tests/loom.rs` holds the models and says how
//! to run them, and how to see them fail.
//!
//! *Deliberately absent*: what loom can not model. [`Condvar::wait_for`] is used
//! for waits that are about speed only; under loom it times out at once.

mod group_commit;
mod send_queue;
#[cfg(synod_loom)]
mod shim;

pub use group_commit::{Batch, Closed, GroupCommit, Job, Pace, Work};
pub use send_queue::{Pushed, SendQueue};

#[cfg(not(synod_loom))]
mod shim {
    pub use parking_lot::{Condvar, Mutex, MutexGuard};
    pub use std::sync::{Arc, atomic};
    pub use std::thread;

    /// Whether a deliberate bug is switched on. Only models have any.
    pub const fn mutated(_: &str) -> bool {
        false
    }
}

use shim::mutated;
pub use shim::{Arc, Condvar, Mutex, MutexGuard, atomic, thread};
