//! Recovery: finds the end of the log, or refuses.

use std::collections::BTreeMap;

use super::disk::Disk;
use super::frame::{ALIGN, Frame, Kind, SEGMENT_HEADER, Seal, SegmentHeader};
use super::writer::{NEXT, SPARE};
use super::{Identity, Start, WalError, at, corrupt, read_all};
use crate::error::Corrupt;
use crate::node::Lsn;

/// Takes back a record.
pub(super) type Replay<'a> = dyn FnMut(Lsn, &[u8]) -> Result<(), Corrupt> + 'a;

/// The log as recovery left it, ready to be appended to.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Name of each segment by its first LSN; the last is open.
    pub segments: BTreeMap<Lsn, String>,
    /// Size of the open segment.
    pub size: u64,
    /// Where its next frame goes.
    pub offset: u64,
    /// Whether something is there already.
    pub torn: bool,
    /// LSN of the next record.
    pub next: Lsn,
    /// The largest LSN that something on disk says was durable.
    pub attested: Lsn,
}

/// The name of the segment that begins with `first`.
pub(super) fn segment_name(first: Lsn) -> String {
    format!("{:020}.wal", first.0)
}

/// Reads the log, hands back the records from `start.from` on, and makes them
/// durable. `None` if there is no log yet.
pub(super) fn recover(
    disk: &mut impl Disk,
    identity: &Identity,
    start: Start,
    replay: &mut Replay<'_>,
) -> Result<Option<Recovered>, WalError> {
    let mut segments = list_segments(disk)?;
    let (Some(first), Some((&last, _))) = (
        segments.range(..=start.from.max(Lsn(1))).next_back().map(|(&first, _)| first),
        segments.last_key_value(),
    ) else {
        return no_beginning(start, &segments);
    };
    let wanted = segments.split_off(&first);
    let obsolete = std::mem::replace(&mut segments, wanted);

    // A checkpoint is not finished before the log is durable up to its start.
    let attested = start.durable.max(Lsn(start.from.0.saturating_sub(1)));
    let mut walk = Walk { next: first, attested, frames: Vec::new() };
    let mut names = segments.iter().map(|(&first, name)| (first, name.clone()));
    let (mut blank, mut tail, mut close) = (None, None, None);
    while let Some((segment_first, name)) = names.next() {
        let segment = load(disk, identity, segment_first, &name)?;
        let seal = Seal::new(identity, segment_first);
        if segment_first != walk.next {
            let reason = format!("it begins with record {}, not {}", segment_first.0, walk.next.0);
            return Err(corrupt(&name, 24, reason));
        }
        let (end, closed) = walk.along(&name, &segment, &seal, start.from, replay)?;
        if closed {
            let frame = walk.frames.last().map_or(end, |&(offset, _)| offset);
            close = Some((name, frame, segment[frame..end].to_vec()));
            continue;
        }
        if let Some((next_first, next_name)) = names.next() {
            // Between making a segment and closing the one before it.
            let next = load(disk, identity, next_first, &next_name)?;
            let used = next[SEGMENT_HEADER..].iter().any(|&byte| byte != 0);
            if used || next_first != walk.next || next_first != last {
                let reason = format!("no intact frame here, but {next_name} follows");
                return Err(corrupt(&name, end, reason));
            }
            blank = Some((next_first, next_name));
        }
        tail = Some((name, segment, end));
    }
    let Some((name, segment, end)) = tail else {
        let missing = segment_name(walk.next);
        return Err(corrupt(&missing, 0, "this segment is missing: the one before it is closed"));
    };
    if walk.next <= walk.attested {
        let reason = format!(
            "record {} had to be here, the log was durable up to {}",
            walk.next.0, walk.attested.0
        );
        return Err(corrupt(&name, end, reason));
    }

    if let Some((first, name)) = blank {
        disk.remove(&name).map_err(at("remove", &name))?;
        segments.remove(&first);
    }
    // What is in the page cache only must not be lost after it was handed back,
    // and a failed fsync may have marked it as written: write it once more.
    if let Some((name, offset, frame)) = close
        && end == SEGMENT_HEADER
    {
        rewrite(disk, &name, offset, &frame)?;
    }
    if let Some(offset) = walk.first_unsure() {
        rewrite(disk, &name, offset, &segment[offset..end])?;
    }
    for name in obsolete.values() {
        disk.remove(name).map_err(at("remove", name))?;
    }
    Ok(Some(Recovered {
        segments,
        size: segment.len() as u64,
        offset: end as u64,
        torn: segment[end..].iter().any(|&byte| byte != 0),
        next: walk.next,
        attested: walk.attested,
    }))
}

