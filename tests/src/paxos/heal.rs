//! The end of a schedule: without faults, and with a majority of the members, nobody stays in
//! doubt (I25).

use std::time::Duration;

use synod_common::time::Mono;

use super::world::World;
use crate::explore::net::Cut;

/// All is decided within so many times the patience of the members.
const PATIENCE: u32 = 50;

impl World {
    /// No more faults, and time in order.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        let before = std::mem::replace(&mut self.net.cut, Cut::None);
        (self.weights.aimed, self.weights.refuse) = (0, 0);
        let members = self.members.len();
        let gone = match self.rng.chance(4_000) {
            true => self.rng.below(1 << members) as u32,
            false => 0,
        };
        // Who comes back without its disk needs the others.
        let gone = if self.members.iter().any(|member| member.disk.rejoins) { 0 } else { gone };
        let gone = if 2 * gone.count_ones() as usize >= members { 0 } else { gone };
        self.check.seen.crippled += u64::from(gone != 0);
        self.line(|_| format!("the faults are over; gone are {gone:b}"));
        for site in 0..self.sites() {
            match gone >> site & 1 {
                0 => self.restart(site)?,
                _ => self.crash(site)?,
            }
        }
        self.connect(before)?;
        let until = self.now + self.pace.patience * PATIENCE;
        while self.now < until {
            self.settle(until)?;
            if let Some(leader) = self.is_whole() {
                return self.check.end(&self.members[leader]);
            }
            self.tick()?;
            if self.leader().is_some() {
                for site in 0..self.sites() {
                    self.wait(site)?;
                }
            }
        }
        Err("I25: somebody stays in doubt".to_owned())
    }

    /// Lets all happen that happens by itself.
    fn settle(&mut self, until: Mono) -> Result<(), String> {
        loop {
            for site in 0..self.sites() {
                self.flush(site, 0)?;
            }
            if self.net.is_empty() || self.now >= until {
                return Ok(());
            }
            while self.now < until && !self.net.is_empty() {
                self.now = self.now + Duration::from_micros(100);
                self.deliver()?;
            }
        }
    }

    /// The leader, if there is one, all that it knows of is over, and no participant waits, and who has lost its disk is back.
    fn is_whole(&self) -> Option<usize> {
        let leader = self.leader()?;
        let waits = self
            .participants
            .iter()
            .any(|participant| (0..self.txns.len()).any(|number| participant.is_in_doubt(number)));
        let waits = waits || self.members.iter().any(|member| member.disk.rejoins);
        (!waits && self.members[leader].core.is_done()).then_some(leader)
    }
}
