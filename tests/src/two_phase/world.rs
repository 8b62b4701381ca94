//! One schedule: what arrives, becomes durable, crashes and is cut off, in which order.

use std::time::Duration;

use synod_common::node::{Event, Send};

use super::bug::Bug;
use super::check::Check;
use super::client::{About, Asked, Client};
use super::mutate::Notes;
use super::net::{CLIENT, COORDINATOR, Letter, Links, peer, site};
use super::server::Server;
use super::settings::Shape;
use super::template::Template;
use super::weights::{Kind, Weights};
use crate::explore::net::{Cut, Net};
use crate::explore::{Reached, Schedule};
use crate::sim::rng::Rng;

/// So many messages may be on their way before nothing but them happens.
const MANY: usize = 40;

/// Everything there is in one schedule.
#[derive(Clone)]
pub struct World {
    pub(super) rng: Rng,
    pub(super) servers: Vec<Server>,
    pub(super) client: Client,
    pub(super) net: Net<Letter>,
    pub(super) links: Links,
    pub(super) weights: Weights,
    pub(super) check: Check,
    pub(super) shape: Shape,
    pub(super) bug: Option<Bug>,
    pub(super) notes: Notes,
    asked: Vec<Asked>,
    events: u64,
    /// What happened, if somebody wants to read it.
    lines: Option<Vec<String>>,
}

impl Schedule for World {
    type Bug = Bug;

    fn new(seed: u64, bug: Option<Bug>, traced: bool) -> World {
        let mut world = World::drawn(seed, bug);
        world.start();
        World { lines: traced.then(Vec::new), ..world }
    }

    fn renew(&mut self, seed: u64, bug: Option<Bug>) {
        let over = std::mem::replace(self, World::drawn(seed, bug));
        (self.servers, self.net, self.asked) = (over.servers, over.net, over.asked);
        self.net.clear();
        self.start();
    }

