//! A disk in memory that forgets what was not synced.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::Disk;

/// A disk in memory for tests and for the simulator. Clones share the files.
///
/// It keeps what is durable apart from what is merely written: a
/// [`crash`](MemDisk::crash) loses, tears and reorders what was not synced. A
/// sync that fails does what Linux does: the written bytes can still be read,
/// but the next sync does not write them.
#[derive(Clone, Debug, Default)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
}

/// A piece of a write that was not synced when the power went: what of it lies
/// in one sector. Pieces reach the disk in any order, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingPiece {
    /// Number of the write, counted over all files since the last crash.
    pub write: u64,
    /// Length of the piece.
    pub len: usize,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, MemFile>,
    sector: usize,
    writes: u64,
    syncs: u64,
    fail_syncs: u32,
    capacity: Option<u64>,
    /// Changes that still succeed before the power goes.
    power: Option<u64>,
}

impl Default for State {
    fn default() -> Self {
        State {
            files: BTreeMap::new(),
            sector: 512,
            writes: 0,
            syncs: 0,
            fail_syncs: 0,
            capacity: None,
            power: None,
        }
    }
}

#[derive(Debug, Default)]
struct MemFile {
    durable: Vec<u8>,
    visible: Vec<u8>,
    pending: Vec<PendingWrite>,
}

#[derive(Debug)]
struct PendingWrite {
    number: u64,
    offset: usize,
    bytes: Vec<u8>,
}

impl MemDisk {
    /// An empty disk with sectors of 512 bytes.
    pub fn new() -> MemDisk {
        MemDisk::default()
    }

    /// An empty disk with sectors of another size.
    pub fn with_sector(sector: usize) -> MemDisk {
        let disk = MemDisk::new();
        disk.state.lock().sector = sector.max(1);
        disk
    }

    /// Cuts the power. `keep` says of each piece that was not synced how many
    /// of its bytes, from its front, reached the disk. Injected faults end, the
    /// power comes back.
    pub fn crash(&mut self, mut keep: impl FnMut(PendingPiece) -> usize) {
        let state = &mut *self.state.lock();
        for file in state.files.values_mut() {
            for write in std::mem::take(&mut file.pending) {
                let (mut at, mut rest) = (write.offset, &write.bytes[..]);
                while !rest.is_empty() {
                    let len = rest.len().min(state.sector - at % state.sector);
                    let (piece, tail) = rest.split_at(len);
                    let kept = keep(PendingPiece { write: write.number, len }).min(len);
                    put(&mut file.durable, at, &piece[..kept]);
                    (at, rest) = (at + len, tail);
                }
            }
            file.visible.clone_from(&file.durable);
        }
        state.writes = 0;
        state.fail_syncs = 0;
        state.power = None;
    }

    /// Lets the next `count` syncs fail.
    pub fn fail_syncs(&mut self, count: u32) {
        self.state.lock().fail_syncs = count;
    }

    /// Lets `count` more changes succeed and then all fail, until the next
    /// [`crash`](MemDisk::crash).
    pub fn cut_power_after(&mut self, count: u64) {
        self.state.lock().power = Some(count);
    }

    /// Bounds the sum of all file sizes.
    pub fn set_capacity(&mut self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// How many syncs succeeded so far.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// The content of a file, synced or not; empty if there is none.
    pub fn content(&self, name: &str) -> Vec<u8> {
        self.state.lock().files.get(name).map(|file| file.visible.clone()).unwrap_or_default()
    }

    /// Replaces a file behind the back of its owner, durably: for bit flips,
    /// truncations and foreign files.
    pub fn tamper(&mut self, name: &str, content: &[u8]) {
        let file =
            MemFile { durable: content.to_vec(), visible: content.to_vec(), pending: Vec::new() };
        self.state.lock().files.insert(name.to_owned(), file);
    }

    /// A copy that shares nothing with this one. What was not synced is synced
    /// in it.
    pub fn fork(&self) -> MemDisk {
        let state = self.state.lock();
        let mut copy = MemDisk::with_sector(state.sector);
        for (name, file) in &state.files {
            copy.tamper(name, &file.visible);
        }
        copy
    }
}

impl Disk for MemDisk {
    fn list(&mut self) -> io::Result<Vec<String>> {
        Ok(self.state.lock().files.keys().cloned().collect())
    }

