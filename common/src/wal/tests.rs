//! The log as a whole, against damage and power cuts.

use super::frame::{Frame, Kind, SEGMENT_HEADER, Seal};
use super::*;
use crate::node::Records;

type Recovered = Vec<(Lsn, Vec<u8>)>;

fn identity() -> Identity {
    Identity { cluster: ClusterId(7), node: "s1".into() }
}

fn records<'a>(contents: impl IntoIterator<Item = &'a [u8]>) -> Records {
    let mut records = Records::default();
    for content in contents {
        records.count += 1;
        records.bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
        records.bytes.extend_from_slice(content);
    }
    records
}

fn open_as(
    disk: &MemDisk,
    identity: Identity,
    segment_bytes: u64,
    start: Start,
) -> Result<(Wal<MemDisk>, Recovered), WalError> {
    let mut recovered = Vec::new();
    let options = Options { segment_bytes };
    let wal = Wal::open(disk.clone(), identity, options, start, |lsn, record| {
        recovered.push((lsn, record.to_vec()));
        Ok(())
    })?;
    Ok((wal, recovered))
}

fn open(disk: &MemDisk) -> Result<(Wal<MemDisk>, Recovered), WalError> {
    open_as(disk, identity(), 256, Start::default())
}

#[track_caller]
fn refused<T>(result: Result<T, WalError>) -> (String, u64, String) {
    match result.err().expect("it must be refused") {
        WalError::Corrupt { file, offset, reason } => (file, offset, reason),
        other => panic!("{other}"),
    }
}

fn files(disk: &MemDisk) -> Vec<String> {
    disk.clone().list().unwrap()
}

/// Twenty synced batches of one record in segments of 256 bytes.
fn sample() -> (MemDisk, Wal<MemDisk>, Recovered) {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk).unwrap();
    let mut written = Vec::new();
    for number in 0..10u8 {
        let contents = [vec![number; usize::from(number)], b"x".to_vec()];
        for content in &contents {
            written.push((wal.last_lsn().next(), content.clone()));
            let lsn = wal.append(&records([&content[..]])).unwrap();
            assert_eq!(wal.sync().unwrap(), lsn);
        }
    }
    (disk, wal, written)
}

#[test]
fn records_come_back_in_order_from_any_start() {
    let (disk, wal, written) = sample();
    assert!(wal.segments() > 3);
    for from in 1..=21 {
        let start = Start { from: Lsn(from), durable: Lsn(20) };
        let (wal, recovered) = open_as(&disk.fork(), identity(), 256, start).unwrap();
        assert_eq!(recovered, written[from as usize - 1..]);
        assert_eq!((wal.last_lsn(), wal.durable_lsn()), (Lsn(20), Lsn(20)));
    }
    let beyond = Start { from: Lsn(22), durable: Lsn(0) };
    refused(open_as(&disk, identity(), 256, beyond));
    let lost = Start { from: Lsn(1), durable: Lsn(21) };
    let (_, _, reason) = refused(open_as(&disk, identity(), 256, lost));
    assert_eq!(reason, "record 21 had to be here, the log was durable up to 21");
}

#[test]
fn truncation_removes_whole_segments_and_the_prefix_is_then_missed() {
    let (disk, mut wal, written) = sample();
    let before = wal.segments();
    wal.truncate_before(Lsn(12)).unwrap();
    assert!(wal.segments() < before && files(&disk).len() == wal.segments());
    let start = Start { from: Lsn(12), durable: Lsn(20) };
    assert_eq!(open_as(&disk, identity(), 256, start).unwrap().1, written[11..]);
    let (file, _, reason) = refused(open(&disk));
    assert_eq!(file, "00000000000000000001.wal");
    assert!(reason.starts_with("no segment holds record 1; the first is"), "{reason}");
    wal.truncate_before(Lsn(1000)).unwrap();
    assert_eq!(wal.segments(), 1);
}

