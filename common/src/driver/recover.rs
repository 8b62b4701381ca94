//! From files to a running log: what a node gets back at its start.

use std::io;
use std::sync::Arc;

use super::handle::HostHandle;
use super::log::LogThread;
use crate::node::{Node, Recovered};
use crate::sync::{GroupCommit, Pace};
use crate::wal::{Disk, Identity, Options, Wal, WalError, checkpoint};

/// A node can not start from what is on its disk.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The log or the checkpoint can not be read, or the node refuses it.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The system gives no thread.
    #[error("can not start the log's threads: {0}")]
    Thread(io::Error),
}

/// A node's log, recovered and running.
#[derive(Debug)]
pub struct OpenLog {
    /// For the host.
    pub group: Arc<GroupCommit>,
    /// To be stopped when the host has ended.
    pub thread: LogThread,
}

/// Feeds the node its newest checkpoint and the log behind it, then starts the
/// log. `handle` is the one that the host will be made with.
///
/// # Errors
/// If something is damaged or can not be understood; nothing was changed then.
pub fn recover<D: Disk + Clone + 'static>(
    node: &mut impl Node,
    mut disk: D,
    identity: Identity,
    options: Options,
    pace: Pace,
    handle: &HostHandle,
) -> Result<OpenLog, RecoverError> {
    let start = checkpoint::recover(&mut disk, &identity, |part| {
        node.recover(Recovered::Checkpoint(part))
    })?;
    let wal = Wal::open(disk.clone(), identity.clone(), options, start, |lsn, record| {
        node.recover(Recovered::Record(lsn, record))
    })?;
    let group = Arc::new(GroupCommit::new(wal.last_lsn(), handle.waker()));
    let thread = LogThread::spawn(wal, disk, identity, group.clone(), pace, handle.0.log.clone());
    Ok(OpenLog { group, thread: thread.map_err(RecoverError::Thread)? })
}
