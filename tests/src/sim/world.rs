//! The world: servers, clients, links, and the queue of what happens next.

use std::collections::BTreeMap;
use std::time::Duration;

use synod_common::id::{ClusterId, CoordinatorId, Peer, RequestId, ShardId};
use synod_common::key::Key;
use synod_common::message::Message;
use synod_common::node::{CheckpointStep, Event, Neighbour, Output};
use synod_common::refusal::{Refusal, Refused};
use synod_common::route::{CoordinatorAddress, Partition, Placement, Router, ShardAddress};
use synod_coordinator::Member;

use super::client::Client;
use super::clock::Clock;
use super::disk::Log;
use super::faults::Faults;
use super::group::GroupLog;
use super::half::Half;
use super::history::History;
use super::ledger::Ledger;
use super::loss::Loss;
use super::mutation::Mutation;
use super::network::{Link, Node};
use super::operator::Operator;
use super::reached::Reached;
use super::rng::Rng;
use super::server::{self, Core, MOST_SHARDS, Server};
use super::sizes::Sizes;
use super::trace::Trace;
use crate::invariants::cover::Asked;
use crate::invariants::deadlocks::Observed;
use crate::invariants::force::HandedOut;
use crate::invariants::safe_point::Watch;
use crate::invariants::{Check, grants};

/// Longer than deadlocks may last, and shorter than a run.
pub const LONG_WAIT_MS: u64 = 5_000;

/// What every account holds at first.
pub const INITIAL: i64 = 100;

/// Something that will happen.
#[derive(Debug)]
pub enum Happening {
    /// A message arrives over a link.
    Deliver {
        /// Which link.
        link: usize,
        /// Which end gets it.
        end: usize,
        /// In which life of the link it was sent; none for a ghost.
        epoch: Option<u64>,
        /// To be repeated in the reply.
        request: RequestId,
        /// The message.
        message: Message,
    },
    /// An end notices that its link is gone.
    Lost(usize, usize, u64),
    /// A link is dialled.
    Dial(usize),
    /// A link that was blocked on its way goes down, or is open again.
    Unblock(usize),
    /// The core wanted to be woken.
    Wake(usize, u64),
    /// The output of some events is carried out.
    Flush(usize, u32),
    /// A server that stood still goes on with this.
    Late(usize, u32, Event),
    /// Lazy records have waited long enough.
    Lazy(usize, u32),
    /// A sync ends.
    Synced(usize, u32),
    /// The next step of a checkpoint is done.
    Step(usize, u32),
    /// A server crashes; it is down for so long.
    Crash(usize, u32, u64),
    /// A server starts again.
    Restart(usize, u32),
    /// A client's timer.
    Client(usize, u64),
    /// A client's heartbeat.
    Heartbeat(usize),
    /// Some fault strikes at random.
    Fault,
    /// A member of a group goes down until others are lost.
    Part,
    /// These are.
    Lose,
    /// The faults end, and only some of the servers go on.
    Halve,
    /// An operator looks for something that is in doubt.
    Operate,
    /// Time to see whether anything blocks them.
    Halved,
    /// A member of a group loses its disk.
    LoseDisk,
    /// The faults end.
    Heal,
    /// The observer looks for deadlocks that are not broken.
    Watch,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The accounts are made; nothing goes wrong.
    Setup,
    /// Everything goes wrong.
    Faulty,
    /// Nothing goes wrong any more, but some servers are gone.
    Half,
    /// Nothing goes wrong any more; clients finish.
    Healing,
    /// All outcomes are asked for, and the final state is read.
    Audit,
    /// It is over.
    Over,
}

/// A run.
#[derive(Debug)]
pub struct World {
    /// Its only source of chance.
    pub rng: Rng,
    /// Virtual time in microseconds.
    pub time: u64,
    /// How far it is.
    pub phase: Phase,
    /// What goes wrong now.
    pub faults: Faults,
    /// What is deliberately broken.
    pub mutation: Option<Mutation>,
    /// What happened.
    pub trace: Trace,
    /// The coordinator, then the shards.
    pub servers: Vec<Server>,
    /// The clients.
    pub clients: Vec<Client>,
    /// All links.
    pub links: Vec<Link>,
    /// What is durable.
    pub ledger: Ledger,
    /// What the clients did.
    pub history: History,
    /// Timestamps that were handed out.
    pub handed_out: HandedOut,
    /// What the observer saw of deadlocks.
    pub deadlocks: Observed,
    /// What was last seen of the safe points.
    pub safe_points: Watch,
    /// What the shards were asked for.
    pub asked: Asked,
    /// The shard map.
    pub router: Router,
    /// The accounts.
    pub accounts: Vec<Key>,
    /// How many events there were.
    pub events: u64,
    /// How many crashes.
    pub crashes: u64,
    /// What was reached.
    pub reached: Reached,
    /// How far the loss of members is.
    pub(super) loss: Loss,
    /// Who goes on without the others.
    pub(super) half: Half,
    /// Who decides what is in doubt, without waiting.
    pub(super) operator: Operator,
    /// Sizes and times that differ from seed to seed.
    pub sizes: Sizes,
    pub(crate) notes: super::mutation::Notes,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
}

