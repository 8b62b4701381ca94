//! Crashes, restarts, the log, and the faults that strike at random.

use synod_common::node::{Event, Output};
use synod_common::wal::WalError;

use super::clock::Clock;
use super::faults::Faults;
use super::network::Node;
use super::server::{Core, peer};
use super::world::{Happening, Phase, World};
use crate::invariants::{Check, deadlocks, grants, reinstated};

impl World {
    /// A server loses everything that is not durable.
    pub fn crash(&mut self, index: usize, down: u64) -> Check {
        let server = &mut self.servers[index];
        if server.core.take().is_none() {
            return Ok(());
        }
        server.life += 1;
        server.held.clear();
        server.out = Output::default();
        server.wake = None;
        server.wakes += 1;
        server.flush_due = false;
        server.paused_until = 0;
        server.connections.clear();
        server.log.crash(&mut self.rng);
        let life = server.life;
        self.crashes += 1;
        self.trace.mix(&[2, self.time, index as u64]);
        self.trace.line(self.time, format_args!("{} CRASH for {down} us", peer(index)));
        for link in 0..self.links.len() {
            let node = Node::Server(index);
            if self.links[link].ends.contains(&node) {
                let end = self.links[link].end_of(node);
                self.links[link].knows[end] = false;
                self.cut(link);
            }
        }
        self.after(down, Happening::Restart(index, life));
        Ok(())
    }

    /// A server starts from what is durable.
    pub fn start(&mut self, index: usize) -> Check {
        let mut core = self.new_core(index);
        if self.servers[index].life > 0 && self.rng.chance(self.faults.recovery) {
            let changes = self.rng.below(6);
            self.servers[index].log.disk.cut_power_after(changes);
        }
        let forgets = self.forgets_records();
        let opened = self.servers[index]
            .log
            .open(|piece| if forgets(index, &piece) { Ok(()) } else { core.recover(piece) });
        let last = match opened {
            Ok(last) => last,
            Err(WalError::Io { .. } | WalError::Poisoned(_)) => {
                self.servers[index].log.crash(&mut self.rng);
                let life = self.servers[index].life;
                let down = self.rng.skewed(500_000);
                self.after(down, Happening::Restart(index, life));
                return Ok(());
            }
            Err(error) => return Err(format!("I4: {} can not restart: {error}", peer(index))),
        };
        // Left over if recovery changed nothing.
        self.servers[index].log.disk.cut_power_after(u64::MAX);
        self.ledger.recovered(index, last)?;
        if let (Some(group), Some(member)) = (&mut self.ledger.group, core.coordinator()) {
            group.recovered(index, member)?;
            self.log_begins(index, member.recovered().base().index);
        }
        if let Core::Shard(shard) = &core {
            reinstated::check(&self.ledger, index, shard)?;
            grants::check(shard)?;
        }
        self.safe_points.restarted(index, core.shard());
        let clock = Clock::new(self.time, &mut self.rng, self.faults.clocks);
        let server = &mut self.servers[index];
        server.core = Some(core);
        server.out.begin_anew(last);
        if server.life > 0 {
            server.clock = clock;
        }
        self.trace.line(self.time, format_args!("{} start after {}", peer(index), last.0));
        let seed = self.rng.bits();
        self.feed(index, Event::Start { seed })
    }

    /// Writes what waits for the log, if it is time to.
    pub fn write_log(&mut self, index: usize, lazy: bool) -> Check {
        if !self.servers[index].log.is_due(lazy) {
            return Ok(());
        }
        if self.rng.chance(self.faults.power) {
            let changes = self.rng.below(4);
            self.servers[index].log.disk.cut_power_after(changes);
        }
        let life = self.servers[index].life;
        match self.servers[index].log.append() {
            Ok(()) => {
                let slow = if self.rng.chance(300) { 60_000 } else { 3_000 };
                let delay = 50 + self.rng.skewed(slow);
                self.after(delay, Happening::Synced(index, life));
                Ok(())
            }
            Err(error) => self.disk_failed(index, &error),
        }
    }

