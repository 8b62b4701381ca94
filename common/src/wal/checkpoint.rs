//! Checkpoints: where recovery starts instead of at the first record.
//!
//! ```text
//!  ┌────────┬──────┬───────┬──────┬───────┬────────┐   <start>.ckpt
//!  │ header │ len  │ part  │ len  │ part  │ footer │   each part and the footer
//!  │ start  │ crc 0│       │ crc 1│       │ parts  │   with its own CRC
//!  └────────┴──────┴───────┴──────┴───────┴────────┘
//! ```
//!
//! A checkpoint is written under a temporary name, synced part by part, and
//! renamed when it is complete. So a file under the final name was complete
//! once: if it is not now, it is damaged, and recovery refuses. What is in the
//! parts is the core's business.
//!
//! Recovery may only start from a checkpoint when the log is durable as far as
//! the checkpoint knows of it; otherwise a restart would know of a record that
//! the log then gives to another. The writer of the checkpoint says how far
//! that is, and the log is held to it.

use super::disk::Disk;
use super::frame::{Seal, check_identity, crc_around, u32_at, u64_at};
use super::{Identity, Start, WalError, at, corrupt};
use crate::error::Corrupt;
use crate::node::Lsn;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"SYNODCKP";
const PART_MAGIC: &[u8; 4] = b"SyPa";
const FOOTER_MAGIC: &[u8; 4] = b"SyEn";
const FORMAT_VERSION: u32 = 1;
const HEADER: usize = 48;
const PART_HEADER: usize = 16;
const FOOTER: usize = 24;

/// Writes one checkpoint.
#[derive(Debug)]
pub struct Checkpoint<D> {
    disk: D,
    name: String,
    seal: Seal,
    start: Lsn,
    offset: u64,
    parts: u32,
}

impl<D: Disk> Checkpoint<D> {
    /// Begins a checkpoint; recovery from it replays the log from `start`.
    ///
    /// # Errors
    /// If the disk refuses. No harm is done then.
    pub fn begin(mut disk: D, identity: &Identity, start: Lsn) -> Result<Checkpoint<D>, WalError> {
        let name = checkpoint_name(start);
        let temporary = temporary(&name);
        disk.create(&temporary, 0).map_err(at("create", &temporary))?;
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[12..16].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        header[16..24].copy_from_slice(&start.0.to_le_bytes());
        header[24..40].copy_from_slice(&identity.cluster.0.to_le_bytes());
        header[40..48].copy_from_slice(&xxh3_64(identity.node.as_bytes()).to_le_bytes());
        let crc = crc_around(&header, 8);
        header[8..12].copy_from_slice(&crc.to_le_bytes());
        let seal = Seal::new(identity, start);
        let mut checkpoint = Checkpoint { disk, name, seal, start, offset: 0, parts: 0 };
        checkpoint.write(&[&header])?;
        Ok(checkpoint)
    }

    /// Adds a part, durably.
    ///
    /// # Errors
    /// If the disk refuses, or if the part has 4 GiB.
    pub fn part(&mut self, part: &[u8]) -> Result<(), WalError> {
        let len =
            u32::try_from(part.len()).map_err(|_| WalError::BadBatch { bytes: part.len() })?;
        let mut header = [0; PART_HEADER];
        header[..4].copy_from_slice(PART_MAGIC);
        header[8..12].copy_from_slice(&len.to_le_bytes());
        header[12..16].copy_from_slice(&self.parts.to_le_bytes());
        let crc = self.seal.crc(self.offset, &header, part);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        self.parts += 1;
        self.write(&[&header, part])
    }

    /// Makes it the newest checkpoint and removes the older ones. `durable` is
    /// how far the log is known to be durable, at least as far as the
    /// checkpoint's parts know of it.
    ///
    /// # Errors
    /// If the disk refuses. Whether the checkpoint exists is then found out by
    /// a restart.
    pub fn finish(mut self, durable: Lsn) -> Result<Start, WalError> {
        let mut footer = [0; FOOTER];
        footer[..4].copy_from_slice(FOOTER_MAGIC);
        footer[8..12].copy_from_slice(&self.parts.to_le_bytes());
        footer[16..24].copy_from_slice(&durable.0.to_le_bytes());
        let crc = self.seal.crc(self.offset, &footer, &[]);
        footer[4..8].copy_from_slice(&crc.to_le_bytes());
        self.write(&[&footer])?;
        let temporary = temporary(&self.name);
        self.disk.rename(&temporary, &self.name).map_err(at("rename", &temporary))?;
        for name in self.disk.list().map_err(at("list", "the folder"))? {
            if name.ends_with(".ckpt") && name < self.name {
                self.disk.remove(&name).map_err(at("remove", &name))?;
            }
        }
        Ok(Start { from: self.start, durable })
    }

