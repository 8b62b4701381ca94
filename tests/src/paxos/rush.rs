//! What chance alone brings about too rarely: elections that succeed, one after another.

use super::member::Member;
use super::world::World;

/// What happens at most while some sites have it their way.
const RUSH: usize = 60;

impl World {
    /// The first leader is elected by all, and nothing goes wrong.
    pub(super) fn elect(&mut self, i: usize) -> Result<(), String> {
        let aimed = std::mem::take(&mut self.weights.aimed);
        self.tick_one(i)?;
        while !self.members[i].serves() {
            match self.net.take_between(u64::MAX) {
                Some(letter) => self.arrive(letter)?,
                None => (0..self.members.len()).try_for_each(|member| self.flush(member, 0))?,
            }
        }
        self.weights.aimed = aimed;
        Ok(())
    }

    /// A member no longer waits for a leader, and what it and some others say to each other
    /// arrives, until it serves. Often the one that led before hears nothing of it.
    pub(super) fn rush(&mut self, i: usize) -> Result<(), String> {
        let all = 1 << self.members.len();
        let before = self.leader().filter(|_| self.rng.chance(8_000));
        let before = before.map_or(0, |leader| 1 << leader);
        let side = 1 << i | (self.rng.below(all) | self.rng.below(all)) & !before;
        if self.rng.chance(5_000) {
            self.now = self.now + self.pace.patience;
        }
        self.restart(i)?;
        self.tick_one(i)?;
        for _ in 0..RUSH {
            let (found, served) = (self.check.seen.found, self.members[i].serves());
            if let Some(letter) = self.net.take_between(side) {
                self.arrive(letter)?;
            } else {
                let dirty = |member: &usize| {
                    side >> member & 1 == 1 && self.members[*member].disk.dirty() > 0
                };
                let Some(member) = (0..self.members.len()).find(dirty) else { break };
                self.flush(member, self.weights.partial)?;
            }
            // The best moment for another one is when this one is about to serve, or does.
            let enough = match self.members[i].serves() && !served {
                true => 7_000,
                false if self.check.seen.found > found => 3_000,
                false => 200,
            };
            if self.rng.chance(enough) {
                break;
            }
        }
        Ok(())
    }

    /// The member that leads all the others, if there is one.
    pub(super) fn leader(&self) -> Option<usize> {
        let latest = |member: &Member| member.core.epoch;
        let serving = (0..self.members.len()).filter(|i| self.members[*i].serves());
        serving.max_by_key(|i| latest(&self.members[*i]))
    }
}
