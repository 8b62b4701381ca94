//! The faults of a build for testers.

use std::fs::File;
use std::io;
use std::iter::Sum;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// The longest that an fsync may be asked to take, in milliseconds.
const MOST_SLOW_MS: u64 = 10_000;
/// The farthest that the clock may be asked to be off: 30 days, in milliseconds. Timestamps
/// never go back, so what follows of a jump ahead stays.
const MOST_OFFSET_MS: u64 = 30 * 24 * 3600 * 1000;

/// What Linux calls EIO and ENOSPC.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// The faults of one server. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Chaos(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    faults: Faults,
    effects: Effects,
}

/// What a disk does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// What it should.
    #[default]
    Ok,
    /// Every fsync fails, and does nothing.
    FsyncFails,
    /// No file grows.
    Full,
    /// Every fsync takes so many milliseconds longer.
    #[serde(rename = "slow_ms")]
    Slow(u64),
}

/// The faults that are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Of the disk.
    pub disk: Disk,
    /// What the wall clock shows too much, in milliseconds.
    pub clock_offset_ms: i64,
}

/// What is to be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// What the disk is to do from now on.
    pub disk: Option<Disk>,
    /// What the wall clock is to show too much from now on, in milliseconds.
    pub clock_offset_ms: Option<i64>,
}

/// How often faults took effect since the start of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Effects {
    /// Fsyncs that failed.
    pub fsyncs_failed: u64,
    /// Fsyncs that took longer.
    pub fsyncs_slowed: u64,
    /// Writes that found no room.
    pub writes_refused: u64,
    /// Looks at a clock that was off.
    pub clock_reads_shifted: u64,
}

impl Sum for Effects {
    fn sum<I: Iterator<Item = Effects>>(all: I) -> Effects {
        all.fold(Effects::default(), |a, b| Effects {
            fsyncs_failed: a.fsyncs_failed + b.fsyncs_failed,
            fsyncs_slowed: a.fsyncs_slowed + b.fsyncs_slowed,
            writes_refused: a.writes_refused + b.writes_refused,
            clock_reads_shifted: a.clock_reads_shifted + b.clock_reads_shifted,
        })
    }
}

impl Wish {
    /// Whether it can be granted.
    ///
    /// # Errors
    /// Says which number is out of bounds, and what they are.
    pub fn check(&self) -> Result<(), String> {
        if let Some(Disk::Slow(ms)) = self.disk
            && !(1..=MOST_SLOW_MS).contains(&ms)
        {
            return Err(format!("slow_ms: {ms} is not between 1 and {MOST_SLOW_MS}"));
        }
        match self.clock_offset_ms {
            Some(ms) if ms.unsigned_abs() > MOST_OFFSET_MS => Err(format!(
                "clock_offset_ms: {ms} is not between -{MOST_OFFSET_MS} and {MOST_OFFSET_MS}"
            )),
            Some(_) | None => Ok(()),
        }
    }
}

impl Chaos {
    /// Changes what is wished for, at once, or nothing.
    ///
    /// # Errors
    /// As [`Wish::check`].
    pub fn set(&self, wish: &Wish) -> Result<(), String> {
        wish.check()?;
        let faults = &mut self.0.lock().faults;
        faults.disk = wish.disk.unwrap_or(faults.disk);
        faults.clock_offset_ms = wish.clock_offset_ms.unwrap_or(faults.clock_offset_ms);
        Ok(())
    }

    /// What is on.
    pub fn faults(&self) -> Faults {
        self.0.lock().faults
    }

    /// How often that took effect.
    pub fn effects(&self) -> Effects {
        self.0.lock().effects
    }

    /// Writes all of it, or what has room.
    pub(in crate::driver) fn write(
        &self,
        file: &File,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        if self.faults().disk != Disk::Full {
            return file.write_all_at(bytes, offset);
        }
        let room = file.metadata()?.len().saturating_sub(offset);
        let fits = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
        file.write_all_at(&bytes[..fits], offset)?;
        if fits < bytes.len() {
            self.0.lock().effects.writes_refused += 1;
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }

    /// Syncs, or fails to.
    pub(in crate::driver) fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let slow_ms = {
            let State { faults, effects } = &mut *self.0.lock();
            match faults.disk {
                Disk::Ok | Disk::Full => 0,
                Disk::FsyncFails => {
                    effects.fsyncs_failed += 1;
                    return Err(io::Error::from_raw_os_error(EIO));
                }
                Disk::Slow(ms) => {
                    effects.fsyncs_slowed += 1;
                    ms
                }
            }
        };
        // Not under the lock: whoever wants to end this must not wait for it.
        thread::sleep(Duration::from_millis(slow_ms));
        sync()
    }

