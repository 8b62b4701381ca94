//! What every build that serves has: the system as it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// No faults.
#[derive(Clone, Debug, Default)]
pub struct Chaos(());

impl Chaos {
    pub(in crate::driver) fn write(
        &self,
        file: &File,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    pub(in crate::driver) fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        sync()
    }

    pub(in crate::driver) fn wall(&self, ms: u64) -> u64 {
        ms
    }
}
