//! One schedule: who is delivered, flushed, crashed and cut off, in which order.

use std::time::Duration;

use bytes::Bytes;
use synod_common::id::CoordinatorId;
use synod_common::message::GroupMessage;
use synod_common::time::Mono;
use synod_coordinator::group::{Entry, Pace, Replica, Step, Turn};

use super::bug::Bug;
use super::check::Check;
use super::node::{Addressed, Node, record};
use super::weights::{Kind, Weights, pace};
use crate::explore::net::{self, Cut, Net};
use crate::explore::{Reached, Schedule};
use crate::sim::rng::Rng;

/// Messages on their way, from which on some must arrive first.
const MANY: usize = 60;

/// A message on its way.
pub(super) type Letter = net::Letter<GroupMessage>;

/// Everything there is in one schedule.
pub struct World {
    pub(super) rng: Rng,
    pub(super) nodes: Vec<Node>,
    pub(super) pace: Pace,
    pub(super) now: Mono,
    pub(super) net: Net<Letter>,
    pub(super) weights: Weights,
    /// What the next entry says.
    number: u32,
    out: Vec<Addressed>,
    /// What the judge has seen.
    pub(super) check: Check,
    /// What happened.
    events: u64,
    /// The same in words, if somebody wants to read it.
    lines: Option<Vec<String>>,
}

pub(super) fn id(i: usize) -> CoordinatorId {
    CoordinatorId(i as u16 + 1)
}

impl Schedule for World {
    type Bug = Bug;

    fn new(seed: u64, bug: Option<Bug>, traced: bool) -> World {
        let mut rng = Rng::new(seed);
        let members = rng.pick(&[1, 3, 3, 3, 3, 3, 3, 3, 5, 5]);
        World {
            weights: Weights::draw(&mut rng),
            pace: pace(&mut rng),
            nodes: (0..members).map(|i| Node::new(id(i), bug)).collect(),
            now: Mono(1),
            net: Net::new(),
            number: 0,
            out: Vec::new(),
            check: Check::new(members as u16),
            events: 0,
            lines: traced.then(Vec::new),
            rng,
        }
    }

    fn run(&mut self) -> Result<(), String> {
        for i in 0..self.nodes.len() {
            self.restart(i)?;
        }
        let steps = self.rng.within(20..=250);
        for _ in 0..steps {
            self.step()?;
        }
        self.heal()
    }

    fn events(&self) -> u64 {
        self.events
    }

    fn reached(&self) -> Reached {
        self.check.seen.all().to_vec()
    }

    fn lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

impl World {
    fn step(&mut self) -> Result<(), String> {
        self.now = self.now + Duration::from_micros(self.rng.below(4_000));
        if self.net.len() > MANY {
            return self.deliver();
        }
        let i = self.rng.below(self.nodes.len() as u64) as usize;
        match self.weights.next(&mut self.rng) {
            Kind::Deliver => self.deliver(),
            Kind::Lose => {
                if let Some(letter) = self.take_letter() {
                    self.line(|_| format!("lost: {letter:?}"));
                }
                Ok(())
            }
            Kind::Double => {
                if let Some(letter) = self.take_letter() {
                    self.line(|_| format!("doubled: {letter:?}"));
                    self.net.post(letter.clone());
                    self.net.post(letter);
                }
                Ok(())
            }
            Kind::Flush => self.flush(i, self.weights.partial),
            Kind::Crash => self.crash(i),
            Kind::Restart => self.restart(i),
            Kind::LoseDisk => self.lose_disk(i),
            Kind::HandOver => self.each_leader(World::hand_over),
            Kind::Tick => self.tick(i),
            Kind::Rush => self.rush(i),
            Kind::Cut => self.cut(),
            Kind::Append => {
                let count = self.rng.within(1..=3);
                self.each_leader(|world, i| world.append(i, count))
            }
            Kind::Confirm => self.each_leader(World::confirm),
            Kind::Forget => {
                self.forget(i);
                Ok(())
            }
        }
    }

    pub(super) fn line(&mut self, line: impl FnOnce(&World) -> String) {
        self.events += 1;
        if self.lines.is_some() {
            let line = format!("{} {}", self.now.0 / 1_000, line(self));
            self.lines.get_or_insert_default().push(line);
        }
    }

