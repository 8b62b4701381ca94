//! What chance alone brings about too rarely: elections that succeed, one after another.

use super::world::World;

/// What happens at most while some members have it their way.
const RUSH: usize = 60;

impl World {
    /// Some members have it all their way for a while: one of them no longer waits, and
    /// what they say to each other arrives. So there are elections after elections even
    /// in a schedule in which little else gets through.
    pub(super) fn rush(&mut self, i: usize) -> Result<(), String> {
        let all = 1 << self.nodes.len();
        let side = 1 << i | self.rng.below(all) | self.rng.below(all);
        if self.rng.chance(5_000) {
            self.now = self.now + self.pace.patience;
        }
        self.restart(i)?;
        self.tick_one(i)?;
        for _ in 0..RUSH {
            let elections = self.check.seen.elections;
            if let Some(letter) = self.net.take_between(side) {
                self.arrive(letter)?;
            } else {
                let dirty =
                    |member: &usize| side >> member & 1 == 1 && self.nodes[*member].dirty() > 0;
                let count = (0..self.nodes.len()).filter(dirty).count() as u64;
                let chosen = self.rng.below(count.max(1)) as usize;
                let Some(member) = (0..self.nodes.len()).filter(dirty).nth(chosen) else { break };
                self.flush(member, self.weights.partial)?;
            }
            let elected = self.check.seen.elections > elections;
            if self.rng.chance(if elected { 3_000 } else { 300 }) {
                break;
            }
        }
        Ok(())
    }
}