    fn size(&mut self, name: &str) -> io::Result<u64> {
        Ok(self.state.lock().file(name)?.visible.len() as u64)
    }

    fn read_at(&mut self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let from = usize::try_from(offset).map_err(|_| ErrorKind::UnexpectedEof)?;
        let end = from.checked_add(into.len()).ok_or(ErrorKind::UnexpectedEof)?;
        let bytes = state.file(name)?.visible.get(from..end).ok_or(ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn create(&mut self, name: &str, size: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let size = usize::try_from(size).map_err(|_| ErrorKind::StorageFull)?;
        let file =
            |size| MemFile { durable: vec![0; size], visible: vec![0; size], pending: Vec::new() };
        if let Err(error) = state.change() {
            state.files.insert(format!("{name}.tmp"), file(size / 2));
            return Err(error);
        }
        state.grow(size)?;
        state.files.insert(name.to_owned(), file(size));
        Ok(())
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let offset = usize::try_from(offset).map_err(|_| ErrorKind::StorageFull)?;
        let size = state.file(name)?.visible.len();
        // A write that the power cut interrupts may still have reached the disk.
        let cut = state.change();
        state.grow((offset + bytes.len()).saturating_sub(size))?;
        state.writes += 1;
        let write = PendingWrite { number: state.writes, offset, bytes: bytes.to_vec() };
        let file = state.file(name)?;
        put(&mut file.visible, offset, bytes);
        file.pending.push(write);
        cut
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        if state.fail_syncs > 0 {
            state.fail_syncs -= 1;
            state.file(name)?.pending.clear();
            return Err(io::Error::other("injected: fsync failed"));
        }
        let file = state.file(name)?;
        for write in std::mem::take(&mut file.pending) {
            put(&mut file.durable, write.offset, &write.bytes);
        }
        state.syncs += 1;
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let file = state.files.remove(from).ok_or(ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.files.remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl State {
    fn file(&mut self, name: &str) -> io::Result<&mut MemFile> {
        self.files.get_mut(name).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn change(&mut self) -> io::Result<()> {
        match &mut self.power {
            Some(0) => Err(io::Error::other("injected: the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn grow(&self, by: usize) -> io::Result<()> {
        let used: usize = self.files.values().map(|file| file.visible.len()).sum();
        match self.capacity {
            Some(capacity) if by > 0 && (used + by) as u64 > capacity => {
                Err(ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsynced_pieces_are_lost_torn_or_reordered() {
        let mut disk = MemDisk::with_sector(4);
        disk.create("a", 12).unwrap();
        disk.write_at("a", 0, b"12").unwrap();
        disk.sync("a").unwrap();
        disk.write_at("a", 2, b"3456789").unwrap();
        assert_eq!(disk.content("a"), b"123456789\0\0\0");
        let mut pieces = Vec::new();
        disk.crash(|piece| {
            pieces.push((piece.write, piece.len));
            [0, 3, 1][pieces.len() - 1]
        });
        assert_eq!(pieces, [(2, 2), (2, 4), (2, 1)]);
        assert_eq!(disk.content("a"), b"12\x00\x00567\x009\x00\x00\x00");
    }

    #[test]
    fn a_failed_sync_loses_what_can_still_be_read() {
        let mut disk = MemDisk::new();
        disk.create("a", 4).unwrap();
        disk.write_at("a", 0, b"xx").unwrap();
        disk.fail_syncs(1);
        assert!(disk.sync("a").is_err());
        assert_eq!(disk.content("a"), b"xx\0\0");
        disk.sync("a").unwrap();
        disk.crash(|piece| piece.len);
        assert_eq!(disk.content("a"), b"\0\0\0\0");
    }

    #[test]
    fn a_full_disk_says_so() {
        let mut disk = MemDisk::new();
        disk.set_capacity(Some(10));
        disk.create("a", 8).unwrap();
        assert_eq!(disk.create("b", 3).unwrap_err().kind(), ErrorKind::StorageFull);
        disk.write_at("a", 0, b"12345678").unwrap();
        assert_eq!(disk.write_at("a", 8, b"123").unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