    fn run(&mut self) -> Result<(), String> {
        self.begin()?;
        let steps = self.rng.within(6..=40);
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
    /// One of the shape of a seed, without servers.
    fn drawn(seed: u64, bug: Option<Bug>) -> World {
        let mut rng = Rng::new(seed);
        let shape = Shape {
            shards: rng.pick(&[2, 2, 3]),
            narrow: rng.chance(3_000),
            forgets: rng.chance(3_000),
        };
        World::empty(rng, shape, bug)
    }

    /// Its servers start, in the memory of those that are there.
    pub(super) fn start(&mut self) {
        let template = Template::of(self.shape, self.bug);
        self.servers.clone_from(&template.servers);
        (self.links, self.client.session) = (template.links, template.session);
    }

    /// One without servers.
    pub(super) fn empty(mut rng: Rng, shape: Shape, bug: Option<Bug>) -> World {
        World {
            servers: Vec::new(),
            client: Client::default(),
            net: Net::new(),
            links: Links::default(),
            weights: Weights::draw(&mut rng),
            check: Check::new(shape.forgets),
            shape,
            bug,
            notes: Notes::default(),
            asked: Vec::new(),
            events: 0,
            lines: None,
            rng,
        }
    }

    fn step(&mut self) -> Result<(), String> {
        let kind = self.weights.next(&mut self.rng);
        if self.net.len() > MANY {
            return self.deliver();
        }
        let site = self.rng.below(self.servers.len() as u64) as usize;
        match kind {
            Kind::Deliver if self.net.is_empty() => self.flush_one(),
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
            Kind::Flush => self.flush_one(),
            Kind::Crash => self.crash(site),
            Kind::Restart => self.restart_one(),
            Kind::Wait => self.wait(site),
            Kind::Cut => self.cut(),
            Kind::Begin => self.begin(),
            Kind::Look => {
                self.ask(|world, out| world.client.look(out));
                Ok(())
            }
            Kind::Resolve => {
                let shards = self.shards();
                self.ask(|world, out| world.client.resolve(&mut world.rng, shards, out));
                Ok(())
            }
            Kind::Ask => {
                self.ask(|world, out| world.client.waited(&mut world.rng, out));
                Ok(())
            }
        }
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.shape.shards
    }

    pub(super) fn line(&mut self, line: impl FnOnce(&World) -> String) {
        self.events += 1;
        if self.lines.is_some() {
            let line = line(self);
            self.lines.get_or_insert_default().push(line);
        }
    }

    /// The client begins a transaction, if there are to be more.
    fn begin(&mut self) -> Result<(), String> {
        if self.client.txns.len() < self.weights.txns {
            let shards = self.shards();
            let ops = self.weights.ops(&mut self.rng, shards);
            self.line(|_| format!("the client begins {ops:?}"));
            self.ask(|world, out| world.client.begin(ops, out));
        }
        Ok(())
    }

    /// The client asks for something.
    pub(super) fn ask(&mut self, asks: impl FnOnce(&mut World, &mut Vec<Asked>)) {
        let mut asked = std::mem::take(&mut self.asked);
        asks(self, &mut asked);
        for (to, about, message) in asked.drain(..) {
            self.net.post(Letter { from: CLIENT, to, request: about.into(), message });
        }
        self.asked = asked;
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

    pub(super) fn arrive(&mut self, mut letter: Letter) -> Result<(), String> {
        let (from, to) = (letter.from, letter.to);
        if self.net.cut.parts(from, to) {
            // It is lost, or late.
            if self.rng.chance(5_000) {
                self.net.keep(letter);
            }
            return Ok(());
        }
        if to == CLIENT {
            self.line(|_| format!("the client hears of {}: {:?}", peer(from), letter.message));
            let Some(about) = About::of(letter.request) else { return Ok(()) };
            let shards = self.shards();
            let mut answered = Ok(());
            self.ask(|world, out| {
                answered = world.client.hear(shards, about, &letter.message, out);
            });
            return answered;
        }
        if !self.servers[to].is_up() {
            return Ok(());
        }
        self.line(|_| format!("{} hears of {}: {:?}", peer(to), peer(from), letter.message));
        if let Some(bug) = self.bug
            && !self.mutate_arrival(bug, &mut letter)?
        {
            return Ok(());
        }
        let Letter { request, message, .. } = letter;
        self.happens(to, Event::Message { from: peer(from), request, message })
    }

    /// Something happens at a server; a crash may be aimed at it.
    pub(super) fn happens(&mut self, site: usize, event: Event) -> Result<(), String> {
        let dirty = self.servers[site].log.dirty();
        self.servers[site].handle(event);
        let spoke = self.carry_out(site)? || self.servers[site].log.dirty() > dirty;
        if spoke && self.rng.chance(self.weights.aimed) {
            self.crash(site)?;
            // Often it is back before anybody notices.
            if self.rng.chance(5_000) {
                return self.restart(site);
            }
        }
        Ok(())
    }

    /// Does what a server asks for. Whether it says anything.
    fn carry_out(&mut self, site: usize) -> Result<bool, String> {
        let World { servers, check, client, .. } = self;
        let Server { log, out, held, .. } = &mut servers[site];
        if !out.records.is_empty() {
            let (records, forced) = out.take_records();
            for record in records.iter() {
                let fact = log.append(site, record)?;
                check.written(site, fact, client)?;
            }
            out.reuse(records);
            if forced > 0 {
                log.force();
            }
        }
        assert!(!out.restart, "who is alone does not stop");
        if !out.held.is_empty() {
            log.force();
            held.extend(out.held.drain(..));
        }
        let spoke = !out.sends.is_empty();
        if spoke {
            let mut sends = std::mem::take(&mut out.sends);
            for send in sends.drain(..) {
                self.send(site, send)?;
            }
            self.servers[site].out.sends = sends;
        }
        if self.bug.is_some_and(|bug| bug.answers_early(site)) {
            let last = self.servers[site].log.last();
            self.servers[site].handle(Event::Durable(last));
            if !self.servers[site].out.sends.is_empty()
                || !self.servers[site].out.records.is_empty()
            {
                self.carry_out(site)?;
            }
        }
        self.release(site)?;
        Ok(spoke)
    }

    /// Sends what the log holds back no longer.
    fn release(&mut self, site: usize) -> Result<(), String> {
        while !self.servers[site].held.is_empty() {
            let Server { log, held, .. } = &mut self.servers[site];
            let due = |(lsn, send): &(_, Send)| {
                *lsn <= log.durable() || self.bug.is_some_and(|bug| bug.hurries(&send.message))
            };
            let Some(place) = held.iter().position(due) else { return Ok(()) };
            let Some((_, send)) = held.remove(place) else { return Ok(()) };
            self.send(site, send)?;
        }
        Ok(())
    }

    fn send(&mut self, from: usize, send: Send) -> Result<(), String> {
        let Send { to, request, message } = send;
        let to = site(to);
        // Messages are large: this one is written where it stays, and looked at there.
        self.net.post(Letter { from, to, request, message });
        if let Some(bug) = self.bug {
            let Some(mut letter) = self.net.withdraw() else { return Ok(()) };
            self.mutate_sent(bug, &mut letter)?;
            self.net.post(letter);
        }
        let Some(letter) = self.net.newest() else { return Ok(()) };
        if self.bug.is_none() {
            self.check.said(&self.client, letter)?;
        }
        if to == CLIENT {
            self.check.told(letter)?;
        }
        // Drivers drop what there is no link for.
        match self.links.is_up(from, to) {
            true => self.check.count(letter),
            false => drop(self.net.withdraw()),
        }
        Ok(())
    }

    /// The log of one server that has something to write becomes durable.
    fn flush_one(&mut self) -> Result<(), String> {
        let all = self.servers.len();
        let first = self.rng.below(all as u64) as usize;
        let sites = (first..first + all).map(|site| site % all);
        let dirty = sites.into_iter().find(|site| self.servers[*site].log.dirty() > 0);
        dirty.map_or(Ok(()), |site| self.flush(site, self.weights.partial))
    }

    /// What a server has written becomes durable, or with this chance some of it.
    pub(super) fn flush(&mut self, site: usize, partial: u32) -> Result<(), String> {
        let dirty = self.servers[site].log.dirty();
        if dirty == 0 {
            return Ok(());
        }
        let some = match self.rng.chance(partial) {
            true => self.rng.within(1..=dirty as u64) as usize,
            false => dirty,
        };
        self.write(site, some)?;
        self.line(|_| format!("{} has written {some} of {dirty}", peer(site)));
        let durable = self.servers[site].log.durable();
        self.release(site)?;
        self.happens(site, Event::Durable(durable))
    }

    pub(super) fn write(&mut self, site: usize, count: usize) -> Result<(), String> {
        for _ in 0..count {
            if let Some(fact) = self.servers[site].log.write() {
                self.check.durable(site, &fact, &self.client)?;
            }
        }
        Ok(())
    }

    /// Of what is not durable some is lost, and nobody hears of what is not.
    pub(super) fn crash(&mut self, site: usize) -> Result<(), String> {
        if !self.servers[site].is_up() {
            return Ok(());
        }
        let dirty = self.servers[site].log.dirty();
        let some = match self.rng.chance(5_000) {
            true => 0,
            false => self.rng.within(0..=dirty as u64) as usize,
        };
        self.crash_after(site, some)
    }

    /// Of what is not durable so much is there nevertheless.
    pub(super) fn crash_after(&mut self, site: usize, some: usize) -> Result<(), String> {
        let dirty = self.servers[site].log.dirty();
        self.check.seen.lost += u64::from(some < dirty);
        self.check.seen.survived += u64::from(some > 0);
        self.write(site, some)?;
        self.servers[site].crash();
        self.links.forget(site);
        self.line(|_| format!("{} crashes; of {dirty} records {some} are there", peer(site)));
        self.link_all()
    }

    fn restart_one(&mut self) -> Result<(), String> {
        let down = self.servers.iter().position(|server| !server.is_up());
        down.map_or(Ok(()), |site| self.restart(site))
    }

    pub(super) fn restart(&mut self, site: usize) -> Result<(), String> {
        if self.servers[site].is_up() {
            return Ok(());
        }
        self.line(|_| format!("{} is back", peer(site)));
        let (seed, shape, bug) = (self.rng.bits(), self.shape, self.bug);
        self.servers[site].start(site, shape, seed, bug)?;
        self.check.reinstated(site, &self.servers[site], &self.client)?;
        let in_doubt = self.servers[site].shard().is_some_and(|it| it.known().next().is_some());
        self.check.seen.in_doubt += u64::from(in_doubt);
        self.carry_out(site)?;
        self.link_all()
    }

    /// Links break; or all are mended.
    fn cut(&mut self) -> Result<(), String> {
        self.net.cut = match self.net.cut {
            Cut::Sides(_) | Cut::Link(..) => Cut::None,
            Cut::None => Cut::draw(&mut self.rng, self.servers.len() as u64, Some(COORDINATOR)),
        };
        self.line(|world| format!("the cut is {:?}", world.net.cut));
        self.link_all()
    }

    /// Those who run and can reach each other are linked again, once both know that they
    /// were not. Who can not notices that now, or later.
    pub(super) fn link_all(&mut self) -> Result<(), String> {
        for one in 0..self.servers.len() {
            for other in one + 1..self.servers.len() {
                let there = self.servers[one].is_up() && self.servers[other].is_up();
                let can = there && !self.net.cut.parts(one, other);
                let linked = [self.links.is_up(one, other), self.links.is_up(other, one)];
                if linked == [can; 2] {
                    continue;
                }
                for (end, far) in [(one, other), (other, one)] {
                    if can || self.rng.chance(self.weights.notices) {
                        self.unlink(end, far)?;
                    }
                }
                if can {
                    self.link(one, other)?;
                    self.link(other, one)?;
                }
            }
        }
        Ok(())
    }

    fn link(&mut self, end: usize, far: usize) -> Result<(), String> {
        self.links.set(end, far, true);
        self.servers[end].handle(Event::Connected(peer(far)));
        self.carry_out(end).map(drop)
    }

    /// It notices that a link is gone.
    fn unlink(&mut self, end: usize, far: usize) -> Result<(), String> {
        if !self.servers[end].is_up() || !self.links.is_up(end, far) {
            return Ok(());
        }
        self.line(|_| format!("{} misses {}", peer(end), peer(far)));
        self.links.set(end, far, false);
        self.servers[end].handle(Event::Disconnected(peer(far)));
        self.carry_out(end).map(drop)
    }

    /// Whatever links it has that are gone, it notices now.
    fn notice(&mut self, end: usize) -> Result<(), String> {
        for far in 0..self.servers.len() {
            if far != end && (self.net.cut.parts(end, far) || !self.servers[far].is_up()) {
                self.unlink(end, far)?;
            }
        }
        Ok(())
    }

    /// A server has waited until something is due there, or longer.
    pub(super) fn wait(&mut self, site: usize) -> Result<(), String> {
        let server = &self.servers[site];
        let Some(due) = server.out.wake.filter(|_| server.core.is_some()) else { return Ok(()) };
        if self.rng.chance(5_000) {
            self.notice(site)?;
        }
        let server = &mut self.servers[site];
        let longer = Duration::from_micros(self.rng.skewed(100_000));
        server.clock = server.clock.max(due) + longer;
        self.line(|world| format!("{} wakes at {}", peer(site), world.servers[site].clock.0));
        self.happens(site, Event::Wake)
    }
}