    fn write(&mut self, pieces: &[&[u8]]) -> Result<(), WalError> {
        let name = temporary(&self.name);
        for piece in pieces {
            self.disk.write_at(&name, self.offset, piece).map_err(at("write", &name))?;
            self.offset += piece.len() as u64;
        }
        self.disk.sync(&name).map_err(at("sync", &name))
    }
}

/// Reads the newest checkpoint: calls `part` with its parts in order and says
/// from where the log is to be replayed. Removes unfinished and older ones.
///
/// # Errors
/// [`WalError::Corrupt`] if it is damaged, or if `part` refuses.
pub fn recover(
    disk: &mut impl Disk,
    identity: &Identity,
    mut part: impl FnMut(&[u8]) -> Result<(), Corrupt>,
) -> Result<Start, WalError> {
    let names = disk.list().map_err(at("list", "the folder"))?;
    let (unfinished, finished): (Vec<_>, Vec<_>) =
        names.iter().filter(|name| name.contains(".ckpt")).partition(|n| n.ends_with(".tmp"));
    let Some((newest, older)) = finished.split_last() else {
        remove_all(disk, &unfinished)?;
        return Ok(Start::default());
    };
    let start = read(disk, identity, newest, &mut part)?;
    remove_all(disk, &unfinished)?;
    remove_all(disk, older)?;
    Ok(start)
}

fn read(
    disk: &mut impl Disk,
    identity: &Identity,
    name: &str,
    part: &mut dyn FnMut(&[u8]) -> Result<(), Corrupt>,
) -> Result<Start, WalError> {
    let end = disk.size(name).map_err(at("look at", name))?;
    let short = |offset: u64| corrupt(name, offset as usize, "the file ends in the middle");
    let take = |disk: &mut dyn Disk, offset: u64, into: &mut [u8]| {
        if end.checked_sub(offset).is_none_or(|rest| rest < into.len() as u64) {
            return Err(short(end));
        }
        disk.read_at(name, offset, into).map_err(at("read", name))
    };

    let mut header = [0; HEADER];
    take(disk, 0, &mut header)?;
    check_identity(&header, MAGIC, FORMAT_VERSION, 24, identity)
        .map_err(|reason| corrupt(name, 0, reason))?;
    let start = Lsn(u64_at(&header, 16));
    if checkpoint_name(start) != name {
        return Err(corrupt(name, 16, format!("its header says that it starts at {}", start.0)));
    }
    let seal = Seal::new(identity, start);
    let (mut offset, mut parts, mut bytes) = (HEADER as u64, 0, Vec::new());
    loop {
        let damaged = |reason| corrupt(name, offset as usize, reason);
        let mut header = [0; PART_HEADER];
        take(disk, offset, &mut header)?;
        if header.first_chunk() == Some(FOOTER_MAGIC) {
            break;
        }
        let len = u64::from(u32_at(&header, 8));
        if header.first_chunk() != Some(PART_MAGIC) || len > end - offset - PART_HEADER as u64 {
            return Err(damaged("no part begins here"));
        }
        bytes.clear();
        bytes.resize(len as usize, 0);
        take(disk, offset + PART_HEADER as u64, &mut bytes)?;
        if seal.crc(offset, &header, &bytes) != u32_at(&header, 4) {
            return Err(damaged("the part's checksum is wrong"));
        }
        if u32_at(&header, 12) != parts {
            return Err(damaged("the part is not the next one"));
        }
        part(&bytes).map_err(|Corrupt(reason)| corrupt(name, offset as usize, reason))?;
        offset += PART_HEADER as u64 + len;
        parts += 1;
    }
    let mut footer = [0; FOOTER];
    take(disk, offset, &mut footer)?;
    let intact = seal.crc(offset, &footer, &[]) == u32_at(&footer, 4);
    if !intact || u32_at(&footer, 8) != parts || offset + FOOTER as u64 != end {
        return Err(corrupt(name, offset as usize, "the footer is damaged"));
    }
    Ok(Start { from: start, durable: Lsn(u64_at(&footer, 16)) })
}

fn remove_all(disk: &mut impl Disk, names: &[&String]) -> Result<(), WalError> {
    names.iter().try_for_each(|name| disk.remove(name).map_err(at("remove", name)))
}

fn checkpoint_name(start: Lsn) -> String {
    format!("{:020}.ckpt", start.0)
}

fn temporary(name: &str) -> String {
    format!("{name}.tmp")
}
