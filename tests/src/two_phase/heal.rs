//! The end of a schedule: without faults all drains (I24), and clients hear what became of
//! all that they began.

use super::world::World;
use crate::explore::net::Cut;

/// All is over within so many rounds of waiting.
const ROUNDS: usize = 60;

impl World {
    /// No more faults.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        (self.weights.aimed, self.weights.newest, self.weights.notices) = (0, 0, 10_000);
        self.net.cut = Cut::None;
        self.line(|_| "the faults are over".to_owned());
        for site in 0..self.servers.len() {
            self.restart(site)?;
        }
        self.link_all()?;
        for _ in 0..ROUNDS {
            self.settle()?;
            if self.client.knows_all() && self.check.left(&self.servers).is_none() {
                return self.finish();
            }
            let shards = self.shards();
            self.ask(|world, out| world.client.finish(shards, out));
            self.settle()?;
            for site in 0..self.servers.len() {
                self.wait(site)?;
            }
        }
        let left = self.check.left(&self.servers).unwrap_or_else(|| format!("{:?}", self.client));
        Err(format!("I24: it does not end: {left}"))
    }

    /// Often a last snapshot, to see what is there.
    fn finish(&mut self) -> Result<(), String> {
        if self.rng.chance(5_000) {
            self.look_at_all()?;
        }
        self.check.seen.snapshots += self.client.snapshots.len() as u64;
        self.check.end(&self.servers, &self.client)
    }

    fn look_at_all(&mut self) -> Result<(), String> {
        self.ask(|world, out| world.client.look_once_more(out));
        self.settle()?;
        let last = self.client.snapshots.last();
        let shards = self.shards();
        let read = last.is_some_and(|last| last.read[..shards].iter().all(Option::is_some));
        match read {
            true => Ok(()),
            false => Err(format!("I24: a snapshot is not read: {last:?}")),
        }
    }

    /// Lets all happen that happens by itself.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        loop {
            for site in 0..self.servers.len() {
                self.flush(site, 0)?;
            }
            if self.net.is_empty() {
                return Ok(());
            }
            while !self.net.is_empty() {
                self.deliver()?;
            }
        }
    }
}
