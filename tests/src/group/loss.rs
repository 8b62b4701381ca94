//! Disks that are lost with all that is on them, members that come back without, and what
//! the leader hands to those who need more than its log.

use synod_common::id::CoordinatorId;
use synod_common::message::group::Position;
use synod_coordinator::group::Offer;

use super::world::{World, id};

impl World {
    /// A member loses its disk, unless too few others have theirs.
    pub(super) fn lose_disk(&mut self, i: usize) -> Result<(), String> {
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != i);
        let lacking = others.filter(|(_, node)| node.disk.rejoins).count();
        if 2 * (lacking + 1) >= self.nodes.len() {
            return Ok(());
        }
        self.crash(i)?;
        self.nodes[i].lose_disk();
        self.check.seen.disks += 1;
        self.line(|_| format!("{} loses its disk", id(i)));
        if self.rng.chance(7_000) { self.restart(i) } else { Ok(()) }
    }

    /// A leader hands all that is decided to one who needs it, in one piece.
    pub(super) fn hand_over(&mut self, from: usize) -> Result<(), String> {
        let Some(leader) = &self.nodes[from].replica else { return Ok(()) };
        let Some(to) = leader.behind() else { return Ok(()) };
        let (epoch, i) = (leader.promise().epoch, usize::from(to.0) - 1);
        let Some(base) = leader.log().at(leader.committed()) else { return Ok(()) };
        if self.net.cut.parts(from, i) || self.nodes[i].replica.is_none() {
            return Ok(());
        }
        let Some(replica) = &mut self.nodes[i].replica else { return Ok(()) };
        let (offer, step) = replica.offered_state(self.now, id(from), epoch, base);
        self.happened(i, step)?;
        match offer {
            Offer::Refused => return Ok(()),
            Offer::Known => {}
            Offer::Taken => self.take_over(i, base)?,
        }
        // What it says to that may be lost.
        if self.rng.chance(2_000) { Ok(()) } else { self.taken(from, to, base) }
    }

    /// That is all that the member has from now on.
    fn take_over(&mut self, i: usize, base: Position) -> Result<(), String> {
        let dirty = self.nodes[i].dirty();
        self.write(i, dirty)?;
        self.crash(i)?;
        let state = self.check.all_decided(base.index);
        self.nodes[i].disk.replace(state);
        self.check.seen.states += 1;
        self.line(|_| format!("{} has the leader's state at {base:?}", id(i)));
        self.restart(i)
    }

    fn taken(&mut self, from: usize, to: CoordinatorId, base: Position) -> Result<(), String> {
        let Some(leader) = &mut self.nodes[from].replica else { return Ok(()) };
        let step = leader.restored(self.now, to, base.index);
        self.happened(from, step)
    }
}