    /// A sync has ended.
    pub fn synced(&mut self, index: usize) -> Check {
        let durable = match self.servers[index].log.sync() {
            Ok(durable) => durable,
            Err(error) => return self.disk_failed(index, &error),
        };
        self.trace.mix(&[3, self.time, index as u64, durable.0]);
        self.ledger.durable(index, durable)?;
        let life = self.servers[index].life;
        self.feed(index, Event::Durable(durable))?;
        if self.servers[index].life != life {
            return Ok(());
        }
        self.release(index)?;
        if self.servers[index].life != life {
            return Ok(());
        }
        if self.rng.chance(500)
            && let Err(error) = self.servers[index].log.attest()
        {
            return self.disk_failed(index, &error);
        }
        self.write_log(index, false)
    }

    /// The next step of a checkpoint is due.
    pub fn step_done(&mut self, index: usize) -> Check {
        let life = self.servers[index].life;
        let done = match self.servers[index].log.step() {
            Ok(done) => done,
            Err(error) => return self.disk_failed(index, &error),
        };
        if done {
            self.wrote_step(index);
            if !self.servers[index].log.writes_checkpoint() {
                self.completed_checkpoint(index);
            }
            self.feed(index, Event::CheckpointWritten)?;
        }
        if self.servers[index].life != life {
            return Ok(());
        }
        self.write_log(index, false)?;
        if self.servers[index].life == life && self.servers[index].log.has_steps() {
            let delay = 100 + self.rng.skewed(5_000);
            self.after(delay, Happening::Step(index, life));
        }
        Ok(())
    }

    fn disk_failed(&mut self, index: usize, error: &WalError) -> Check {
        self.trace.line(self.time, format_args!("{} {error}", peer(index)));
        let down = self.down_time();
        self.crash(index, down)
    }

    /// How long a server stays down: often not at all.
    pub fn down_time(&mut self) -> u64 {
        match self.rng.below(4) {
            0 => 0,
            1 => self.rng.below(5_000),
            2 => self.rng.below(200_000),
            _ => self.rng.skewed(2_000_000),
        }
    }

    /// Something goes wrong.
    pub fn random_fault(&mut self) -> Check {
        if self.phase != Phase::Faulty {
            return Ok(());
        }
        let next = self.rng.within(1..=2 * self.faults.every.max(1));
        self.after(next, Happening::Fault);
        if self.sizes.coordinators > 1 && self.rng.chance(3_000) {
            self.disturb_group();
            return Ok(());
        }
        match self.rng.below(8) {
            0 | 1 => {
                let server = self.rng.below(self.servers.len() as u64) as usize;
                let down = self.down_time();
                return self.crash(server, down);
            }
            2 | 3 => {
                let link = self.rng.below(self.links.len() as u64) as usize;
                self.cut(link);
            }
            4 => self.block(),
            5 if self.faults.clocks => {
                let server = self.rng.below(self.servers.len() as u64) as usize;
                self.servers[server].clock.jump(&mut self.rng);
            }
            6 => {
                // Several servers at once, now and then all.
                for server in 0..self.servers.len() {
                    if self.rng.chance(5_000) {
                        let down = self.down_time();
                        self.crash(server, down)?;
                    }
                }
            }
            _ => {
                // Bursts of loss, duplicates and delays.
                let drawn = Faults::draw(&mut self.rng);
                self.faults.loss = drawn.loss;
                self.faults.duplicates = drawn.duplicates;
                self.faults.slow = drawn.slow;
                self.faults.aim = drawn.aim;
            }
        }
        Ok(())
    }