    /// Those who believe that they lead may be more than one.
    fn each_leader(
        &mut self,
        mut act: impl FnMut(&mut World, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        for i in 0..self.nodes.len() {
            if self.nodes[i].leads() && self.rng.chance(8_000) {
                act(self, i)?;
            }
        }
        Ok(())
    }

    /// Links break; or all are mended.
    fn cut(&mut self) -> Result<(), String> {
        let leader = self.nodes.iter().position(Node::leads);
        let before = self.net.cut;
        self.net.cut = match before {
            Cut::Sides(_) | Cut::Link(..) => Cut::None,
            Cut::None => Cut::draw(&mut self.rng, self.nodes.len() as u64, leader),
        };
        self.line(|world| format!("the cut is {:?}", world.net.cut));
        self.connect(before)
    }

    /// Those whom this no longer parts hear of it.
    pub(super) fn connect(&mut self, before: Cut) -> Result<(), String> {
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                let mended = before.parts(from, to) && !self.net.cut.parts(from, to);
                if mended && let Some(replica) = &mut self.nodes[from].replica {
                    let step = replica.connected(self.now, id(to));
                    self.happened(from, step)?;
                }
            }
        }
        Ok(())
    }

    fn take_letter(&mut self) -> Option<Letter> {
        self.net.take(&mut self.rng, self.weights.newest)
    }

    pub(super) fn deliver(&mut self) -> Result<(), String> {
        match self.take_letter() {
            Some(letter) => self.arrive(letter),
            None => Ok(()),
        }
    }

    pub(super) fn arrive(&mut self, letter: Letter) -> Result<(), String> {
        if self.net.cut.parts(letter.from, letter.to) {
            // It is lost, or late.
            if self.rng.chance(5_000) {
                self.net.keep(letter);
            }
            return Ok(());
        }
        let Letter { from, to, message } = letter;
        if self.nodes[to].replica.is_none() {
            return Ok(());
        }
        self.line(|_| format!("{} hears of {}: {message:?}", id(to), id(from)));
        let Some(replica) = &mut self.nodes[to].replica else { return Ok(()) };
        let step = replica.hear(self.now, id(from), message);
        self.happened(to, step)
    }

    fn first_due(&self) -> Option<usize> {
        let counts = |replica: &&Replica| !(self.weights.slow && replica.leads());
        let due = |node: &Node| node.replica.as_ref().filter(counts).and_then(Replica::due);
        let all = self.nodes.iter().enumerate().filter_map(|(i, node)| Some((due(node)?, i)));
        all.min().map(|(_, i)| i)
    }

    pub(super) fn tick(&mut self, i: usize) -> Result<(), String> {
        let i = match self.rng.chance(self.weights.orderly) {
            true => self.first_due().unwrap_or(i),
            false => i,
        };
        self.tick_one(i)
    }

    pub(super) fn tick_one(&mut self, i: usize) -> Result<(), String> {
        let Some(replica) = &mut self.nodes[i].replica else { return Ok(()) };
        let Some(due) = replica.due() else { return Ok(()) };
        self.now = self.now.max(due);
        let step = replica.tick(self.now);
        self.line(|_| format!("{} ticks", id(i)));
        self.happened(i, step)
    }

    fn append(&mut self, i: usize, count: u64) -> Result<(), String> {
        let Some(replica) = &mut self.nodes[i].replica else { return Ok(()) };
        let number = self.number;
        let records: Vec<Bytes> = (number..).map_while(record).take(count as usize).collect();
        let urgent = self.rng.chance(8_000);
        let mut step = replica.append(self.now, records.iter().cloned(), urgent);
        self.number += records.len() as u32;
        // Who leads writes them by itself.
        let epoch = replica.promise().epoch;
        step.append.extend(records.into_iter().map(|record| Entry { epoch, record }));
        self.line(|_| format!("{} appends {count} from {number} on", id(i)));
        self.happened(i, step)
    }

    fn confirm(&mut self, i: usize) -> Result<(), String> {
        let Some(replica) = &mut self.nodes[i].replica else { return Ok(()) };
        let (round, step) = replica.confirm();
        self.line(|_| format!("{} begins round {round}", id(i)));
        self.happened(i, step)
    }

    /// Something has happened at a member; a crash may be aimed at it.
    pub(super) fn happened(&mut self, i: usize, step: Step) -> Result<(), String> {
        let mut out = std::mem::take(&mut self.out);
        if let Some(index) = step.cut {
            self.check.cuts(i, &self.nodes[i], index)?;
        }
        let dirty = self.nodes[i].dirty();
        let turn = self.nodes[i].take(step, &mut out);
        let decided = self.check.seen.committed;
        let spoke = !out.is_empty() || self.nodes[i].dirty() > dirty;
        self.post(i, out);
        match turn {
            Some(Turn::Leads(epoch)) => {
                self.check.leads(i, epoch, &self.nodes)?;
                self.line(|_| format!("{} leads {epoch}", id(i)));
                self.append(i, 1)?;
            }
            Some(Turn::Stops) => {
                self.check.seen.stopped += 1;
                self.line(|_| format!("{} stops", id(i)));
                // Its machine must not be asked for anything any more.
                self.begin_anew(i)?;
            }
            None => {}
        }
        self.nodes[i].takes_over();
        self.check.node(i, &self.nodes)?;
        self.aim(i, spoke, decided)
    }