/// More is a storm: messages that beget messages. Seeds have some ten thousand.
const MOST_EVENTS: u64 = 2_000_000;

impl World {
    /// The world of a seed before anything happened.
    pub fn new(seed: u64, mutation: Option<Mutation>, keep_trace: bool) -> World {
        let mut rng = Rng::new(seed);
        let shards = rng.pick(&[1, 2, 2, 3, 3, 3, 4]);
        let clients = rng.within(3..=8) as usize;
        let accounts: Vec<Key> = (0..rng.within(shards as u64 * 2..=24))
            .map(|i| Key::from(format!("a/{i:02}").as_str()))
            .collect();
        let partition = if rng.chance(5_000) {
            Partition::Hash
        } else {
            let cut = |i: usize| accounts[accounts.len() * i / shards].clone();
            Partition::Range((1..shards).map(cut).collect())
        };
        let address = |i: usize| ShardAddress { id: ShardId(i as u16), address: String::new() };
        let placement =
            Placement { epoch: 7, partition, shards: (1..=shards).map(address).collect() };
        let router = Router::new(placement).expect("the map is a good one");
        let sizes = Sizes::draw(seed, shards, mutation, &mut rng);
        let wrong_clocks = rng.chance(7_000);
        let mut world = World {
            time: 0,
            phase: Phase::Setup,
            faults: Faults::none(),
            mutation,
            trace: Trace::new(keep_trace),
            servers: Vec::new(),
            clients: Vec::new(),
            links: Vec::new(),
            ledger: Ledger::new(MOST_SHARDS, sizes.coordinators),
            history: History::default(),
            handed_out: HandedOut::default(),
            deadlocks: Observed::default(),
            safe_points: Watch::default(),
            asked: Asked::default(),
            router,
            accounts,
            events: 0,
            crashes: 0,
            reached: Reached::default(),
            loss: Loss::default(),
            half: Half::draw(seed),
            operator: Operator::draw(seed, mutation),
            sizes,
            notes: super::mutation::Notes::default(),
            queue: BTreeMap::new(),
            queued: 0,
            rng,
        };
        for i in 0..=shards {
            let clock = Clock::new(0, &mut world.rng, wrong_clocks);
            let log = Log::new(CLUSTER, server::peer(i).to_string(), world.sizes.segment_bytes);
            world.servers.push(Server::new(clock, log));
        }
        if world.sizes.coordinators > 1 {
            world.ledger.group = Some(GroupLog::default());
            world.handed_out = HandedOut::by_group();
        }
        for i in shards + 1..MOST_SHARDS + world.sizes.coordinators {
            let clock = Clock::new(0, &mut world.rng, wrong_clocks);
            let log = Log::new(CLUSTER, server::peer(i).to_string(), world.sizes.segment_bytes);
            world.servers.push(Server { absent: i <= MOST_SHARDS, ..Server::new(clock, log) });
        }
        for coordinator in world.coordinators() {
            for shard in 1..=shards {
                world.links.push(Link::new(Node::Server(shard), Node::Server(coordinator)));
            }
            for other in world.coordinators().take_while(|other| *other < coordinator) {
                world.links.push(Link::new(Node::Server(coordinator), Node::Server(other)));
            }
        }
        // Drawn apart, so that seeds without programs are what they were.
        let mut programs = Rng::new(!seed);
        let share = programs.pick(&[0, 0, 0, 3_000, 6_000, 10_000]);
        for client in 0..clients {
            let left = world.rng.within(40..=90) as u32;
            // The first one makes the accounts and asks for everything in the end.
            let program = client > 0 && programs.chance(share);
            world.clients.push(match program {
                true => Client::program(left, Rng::new(programs.bits())),
                false => Client::new(left),
            });
            for server in (0..=shards).chain(world.coordinators().skip(1)) {
                let link = Link::new(Node::Client(client), Node::Server(server));
                world.links.push(Link { lossless: program, ..link });
            }
        }
        world
    }

