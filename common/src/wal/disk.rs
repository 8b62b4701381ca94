//! What the log asks of a disk.
//!
//! A disk is one flat folder of files with names. [`MemDisk`](super::MemDisk)
//! is the one of tests and of the simulator, `driver::files::Files` the real one.

use std::io;

/// A flat folder of files. The handle may be cloned by its implementations;
/// clones then see the same files.
///
/// Written bytes survive a power cut only after [`Disk::sync`]. Creating,
/// renaming and removing are durable when they return.
pub trait Disk: Send {
    /// The names of all files, sorted.
    fn list(&mut self) -> io::Result<Vec<String>>;

    /// The size of a file; `NotFound` if there is none.
    fn size(&mut self, name: &str) -> io::Result<u64>;

    /// Fills `into` from the file, starting at `offset`; an error if the file
    /// ends before.
    fn read_at(&mut self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Makes a file of `size` zero bytes, replacing one of that name. It
    /// appears whole and durable or not at all, and what can not be made takes no
    /// room; what is left of an attempt that a crash cut short is called `<name>.tmp`.
    fn create(&mut self, name: &str, size: u64) -> io::Result<()>;

    /// Writes, and lets the file grow if need be. Not durable before a sync.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all that was written to the file durable. After a failure nothing
    /// is known about what was written since the last success.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Renames a file, replacing one of the new name.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}
