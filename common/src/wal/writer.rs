//! The open end of the log.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use super::disk::Disk;
use super::frame::{
    ALIGN, FRAME_HEADER, Kind, SEGMENT_HEADER, Seal, SegmentHeader, encode, frame_size,
    split_records,
};
use super::reader::{Recovered, recover, segment_name};
use super::{Identity, Options, Start, WalError, at};
use crate::error::Corrupt;
use crate::node::{Lsn, Records};

/// A segment of zeros that was made ahead of time.
pub(super) const SPARE: &str = "spare";
/// A segment that is being made because there was no spare.
pub(super) const NEXT: &str = "next";

/// A node's log, open for appending.
///
/// After any error but [`WalError::BadBatch`] it is poisoned.
#[derive(Debug)]
pub struct Wal<D> {
    disk: D,
    identity: Identity,
    options: Options,
    /// Name of each segment by its first LSN; the last is open.
    segments: BTreeMap<Lsn, String>,
    open: Open,
    next: Lsn,
    durable: Lsn,
    attested: Lsn,
    poison: Option<String>,
    frame: Vec<u8>,
}

/// The segment that is written to.
#[derive(Debug)]
struct Open {
    name: String,
    seal: Seal,
    size: u64,
    offset: u64,
    /// Whether something was written since the last sync.
    dirty: bool,
}

impl<D: Disk> Wal<D> {
    /// Opens the log, or makes it if there is none. Calls `replay` with every
    /// record from `start.from` on, in order; all of them are durable when this
    /// returns.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] if something that was durable is damaged or
    /// missing, or if `replay` refuses a record; nothing was changed then.
    pub fn open(
        mut disk: D,
        identity: Identity,
        options: Options,
        start: Start,
        mut replay: impl FnMut(Lsn, &[u8]) -> Result<(), Corrupt>,
    ) -> Result<Wal<D>, WalError> {
        let recovered = match recover(&mut disk, &identity, start, &mut replay)? {
            Some(recovered) => recovered,
            None => {
                let first = Lsn(1);
                let size = segment_size(options, FRAME_HEADER);
                let name = make_segment(&mut disk, &identity, first, size)?;
                Recovered {
                    segments: BTreeMap::from([(first, name)]),
                    size,
                    offset: SEGMENT_HEADER as u64,
                    torn: false,
                    next: first,
                    attested: Lsn(0),
                }
            }
        };
        let Recovered { segments, size, offset, torn, next, attested } = recovered;
        let (&first, name) = segments.last_key_value().expect("a log has a segment");
        let (seal, name) = (Seal::new(&identity, first), name.clone());
        let mut wal = Wal {
            disk,
            identity,
            options,
            segments,
            open: Open { name, seal, size, offset, dirty: false },
            next,
            durable: Lsn(next.0 - 1),
            attested,
            poison: None,
            frame: Vec::new(),
        };
        if torn {
            wal.rotate(FRAME_HEADER)?;
        }
        Ok(wal)
    }

    /// Writes records in one frame, not yet durable. Returns the last one's LSN.
    ///
    /// # Errors
    /// If the disk refuses or refused before, or if the batch is not one.
    pub fn append(&mut self, records: &Records) -> Result<Lsn, WalError> {
        self.check()?;
        if records.is_empty() {
            return Ok(self.last_lsn());
        }
        let size = frame_size(records.bytes.len())
            .filter(|_| matches!(split_records(&records.bytes, records.count), Some((_, []))))
            .ok_or(WalError::BadBatch { bytes: records.bytes.len() })?;
        let written = self.make_room(size).and_then(|()| self.write_frame(Kind::Batch, records));
        self.poisoned_by(written)?;
        self.next = Lsn(self.next.0 + u64::from(records.count));
        Ok(self.last_lsn())
    }

    /// Makes everything appended durable. Costs nothing if it already is.
    ///
    /// # Errors
    /// If the disk refuses or refused before.
    pub fn sync(&mut self) -> Result<Lsn, WalError> {
        self.check()?;
        let synced = self.sync_open();
        self.poisoned_by(synced)?;
        self.durable = self.last_lsn();
        Ok(self.durable)
    }

    /// Writes down how far the log is durable, if no frame says so yet: to be
    /// called when no batch follows for a while. Not durable before a sync.
    ///
    /// # Errors
    /// If the disk refuses or refused before.
    pub fn attest(&mut self) -> Result<(), WalError> {
        self.check()?;
        if self.attested >= self.durable {
            return Ok(());
        }
        let written = self
            .make_room(FRAME_HEADER)
            .and_then(|()| self.write_frame(Kind::Batch, &Records::default()));
        self.poisoned_by(written)
    }

