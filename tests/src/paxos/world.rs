//! One schedule: who is delivered, flushed, crashed and cut off, in which order.

use std::time::Duration;

use synod_common::id::ShardId;
use synod_common::time::Mono;
use synod_coordinator::group::{Pace, Replica};

use super::bug::Bug;
use super::check::Check;
use super::leader::{News, Out};
use super::member::Member;
use super::net::{Letter, member};
use super::participant::Participant;
use super::txn::{MOST, Txn};
use super::weights::{Kind, Weights};
use crate::explore::net::{Cut, Net};
use crate::explore::{Reached, Schedule};
use crate::sim::rng::Rng;

/// Messages on their way, from which on some must arrive first.
const MANY: usize = 60;

/// Everything there is in one schedule.
pub struct World {
    pub(super) rng: Rng,
    pub(super) members: Vec<Member>,
    pub(super) participants: Vec<Participant>,
    pub(super) txns: Vec<Txn>,
    /// Transactions that clients want committed.
    wanted: usize,
    pub(super) pace: Pace,
    pub(super) now: Mono,
    pub(super) net: Net<Letter>,
    pub(super) weights: Weights,
    pub(super) out: Out,
    /// What the judge has seen.
    pub(super) check: Check,
    /// What happened.
    events: u64,
    /// The same in words, if somebody wants to read it.
    lines: Option<Vec<String>>,
}

impl Schedule for World {
    type Bug = Bug;

    fn new(seed: u64, bug: Option<Bug>, traced: bool) -> World {
        World { lines: traced.then(Vec::new), ..World::drawn(seed, bug) }
    }

    fn renew(&mut self, seed: u64, bug: Option<Bug>) {
        let over = std::mem::replace(self, World::drawn(seed, bug));
        self.members.iter_mut().zip(over.members).for_each(|(member, over)| member.inherit(over));
        (self.net, self.out) = (over.net, over.out);
        self.net.clear();
    }