    /// What the wall clock shows when it should show `ms`.
    pub(in crate::driver) fn wall(&self, ms: u64) -> u64 {
        let State { faults, effects } = &mut *self.0.lock();
        effects.clock_reads_shifted += u64::from(faults.clock_offset_ms != 0);
        ms.saturating_add_signed(faults.clock_offset_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::files::Files;
    use super::super::super::files::tests::Scratch;
    use super::*;
    use crate::wal::Disk as _;

    fn set(chaos: &Chaos, disk: Disk) {
        chaos.set(&Wish { disk: Some(disk), ..Wish::default() }).unwrap();
    }

    #[test]
    fn what_is_preallocated_has_room_on_a_full_disk() {
        let scratch = Scratch::new("chaos-full");
        let chaos = Chaos::default();
        let mut files = Files::open(&scratch.0).unwrap().under(&chaos);
        files.create("a", 10).unwrap();
        set(&chaos, Disk::Full);
        files.write_at("a", 0, b"0123456789").unwrap();
        files.sync("a").unwrap();
        let error = files.write_at("a", 8, b"ABC").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let mut bytes = [0; 10];
        files.read_at("a", 0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"01234567AB");
        assert_eq!(files.size("a").unwrap(), 10);
        assert_eq!(files.create("b", 10).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(files.list().unwrap(), ["a"]);
        assert_eq!(chaos.effects(), Effects { writes_refused: 2, ..Effects::default() });
        set(&chaos, Disk::Ok);
        files.create("b", 10).unwrap();
    }

    #[test]
    fn an_fsync_fails_wherever_there_is_one() {
        let scratch = Scratch::new("chaos-fsync");
        let chaos = Chaos::default();
        let mut files = Files::open(&scratch.0).unwrap().under(&chaos);
        files.create("a", 10).unwrap();
        set(&chaos, Disk::FsyncFails);
        files.write_at("a", 0, b"written").unwrap();
        let failures = [
            files.clone().sync("a"),
            files.create("b", 10),
            files.rename("a", "c"),
            files.remove("c"),
        ];
        for failure in failures {
            assert_eq!(failure.unwrap_err().raw_os_error(), Some(EIO));
        }
        assert_eq!(chaos.effects(), Effects { fsyncs_failed: 4, ..Effects::default() });
        assert!(files.list().unwrap().is_empty());
    }

    #[test]
    fn the_clock_goes_both_ways() {
        let chaos = Chaos::default();
        let offset = |ms| chaos.set(&Wish { clock_offset_ms: Some(ms), ..Wish::default() });
        assert_eq!(chaos.wall(1000), 1000);
        offset(500).unwrap();
        assert_eq!(chaos.wall(1000), 1500);
        offset(-1500).unwrap();
        assert_eq!(chaos.wall(1000), 0);
        assert!(offset(i64::MIN).unwrap_err().contains("clock_offset_ms"));
        assert_eq!(chaos.faults(), Faults { clock_offset_ms: -1500, ..Faults::default() });
        assert_eq!(chaos.effects(), Effects { clock_reads_shifted: 2, ..Effects::default() });
    }

    #[test]
    fn a_wish_is_granted_whole_or_not_at_all() {
        let chaos = Chaos::default();
        let wish = Wish { disk: Some(Disk::Slow(0)), clock_offset_ms: Some(1) };
        assert!(chaos.set(&wish).unwrap_err().contains("slow_ms"));
        assert_eq!(chaos.faults(), Faults::default());
        chaos.set(&Wish { disk: Some(Disk::Slow(1)), clock_offset_ms: Some(1) }).unwrap();
        chaos.sync(|| Ok(())).unwrap();
        assert_eq!(chaos.effects(), Effects { fsyncs_slowed: 1, ..Effects::default() });
        set(&chaos, Disk::Full);
        assert_eq!(chaos.faults(), Faults { disk: Disk::Full, clock_offset_ms: 1 });
    }
}