    /// Removes the segments that hold only records before `lsn`.
    ///
    /// # Errors
    /// If the disk refuses or refused before.
    pub fn truncate_before(&mut self, lsn: Lsn) -> Result<(), WalError> {
        self.check()?;
        loop {
            let mut firsts = self.segments.keys();
            let (Some(&oldest), Some(&second)) = (firsts.next(), firsts.next()) else {
                return Ok(());
            };
            if second > lsn {
                return Ok(());
            }
            let name = self.segments.remove(&oldest).unwrap_or_default();
            let removed = self.disk.remove(&name).map_err(at("remove", &name));
            self.poisoned_by(removed)?;
        }
    }

    /// LSN of the last record appended.
    pub fn last_lsn(&self) -> Lsn {
        Lsn(self.next.0 - 1)
    }

    /// The log is durable up to here.
    pub fn durable_lsn(&self) -> Lsn {
        self.durable
    }

    /// Whether an earlier call failed.
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_some()
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Size of a segment.
    pub fn segment_bytes(&self) -> u64 {
        segment_size(self.options, FRAME_HEADER)
    }

    /// Makes room for a frame of `size` bytes, and behind it for the frame that
    /// closes the segment.
    fn make_room(&mut self, size: usize) -> Result<(), WalError> {
        let needed = self.open.offset + (size + FRAME_HEADER) as u64;
        if needed <= self.open.size { Ok(()) } else { self.rotate(size) }
    }

    /// Goes on to a new segment in which a frame of `frame` bytes has room. The
    /// order matters, see the module's essay.
    fn rotate(&mut self, frame: usize) -> Result<(), WalError> {
        self.sync_open()?;
        self.durable = self.last_lsn();
        let (first, size) = (self.next, segment_size(self.options, frame));
        let name = make_segment(&mut self.disk, &self.identity, first, size)?;
        // A segment without a record is thereby replaced, not closed.
        if self.segments.insert(first, name.clone()).is_none() {
            self.write_frame(Kind::Close, &Records::default())?;
            self.sync_open()?;
        }
        let seal = Seal::new(&self.identity, first);
        self.open = Open { name, seal, size, offset: SEGMENT_HEADER as u64, dirty: false };
        Ok(())
    }

    fn write_frame(&mut self, kind: Kind, records: &Records) -> Result<(), WalError> {
        let Open { name, seal, offset, dirty, .. } = &mut self.open;
        let lsns = (self.next, self.durable);
        encode(seal, *offset, (kind, records.count), lsns, &records.bytes, &mut self.frame);
        self.disk.write_at(name, *offset, &self.frame).map_err(at("write", name))?;
        *offset += self.frame.len() as u64;
        *dirty = true;
        self.attested = self.durable;
        Ok(())
    }

    fn sync_open(&mut self) -> Result<(), WalError> {
        if self.open.dirty {
            self.disk.sync(&self.open.name).map_err(at("sync", &self.open.name))?;
            self.open.dirty = false;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), WalError> {
        self.poison.clone().map_or(Ok(()), |reason| Err(WalError::Poisoned(reason)))
    }

    fn poisoned_by<T>(&mut self, result: Result<T, WalError>) -> Result<T, WalError> {
        if let Err(error) = &result {
            self.poison.get_or_insert_with(|| error.to_string());
        }
        result
    }
}

/// Makes the zeros for a coming segment of `segment_bytes`, so that the log need
/// not wait for them. May run on another thread than the log's, one at a time.
///
/// # Errors
/// If the disk refuses. The log then makes its segment itself.
pub fn make_spare(disk: &mut impl Disk, segment_bytes: u64) -> io::Result<()> {
    match disk.size(SPARE) {
        Err(error) if error.kind() == ErrorKind::NotFound => disk.create(SPARE, segment_bytes),
        present => present.map(drop),
    }
}

/// Makes a durable, empty segment from the spare or from nothing.
fn make_segment(
    disk: &mut impl Disk,
    identity: &Identity,
    first: Lsn,
    size: u64,
) -> Result<String, WalError> {
    let zeros = match disk.size(SPARE) {
        Ok(spare) if spare == size => SPARE,
        _ => {
            disk.create(NEXT, size).map_err(at("create", NEXT))?;
            NEXT
        }
    };
    let (name, header) = (segment_name(first), SegmentHeader { size, first }.encode(identity));
    disk.write_at(zeros, 0, &header).map_err(at("write", zeros))?;
    disk.sync(zeros).map_err(at("sync", zeros))?;
    disk.rename(zeros, &name).map_err(at("rename", zeros))?;
    Ok(name)
}

/// The size of a segment in which a frame of `frame` bytes has room.
fn segment_size(options: Options, frame: usize) -> u64 {
    let least = (SEGMENT_HEADER + frame + FRAME_HEADER) as u64;
    options.segment_bytes.max(least).next_multiple_of(ALIGN as u64)
}