    /// A core that knows nothing, for server `index`.
    pub fn new_core(&self, index: usize) -> Core {
        let ids: Vec<CoordinatorId> =
            (1..).take(self.sizes.coordinators).map(CoordinatorId).collect();
        if let Peer::Coordinator(id) = server::peer(index) {
            let placement = self.router.placement().clone();
            let mut settings = synod_coordinator::Settings::new(id, CLUSTER, placement);
            if ids.len() > 1 {
                let member = |id: CoordinatorId| CoordinatorAddress { id, address: id.to_string() };
                settings.group = ids.into_iter().map(member).collect();
            }
            settings.patience = Duration::from_micros(100_000 + 6 * self.sizes.far);
            settings.heartbeat = settings.patience / 5;
            settings.session_ttl = self.sizes.session_ttl;
            settings.window = self.sizes.window;
            settings.vote_timeout = self.patience(800);
            settings.deadlocks = self.sizes.handling;
            settings.resend = Duration::from_millis(100);
            let often = self.sizes.ambush.checkpoint_bytes;
            settings.checkpoint_bytes = often.unwrap_or(self.sizes.checkpoint_bytes);
            settings.outcome_retention = self.sizes.outcome_retention;
            settings.retention = self.sizes.retention;
            #[cfg(feature = "mutants")]
            {
                settings.mutant = self.mutation.and_then(Mutation::of_coordinator);
            }
            let new = !self.servers[index].rejoins || self.mutation == Some(Mutation::RejoinsAsNew);
            let member = if new { Member::new(settings) } else { Member::rejoining(settings) };
            Core::Coordinator(Box::new(member))
        } else {
            let id = ShardId(index as u16);
            let mut settings = synod_shard::Settings::new(id, CLUSTER, &ids);
            settings.session_ttl = self.sizes.session_ttl;
            settings.lock_timeout = self.patience(300);
            settings.inquire_after = Duration::from_millis(100);
            settings.join_retry = Duration::from_millis(50);
            settings.checkpoint_bytes = self.sizes.checkpoint_bytes;
            #[cfg(feature = "mutants")]
            {
                settings.mutant = self.mutation.and_then(Mutation::of_shard);
            }
            Core::Shard(Box::new(synod_shard::Shard::new(settings)))
        }
    }

    /// How long something waits that may be a lock.
    fn patience(&self, ms: u64) -> Duration {
        Duration::from_millis(if self.sizes.long_waits { LONG_WAIT_MS } else { ms })
    }

    /// Puts something into the queue, `after` so many microseconds.
    pub fn after(&mut self, after: u64, what: Happening) {
        self.queued += 1;
        self.queue.insert((self.time + after, self.queued), what);
    }

    /// Lets the run go to its end.
    ///
    /// # Errors
    /// At the first violation, which it names.
    pub fn run(&mut self) -> Check {
        for server in 0..self.servers.len() {
            if !self.servers[server].absent {
                self.start(server)?;
            }
        }
        for link in 0..self.links.len() {
            self.dial(link);
        }
        for client in 0..self.clients.len() {
            self.after(1_000, Happening::Client(client, 0));
            self.after(300_000, Happening::Heartbeat(client));
        }
        while self.phase != Phase::Over {
            let Some(((time, _), what)) = self.queue.pop_first() else {
                return Err("nothing happens any more".to_owned());
            };
            self.time = time;
            self.events += 1;
            self.happen(what)?;
            if self.time > self.sizes.heal_at + 120_000_000 || self.events > MOST_EVENTS {
                return Err(format!("I24: stuck in phase {:?}: {}", self.phase, self.stuck()));
            }
        }
        self.check_end()
    }