    /// A crash may be aimed at one who has just spoken, or written; and who has just called
    /// something decided is the best one to lose.
    fn aim(&mut self, i: usize, spoke: bool, decided: u64) -> Result<(), String> {
        let aimed = match self.check.seen.committed > decided {
            true => 4 * self.weights.aimed,
            false if spoke => self.weights.aimed,
            false => 0,
        };
        if !self.rng.chance(aimed) {
            return Ok(());
        }
        self.crash(i)?;
        // Often it is back before anybody notices.
        if self.rng.chance(5_000) { self.restart(i) } else { Ok(()) }
    }

    fn post(&mut self, i: usize, mut out: Vec<Addressed>) {
        for (to, message) in out.drain(..) {
            if let GroupMessage::Confirm { epoch, round, .. } = message {
                self.check.asks(i, epoch, round);
            }
            self.net.post(Letter { from: i, to: usize::from(to.0) - 1, message });
        }
        self.out = out;
    }

    /// What a member has written becomes durable, or with this chance some of it.
    pub(super) fn flush(&mut self, i: usize, partial: u32) -> Result<(), String> {
        let dirty = self.nodes[i].dirty();
        if dirty == 0 {
            return Ok(());
        }
        let some =
            if self.rng.chance(partial) { self.rng.below(dirty as u64) as usize } else { dirty };
        self.write(i, some)?;
        let decided = self.check.seen.committed;
        let mut out = std::mem::take(&mut self.out);
        self.nodes[i].flushed(&mut out);
        self.line(|world| {
            format!("{} has written {some} of {dirty}: {:?}", id(i), world.nodes[i].disk.end())
        });
        self.post(i, out);
        self.nodes[i].takes_over();
        self.check.node(i, &self.nodes)?;
        self.aim(i, false, decided)
    }

    pub(super) fn write(&mut self, i: usize, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let node = &mut self.nodes[i];
            let Some(record) = node.next() else { break };
            self.check.durable(i, node, record)?;
            node.wrote();
        }
        Ok(())
    }

    /// Of what is not durable some is lost, and nobody hears of what is not.
    pub(super) fn crash(&mut self, i: usize) -> Result<(), String> {
        if self.nodes[i].replica.is_none() {
            return Ok(());
        }
        let dirty = self.nodes[i].dirty();
        let some =
            if self.rng.chance(5_000) { 0 } else { self.rng.within(0..=dirty as u64) as usize };
        self.check.seen.lost += u64::from(some < dirty);
        self.write(i, some)?;
        self.nodes[i].crash();
        self.line(|_| format!("{} crashes, and loses {}", id(i), dirty - some));
        Ok(())
    }

    pub(super) fn restart(&mut self, i: usize) -> Result<(), String> {
        if self.nodes[i].replica.is_some() {
            return Ok(());
        }
        let (members, seed) = (self.nodes.len() as u16, self.rng.bits());
        let step = self.nodes[i].restart(members, self.pace, self.now, seed);
        self.line(|world| {
            let disk = &world.nodes[i].disk;
            format!("{} starts with {:?} to {:?}, {:?}", id(i), disk.base, disk.end(), disk.promise)
        });
        self.check.restarted(i, &self.nodes[i])?;
        self.happened(i, step)
    }

    /// A leader that stops starts anew, from its disk.
    fn begin_anew(&mut self, i: usize) -> Result<(), String> {
        if self.rng.chance(5_000) {
            let dirty = self.nodes[i].dirty();
            self.write(i, dirty)?;
            // What it promised and wrote is so; what waited for that may be said.
            let mut out = std::mem::take(&mut self.out);
            self.nodes[i].replica = None;
            self.nodes[i].flushed(&mut out);
            self.post(i, out);
        }
        self.crash(i)?;
        self.nodes[i].replica = None;
        self.restart(i)
    }

    /// A member makes do with less of its log, now or from its next life on.
    fn forget(&mut self, i: usize) {
        let all = self.nodes.iter().map(|node| self.check.safe(node));
        let all = if self.weights.ruthless { u64::MAX } else { all.min().unwrap_or(0) };
        let keep = self.rng.pick(&[0, 8, 40]);
        let disk_too = self.rng.chance(5_000);
        let node = &mut self.nodes[i];
        let Some(replica) = &mut node.replica else { return };
        let most = all.min(replica.committed()).min(replica.durable());
        if disk_too {
            node.disk.base = node.disk.base.max(most);
        } else {
            replica.forget(most, keep);
        }
        self.line(|_| format!("{} forgets what lies before {most}, on disk: {disk_too}", id(i)));
    }
}