/// Where the pieces of a log are: file, begin, end.
fn pieces(disk: &MemDisk) -> Vec<(String, usize, usize)> {
    let mut pieces = Vec::new();
    for name in files(disk) {
        let segment = disk.content(&name);
        let seal = Seal::new(&identity(), Lsn(name.split('.').next().unwrap().parse().unwrap()));
        pieces.push((name.clone(), 0, SEGMENT_HEADER));
        let mut offset = SEGMENT_HEADER;
        while let Some(frame) = Frame::decode(&seal, &segment, offset) {
            pieces.push((name.clone(), offset, offset + frame.size()));
            offset += frame.size();
            if frame.kind == Kind::Close {
                break;
            }
        }
    }
    pieces
}

/// A bit flipped anywhere is refused at its frame, or nothing is lost but the
/// last frame if it is not attested.
#[test]
fn every_flipped_bit_is_refused_or_harmless() {
    for attested in [false, true] {
        let (disk, mut wal, written) = sample();
        if attested {
            wal.attest().unwrap();
            wal.sync().unwrap();
        }
        let pieces = pieces(&disk);
        let last = pieces.last().unwrap().clone();
        let (mut refusals, mut repairs) = (0, 0);
        for name in files(&disk) {
            let content = disk.content(&name);
            for bit in 0..content.len() * 8 {
                let byte = bit / 8;
                let mut flipped = content.clone();
                flipped[byte] ^= 1 << (bit % 8);
                let mut copy = disk.fork();
                copy.tamper(&name, &flipped);
                let within = |(file, begin, end): &&(String, usize, usize)| {
                    *file == name && (*begin..*end).contains(&byte)
                };
                let hit = pieces.iter().find(within);
                if let Some((_, begin, end)) = hit.filter(|hit| **hit != last) {
                    let (file, offset, reason) = refused(open(&copy));
                    let at = (*begin as u64..*end as u64).contains(&offset);
                    assert!(file == name && at, "bit {bit} of {name}: {file} {offset} {reason}");
                    refusals += 1;
                } else {
                    let lost = usize::from(hit.is_some() && !attested);
                    appends_well(&mut copy, &written[..written.len() - lost]);
                    repairs += 1;
                }
            }
        }
        assert!(refusals > 1000 && repairs > 100, "{refusals} {repairs}");
    }
}

/// The log opens with these records, takes more, and keeps them.
fn appends_well(disk: &mut MemDisk, expected: &[(Lsn, Vec<u8>)]) {
    let (mut wal, recovered) = open(disk).unwrap();
    assert_eq!(recovered, expected);
    let lsn = wal.append(&records([&b"more"[..], b"and more"])).unwrap();
    assert_eq!(wal.sync().unwrap(), lsn);
    disk.crash(|_| 0);
    let (_, recovered) = open(disk).unwrap();
    assert_eq!(recovered[..expected.len()], *expected);
    let more = [(Lsn(lsn.0 - 1), b"more".to_vec()), (lsn, b"and more".to_vec())];
    assert_eq!(recovered[expected.len()..], more);
}

#[test]
fn every_truncation_and_every_missing_segment_is_refused() {
    let (disk, _, _) = sample();
    for name in files(&disk) {
        let content = disk.content(&name);
        for len in 0..content.len() {
            let mut copy = disk.fork();
            copy.tamper(&name, &content[..len]);
            let (file, offset, _) = refused(open(&copy));
            assert!(file == name && offset <= len as u64);
        }
        let mut copy = disk.fork();
        copy.remove(&name).unwrap();
        refused(open(&copy));
        let mut copy = disk.fork();
        copy.tamper(&name, &[&content[..], &[0; 8]].concat());
        refused(open(&copy));
    }
}