    fn happen(&mut self, what: Happening) -> Check {
        match what {
            Happening::Deliver { link, end, epoch, request, message } => {
                self.deliver(link, end, epoch, request, message)
            }
            Happening::Lost(link, end, epoch) => self.lost(link, end, epoch),
            Happening::Dial(link) => self.dialled(link),
            Happening::Unblock(link) => {
                self.unblock(link);
                Ok(())
            }
            Happening::Wake(server, number) => {
                if self.servers[server].wakes == number {
                    self.servers[server].wake = None;
                    self.feed(server, Event::Wake)?;
                }
                Ok(())
            }
            Happening::Flush(server, life) => self.if_alive(server, life, World::flush),
            Happening::Late(server, life, event) => {
                self.if_alive(server, life, |world, server| world.feed(server, event))
            }
            Happening::Lazy(server, life) => {
                self.if_alive(server, life, |world, server| world.write_log(server, true))
            }
            Happening::Synced(server, life) => self.if_alive(server, life, World::synced),
            Happening::Step(server, life) => self.if_alive(server, life, World::step_done),
            Happening::Crash(server, life, down) => {
                self.if_alive(server, life, |world, server| world.crash(server, down))
            }
            Happening::Restart(server, life) => {
                let waits = !self.servers[server].is_up() && self.servers[server].life == life;
                if waits && !self.servers[server].absent { self.start(server) } else { Ok(()) }
            }
            Happening::Client(client, number) => self.client_timer(client, number),
            Happening::Heartbeat(client) => self.heartbeat(client),
            Happening::Fault => self.random_fault(),
            Happening::Part => self.begin_loss(),
            Happening::Lose => self.lose(),
            Happening::Halve => self.halve(),
            Happening::Halved => self.halved(),
            Happening::Operate => self.operate(),
            Happening::LoseDisk => self.lose_disk(),
            Happening::Heal => self.heal(),
            Happening::Watch => self.watch_deadlocks(),
        }
    }

    fn if_alive(
        &mut self,
        server: usize,
        life: u32,
        then: impl FnOnce(&mut World, usize) -> Check,
    ) -> Check {
        let alive = self.servers[server].is_up() && self.servers[server].life == life;
        if alive { then(self, server) } else { Ok(()) }
    }

    /// Hands an event to a core, and carries out what it asks for: at once, or a
    /// little later together with what other events ask for.
    pub fn feed(&mut self, index: usize, event: Event) -> Check {
        let server = &mut self.servers[index];
        if server.is_up() && self.time < server.paused_until {
            let (wait, life) = (server.paused_until - self.time, server.life);
            self.after(wait, Happening::Late(index, life, event));
            return Ok(());
        }
        let Some(core) = &mut server.core else { return Ok(()) };
        if core.shard().is_some() {
            self.asked.heard(index, &event);
        }
        let said = server.out.sends.len();
        let now = server.clock.now(self.time);
        server.watch.handle(core, now, event, &mut server.out);
        if self.events.is_multiple_of(64)
            && let Some(shard) = core.shard()
        {
            grants::check(shard)?;
        }
        if let Some(shard) = core.shard() {
            self.safe_points.shard(index, shard)?;
            self.asked.check(index, shard, &server.out.sends[said..])?;
        }
        if let Some(coordinator) = core.coordinator() {
            self.safe_points.coordinator(coordinator)?;
            self.ledger.committed(coordinator.replica().committed(), self.sizes.coordinators)?;
        }
        self.look_for_mark(index);
        let server = &mut self.servers[index];
        if server.flush_due {
            return Ok(());
        }
        if self.phase == Phase::Faulty && self.rng.chance(1_500) {
            server.flush_due = true;
            let (life, delay) = (server.life, self.rng.below(200));
            self.after(delay, Happening::Flush(index, life));
            return Ok(());
        }
        self.flush(index)
    }

