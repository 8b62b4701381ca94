//! One member: it drives a replica as servers do, on a disk that forgets in a crash an end
//! of what was not durable yet.

use std::collections::VecDeque;

use bytes::Bytes;
use synod_common::id::{CoordinatorId, Epoch};
use synod_common::message::GroupMessage;
use synod_common::message::group::Position;
use synod_common::time::Mono;
use synod_coordinator::group::{Entry, Log, Pace, Promise, Replica, Step, Turn, When};

use super::bug::Bug;

/// Entries that one schedule may have.
const MOST_ENTRIES: u32 = 4_096;

/// All the records that there are, so that none is ever copied.
static RECORDS: [u8; MOST_ENTRIES as usize * 4] = {
    let mut all = [0; MOST_ENTRIES as usize * 4];
    let mut number = 0;
    while number < MOST_ENTRIES {
        let (bytes, start) = (number.to_le_bytes(), number as usize * 4);
        (all[start], all[start + 1]) = (bytes[0], bytes[1]);
        number += 1;
    }
    all
};

/// The record with this number, if there are so many.
pub fn record(number: u32) -> Option<Bytes> {
    let start = number as usize * 4;
    (number < MOST_ENTRIES).then(|| Bytes::from_static(&RECORDS[start..start + 4]))
}

/// An entry, for short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The epoch whose leader wrote it.
    pub epoch: Epoch,
    /// What it says.
    pub number: u32,
}

impl From<&Entry> for Slot {
    fn from(entry: &Entry) -> Slot {
        let number =
            entry.record.first_chunk().map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes));
        Slot { epoch: entry.epoch, number }
    }
}

/// What is written to a disk.
#[derive(Clone, Copy, Debug)]
pub enum Record {
    /// A promise.
    Promise(Promise),
    /// The log ends with this index.
    Cut(u64),
    /// One more entry.
    Entry(Slot),
}

/// What is durable.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// The last promise.
    pub promise: Promise,
    /// A restart begins its log here. What lies before is kept for the judge only.
    pub base: u64,
    /// The mark of one that was lost: who has it counts for nothing.
    pub rejoins: bool,
    slots: Vec<Slot>,
}

impl Disk {
    /// Where the log ends.
    pub fn last(&self) -> u64 {
        self.slots.len() as u64
    }

    /// An entry.
    pub fn get(&self, index: u64) -> Option<Slot> {
        self.slots.get(usize::try_from(index.checked_sub(1)?).ok()?).copied()
    }

    /// The place of the last entry.
    pub fn end(&self) -> Position {
        self.place(self.last())
    }

    fn place(&self, index: u64) -> Position {
        let epoch = self.get(index).map_or(Epoch::default(), |slot| slot.epoch);
        Position { epoch, index }
    }

    /// This is all that there is now.
    pub fn replace(&mut self, state: &[Slot]) {
        (self.base, self.slots) = (state.len() as u64, state.to_vec());
    }

    fn write(&mut self, record: Record) {
        match record {
            Record::Promise(promise) => {
                self.promise = promise;
                self.rejoins &= promise.to.is_none();
            }
            Record::Cut(index) => self.slots.truncate(index as usize),
            Record::Entry(slot) => self.slots.push(slot),
        }
    }

    fn log(&self) -> Log {
        let mut log = Log::from(self.place(self.base));
        for slot in &self.slots[self.base as usize..] {
            let record = record(slot.number).unwrap_or_default();
            log.push(Entry { epoch: slot.epoch, record });
        }
        log
    }
}

/// A message that leaves.
pub type Addressed = (CoordinatorId, GroupMessage);

/// A member.
#[derive(Debug)]
pub struct Node {
    me: CoordinatorId,
    bug: Option<Bug>,
    /// The machine, while it runs.
    pub replica: Option<Replica>,
    /// Counts its restarts.
    pub life: u32,
    /// What survives a crash for sure.
    pub disk: Disk,
    /// Those that it has lost: what was on them may still be counted.
    former: Vec<Disk>,
    /// What was written behind that.
    pending: VecDeque<Record>,
    written: u64,
    held: VecDeque<(u64, CoordinatorId, GroupMessage)>,
}

impl Node {
    /// A member before its first start.
    pub fn new(me: CoordinatorId, bug: Option<Bug>) -> Node {
        Node {
            me,
            bug,
            replica: None,
            life: 0,
            disk: Disk::default(),
            former: Vec::new(),
            pending: VecDeque::new(),
            written: 0,
            held: VecDeque::new(),
        }
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.replica.as_ref().is_some_and(Replica::leads)
    }