    fn run(&mut self) -> Result<(), String> {
        for i in 0..self.members.len() {
            self.restart(i)?;
        }
        let first = self.rng.below(self.members.len() as u64) as usize;
        self.elect(first)?;
        let steps = self.rng.within(10..=100);
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
    /// What the seed says before the first event.
    fn drawn(seed: u64, bug: Option<Bug>) -> World {
        let mut rng = Rng::new(seed);
        let members = rng.pick(&[3, 3, 3, 3, 5]);
        let participants = rng.pick(&[2, 2, 3]);
        let heartbeat = Duration::from_millis(100);
        World {
            weights: Weights::draw(&mut rng),
            wanted: rng.within(1..=MOST as u64) as usize,
            members: (0..members).map(|i| Member::new(member(i), members, bug)).collect(),
            participants: (1..=participants).map(|s| Participant::new(ShardId(s), bug)).collect(),
            txns: Vec::new(),
            pace: Pace { heartbeat, patience: 3 * heartbeat },
            now: Mono(1),
            net: Net::new(),
            out: Out::default(),
            check: Check::default(),
            events: 0,
            lines: None,
            rng,
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.now = self.now + Duration::from_micros(self.rng.skewed(200_000));
        if self.net.len() > MANY {
            return self.deliver();
        }
        let site = self.rng.below(self.sites() as u64) as usize;
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
            Kind::Flush => self.flush(site, self.weights.partial),
            Kind::Crash => self.crash(site),
            Kind::Restart => self.restart(site),
            Kind::LoseDisk => self.lose_disk(site % self.members.len()),
            Kind::Tick => self.tick(),
            Kind::Rush => self.rush(site % self.members.len()),
            Kind::Cut => self.cut(),
            Kind::Begin => self.each_leader(World::begin),
            Kind::Wait => self.wait(site),
            Kind::Mark => self.each_leader(World::mark),
        }
    }

    pub(super) fn sites(&self) -> usize {
        self.members.len() + self.participants.len()
    }

    /// The name of a site.
    pub(super) fn name(&self, site: usize) -> String {
        match site.checked_sub(self.members.len()) {
            None => format!("c{}", site + 1),
            Some(participant) => format!("s{}", participant + 1),
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
        for i in 0..self.members.len() {
            if self.members[i].serves() && self.rng.chance(8_000) {
                act(self, i)?;
            }
        }
        Ok(())
    }

    /// Links break; or all are mended.
    fn cut(&mut self) -> Result<(), String> {
        let leader = self.members.iter().position(Member::leads);
        let (before, sites) = (self.net.cut, self.sites() as u64);
        self.net.cut = match before {
            Cut::Sides(_) | Cut::Link(..) => Cut::None,
            Cut::None => Cut::draw(&mut self.rng, sites, leader),
        };
        self.line(|world| format!("the cut is {:?}", world.net.cut));
        self.connect(before)
    }

    /// Members whom this no longer parts hear of it.
    pub(super) fn connect(&mut self, before: Cut) -> Result<(), String> {
        for from in 0..self.members.len() {
            for to in 0..self.members.len() {
                if before.parts(from, to) && !self.net.cut.parts(from, to) {
                    self.member(from, |member, now, txns, out| {
                        member.connected(now, txns, to, out);
                    })?;
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
        if !self.is_up(to) {
            return Ok(());
        }
        self.line(|world| format!("{} hears of {}: {message:?}", world.name(to), world.name(from)));
        match to.checked_sub(self.members.len()) {
            None => self.member(to, |member, now, txns, out| {
                member.hear(now, txns, (from, message), out);
            }),
            Some(i) => {
                let refuses = self.rng.chance(self.weights.refuse);
                let World { participants, txns, out, .. } = self;
                participants[i].hear(txns, (from, message), refuses, &mut out.messages)?;
                self.participated(i)
            }
        }
    }

    pub(super) fn is_up(&self, site: usize) -> bool {
        match site.checked_sub(self.members.len()) {
            None => self.members[site].replica.is_some(),
            Some(i) => self.participants[i].up,
        }
    }

    /// Something happens at a member; a crash may be aimed at it.
    pub(super) fn member(
        &mut self,
        i: usize,
        happens: impl FnOnce(&mut Member, Mono, &[Txn], &mut Out),
    ) -> Result<(), String> {
        let World { members, now, txns, out, .. } = self;
        let member = &mut members[i];
        let dirty = member.disk.dirty();
        happens(member, *now, txns, out);
        let mut spoke = !out.messages.is_empty() || member.disk.dirty() > dirty;
        self.post(i);
        let (mut stops, mut told) = (false, false);
        if !self.out.news.is_empty() {
            let mut all = std::mem::take(&mut self.out.news);
            for news in all.drain(..) {
                stops |= matches!(news, News::Stops);
                told |= matches!(news, News::Tells(..) | News::Found(_));
                self.line(|world| format!("{}: {news:?}", world.name(i)));
                self.check.news(i, &news, &self.txns, &self.members)?;
            }
            self.out.news = all;
        }
        self.check.log(&self.members[i], &self.txns)?;
        if stops {
            // Its machine must not be asked for anything any more.
            self.begin_anew(i)?;
            spoke = false;
        }
        self.aim(i, spoke, told)
    }

    pub(super) fn participated(&mut self, i: usize) -> Result<(), String> {
        let site = self.members.len() + i;
        let spoke = !self.out.messages.is_empty() || self.participants[i].is_dirty();
        self.post(site);
        self.check.participant(i, &self.participants[i])?;
        self.aim(site, spoke, false)
    }

    /// What a site says is on its way.
    pub(super) fn post(&mut self, from: usize) {
        if !self.out.messages.is_empty() {
            let messages = self.out.messages.drain(..);
            messages.for_each(|(to, message)| self.net.post(Letter { from, to, message }));
        }
    }

    /// A crash may be aimed at one who has just spoken, or written; and who has just told what
    /// became of a transaction is the best one to lose.
    fn aim(&mut self, site: usize, spoke: bool, told: bool) -> Result<(), String> {
        let aimed = match told {
            true => 4 * self.weights.aimed,
            false if spoke => self.weights.aimed,
            false => 0,
        };
        if !self.rng.chance(aimed) {
            return Ok(());
        }
        if site < self.members.len() && self.rng.chance(self.weights.disks) {
            return self.lose_needed_disk(site);
        }
        self.crash(site)?;
        // Often it is back before anybody notices.
        if self.rng.chance(5_000) { self.restart(site) } else { Ok(()) }
    }

    /// The one whose time has come first looks at its clock.
    pub(super) fn tick(&mut self) -> Result<(), String> {
        let due = |member: &Member| member.replica.as_ref().and_then(Replica::due);
        let all = self.members.iter().enumerate();
        let first = all.filter_map(|(i, member)| Some((due(member)?, i))).min();
        first.map_or(Ok(()), |(_, i)| self.tick_one(i))
    }

    pub(super) fn tick_one(&mut self, i: usize) -> Result<(), String> {
        let Some(replica) = &self.members[i].replica else { return Ok(()) };
        let Some(due) = replica.due() else { return Ok(()) };
        self.now = self.now.max(due);
        self.line(|world| format!("{} ticks", world.name(i)));
        self.member(i, Member::tick)
    }

    /// A client wants one more transaction committed.
    fn begin(&mut self, i: usize) -> Result<(), String> {
        if self.txns.len() == self.wanted {
            return Ok(());
        }
        let number = self.txns.len();
        let core = &mut self.members[i].core;
        let (id, h) = (Txn::name(number, core.epoch), core.draw());
        let mut acceptors = core.acceptors.clone();
        if self.rng.chance(3_000) {
            // Too few have answered lately.
            acceptors = (0..self.members.len()).map(member).collect();
        }
        let txn = Txn {
            id,
            h,
            leader: member(i),
            participants: (1..=self.participants.len() as u16).map(ShardId).collect(),
            readers: self.rng.pick(&[0, 0, 1, 2, 3]),
            acceptors,
            faster: self.rng.chance(4_000),
        };
        self.line(|world| format!("{} begins {number}: {txn:?}", world.name(i)));
        self.txns.push(txn);
        self.member(i, |member, now, txns, out| {
            member.act(now, txns, out, |core, out| core.begin(&txns[number], number, out));
        })
    }

    fn mark(&mut self, i: usize) -> Result<(), String> {
        self.member(i, |member, now, txns, out| {
            member.act(now, txns, out, |core, _| core.tell_decided(txns));
        })
    }

    /// Who waits for something has waited long.
    pub(super) fn wait(&mut self, site: usize) -> Result<(), String> {
        if !self.is_up(site) {
            return Ok(());
        }
        self.line(|world| format!("{} has waited", world.name(site)));
        let Some(i) = site.checked_sub(self.members.len()) else {
            return self.member(site, |member, now, txns, out| {
                member.act(now, txns, out, |core, out| {
                    (0..txns.len()).for_each(|number| core.waited(txns, number, out));
                });
            });
        };
        self.participants[i].waited(self.members.len(), &mut self.out.messages);
        self.participated(i)
    }
}
