//! The end of a schedule: without faults, a group becomes whole.

use std::time::Duration;

use synod_common::time::Mono;

use super::world::World;
use crate::explore::net::Cut;

/// It is whole within so many times the patience of its members.
const PATIENCE: u32 = 50;

impl World {
    /// No more faults, and time in order: there must be a leader, and everybody with it.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        let before = std::mem::replace(&mut self.net.cut, Cut::None);
        self.line(|_| "the faults are over".to_owned());
        (self.weights.aimed, self.weights.orderly, self.weights.slow) = (0, 10_000, false);
        for i in 0..self.nodes.len() {
            self.restart(i)?;
        }
        self.connect(before)?;
        let until = self.now + self.pace.patience * PATIENCE;
        while self.now < until {
            self.settle(until)?;
            if self.is_whole() {
                return Ok(());
            }
            self.tick(0)?;
        }
        Err("the group does not become whole".to_owned())
    }

    /// Lets all happen that happens by itself.
    fn settle(&mut self, until: Mono) -> Result<(), String> {
        loop {
            for i in 0..self.nodes.len() {
                self.flush(i, 0)?;
            }
            if self.net.is_empty() || self.now >= until {
                return Ok(());
            }
            while self.now < until && !self.net.is_empty() {
                self.now = self.now + Duration::from_micros(100);
                self.deliver()?;
            }
            for i in (0..self.nodes.len()).filter(|i| self.nodes[*i].leads()).collect::<Vec<_>>() {
                self.hand_over(i)?;
            }
        }
    }

    /// Whether there is a leader, all of its log is decided, and everybody knows and counts. Who
    /// lacks what nobody keeps may not be told before there is more; but it follows.
    fn is_whole(&mut self) -> bool {
        let replicas = || self.nodes.iter().filter_map(|node| node.replica.as_ref());
        let Some(leader) = replicas().find(|replica| replica.leads()) else { return false };
        let (all, last) = (leader.leader(), leader.log().last());
        let short = leader.log().base().index > 0;
        let whole = leader.committed() == last.index
            && replicas().all(|replica| {
                let (end, committed) = (replica.log().last(), replica.committed());
                let has_all = end == last && committed == last.index;
                replica.leader() == all && (has_all || self.weights.ruthless)
            });
        self.check.seen.forgotten += u64::from(whole && short);
        whole
    }
}
