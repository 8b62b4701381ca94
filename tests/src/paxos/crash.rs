//! What becomes durable, and what is lost in a crash.

use super::disk::Record;
use super::member::Member;
use super::world::World;

impl World {
    /// What a site has written becomes durable, or with this chance some of it.
    pub(super) fn flush(&mut self, site: usize, partial: u32) -> Result<(), String> {
        if let Some(i) = site.checked_sub(self.members.len()) {
            return self.flush_participant(i);
        }
        let dirty = self.members[site].disk.dirty();
        if dirty == 0 {
            return Ok(());
        }
        let some =
            if self.rng.chance(partial) { self.rng.below(dirty as u64) as usize } else { dirty };
        self.write(site, some)?;
        self.line(|world| format!("{} has written {some} of {dirty}", world.name(site)));
        self.member(site, Member::flushed)
    }

    fn flush_participant(&mut self, i: usize) -> Result<(), String> {
        if !self.participants[i].is_dirty() {
            return Ok(());
        }
        self.line(|world| format!("s{} has written {:?}", i + 1, world.participants[i].stages));
        self.participants[i].flush(&mut self.out.messages);
        self.participated(i)
    }

    fn write(&mut self, i: usize, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let disk = &mut self.members[i].disk;
            if let Some(Record::Promise(promise)) = disk.next() {
                self.check.seen.back += u64::from(disk.rejoins && promise.to.is_some());
            }
            if let Some(Record::Accepted(bundle)) = disk.next() {
                self.check.accepts(bundle, &self.txns, &self.participants)?;
            }
            disk.wrote();
        }
        Ok(())
    }

    /// Of what is not durable some is lost, and nobody hears of what is not.
    pub(super) fn crash(&mut self, site: usize) -> Result<(), String> {
        if !self.is_up(site) {
            return Ok(());
        }
        if let Some(i) = site.checked_sub(self.members.len()) {
            self.check.crashes(&self.participants[i], &self.members);
            let survives = self.rng.chance(5_000);
            self.participants[i].crash(survives);
        } else {
            let dirty = self.members[site].disk.dirty();
            let some =
                if self.rng.chance(5_000) { 0 } else { self.rng.within(0..=dirty as u64) as usize };
            self.check.seen.lost += u64::from(some < dirty);
            self.write(site, some)?;
            self.members[site].crash();
        }
        self.line(|world| format!("{} crashes", world.name(site)));
        Ok(())
    }

    /// A member loses its disk, unless too few others have theirs.
    pub(super) fn lose_disk(&mut self, i: usize) -> Result<(), String> {
        let others = self.members.iter().enumerate().filter(|(other, _)| *other != i);
        let lacking = others.filter(|(_, member)| member.disk.rejoins).count();
        if 2 * (lacking + 1) >= self.members.len() {
            return Ok(());
        }
        self.crash(i)?;
        self.check.loses_disk(i, &self.members);
        self.members[i].lose_disk();
        self.line(|world| format!("{} loses its disk", world.name(i)));
        if self.rng.chance(8_000) { self.restart(i) } else { Ok(()) }
    }

    /// This member, or better another one that has accepted something, loses its disk.
    pub(super) fn lose_needed_disk(&mut self, i: usize) -> Result<(), String> {
        let all = 0..self.members.len();
        let has = |other: &usize| *other != i && !self.members[*other].disk.accepted.is_empty();
        let other: Vec<usize> = all.filter(has).collect();
        let victim = if other.is_empty() { i } else { self.rng.pick(&other) };
        self.lose_disk(victim)
    }

    pub(super) fn restart(&mut self, site: usize) -> Result<(), String> {
        if self.is_up(site) {
            return Ok(());
        }
        self.line(|world| format!("{} is back", world.name(site)));
        match site.checked_sub(self.members.len()) {
            Some(i) => {
                self.participants[i].restart(self.txns.len());
                Ok(())
            }
            None => {
                let (pace, seed) = (self.pace, self.rng.bits());
                self.member(site, |member, now, _, out| member.restart(now, pace, seed, out))
            }
        }
    }

    /// A leader that stops starts anew, from its disk.
    pub(super) fn begin_anew(&mut self, i: usize) -> Result<(), String> {
        if self.rng.chance(5_000) {
            let dirty = self.members[i].disk.dirty();
            self.write(i, dirty)?;
            // What waited for that may be said.
            self.members[i].released(&mut self.out);
            self.post(i);
        }
        self.crash(i)?;
        self.restart(i)
    }
}