fn rewrite(disk: &mut impl Disk, name: &str, at: usize, bytes: &[u8]) -> Result<(), WalError> {
    disk.write_at(name, at as u64, bytes).map_err(super::at("write", name))?;
    disk.sync(name).map_err(super::at("sync", name))
}

/// The way along the frames.
struct Walk {
    /// LSN that the next frame must begin with.
    next: Lsn,
    attested: Lsn,
    /// The frames of the current segment: offset and first LSN.
    frames: Vec<(usize, Lsn)>,
}

impl Walk {
    /// Walks through one segment. Returns where its intact frames end and
    /// whether the last of them closes it.
    fn along(
        &mut self,
        name: &str,
        segment: &[u8],
        seal: &Seal,
        from: Lsn,
        replay: &mut Replay<'_>,
    ) -> Result<(usize, bool), WalError> {
        self.frames.clear();
        // A segment is made when all before it is durable.
        self.attested = self.attested.max(Lsn(self.next.0 - 1));
        let mut offset = SEGMENT_HEADER;
        while let Some(frame) = Frame::decode(seal, segment, offset) {
            if frame.first != self.next {
                let reason =
                    format!("the frame begins with record {}, not {}", frame.first.0, self.next.0);
                return Err(corrupt(name, offset, reason));
            }
            let records =
                frame.records().ok_or_else(|| corrupt(name, offset, "records overlap"))?;
            for (lsn, record) in (self.next.0..).map(Lsn).zip(records) {
                if lsn >= from {
                    replay(lsn, record).map_err(|Corrupt(reason)| corrupt(name, offset, reason))?;
                }
            }
            self.attested = self.attested.max(frame.durable);
            self.frames.push((offset, self.next));
            self.next = frame.next();
            offset += frame.size();
            if frame.kind == Kind::Close {
                return Ok((offset, true));
            }
        }
        // Intact frames behind the end may attest what is missing here.
        for behind in (offset..segment.len()).step_by(ALIGN).skip(1) {
            if let Some(frame) = Frame::decode(seal, segment, behind) {
                self.attested = self.attested.max(frame.durable);
            }
        }
        Ok((offset, false))
    }

    /// Where in the last segment the first frame stands of which nothing says
    /// that it is durable: the one behind the last attested record, even if it
    /// is empty.
    fn first_unsure(&self) -> Option<usize> {
        self.frames.iter().find(|(_, first)| *first > self.attested).map(|&(offset, _)| offset)
    }
}

/// Loads a segment and checks its header, its name and its size.
fn load(
    disk: &mut impl Disk,
    identity: &Identity,
    first: Lsn,
    name: &str,
) -> Result<Vec<u8>, WalError> {
    let segment = read_all(disk, name)?;
    let header =
        SegmentHeader::decode(&segment, identity).map_err(|reason| corrupt(name, 0, reason))?;
    if header.first != first {
        let reason = format!("its header says that it begins with record {}", header.first.0);
        return Err(corrupt(name, 24, reason));
    }
    if header.size != segment.len() as u64 {
        let reason = format!("it has {} bytes, its header says {}", segment.len(), header.size);
        return Err(corrupt(name, segment.len().min(header.size as usize), reason));
    }
    Ok(segment)
}

/// The segments by their first LSN. Removes what a crash left half made.
fn list_segments(disk: &mut impl Disk) -> Result<BTreeMap<Lsn, String>, WalError> {
    let mut segments = BTreeMap::new();
    for name in disk.list().map_err(at("list", "the folder"))? {
        if let Some(number) = name.strip_suffix(".wal") {
            let first = number.parse().map(Lsn).ok().filter(|&lsn| segment_name(lsn) == name);
            let first = first.filter(|lsn| lsn.0 > 0);
            segments.insert(first.ok_or_else(|| corrupt(&name, 0, "not a segment's name"))?, name);
        } else if [SPARE, NEXT].contains(&name.strip_suffix(".tmp").unwrap_or(&name)) {
            disk.remove(&name).map_err(at("remove", &name))?;
        }
    }
    Ok(segments)
}

/// There is no segment that holds the first record that is wanted.
fn no_beginning(
    start: Start,
    segments: &BTreeMap<Lsn, String>,
) -> Result<Option<Recovered>, WalError> {
    if segments.is_empty() && start.from <= Lsn(1) && start.durable == Lsn(0) {
        return Ok(None);
    }
    let missing = segment_name(start.from.max(Lsn(1)));
    let reason = match segments.first_key_value() {
        Some((_, name)) => format!("no segment holds record {}; the first is {name}", start.from.0),
        None => format!("no segment holds record {}; there is none", start.from.0),
    };
    Err(corrupt(&missing, 0, reason))
}
