//! Members of a group that never come back, or come back without their disk.
//!
//! ```text
//!   c1  ──────────────── leads ───────────────────╳            for good
//!   c2  ────── checkpoint ╳─ short log ──────────── leads: c3 must have its state
//!   c3  ──╳ down ─────────────────────────────────── back      before anything is decided
//! ```
//!
//! The others go on if they are a majority, although each of them may lack what no other
//! has in its log any more. In other seeds, members lose their disks again and again, but
//! never so many at once that no majority has its own, and rejoin.

use std::collections::BTreeSet;

use super::disk::Log;
use super::mutation::Mutation;
use super::rng::Rng;
use super::server::{Core, peer};
use super::world::{CLUSTER, Happening, Phase, World};
use crate::invariants::Check;

/// How far it is.
#[derive(Debug, Default)]
pub struct Loss {
    /// They will be gone: as many as a group can do without.
    lost: Vec<usize>,
    /// Who is down until then.
    late: Option<usize>,
    /// Its log ends no later than here.
    end: u64,
    /// Those who stay, and have in their logs what it lacks.
    long: BTreeSet<usize>,
}

/// How long disks of a group last at most, in microseconds; zero if for ever.
pub(super) fn disks_last(seed: u64, may_be_lost: bool, mutation: Option<Mutation>) -> u64 {
    match (may_be_lost, mutation) {
        (true, None | Some(Mutation::RejoinsAsNew)) => {
            Rng::new(seed ^ 0xd15c).pick(&[0, 400_000, 2_000_000, 4_000_000])
        }
        _ => 0,
    }
}

impl World {
    /// A member is down from now on until others are lost.
    pub(super) fn begin_loss(&mut self) -> Check {
        if self.phase != Phase::Faulty {
            return Ok(());
        }
        let mut members: Vec<usize> = self.coordinators().collect();
        let first = self.rng.below(members.len() as u64) as usize;
        members.rotate_left(first);
        let lost = members.split_off(members.len().div_ceil(2));
        let Some(late) = members.pop() else { return Ok(()) };
        let Some(member) = self.servers[late].core.as_ref().and_then(Core::coordinator) else {
            self.after(20_000, Happening::Part);
            return Ok(());
        };
        let end = member.replica().log().last().index;
        self.loss = Loss { lost, late: Some(late), end, long: members.into_iter().collect() };
        self.servers[late].absent = true;
        self.crash(late, 0)
    }

    /// A server has completed a checkpoint. If its log begins with that, it lacks what who
    /// is down needs.
    pub(super) fn completed_checkpoint(&mut self, index: usize) {
        let core = self.servers[index].core.as_ref();
        let Some(member) = core.and_then(Core::coordinator) else { return };
        let loses = self.loss.late.is_some() && self.loss.long.contains(&index);
        if loses && member.replica().committed() > self.loss.end {
            let life = self.servers[index].life;
            self.after(0, Happening::Crash(index, life, 0));
        }
    }

    /// A member starts with a log that begins here.
    pub(super) fn log_begins(&mut self, index: usize, base: u64) {
        if base > self.loss.end
            && self.loss.long.remove(&index)
            && self.loss.long.is_empty()
            && self.loss.late.is_some()
        {
            self.after(0, Happening::Lose);
        }
    }

    /// Some are gone for good, and who was down is back.
    pub(super) fn lose(&mut self) -> Check {
        let Some(late) = self.end_loss() else { return Ok(()) };
        for member in std::mem::take(&mut self.loss.lost) {
            self.trace.line(self.time, format_args!("{} LOST", peer(member)));
            self.reached.lost += 1;
            self.servers[member].absent = true;
            if let Some(group) = &mut self.ledger.group {
                group.lost(member);
            }
            self.crash(member, 0)?;
        }
        self.start(late)
    }

    /// Who is down may be back.
    pub(super) fn end_loss(&mut self) -> Option<usize> {
        let late = self.loss.late.take()?;
        self.servers[late].absent = false;
        Some(late)
    }

    /// A member loses its disk, unless too few others have theirs.
    pub(super) fn lose_disk(&mut self) -> Check {
        if self.phase != Phase::Faulty {
            return Ok(());
        }
        let again = self.rng.within(50_000..=self.sizes.disks_last);
        self.after(again, Happening::LoseDisk);
        let members: Vec<usize> = self.coordinators().collect();
        let index = self.rng.pick(&members);
        let lacking = members.iter().filter(|other| self.servers[**other].rejoins);
        let others = lacking.filter(|other| **other != index).count();
        if 2 * (others + 1) >= members.len() {
            return Ok(());
        }
        let down = self.down_time();
        self.crash(index, down)?;
        self.trace.line(self.time, format_args!("{} LOSES ITS DISK", peer(index)));
        self.reached.disks += 1;
        let bytes = self.sizes.segment_bytes;
        let server = &mut self.servers[index];
        server.log = Log::new(CLUSTER, peer(index).to_string(), bytes);
        server.rejoins = true;
        self.ledger.lost_disk(index);
        Ok(())
    }

    /// Takes the mark away from one that is back; that may fail, or come late.
    pub(super) fn look_for_mark(&mut self, index: usize) {
        let server = &self.servers[index];
        if server.rejoins
            && let Some(member) = server.core.as_ref().and_then(Core::coordinator)
            && !member.is_rejoining()
            && self.rng.chance(2_000)
        {
            self.trace.line(self.time, format_args!("{} is back", peer(index)));
            self.reached.back += 1;
            self.servers[index].rejoins = false;
        }
    }

    /// Called at the end: all who have lost their disk are back.
    pub(super) fn check_back(&self) -> Check {
        match self.servers.iter().position(|server| server.rejoins) {
            Some(index) => Err(format!("I24: {} does not come back", peer(index))),
            None => Ok(()),
        }
    }
}
