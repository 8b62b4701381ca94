//! The runtime that the commands of this crate run on: one thread.
//!
//! A client costs half as much on one thread as on several, so clients are tasks
//! of one thread, started with `spawn_local`.

use std::io;

use tokio::runtime::{Builder, LocalOptions};

/// Runs a future to its end, on this thread.
///
/// # Errors
/// If the system gives no runtime.
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    Ok(runtime.block_on(future))
}
