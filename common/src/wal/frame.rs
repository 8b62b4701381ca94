//! The bytes of a segment: its header and its frames.

use crc32fast::Hasher;
use xxhash_rust::xxh3::xxh3_64;

use super::Identity;
use crate::id::ClusterId;
use crate::node::Lsn;

/// Frames start at multiples of this.
pub(super) const ALIGN: usize = 8;
/// Bytes in front of a frame's records.
pub(super) const FRAME_HEADER: usize = 32;
/// Bytes in front of a segment's first frame.
pub(super) const SEGMENT_HEADER: usize = 64;

const SEGMENT_MAGIC: &[u8; 8] = b"SYNODWAL";
const BATCH_MAGIC: &[u8; 4] = b"SyBa";
const CLOSE_MAGIC: &[u8; 4] = b"SyCl";
const FORMAT_VERSION: u32 = 1;

/// The first bytes of a segment. All integers are little-endian.
///
/// ```text
/// 0 "SYNODWAL"  8 crc  12 version  16 size  24 first_lsn  32 cluster  48 hash of the node's name  56 zeros
/// ```
///
/// The CRC is over all other bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Size of the whole file.
    pub size: u64,
    /// LSN of the first record that can be in it.
    pub first: Lsn,
}

impl SegmentHeader {
    pub fn encode(&self, identity: &Identity) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[12..16].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.size.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[32..48].copy_from_slice(&identity.cluster.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&xxh3_64(identity.node.as_bytes()).to_le_bytes());
        let crc = crc_around(&bytes, 8);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header, or why it is none.
    pub fn decode(segment: &[u8], identity: &Identity) -> Result<SegmentHeader, String> {
        let bytes = segment.get(..SEGMENT_HEADER).ok_or("the file is shorter than its header")?;
        check_identity(bytes, SEGMENT_MAGIC, FORMAT_VERSION, 32, identity)?;
        Ok(SegmentHeader { size: u64_at(bytes, 16), first: Lsn(u64_at(bytes, 24)) })
    }
}

/// Checks what the headers of segments and checkpoints share: the magic, the
/// CRC behind it, the version, and the owner at `owner`.
pub(super) fn check_identity(
    bytes: &[u8],
    magic: &[u8; 8],
    version: u32,
    owner: usize,
    identity: &Identity,
) -> Result<(), String> {
    if &bytes[..8] != magic {
        return Err("the header's magic is wrong".into());
    }
    if u32_at(bytes, 8) != crc_around(bytes, 8) {
        return Err("the header's checksum is wrong".into());
    }
    if u32_at(bytes, 12) != version {
        return Err(format!("format version {} is not {version}", u32_at(bytes, 12)));
    }
    let cluster =
        ClusterId(u128::from(u64_at(bytes, owner)) | u128::from(u64_at(bytes, owner + 8)) << 64);
    if cluster != identity.cluster {
        return Err(format!("it belongs to cluster {cluster}, not to {}", identity.cluster));
    }
    if u64_at(bytes, owner + 16) != xxh3_64(identity.node.as_bytes()) {
        return Err(format!("it belongs to another node of the cluster, not to {}", identity.node));
    }
    Ok(())
}

/// CRC of all bytes but the four at `hole`.
pub(super) fn crc_around(bytes: &[u8], hole: usize) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&bytes[..hole]);
    hasher.update(&bytes[hole + 4..]);
    hasher.finalize()
}

/// What a frame's CRC covers besides its bytes: whose log it is, in which
/// segment and where in it. A frame that was copied, moved or left over from
/// another life is thereby not intact.
#[derive(Clone, Debug)]
pub(super) struct Seal(Hasher);

impl Seal {
    pub fn new(identity: &Identity, first: Lsn) -> Seal {
        let mut hasher = Hasher::new();
        hasher.update(&identity.cluster.0.to_le_bytes());
        hasher.update(&(identity.node.len() as u64).to_le_bytes());
        hasher.update(identity.node.as_bytes());
        hasher.update(&first.0.to_le_bytes());
        Seal(hasher)
    }

    /// The CRC of a piece at `offset` whose own CRC stands at its bytes 4..8.
    pub fn crc(&self, offset: u64, header: &[u8], body: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(&offset.to_le_bytes());
        hasher.update(&header[..4]);
        hasher.update(&header[8..]);
        hasher.update(body);
        hasher.finalize()
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Records, or none: then it is there for its `durable`.
    Batch,
    /// The last of its segment; the next segment exists.
    Close,
}

/// A frame that was read and is intact.
///
/// ```text
/// 0 magic  4 crc  8 length  12 count  16 first_lsn  24 durable_lsn  32 records, zeros up to a multiple of 8
/// ```
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    pub kind: Kind,
    /// How many records.
    pub count: u32,
    /// LSN of the first record, or of the next one if there is none.
    pub first: Lsn,
    /// The log was durable up to here when the frame was written.
    pub durable: Lsn,
    /// Records and padding.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Bytes on disk.
    pub fn size(&self) -> usize {
        FRAME_HEADER + self.body.len()
    }

    /// LSN of the record behind this frame's last.
    pub fn next(&self) -> Lsn {
        Lsn(self.first.0.saturating_add(u64::from(self.count)))
    }