    /// Carries out what a core asked for, in the order of the contract.
    pub fn flush(&mut self, index: usize) -> Check {
        let server = &mut self.servers[index];
        server.flush_due = false;
        let life = server.life;
        let neighbours = server.out.neighbours.take();
        let Output { held, sends, checkpoint, wake, .. } = &mut server.out;
        let (held, sends) = (std::mem::take(held), std::mem::take(sends));
        let (step, wake) = (checkpoint.take(), *wake);
        let (records, forced) = server.out.take_records();
        if wake != server.wake {
            server.wake = wake;
            server.wakes += 1;
            if let Some(mono) = wake {
                let number = server.wakes;
                let when = server.clock.when(mono).max(self.time);
                let after = when - self.time;
                self.after(after, Happening::Wake(index, number));
            }
        }
        if !records.is_empty() {
            self.trace_records(index, &records);
            self.ledger.appended(index, &records)?;
            self.servers[index].log.submit(&records, forced > 0);
            let last = self.servers[index].out.last_lsn();
            self.mutate_appended(index, last)?;
            if self.servers[index].life != life {
                return Ok(());
            }
            self.write_log(index, false)?;
            if self.servers[index].life != life {
                return Ok(());
            }
            let patience = self.rng.within(1_000..=20_000);
            self.after(patience, Happening::Lazy(index, life));
        }
        if let Some(step) = step {
            if matches!(step, CheckpointStep::Begin(_)) {
                self.begins_checkpoint(index);
            }
            if self.servers[index].log.push_step(step) {
                let delay = self.rng.skewed(20_000);
                self.after(delay, Happening::Step(index, life));
            }
        }
        for (lsn, send) in held {
            let send = (self.mutate_lsn(lsn, &send), send);
            self.servers[index].held.push(send);
        }
        for send in sends {
            if self.servers[index].life != life {
                return Ok(());
            }
            self.send(index, send)?;
        }
        self.refused(index)?;
        self.link(index, &neighbours.unwrap_or_default());
        self.release(index)?;
        if self.servers[index].life == life && self.servers[index].out.restart {
            self.trace.line(self.time, format_args!("{} starts anew", server::peer(index)));
            return self.crash(index, 0);
        }
        Ok(())
    }

    /// Looks at what a server did not obey. There are no strangers here.
    fn refused(&mut self, index: usize) -> Check {
        for Refused { from, why } in std::mem::take(&mut self.servers[index].out.refused) {
            let name = server::peer(index);
            self.trace.line(self.time, format_args!("{name} refuses {from}: {why}"));
            match why {
                Refusal::OldEpoch => self.reached.old_epochs += 1,
                Refusal::Deposed => self.reached.deposed += 1,
                Refusal::EpochOutOfBounds | Refusal::Stranger => {
                    return Err(format!("{name} refuses what {from} has said: {why}"));
                }
            }
        }
        Ok(())
    }

    /// The servers that are shards.
    pub fn shards(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.sizes.shards
    }

    /// The servers that are coordinators.
    pub fn coordinators(&self) -> impl Iterator<Item = usize> + use<> {
        std::iter::once(0).chain(MOST_SHARDS + 1..MOST_SHARDS + self.sizes.coordinators)
    }

    /// Makes links that a server wants and has not had before.
    fn link(&mut self, from: usize, neighbours: &[Neighbour]) {
        for to in neighbours.iter().filter_map(|neighbour| server::index(neighbour.peer)) {
            let ends = [Node::Server(from), Node::Server(to)];
            if self.links.iter().all(|link| link.ends != ends) {
                self.links.push(Link::new(ends[0], ends[1]));
                self.dial(self.links.len() - 1);
            }
        }
    }

    /// Sends what the log does not hold back any more.
    pub fn release(&mut self, index: usize) -> Check {
        if !self.servers[index].is_up() {
            return Ok(());
        }
        let life = self.servers[index].life;
        let durable = self.servers[index].log.durable();
        let held = std::mem::take(&mut self.servers[index].held);
        let (free, wait) = held.into_iter().partition(|(lsn, _)| *lsn <= durable);
        self.servers[index].held = wait;
        let free: Vec<_> = free;
        for (_, send) in free {
            if self.servers[index].life == life {
                self.send(index, send)?;
            }
        }
        Ok(())
    }

    /// Whether outcomes may be forgotten in a run: after a short retention, or when
    /// a wall clock jumps ahead by an hour.
    pub fn may_forget(&self) -> bool {
        self.sizes.outcome_retention <= Duration::from_secs(3_600)
    }

    fn trace_records(&mut self, index: usize, records: &synod_common::node::Records) {
        self.trace.mix(&[1, self.time, index as u64]);
        self.trace.mix_bytes(&records.bytes);
        for bytes in records.iter() {
            let fact = super::ledger::parse(index, bytes);
            let name = super::server::peer(index);
            self.trace.line(self.time, format_args!("{name} log {}", Short(&fact)));
        }
    }
}

/// The cluster of every run.
pub const CLUSTER: ClusterId = ClusterId(0x5108);

/// Debug output without bulk.
pub struct Short<'a, T>(pub &'a T);

impl<T: std::fmt::Debug> std::fmt::Display for Short<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{:?}", self.0);
        let end = text.char_indices().nth(400).map_or(text.len(), |(at, _)| at);
        f.write_str(&text[..end])
    }
}