    /// A coordinator stands still for a while, or is cut off from the others of its group,
    /// perhaps from the shards as well: these would tell it that another one leads. It always
    /// hears clients.
    fn disturb_group(&mut self) {
        let all: Vec<usize> = self.coordinators().collect();
        let leads = |at: &&usize| {
            let core = self.servers[**at].core.as_ref().and_then(Core::coordinator);
            core.is_some_and(|member| member.replica().leads())
        };
        let leader = all.iter().find(leads).copied();
        let victim = leader.unwrap_or_else(|| self.rng.pick(&all));
        let (pauses, both) = (self.rng.chance(6_000), self.rng.chance(5_000));
        let mut time = self.rng.skewed(1_500_000);
        if pauses {
            let server = &mut self.servers[victim];
            server.paused_until = server.paused_until.max(self.time + time);
            if self.rng.chance(5_000) {
                server.clock.suspend(time);
            }
            self.trace.line(self.time, format_args!("{} PAUSES {time} us", peer(victim)));
            time += self.rng.below(400_000);
        }
        if both || !pauses {
            let deaf = self.rng.chance(5_000);
            let group = if deaf { (0..self.servers.len()).collect() } else { all };
            let who = peer(victim);
            self.trace.line(self.time, format_args!("{who} ALONE {time} us, of {group:?}"));
            self.cut_off(victim, &group, time);
        }
    }

    /// One of a group neither hears some of the others nor is heard by them.
    pub(super) fn cut_off(&mut self, victim: usize, group: &[usize], time: u64) {
        let directions = self.rng.pick(&[[true, false], [false, true], [true, true]]);
        let of_group = |node: &Node| matches!(node, Node::Server(at) if group.contains(at));
        for link in 0..self.links.len() {
            let ends = &self.links[link].ends;
            if ends.iter().all(of_group) && ends.contains(&Node::Server(victim)) {
                self.links[link].blocked = directions;
                self.after(time, Happening::Unblock(link));
            }
        }
    }

    /// The accounts are there: the faults begin.
    pub fn begin_faults(&mut self) {
        self.phase = Phase::Faulty;
        self.faults = Faults::draw(&mut self.rng);
        self.sizes.heal_at += self.time;
        self.trace.line(self.time, format_args!("FAULTS {:?}", self.faults));
        let until = self.sizes.heal_at - self.time;
        self.after(until, Happening::Halve);
        if self.faults.every > 0 {
            self.after(self.faults.every, Happening::Fault);
        }
        self.begin_operating();
        if self.sizes.loses {
            let soon = self.rng.within(100_000..=1_500_000);
            self.after(soon, Happening::Part);
        }
        if self.sizes.disks_last > 0 {
            let soon = self.rng.within(50_000..=self.sizes.disks_last);
            self.after(soon, Happening::LoseDisk);
        }
    }

    /// The faults end. What is down comes up.
    pub fn heal(&mut self) -> Check {
        self.trace.line(self.time, format_args!("HEAL"));
        self.calm(Phase::Healing)?;
        self.after(0, Happening::Watch);
        Ok(())
    }

    /// Nothing goes wrong from now on, and whoever is not gone comes up.
    pub(super) fn calm(&mut self, phase: Phase) -> Check {
        self.phase = phase;
        self.faults = Faults::none();
        for link in &mut self.links {
            link.blocked = [false; 2];
        }
        self.end_loss();
        for server in 0..self.servers.len() {
            self.servers[server].log.disk.cut_power_after(u64::MAX);
            if !self.servers[server].is_up() && !self.servers[server].absent {
                self.start(server)?;
            }
        }
        Ok(())
    }

    /// Looks for deadlocks that nobody breaks.
    pub fn watch_deadlocks(&mut self) -> Check {
        self.after(50_000, Happening::Watch);
        let cores = self.servers.iter().filter_map(|server| server.core.as_ref()?.shard());
        let scheme = self.sizes.handling.scheme;
        deadlocks::check_progress(&mut self.deadlocks, self.time, scheme, cores)
    }
}