    /// Records that are not durable yet.
    pub fn dirty(&self) -> usize {
        self.pending.len()
    }

    /// The entries that are durable and will not be cut off by what waits.
    pub fn durable(&self) -> u64 {
        let cuts = self.pending.iter().filter_map(|record| match record {
            Record::Cut(index) => Some(*index),
            Record::Promise(_) | Record::Entry(_) => None,
        });
        cuts.fold(self.disk.last(), u64::min)
    }

    /// Whether it has this durably, or has said so when it had.
    pub fn has(&self, index: u64, slot: Slot) -> bool {
        let had = self.former.iter().any(|disk| disk.get(index) == Some(slot));
        had || index <= self.durable() && self.disk.get(index) == Some(slot)
    }

    /// Whether it has promised such an epoch durably, or has said so when it had.
    pub fn has_promised(&self, epoch: Epoch) -> bool {
        let had = self.former.iter().any(|disk| disk.promise.epoch >= epoch);
        had || !self.disk.rejoins && self.disk.promise.epoch >= epoch
    }

    /// While it is down, its disk goes.
    pub fn lose_disk(&mut self) {
        let empty = Disk { rejoins: true, ..Disk::default() };
        let lost = std::mem::replace(&mut self.disk, empty);
        if !lost.rejoins {
            self.former.push(lost);
        }
    }

    /// Here a leader has taken over once an entry of its own epoch is decided.
    pub fn takes_over(&mut self) {
        if let Some(replica) = &mut self.replica {
            replica.took_over();
        }
    }

    /// Does what the machine wants, in its order.
    pub fn take(&mut self, step: Step, out: &mut Vec<Addressed>) -> Option<Turn> {
        self.pending.extend(step.promise.map(Record::Promise));
        self.pending.extend(step.cut.map(Record::Cut));
        self.pending.extend(step.append.iter().map(|entry| Record::Entry(entry.into())));
        let new = [step.promise.is_some(), step.cut.is_some()].map(u64::from);
        self.written += new.iter().sum::<u64>() + step.append.len() as u64;
        let unforced = self.pending.is_empty() || self.bug == Some(Bug::Unforced);
        for (to, message, when) in step.messages {
            match when {
                When::Durable if !unforced => self.held.push_back((self.written, to, message)),
                When::Durable | When::Now => out.push((to, message)),
            }
        }
        step.turn
    }

    /// The next record that is not durable yet.
    pub fn next(&self) -> Option<Record> {
        self.pending.front().copied()
    }

    /// That one is durable.
    pub fn wrote(&mut self) {
        if let Some(record) = self.pending.pop_front() {
            self.disk.write(record);
        }
    }

    /// What waited for what is durable now leaves, and the machine hears how far that is.
    pub fn flushed(&mut self, out: &mut Vec<Addressed>) {
        let flushed = self.written - self.pending.len() as u64;
        let free = self.held.partition_point(|(upto, ..)| *upto <= flushed);
        out.extend(self.held.drain(..free).map(|(_, to, message)| (to, message)));
        let durable = self.durable();
        if let Some(replica) = &mut self.replica {
            replica.is_durable(durable);
        }
    }

    /// It crashes; what is not durable is lost.
    pub fn crash(&mut self) {
        self.replica = None;
        self.held.clear();
        self.pending.clear();
        if self.bug == Some(Bug::Canary) && self.me == CoordinatorId(1) {
            self.disk.slots.pop();
            self.disk.base = self.disk.base.min(self.disk.last());
        }
    }

    /// It is back, with what its disk says.
    pub fn restart(&mut self, members: u16, pace: Pace, now: Mono, seed: u64) -> Step {
        self.life += 1;
        let members = (1..=members).map(CoordinatorId);
        let replica = Replica::new(self.me, members, pace, self.disk.promise, self.disk.log());
        let replica = self.mutated(replica);
        let mut replica = if self.disk.rejoins { replica.rejoining() } else { replica };
        let step = replica.start(now, seed);
        self.replica = Some(replica);
        step
    }

    fn mutated(&self, replica: Replica) -> Replica {
        #[cfg(feature = "mutants")]
        let replica = match self.bug {
            Some(Bug::Replica(mutant)) => replica.mutated(Some(mutant)),
            Some(Bug::Canary | Bug::Unforced) | None => replica,
        };
        replica
    }
}