#[test]
fn foreign_and_stale_segments_are_refused() {
    let (disk, ..) = sample();
    let cluster = Identity { cluster: ClusterId(8), node: "s1".into() };
    let (_, _, reason) = refused(open_as(&disk, cluster.clone(), 256, Start::default()));
    assert!(reason.contains("it belongs to cluster 0000"), "{reason}");
    let node = Identity { cluster: ClusterId(7), node: "s2".into() };
    let (_, _, reason) = refused(open_as(&disk, node, 256, Start::default()));
    assert!(reason.contains("another node of the cluster, not to s2"), "{reason}");

    // One segment of another cluster among our own.
    let names = files(&disk);
    let mut copy = disk.fork();
    let foreign = MemDisk::new();
    let (mut wal, _) = open_as(&foreign, cluster, 256, Start::default()).unwrap();
    for _ in 0..20 {
        wal.append(&records([&b"foreign record"[..]])).unwrap();
    }
    copy.tamper(&names[0], &foreign.content(&names[0]));
    assert_eq!(refused(open(&copy)).0, names[0]);

    // A segment under the name of another, and one from an older life behind the end.
    let mut copy = disk.fork();
    copy.tamper(&names[2], &disk.content(&names[1]));
    assert_eq!(refused(open(&copy)).0, names[2]);
    let mut copy = disk.fork();
    copy.tamper("00000000000000000090.wal", &disk.content(&names[1]));
    refused(open(&copy));
    let mut copy = disk.fork();
    copy.tamper("1.wal", &[]);
    assert_eq!(refused(open(&copy)).0, "1.wal");
}

#[test]
fn frames_behind_a_tear_never_come_alive() {
    let mut disk = MemDisk::with_sector(8);
    let (mut wal, _) = open_as(&disk, identity(), 4096, Start::default()).unwrap();
    wal.append(&records([&b"kept"[..]])).unwrap();
    wal.sync().unwrap();
    for _ in 0..4 {
        wal.append(&records([&b"lost"[..]])).unwrap();
    }
    // The first unsynced frame is torn, those behind it are whole.
    disk.crash(|piece| if piece.write == 3 { 0 } else { piece.len });
    let (mut wal, recovered) = open_as(&disk, identity(), 4096, Start::default()).unwrap();
    assert_eq!(recovered.len(), 1);
    wal.append(&records([&b"new!"[..]])).unwrap();
    wal.sync().unwrap();
    let (_, recovered) = open_as(&disk, identity(), 4096, Start::default()).unwrap();
    assert_eq!(recovered, [(Lsn(1), b"kept".to_vec()), (Lsn(2), b"new!".to_vec())]);
}

#[test]
fn a_big_batch_gets_a_segment_of_its_own() {
    let disk = MemDisk::new();
    let big = vec![7; 10_000];
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(&records([&big[..], &big])).unwrap();
    wal.append(&records([&b"small"[..]])).unwrap();
    wal.append(&records([&big[..]])).unwrap();
    wal.sync().unwrap();
    let (wal, recovered) = open(&disk).unwrap();
    let lens: Vec<_> = recovered.iter().map(|(_, record)| record.len()).collect();
    assert_eq!((lens, wal.last_lsn()), (vec![10_000, 10_000, 5, 10_000], Lsn(4)));
}

#[test]
fn a_batch_that_is_none_is_refused_and_does_no_harm() {
    let (mut wal, _) = open(&MemDisk::new()).unwrap();
    let bad = Records { count: 2, bytes: records([&b"one"[..]]).bytes };
    assert!(matches!(wal.append(&bad), Err(WalError::BadBatch { .. })));
    assert_eq!(wal.append(&records([&b"one"[..]])).unwrap(), Lsn(1));
}

#[test]
fn a_failed_sync_poisons_and_a_restart_finds_what_is_durable() {
    let mut disk = MemDisk::new();
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(&records([&b"a"[..]])).unwrap();
    wal.sync().unwrap();
    wal.append(&records([&b"b"[..]])).unwrap();
    disk.fail_syncs(1);
    assert!(matches!(wal.sync(), Err(WalError::Io { .. })));
    let syncs = disk.syncs();
    assert!(matches!(wal.sync(), Err(WalError::Poisoned(_))));
    assert!(matches!(wal.append(&records([&b"c"[..]])), Err(WalError::Poisoned(_))));
    assert!(matches!(wal.attest(), Err(WalError::Poisoned(_))));
    assert!(matches!(wal.truncate_before(Lsn(1)), Err(WalError::Poisoned(_))));
    assert!(wal.is_poisoned() && wal.durable_lsn() == Lsn(1) && disk.syncs() == syncs);

    // The page cache still shows the record: what recovery hands out must stay.
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.len(), 2);
    disk.crash(|_| 0);
    assert_eq!(open(&disk).unwrap().1, recovered);
}