    /// The records, or `None` if the body does not hold as many as it says.
    pub fn records(&self) -> Option<Vec<&'a [u8]>> {
        let (records, rest) = split_records(self.body, self.count)?;
        (rest.len() < ALIGN && rest.iter().all(|&byte| byte == 0)).then_some(records)
    }

    /// The frame at `offset` of a segment, if one is there and intact.
    pub fn decode(seal: &Seal, segment: &'a [u8], offset: usize) -> Option<Frame<'a>> {
        let rest = segment.get(offset..)?;
        let kind = match rest.first_chunk::<4>()? {
            BATCH_MAGIC => Kind::Batch,
            CLOSE_MAGIC => Kind::Close,
            _ => return None,
        };
        let (header, rest) = rest.split_at_checked(FRAME_HEADER)?;
        let body = rest.get(..u32_at(header, 8) as usize)?;
        let frame = Frame {
            kind,
            count: u32_at(header, 12),
            first: Lsn(u64_at(header, 16)),
            durable: Lsn(u64_at(header, 24)),
            body,
        };
        let possible = body.len() % ALIGN == 0 && frame.durable < frame.first;
        (possible && seal.crc(offset as u64, header, body) == u32_at(header, 4)).then_some(frame)
    }
}

/// Splits off `count` records with their lengths.
pub(super) fn split_records(mut bytes: &[u8], count: u32) -> Option<(Vec<&[u8]>, &[u8])> {
    let mut records = Vec::new();
    for _ in 0..count {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (record, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        records.push(record);
        bytes = rest;
    }
    Some((records, bytes))
}

/// The size on disk of a frame with so many bytes of records; `None` if that
/// is more than a frame can hold.
pub(super) fn frame_size(records: usize) -> Option<usize> {
    let body = records.checked_next_multiple_of(ALIGN)?;
    u32::try_from(body).ok()?;
    Some(FRAME_HEADER + body)
}

/// Encodes a frame for `offset` into the emptied buffer. The caller knows that
/// the records fit into a frame.
pub(super) fn encode(
    seal: &Seal,
    offset: u64,
    (kind, count): (Kind, u32),
    (first, durable): (Lsn, Lsn),
    records: &[u8],
    into: &mut Vec<u8>,
) {
    let body = records.len().next_multiple_of(ALIGN);
    into.clear();
    into.reserve(FRAME_HEADER + body);
    into.extend_from_slice(match kind {
        Kind::Batch => BATCH_MAGIC,
        Kind::Close => CLOSE_MAGIC,
    });
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&(body as u32).to_le_bytes());
    into.extend_from_slice(&count.to_le_bytes());
    into.extend_from_slice(&first.0.to_le_bytes());
    into.extend_from_slice(&durable.0.to_le_bytes());
    into.extend_from_slice(records);
    into.resize(FRAME_HEADER + body, 0);
    let (header, body) = into.split_at(FRAME_HEADER);
    let crc = seal.crc(offset, header, body);
    into[4..8].copy_from_slice(&crc.to_le_bytes());
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(cluster: u128, node: &str) -> Identity {
        Identity { cluster: ClusterId(cluster), node: node.into() }
    }

    fn sample(seal: &Seal, offset: u64) -> Vec<u8> {
        let mut frame = Vec::new();
        let records = b"\x03\0\0\0abc\0\0\0\0";
        encode(seal, offset, (Kind::Batch, 2), (Lsn(7), Lsn(5)), records, &mut frame);
        frame
    }

    #[test]
    fn frames_read_back() {
        let seal = Seal::new(&identity(1, "s1"), Lsn(1));
        let bytes = sample(&seal, 0);
        assert_eq!(bytes.len(), FRAME_HEADER + 16);
        let frame = Frame::decode(&seal, &bytes, 0).expect("intact");
        assert_eq!((frame.first, frame.next(), frame.durable), (Lsn(7), Lsn(9), Lsn(5)));
        assert_eq!(frame.records(), Some(vec![&b"abc"[..], &b""[..]]));
    }

    #[test]
    fn golden_bytes_of_version_1() {
        let header = SegmentHeader { size: 4096, first: Lsn(7) }.encode(&identity(9, "s1"));
        let frame = sample(&Seal::new(&identity(9, "s1"), Lsn(7)), 64);
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(&header), GOLDEN_HEADER);
        assert_eq!(hex(&frame), GOLDEN_FRAME);
    }

    const GOLDEN_HEADER: &str = "53594e4f4457414c7f983470010000000010000000000000070000000000000009000000000000000000000000000000d13049453f5e279a0000000000000000";
    const GOLDEN_FRAME: &str = "537942617053bd0710000000020000000700000000000000050000000000000003000000616263000000000000000000";

    #[test]
    fn any_flip_another_place_or_another_owner_is_noticed() {
        let seal = Seal::new(&identity(1, "s1"), Lsn(1));
        let bytes = sample(&seal, 8);
        let at_8 = |bytes: &[u8]| [&[0; 8], bytes].concat();
        assert!(Frame::decode(&seal, &at_8(&bytes), 8).is_some());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(&seal, &at_8(&flipped), 8).is_none(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Frame::decode(&seal, &at_8(&bytes[..cut]), 8).is_none(), "cut at {cut}");
        }
        assert!(Frame::decode(&seal, &bytes, 0).is_none());
        for (owner, first) in
            [(identity(2, "s1"), 1), (identity(1, "s2"), 1), (identity(1, "s1"), 2)]
        {
            assert!(Frame::decode(&Seal::new(&owner, Lsn(first)), &at_8(&bytes), 8).is_none());
        }
    }

    #[test]
    fn any_flip_of_a_segment_header_is_noticed() {
        let owner = identity(1, "s1");
        let header = SegmentHeader { size: 4096, first: Lsn(7) };
        let bytes = header.encode(&owner);
        assert_eq!(SegmentHeader::decode(&bytes, &owner), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped, &owner).is_err(), "bit {bit}");
        }
    }
}