#[test]
fn a_full_disk_poisons_and_loses_nothing() {
    let mut disk = MemDisk::new();
    let (mut wal, _) = open(&disk).unwrap();
    disk.set_capacity(Some(700));
    let mut acked = 0;
    while wal.append(&records([&b"0123456789"[..]])).and_then(|_| wal.sync()).is_ok() {
        acked += 1;
    }
    assert!(wal.is_poisoned() && acked > 2);
    disk.crash(|_| 0);
    disk.set_capacity(None);
    let (mut wal, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.len(), acked);
    wal.append(&records([&b"0123456789"[..]])).unwrap();
}

#[test]
fn syncs_are_not_wasted_and_attesting_ends() {
    let (disk, mut wal, _) = sample();
    let syncs = disk.syncs();
    wal.sync().unwrap();
    assert_eq!(disk.syncs(), syncs);
    wal.attest().unwrap();
    let files: Vec<_> = files(&disk).iter().map(|name| disk.content(name)).collect();
    wal.attest().unwrap();
    wal.sync().unwrap();
    assert_eq!(files, self::files(&disk).iter().map(|n| disk.content(n)).collect::<Vec<_>>());
    assert_eq!(disk.syncs(), syncs + 1);
}

#[test]
fn a_spare_segment_is_used() {
    let (mut disk, mut wal, _) = sample();
    make_spare(&mut disk, wal.segment_bytes()).unwrap();
    make_spare(&mut disk, wal.segment_bytes()).unwrap();
    assert!(files(&disk).contains(&"spare".into()));
    let segments = wal.segments();
    while wal.segments() == segments {
        wal.append(&records([&b"more"[..]])).unwrap();
    }
    assert!(!files(&disk).contains(&"spare".into()));
    open(&disk).unwrap();
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn crash_at_random(disk: &mut MemDisk, random: &mut Random) {
    let mode = random.below(4);
    disk.crash(|piece| match mode {
        0 => 0,
        1 => piece.len,
        2 => piece.len * random.below(2) as usize,
        _ => random.below(piece.len as u64 + 1) as usize,
    });
}

/// Whatever was acknowledged survives every crash, and nothing is invented.
#[test]
fn acknowledged_records_survive_any_crash() {
    let seeds = std::env::var("SYNOD_WAL_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1500);
    for seed in 0..seeds {
        survive(seed);
    }
}

fn survive(seed: u64) {
    let random = &mut Random(seed);
    let mut disk = MemDisk::with_sector([8, 16, 64, 512][random.below(4) as usize]);
    let segment_bytes = 160 + random.below(5) * 100;
    // What was written, from the first record on; how many of it may not get lost.
    let (mut history, mut acked, mut start) = (Vec::<Vec<u8>>::new(), 0, Start::default());
    let mut tag = 0u64;
    for _ in 0..12 {
        if random.below(4) == 0 {
            disk.cut_power_after(random.below(8));
        }
        let (mut wal, recovered) = match open_as(&disk, identity(), segment_bytes, start) {
            Ok(opened) => opened,
            Err(WalError::Io { .. }) => {
                crash_at_random(&mut disk, random);
                continue;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        };
        let skipped = start.from.0 as usize - 1;
        let known = skipped + recovered.len();
        assert!(known >= acked, "seed {seed}: {acked} records acknowledged, {known} recovered");
        assert!(known <= history.len(), "seed {seed}: a record was invented");
        for (index, (lsn, record)) in recovered.iter().enumerate() {
            assert_eq!(*lsn, Lsn((skipped + index) as u64 + 1), "seed {seed}");
            assert_eq!(*record, history[skipped + index], "seed {seed}: {lsn:?}");
        }
        history.truncate(known);
        acked = known;
        for _ in 0..random.below(25) {
            match random.below(12) {
                0..6 => {
                    let mut batch = Vec::new();
                    for _ in 0..1 + random.below(3) {
                        tag += 1;
                        let mut record = tag.to_le_bytes().to_vec();
                        record.resize(
                            8 + random.below(if tag.is_multiple_of(50) { 900 } else { 40 })
                                as usize,
                            0xa5,
                        );
                        batch.push(record);
                    }
                    let written = wal.append(&records(batch.iter().map(|record| &record[..])));
                    // Even a failed write may have reached the disk.
                    let failed = written.is_err();
                    history.extend(batch);
                    if failed {
                        break;
                    }
                }
                6..9 => match wal.sync() {
                    Ok(lsn) => acked = lsn.0 as usize,
                    Err(_) => break,
                },
                9 if wal.attest().is_err() => break,
                10 => {
                    let lsn = Lsn(1 + random.below(acked as u64 + 1));
                    if lsn > start.from {
                        start = Start { from: lsn, durable: Lsn(acked as u64) };
                        if wal.truncate_before(lsn).is_err() {
                            break;
                        }
                    }
                }
                _ if random.below(5) == 0 => disk.fail_syncs(1),
                _ => {}
            }
        }
        // Sometimes only the process dies, and the page cache lives on.
        if random.below(4) > 0 {
            crash_at_random(&mut disk, random);
        } else {
            disk.cut_power_after(u64::MAX);
            disk.fail_syncs(0);
        }
    }
}

type Parts = Vec<Vec<u8>>;

fn load(disk: &mut MemDisk) -> Result<(Start, Parts), WalError> {
    let mut parts = Vec::new();
    let start = checkpoint::recover(disk, &identity(), |part| {
        parts.push(part.to_vec());
        Ok(())
    })?;
    Ok((start, parts))
}

fn write_checkpoint(disk: &MemDisk, start: u64, parts: &Parts) -> Result<Start, WalError> {
    let mut checkpoint = checkpoint::Checkpoint::begin(disk.clone(), &identity(), Lsn(start))?;
    for part in parts {
        checkpoint.part(part)?;
    }
    checkpoint.finish(Lsn(start + 10))
}

#[test]
fn a_checkpoint_is_there_whole_or_not_at_all() {
    let old = vec![b"old".to_vec()];
    let new = vec![b"new part".to_vec(), vec![], vec![9; 30]];
    let mut disk = MemDisk::with_sector(8);
    assert_eq!(load(&mut disk).unwrap(), (Start::default(), vec![]));
    write_checkpoint(&disk, 5, &old).unwrap();
    let (mut olds, mut news) = (0, 0);
    for cut in 0.. {
        let mut finished = false;
        for seed in 0..20 {
            let mut disk = disk.fork();
            disk.cut_power_after(cut);
            finished = write_checkpoint(&disk, 7, &new).is_ok();
            crash_at_random(&mut disk, &mut Random(seed));
            let (start, parts) = load(&mut disk).unwrap();
            assert_eq!(files(&disk).len(), 1, "{:?}", files(&disk));
            if start.from == Lsn(7) {
                assert_eq!((parts, start.durable), (new.clone(), Lsn(17)));
                news += 1;
            } else {
                assert!(!finished, "cut {cut}");
                assert_eq!((parts, start), (old.clone(), Start { from: Lsn(5), durable: Lsn(15) }));
                olds += 1;
            }
        }
        if finished {
            break;
        }
    }
    assert!(olds > 100 && news > 20, "{olds} {news}");
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let disk = MemDisk::new();
    write_checkpoint(&disk, 5, &vec![b"one".to_vec(), b"two".to_vec()]).unwrap();
    let name = &files(&disk)[0];
    let content = disk.content(name);
    for bit in 0..content.len() * 8 {
        let mut flipped = content.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut copy = disk.fork();
        copy.tamper(name, &flipped);
        assert_eq!(refused(load(&mut copy)).0, *name, "bit {bit}");
    }
    for len in 0..content.len() {
        let mut copy = disk.fork();
        copy.tamper(name, &content[..len]);
        refused(load(&mut copy));
    }
    let mut copy = disk.fork();
    copy.tamper(name, &[&content[..], b"\0"].concat());
    refused(load(&mut copy));
}
